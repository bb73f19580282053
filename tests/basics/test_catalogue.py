import gzip
import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mlthon.basics.catalogue import (
    IDS_PER_EXCHANGE,
    InstrumentIndex,
    UnknownInstrument,
    define,
    exchanges,
    instruments,
    resolve,
)
from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.instrument import Future, Instrument
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty

EVERYTHING = [instrument for exchange in exchanges() for instrument in instruments(exchange)]


@pytest.mark.parametrize("instrument", EVERYTHING, ids=str)
def test_every_row_makes_sense(instrument: Instrument) -> None:
    assert instrument.exchange is not None
    assert instrument.instrument_id is not None
    assert instrument.instrument_id // IDS_PER_EXCHANGE == instrument.exchange.value
    pair = f"{instrument.base_currency}-{instrument.quote_currency}".lower()
    if instrument.instrument_type is InstrumentType.Future:
        assert instrument.mlt_symbol is not None
        assert instrument.mlt_symbol.startswith(f"{pair}-")
        assert instrument.valid_end_ts is not None
    else:
        assert (instrument.mlt_symbol, instrument.valid_end_ts) == (pair, None)
    inverse = instrument.quantification is Quantification.Inverse
    usual = instrument.base_currency if inverse else instrument.quote_currency
    assert instrument.settle_currency == usual or instrument.symbol in ("ETHUSD", "LINKUSD", "LTCUSD", "XRPUSD")
    assert instrument.min_quantity is not None
    assert instrument.min_quantity.units % instrument.qty_scale.step_units == 0
    assert instrument.max_lots is None or instrument.max_lots >= instrument.min_lots
    assert instrument.maker_fee is not None
    assert instrument.taker_fee is not None
    assert Decimal("-0.001") < instrument.maker_fee <= instrument.taker_fee < Decimal("0.01")
    for key in (instrument.instrument_id, str(instrument.instrument_id), instrument.name, instrument.name.upper()):
        assert resolve(instrument.exchange, key) is instrument
    assert resolve(instrument.exchange, instrument) is instrument
    same_symbol = [other for other in instruments(instrument.exchange) if other.symbol == instrument.symbol]
    assert resolve(instrument.exchange, instrument.symbol.lower()) in same_symbol


def test_ids_and_names_are_unique() -> None:
    assert len({instrument.instrument_id for instrument in EVERYTHING}) == len(EVERYTHING)
    assert len({instrument.name for instrument in EVERYTHING}) == len(EVERYTHING)


def test_every_exchange_has_bitcoin_and_ether() -> None:
    assert len(exchanges()) == 10
    for exchange in exchanges():
        assert {"BTC", "ETH"} <= {instrument.base_currency for instrument in instruments(exchange)}
    assert instruments(Exchange.Alpaca) == []


def test_the_documented_instrument() -> None:
    btc = resolve(Exchange.Bybit, 30000000000)
    assert (btc.name, btc.symbol, btc.settle_currency) == ("byt:perp:btc-usd", "BTCUSD", "BTC")
    assert btc.quantification is Quantification.Inverse
    assert (btc.price_scale.step, btc.qty_scale.step, btc.multiplier) == (Price("0.5"), Qty(1), Decimal(1))


def test_what_a_symbol_of_several_means() -> None:
    assert resolve(Exchange.Bybit, "BTCUSDT").name == "byt:perp:btc-usdt"
    assert resolve(Exchange.Bybit, "byt:spot:btc-usdt").symbol == "BTCUSDT"
    assert resolve(Exchange.BitMEX, "BTC-USDT").symbol == "XBTUSDT"
    assert resolve(Exchange.Blockchain, "BTC-USD").name == "blc:spot:btc-usd"
    assert resolve(Exchange.Woo, " perp_btc_usdt ").name == "woo:perp:btc-usdt"


@pytest.mark.parametrize(
    "key", ["BTCUSTD", "", "bin:spot:btc-usdt", 30000009999, -1, "٣٠٠٠٠٠٠٠٠٠٠", None, True, 1.5, []]
)
def test_unknown_keys(key: object) -> None:
    with pytest.raises(UnknownInstrument):
        resolve(Exchange.Bybit, key)  # type: ignore[arg-type]


def test_the_error_names_near_matches_and_the_mend() -> None:
    with pytest.raises(UnknownInstrument, match=r"Bybit has no instrument 'BTCUSTD'; near: .*byt:perp:btc-usdt"):
        resolve(Exchange.Bybit, "BTCUSTD")
    with pytest.raises(UnknownInstrument, match="the catalogue has none of that exchange"):
        resolve(Exchange.Alpaca, "AAPL")
    with pytest.raises(UnknownInstrument, match="is an instrument of Binance, not of Bybit"):
        resolve(Exchange.Bybit, resolve(Exchange.Binance, "BTCUSDT"))


def test_two_futures_of_one_symbol_are_ambiguous() -> None:
    def future(symbol: str, day: str) -> Instrument:
        return define(Exchange.Bybit, symbol, InstrumentType.Future, f"btc-usd-{day}", tick="0.5", lot=1)

    first, second = future("BTCUSDH27", "h27"), future("BTCUSDM27", "m27")
    index = InstrumentIndex(Exchange.Bybit, [first, second, Future(instrument_id=1, exch_instr_id="BTCUSDH27")])
    assert index.resolve("btc-usd-m27") is second
    with pytest.raises(UnknownInstrument, match="may be any of"):
        index.resolve("btcusdh27")


