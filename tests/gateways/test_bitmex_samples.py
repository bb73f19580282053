"""Every order, fill, position and balance of BitMEX in the samples: its codec against a naive reading.

A row that is not compared stands in `LEFT_OUT` with the reason. What a message means beyond its fields is asserted
sample by sample in the other tests of this folder.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from mlthon.basics.catalogue import define
from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.defs import OrderStatus as S
from mlthon.venue.codec import Question
from tests.gateways import bitmex_kit
from tests.gateways.sample_rows import Json, Reading, Sample, compared, number
from tests.gateways.test_ccxt_samples import numbered

KINDS = {
    "execution": frozenset({"execID", "orderID", "lastQty"}),
    "order": frozenset({"orderID", "ordStatus", "orderQty", "side"}),
    "position": frozenset({"currentQty", "symbol", "account"}),
    "margin": frozenset({"marginBalance", "currency", "availableMargin"}),
    "wallet": frozenset({"currency", "amount", "account"}),
}
STATUSES = {
    "New": S.New,
    "PartiallyFilled": S.PartiallyFilled,
    "Filled": S.Filled,
    "Canceled": S.Cancelled,
    "Rejected": S.Rejected,
}
STOPS: Final = ("Stop", "StopLimit", "MarketIfTouched", "LimitIfTouched")
SCALES: Final = {
    "XBt": 10**8,
    "USDt": 10**6,
    "Gwei": 10**9,
    "LAMp": 10**9,
    "XBT_USDT": 10**8,
    "ETH_USDT": 10**9,
}
"""In how many parts a coin, and a spot pair's base coin, is counted."""
STUB: Final = "a stub made of a schema: texts are `string`, numbers 0"
OLD_LOT: Final = "of a time when XBTUSDT was traded in lots of 100 contracts, not of 1,000"
LEFT_OUT = {
    "#1 fetch_my_trades": STUB,
    "#5 parse_trade": STUB,
    "#8 cancel_all_orders": STUB,
    "#10 fetch_positions": STUB,
    "#19 fetch_positions_adl_rank": OLD_LOT,
    "#20 parse_adl_rank": OLD_LOT,
    "GetBalances": STUB,
    "CancelAllOrders": STUB,
    "EditOrder": STUB,
    "jkorf/Endpoints/Exchange/Trading/GetPositions": STUB,
    "GetUserTrades": STUB,
    "PlaceOrder": STUB,
}


FUTURE: Final = define(
    Exchange.BitMEX,
    "XBTZ20",
    InstrumentType.Future,
    "btc-usd-z20",
    tick="0.5",
    lot=1,
    quantification=Quantification.Inverse,
    settle_currency="BTC",
)
INSTRUMENTS: Final = (*bitmex_kit.SAMPLES, FUTURE)


def _asked(question: str) -> Callable[[Sample], Any]:
    """What a question finds that is answered with a list of the row."""

    def ours(sample: Sample) -> Any:
        codec = bitmex_kit.codec(*INSTRUMENTS)
        asked: dict[str, Question[Any]] = {
            "order_status": codec.order_status(bitmex_kit.order()),
            "executions": codec.executions(0, None),
            "positions": codec.positions(None),
        }
        found, _ = bitmex_kit.ask(asked[question], bitmex_kit.answer(numbered([sample.row])))
        return (found[0] if found else None) if isinstance(found, list) else found

    return ours


def _wallet(sample: Sample) -> Any:
    codec = bitmex_kit.codec(*INSTRUMENTS)
    margins = [sample.row] if sample.kind == "margin" else []
    wallets = [] if margins else [sample.row]
    found, _ = bitmex_kit.ask(codec.wallet(), bitmex_kit.answer(margins), bitmex_kit.answer(wallets))
    return found[0] if found else None


def _side(row: Json) -> int:
    return {"Buy": 1, "Sell": -1}[row["side"]]


def _qty(row: Json, name: str) -> Decimal:
    return number(row[name]) / SCALES.get(row["symbol"], 1)


def _money(row: Json, name: str) -> Decimal:
    return number(row[name]) / SCALES[row["currency"]]


def _status(row: Json) -> S:
    """A stop that waits is called New as well."""
    waits = row["ordType"] in STOPS and not row.get("triggered") and not row.get("workingIndicator")
    state = STATUSES[row["ordStatus"]]
    return S.Untriggered if waits and state is S.New else state


READINGS = {
    "execution": Reading(
        _asked("executions"),
        lambda row: {
            "exec_id": row["execID"],
            "exchange_id": row["orderID"],
            "side": _side(row),
            "price": number(row["lastPx"]),
            "qty": _qty(row, "lastQty"),
        },
    ),
    "order": Reading(
        _asked("order_status"),
        lambda row: {
            "wire_id": row.get("clOrdID", ""),
            "exchange_id": row["orderID"],
            "side": _side(row),
            "price": Decimal(0) if row["ordType"] in ("Market", "Stop") else number(row.get("price")),
            "qty": _qty(row, "orderQty"),
            "filled": _qty(row, "cumQty"),
            "status": _status(row),
        },
    ),
    "position": Reading(_asked("positions"), lambda row: {"position": _qty(row, "currentQty")}),
    "margin": Reading(_wallet, lambda row: {"total": _money(row, "walletBalance")}),
    "wallet": Reading(_wallet, lambda row: {"total": _money(row, "amount")}),
}


def test_every_private_row_of_bitmex(shared: Path) -> None:
    agreed, wrong, used = compared(shared, "bitmex", KINDS, READINGS, LEFT_OUT)
    assert wrong == []
    assert used == LEFT_OUT.keys()
    assert agreed == {"order": 21, "wallet": 13, "execution": 7, "position": 6, "margin": 3}
