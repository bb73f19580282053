"""Every order, fill, position and balance of Bybit in the samples: its codec against a naive reading.

A row that is not compared stands in `LEFT_OUT` with the reason. What a message means beyond its fields is asserted
sample by sample in the other tests of this folder.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from gateways import bybit
from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.basics.defs import OrderStatus as S
from mlthon.basics.instrument import Instrument
from tests.gateways.sample_rows import Json, Reading, Sample, compared, loose, number
from tests.gateways.test_bybit import KEY, answer, asked

KINDS = {
    "order": frozenset({"orderId", "orderStatus", "cumExecQty"}),
    "execution": frozenset({"execId", "execPrice", "orderId"}),
    "position": frozenset({"positionIdx", "size", "symbol"}),
    "coin": frozenset({"walletBalance", "coin"}),
}
STATUSES = {
    "New": S.New,
    "PartiallyFilled": S.PartiallyFilled,
    "Untriggered": S.Untriggered,
    "Filled": S.Filled,
    "Cancelled": S.Cancelled,
    "PartiallyFilledCanceled": S.Cancelled,
    "Deactivated": S.Cancelled,
    "Rejected": S.Rejected,
}
OPTION: Final = "of an option, which is not traded here"
OLD: Final = "of the API before v5, whose numbers are other JSON types"
HEDGE: Final = "one side of hedge mode, in which a run refuses to start"
SPREAD: Final = "of spread trading, which is another product with calls of its own"
LEFT_OUT = {
    "#17 parse_trade": "of a classic account (no execType), which a run refuses",
    "#27 parse_order": OLD,
    "#55 fetch_positions": OLD,
    "#58 parse_position": OLD,
    "#91 parse_income": "funding, which is no fill: test_others asserts that it is none",
    "#130 handle_order": OPTION,
    "AddOrReduceMargin": "the answer to a call that is not made",
    "GetSpreadUserTrades": SPREAD,
    "SpreadUserTrade": SPREAD,
    "MinimalUserTrades": "of a topic that is not subscribed to, with half of the fields",
    "jkorf/Subscriptions/V5/Private/Order.txt": OPTION,
    "jkorf/Subscriptions/V5/Private/Position.txt": HEDGE,
    "xchange-stream/orderChangeResponse": OPTION,
    "xchange-stream/positionChangeResponse": HEDGE,
}


def _category(sample: Sample) -> str:
    said = sample.row.get("category") or sample.around.get("category")
    if said:
        return str(said)
    return "inverse" if sample.row["symbol"].endswith("USD") else "linear"


def _codec(sample: Sample) -> tuple[Any, Instrument, str]:
    category = _category(sample)
    kind = InstrumentType.Spot if category == "spot" else InstrumentType.Perpetual
    instrument = loose(Exchange.Bybit, sample.row["symbol"], kind, category == "inverse")
    endpoints = bybit.environments(Exchange.Bybit)["main"]
    return bybit.codec(Exchange.Bybit, "a", [instrument], endpoints, KEY, {}), instrument, category


def _asked(question: str) -> Callable[[Sample], Any]:
    """What a question finds that is answered with the row alone; every question is about one instrument."""

    def ours(sample: Sample) -> Any:
        codec, instrument, category = _codec(sample)
        listed = answer({"category": category, "list": [sample.row], "nextPageCursor": ""})
        if question == "executions":
            (*_, fact), _ = asked(codec.executions(0, instrument), answer({"timeNano": "1"}), listed)
        else:
            (fact,), _ = asked(getattr(codec, question)(instrument), listed)
        return fact

    return ours


def _coin(sample: Sample) -> Any:
    codec = bybit.codec(Exchange.Bybit, "a", [], bybit.environments(Exchange.Bybit)["main"], KEY, {})
    (fact,), _ = asked(codec.wallet(), answer({"list": [{"coin": [sample.row]}]}))
    return fact


def _side(row: Json) -> int:
    return {"Buy": 1, "Sell": -1}[row["side"]]


READINGS = {
    "order": Reading(
        _asked("open_orders"),
        lambda row: {
            "wire_id": row["orderLinkId"],
            "exchange_id": row["orderId"],
            "side": _side(row),
            "price": number(row["price"]) if row["orderType"] == "Limit" else Decimal(0),
            "qty": number(row["qty"]),
            "filled": number(row["cumExecQty"]),
            "status": STATUSES[row["orderStatus"]],
        },
    ),
    "execution": Reading(
        _asked("executions"),
        lambda row: {
            "exec_id": row["execId"],
            "exchange_id": row["orderId"],
            "side": _side(row),
            "price": number(row["execPrice"]),
            "qty": number(row["execQty"]),
            "fee": number(row.get("execFee")),
            "maker": row["isMaker"],
        },
    ),
    "position": Reading(
        _asked("positions"),
        lambda row: {"position": number(row["size"]) * (_side(row) if number(row["size"]) else 0)},
    ),
    "coin": Reading(_coin, lambda row: {"coin": row["coin"], "total": number(row["walletBalance"])}),
}


def test_every_private_row_of_codec(shared: Path) -> None:
    agreed, wrong, used = compared(shared, "bybit", KINDS, READINGS, LEFT_OUT)
    assert wrong == []
    assert used == LEFT_OUT.keys()
    assert agreed == {"order": 20, "coin": 18, "position": 14, "execution": 11}