def test_defined_instruments_are_the_same_everywhere() -> None:
    def made() -> Instrument:
        return define(Exchange.Binance, "ABCUSDT", InstrumentType.Spot, "abc-usdt", tick="0.001", lot=10)

    assert made() == made()
    assert made().instrument_id == 43584265391
    assert made().name == "bin:spot:abc-usdt"
    assert (made().min_quantity, made().settle_currency) == (Qty(10), "USDT")
    assert (made().price_precision, made().quantity_precision) == (3, 0)
    inverse = define(
        Exchange.Okx,
        "X",
        InstrumentType.Perpetual,
        "x-usd",
        tick=1,
        lot=1,
        quantification=Quantification.Inverse,
        index=4,
    )
    assert (inverse.instrument_id, inverse.settle_currency) == (15 * IDS_PER_EXCHANGE + 4, "X")


@pytest.mark.parametrize(
    "wrong",
    [{"tick": 0}, {"lot": "-1"}, {"tick": "x"}, {"mlt_symbol": "abcusdt"}, {"mlt_symbol": "abc-"}, {"index": -1}],
)
def test_bad_definitions(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"mlt_symbol": "abc-usdt", "tick": 1, "lot": 1, **wrong}
    with pytest.raises(ValueError, match=r"must be|mlt symbol|not a number"):
        define(Exchange.Binance, "ABCUSDT", InstrumentType.Spot, **fields)


def test_importing_it_is_light() -> None:
    heavy = "{'attr', 'numpy', 'difflib', 'inspect'}"
    probe = f"import sys, mlthon.basics.catalogue; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# Against recordings

RECORDED = [
    ("binance", Exchange.Binance, "btcusdt_*"),
    ("binance", Exchange.Binance, "ethusdt_*"),
    ("binance-usdm", Exchange.BinanceUsdm, "btcusdt_*"),
    ("binance-usdm", Exchange.BinanceUsdm, "ethusdt_*"),
    ("binance-coinm", Exchange.BinanceCoinm, "btcusd_perp_*"),
    ("binance-coinm", Exchange.BinanceCoinm, "ethusd_perp_*"),
]


OFF_LOT = {b"2292.22972000", b"47.50196000", b"25.42618900", b"244.56630400", b"93.75658700"}


@pytest.mark.parametrize(("folder", "exchange", "files"), RECORDED)
def test_recorded_prices_and_quantities_are_on_step(shared: Path, folder: str, exchange: Exchange, files: str) -> None:
    instrument = resolve(exchange, files.rstrip("_*"))
    paths = sorted((shared / "exchange-data" / folder / "hftbacktest").glob(files))
    assert paths
    prices: set[bytes] = set()
    quantities: set[bytes] = set()
    for path in paths:
        with gzip.open(path) as lines:
            text = b"\n".join(line for line in lines if b"markPrice" not in line)
        for price, quantity in re.findall(rb'\["([0-9.]+)","([0-9.]+)"\]', text):
            prices.add(price)
            quantities.add(quantity)
        prices.update(re.findall(rb'"[pba]":"([0-9.]+)"', text))
        quantities.update(re.findall(rb'"[qBA]":"([0-9.]+)"', text))
    assert len(prices) > 1000
    assert len(quantities) > 500
    assert min(instrument.price_scale.steps(price.decode()) for price in prices) > 0
    lot = instrument.qty_scale.step.units
    off = {quantity for quantity in quantities if Qty(quantity.decode()).units % lot}
    # Binance spot shows five quantities that are on no lot, all at round prices far away: in them lie orders from the
    # time of a smaller lot.
    assert off == {quantity for quantity in quantities if quantity in OFF_LOT}
    assert bool(off) == (folder == "binance")


def test_bybit_is_as_the_exchange_says(shared: Path) -> None:
    capture = shared / "exchange-data/bybit/cryptofeed/2026-08-09/BYBIT.first-half.jsonl.gz"
    with gzip.open(capture, "rt") as lines:
        messages = [json.loads(line) for line in lines if '"http"' in line]
    seen = 0
    for message in messages:
        result = json.loads(message["data"])["result"]
        kind = "spot" if result["category"] == "spot" else "perp"
        ours = {i.symbol: i for i in instruments(Exchange.Bybit) if i.name.startswith(f"byt:{kind}:")}
        for row in result["list"]:
            instrument = ours.get(row["symbol"])
            if instrument is None or row["quoteCoin"] == "USD":
                continue
            seen += 1
            lots = row["lotSizeFilter"]
            assert instrument.price_scale.step == Price(row["priceFilter"]["tickSize"])
            assert instrument.qty_scale.step == Qty(lots.get("qtyStep") or lots["basePrecision"])
            assert instrument.min_quantity == Qty(lots["minOrderQty"])
            assert instrument.max_quantity == Qty(lots["maxOrderQty"])
            assert instrument.min_notional == Decimal(lots.get("minNotionalValue") or lots["minOrderAmt"])
    assert seen == 12
