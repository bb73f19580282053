"""Bybit's codec against samples that other clients keep: those of ccxt's comments, of JKorf and of XChange. They are
documentation samples and trimmed payloads, not captures; symbols that are none of the catalogue's are left out by the
codec, as they are here."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange, GtwRejectCode, OrderStatus, OrderType
from mlthon.venue.codec import BadMessage
from mlthon.venue.facts import ExecutionFact, LineRefused, OrderFact, PositionFact, Reply, WalletFact
from mlthon.venue.wire import HttpAnswer
from tests.gateways.test_bybit import LINEAR, asked, made, order

ETH = resolve(Exchange.Bybit, "byt:perp:eth-usdt")
INVERSE = resolve(Exchange.Bybit, "byt:perp:btc-usd")
SPOT_BTC = resolve(Exchange.Bybit, "byt:spot:btc-usdt")
SPOT_ETH = resolve(Exchange.Bybit, "byt:spot:eth-usdt")


@pytest.fixture(scope="module")
def comments(shared: Path) -> dict[str, list[Any]]:
    """ccxt's function -> the samples in its comments."""
    found: dict[str, list[Any]] = {}
    file = shared / "exchange-data/bybit/ccxt/bybit.comment-samples.json.gz"
    for each in json.loads(gzip.decompress(file.read_bytes())):
        found.setdefault(each["function"], []).append(each["json"])
    return found


def heard(sample: object, line: str = "private") -> list[Any]:
    return list(made().line_message(line, json.dumps(sample).encode(), 1))


def said(sample: object) -> HttpAnswer:
    return HttpAnswer(200, {}, json.dumps(sample).encode(), 0, 5)


# -- the private stream ------------------------------------------------------------------------------------------------


def test_executions_of_ccxts_comments(comments: dict[str, list[Any]]) -> None:
    (sell,) = heard(comments["handle_my_trades"][1])
    assert isinstance(sell, ExecutionFact)
    assert (sell.exec_id, sell.wire_id) == ("7e2ae69c-4edf-5800-a352-893d52b446aa", "")
    assert (sell.instrument.name, sell.side, sell.price, sell.qty) == ("byt:perp:xrp-usdt", -1, 3374, 250)
    assert (sell.fee, sell.fee_coin, sell.maker, sell.ts) == (5_061 * 10**12, "USDT", False, 1672364174443 * 10**6)
    (fast,) = heard(comments["handle_my_trades"][2])
    assert isinstance(fast, ExecutionFact)
    assert (fast.wire_id, fast.side, fast.price, fast.qty) == ("test-00001", 1, 1_125_296, 1)


def test_position_and_wallet_of_ccxts_comments(comments: dict[str, list[Any]]) -> None:
    (held,) = heard(comments["handle_positions"][0])
    assert isinstance(held, PositionFact)
    assert (held.instrument, held.position, held.entry_price) == (INVERSE, 3, 19358.58553268)
    assert (held.mark_price, held.liquidation_price) == (25924.0, 15.0)
    told = heard(comments["handle_balance"][1])
    coins = {each.coin: (each.total, each.available) for each in told if isinstance(each, WalletFact)}
    positions = {each.instrument: each.position for each in told if isinstance(each, PositionFact)}
    assert positions[SPOT_BTC] == 64_883, "what is held of the coin, in whole lots"
    assert len(coins) + len(positions) == len(told)
    assert coins["USDT"] == (11_728_544_149_040_000_000_000, 11_725_818_258_290_000_000_000)
    assert coins["BTC"] == (64_883_930_000_000_000,) * 2


def test_an_option_of_the_account_is_left_out(comments: dict[str, list[Any]], shared: Path) -> None:
    sample = comments["handle_order"][1]
    assert sample["data"][0]["symbol"] == "ETH-30DEC22-1400-C"
    assert heard(sample) == []
    file = shared / "exchange-data/bybit/xchange-stream/orderChangeResponse.json5"
    assert list(made().line_message("private", file.read_bytes(), 1)) == []


@pytest.mark.parametrize(("function", "number"), [("handle_order", 0), ("handle_my_trades", 0), ("handle_balance", 0)])
def test_messages_of_the_api_before_v5_are_told(comments: dict[str, list[Any]], function: str, number: int) -> None:
    with pytest.raises(BadMessage):
        heard(comments[function][number])


def test_answers_on_lines_of_ccxts_comments(comments: dict[str, list[Any]]) -> None:
    (taken,) = heard(comments["handle_order_ws"][0], "trade")
    assert isinstance(taken, Reply)
    assert (taken.key, taken.accepted, taken.exchange_id) == ("1", True, "1673523595617593600")
    invalid, strange, poor = comments["handle_error_message"]
    assert heard(invalid) == [LineRefused(line="private", reason="error:invalid op", final=False)]
    (refused,) = heard(poor, "trade")
    assert isinstance(refused, Reply)
    assert (refused.accepted, refused.code) == (False, GtwRejectCode.InsufficientBalance)
    with pytest.raises(BadMessage):
        heard(strange)


def jkorf(shared: Path, name: str) -> Any:
    """The answer of an endpoint file, or the message of a subscription file: what follows its first lines."""
    text = (shared / "exchange-data/bybit/jkorf" / name).read_text("utf-8-sig")
    return json.loads(text[text.index("\n{") + 1 :])


def test_positions_of_hedge_mode_and_unknown_instruments_of_jkorf_are_left_out(shared: Path) -> None:
    hedge = jkorf(shared, "Subscriptions/V5/Private/Position.txt")
    assert hedge["data"][0]["positionIdx"] == 2
    assert heard(hedge) == []
    hedge["data"][0]["positionIdx"] = 0
    (flat,) = heard(hedge)
    assert isinstance(flat, PositionFact)
    assert (flat.instrument, flat.position, flat.mark_price) == (LINEAR, 0, 28184.5)
    sample = jkorf(shared, "Subscriptions/V5/Private/MinimalUserTrades.txt")
    assert sample["data"][0]["symbol"] == "ICPUSDT"
    assert heard(sample) == []


# -- REST --------------------------------------------------------------------------------------------------------------


def test_an_order_of_ccxts_comments(comments: dict[str, list[Any]]) -> None:
    fact, _ = asked(made().order_status(order(instrument=ETH)), said(comments["fetch_order"][0]))
    assert isinstance(fact, OrderFact)
    assert (fact.wire_id, fact.exchange_id) == ("1672217748277652", "1321052653536515584")
    assert (fact.order_type, fact.status) == (OrderType.StopLimit, OrderStatus.Cancelled)
    assert (fact.side, fact.price, fact.qty, fact.filled, fact.stop_price) == (1, 100_000, 50, 0, 150_000)


def test_an_order_of_xchange(shared: Path) -> None:
    """In hedge mode (`positionIdx` 1), which a run refuses at its start; the order reads all the same."""
    file = shared / "exchange-data/bybit/xchange/getOrderDetailsLinear.json5"
    fact, _ = asked(made().order_status(order(instrument=ETH)), HttpAnswer(200, {}, file.read_bytes(), 0, 5))
    assert isinstance(fact, OrderFact)
    assert (fact.wire_id, fact.status) == ("test-000005", OrderStatus.New)
    assert (fact.side, fact.price, fact.qty, fact.filled) == (1, 160_000, 10, 0)


def test_positions_wallet_and_funding_of_samples(comments: dict[str, list[Any]], shared: Path) -> None:
    (short,), _ = asked(made().positions(INVERSE), said(jkorf(shared, "Endpoints/V5Api/Trading/GetPositions.txt")))
    assert isinstance(short, PositionFact)
    assert (short.instrument, short.position, short.entry_price) == (INVERSE, -300, 27464.50441675)
    (held,), _ = asked(made().positions(SPOT_BTC), said(comments["parse_balance"][2]))
    assert (held.instrument, held.position) == (SPOT_BTC, 805_994)
    (none,), _ = asked(made().positions(SPOT_ETH), said(comments["parse_balance"][2]))
    assert (none.instrument, none.position) == (SPOT_ETH, 0)
    (coin,), _ = asked(made().wallet(), said(comments["parse_balance"][2]))
    assert (coin.coin, coin.total) == ("BTC", 805_994 * 10**12)
    funding, _ = asked(made().funding(INVERSE), said(comments["fetch_ticker"][0]))
    assert (funding.rate, funding.next_ts) == (-0.001034, 1672387200000 * 10**6)


def test_replies_of_samples(comments: dict[str, list[Any]], shared: Path) -> None:
    codec = made()
    placed = codec.reply(codec.new_order(order()), said(jkorf(shared, "Endpoints/V5Api/Trading/PlaceOrder.txt")))
    assert (placed.accepted, placed.exchange_id) == (True, "1321003749386327552")
    file = shared / "exchange-data/bybit/xchange/placeMarketOrder.json5"
    again = codec.reply(codec.new_order(order()), HttpAnswer(200, {}, file.read_bytes(), 0, 5))
    assert (again.accepted, again.exchange_id) == (True, placed.exchange_id)
    cancelled = codec.reply(codec.cancel_order(order()), said(comments["cancel_order"][0]))
    assert cancelled.accepted
    refused = codec.reply(codec.new_order(order()), said(comments["handle_errors"][0]))
    assert (refused.accepted, refused.unknown) == (False, False)
    assert "symbol params err" in refused.reason
