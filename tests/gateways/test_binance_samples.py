"""Every order, fill, position and balance of Binance in the samples: its codec against a naive reading.

A row that is not compared stands in `LEFT_OUT` with the reason. What a message means beyond its fields is asserted
sample by sample in the other tests of this folder.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.basics.defs import OrderStatus as S
from mlthon.venue.facts import OrderFact
from tests.gateways import binance_kit
from tests.gateways.sample_rows import Json, Reading, Sample, compared, loose, number
from tests.gateways.test_binance_messages import told

KINDS = {
    "report": frozenset({"e", "X", "C"}),
    "algo event": frozenset({"caid", "aid"}),
    "order event": frozenset({"i", "c", "X", "ap"}),
    "trade": frozenset({"orderId", "commission", "id"}),
    "algo": frozenset({"algoId", "clientAlgoId", "algoStatus"}),
    "order": frozenset({"orderId", "status", "origQty"}),
    "position": frozenset({"positionAmt", "positionSide"}),
    "coin": frozenset({"asset", "free", "locked"}),
    "futures coin": frozenset({"asset", "balance", "availableBalance"}),
}
STATUSES = {
    "NEW": S.New,
    "PENDING_NEW": S.New,
    "NEW_ADL": S.New,
    "PARTIALLY_FILLED": S.PartiallyFilled,
    "FILLED": S.Filled,
    "CANCELED": S.Cancelled,
    "PENDING_CANCEL": S.Cancelled,
    "EXPIRED": S.Cancelled,
    "EXPIRED_IN_MATCH": S.Cancelled,
    "REJECTED": S.Rejected,
}
FUTURES_ONLY = frozenset({"positionSide", "reduceOnly", "closePosition", "cumQuote", "origType"})
HEDGE: Final = "one side of hedge mode, in which a run refuses to start"
TWAP: Final = "of algorithmic orders of spot (TWAP), which are other calls"
LEFT_OUT = {
    "#131 parse_position_risk": HEDGE,
    "#132 parse_position_risk": HEDGE,
    "#138 fetch_positions_risk": HEDGE,
    "#139 fetch_positions_risk": HEDGE,
    "positions_hedge": HEDGE,
    "GetClosedAlgoOrders": TWAP,
    "Spot/Trading/GetOpenAlgoOrders": TWAP,
    "UsdFutures/Trading/GetOpenAlgoOrders": TWAP,
    "PlaceMarginOrder": "the answer to a call that is not made, with fills that have no ids",
}


def _futures(sample: Sample) -> bool:
    return sample.name.startswith("binance-usdm") or not FUTURES_ONLY.isdisjoint(sample.row)


def _codec(sample: Sample) -> Any:
    """A codec that knows the row's instrument."""
    symbol = str(sample.row.get("symbol") or sample.row.get("s") or "BTCUSDT")
    if sample.kind in ("order event", "algo event", "algo", "position", "futures coin") or _futures(sample):
        return binance_kit.usdm(loose(Exchange.BinanceUsdm, symbol, InstrumentType.Perpetual))
    return binance_kit.spot(loose(Exchange.Binance, symbol, InstrumentType.Spot))


def _event(sample: Sample) -> Any:
    codec, row = _codec(sample), sample.row
    if sample.kind == "report":
        event = {"subscriptionId": 0, "event": row}
    else:
        kind = "ALGO_UPDATE" if sample.kind == "algo event" else "ORDER_TRADE_UPDATE"
        event = {"e": kind, "E": 1, "T": 1, "o": row}
    facts = told(codec, event)
    return next(fact for fact in facts if isinstance(fact, OrderFact))


def _order(sample: Sample) -> Any:
    codec = _codec(sample)
    instrument = next(iter(codec._by_symbol.values()))
    fact, _ = binance_kit.ask(
        codec.order_status(binance_kit.order(instrument)), lambda _: binance_kit.answer(sample.row)
    )
    return fact


def _listed(question: str, path: str) -> Callable[[Sample], Any]:
    """What a question finds whose call is answered with a list of the row."""

    def ours(sample: Sample) -> Any:
        codec = _codec(sample)
        asked = codec.wallet() if question == "wallet" else getattr(codec, question)(None)
        found, _ = binance_kit.ask(asked, binance_kit.by_path({"/fapi/v1/openOrders": [], path: [sample.row]}))
        return found[0] if found else None

    return ours


def _trade(sample: Sample) -> Any:
    codec = _codec(sample)
    time = {"serverTime": sample.row["time"] + 1}
    trades: dict[str, Any] = {"/api/v3/myTrades": [sample.row], "/fapi/v1/userTrades": [sample.row]}
    others = {"/api/v3/time": time, "/fapi/v1/time": time, "/api/v3/allOrders": [], "/fapi/v1/allOrders": []}
    found, _ = binance_kit.ask(
        codec.executions((sample.row["time"] - 1) * 10**6, None), binance_kit.by_path(trades | others)
    )
    return found[0]


def _coin(sample: Sample) -> Any:
    account = {"balances": [sample.row], "canTrade": True}
    found, _ = binance_kit.ask(binance_kit.spot().wallet(), binance_kit.by_path({"/api/v3/account": account}))
    return found[0] if found else None


def _sign(text: str) -> int:
    return {"BUY": 1, "SELL": -1}[text]


def _state(row: Json, waits: bool) -> S:
    """A stop that waits is called NEW as well, and so is in some samples what has filled; ADL comes with its fill."""
    state = STATUSES[row["status"] if "status" in row else row["X"]]
    filled, qty = (number(row.get(name, row.get(short))) for name, short in (("executedQty", "z"), ("origQty", "q")))
    if state is S.New and filled:
        return S.Filled if filled >= qty else S.PartiallyFilled
    return S.Untriggered if waits and state is S.New else state


def _event_order(row: Json, waits: bool) -> Json:
    return {
        "exchange_id": str(row["i"]),
        "side": _sign(row["S"]),
        "price": number(row["p"]),
        "qty": number(row["q"]),
        "filled": number(row["z"]),
        "status": _state(row, waits),
    }


def _waits(row: Json) -> bool:
    """Whether a stop, not triggered yet."""
    return row.get("type", row.get("o")) not in ("LIMIT", "MARKET", "LIMIT_MAKER", "LIQUIDATION")


def _held(row: Json) -> Json:
    """A coin of which there is nothing is left out."""
    total = number(row["free"]) + number(row["locked"])
    return {"coin": row["asset"], "total": total} if total else {}


def _bought(row: Json) -> bool:
    return row["side"] == "BUY" if "side" in row else bool(row.get("isBuyer", row.get("buyer")))


READINGS = {
    "report": Reading(
        _event,
        lambda row: (
            _event_order(row, not row["w"] and _waits(row))
            | {"wire_id": row["C"] if row["x"] == "CANCELED" and row["C"] else row["c"]}
        ),
    ),
    "order event": Reading(_event, lambda row: _event_order(row, _waits(row)) | {"wire_id": row["c"]}),
    "algo event": Reading(
        _event, lambda row: {"wire_id": row["caid"], "side": _sign(row["S"]), "qty": number(row["q"])}
    ),
    "trade": Reading(
        _trade,
        lambda row: {
            "exec_id": f"{row['id']}{'b' if _bought(row) else 's'}",
            "exchange_id": str(row["orderId"]),
            "side": 1 if _bought(row) else -1,
            "price": number(row["price"]),
            "qty": number(row["qty"]),
            "fee": number(row["commission"]),
            "maker": row.get("isMaker", row.get("maker")),
        },
    ),
    "order": Reading(
        _order,
        lambda row: {
            "wire_id": row.get("origClientOrderId") or row["clientOrderId"],
            "exchange_id": str(row["orderId"]),
            "side": _sign(row["side"]),
            "price": number(row["price"]),
            "qty": number(row["origQty"]),
            "filled": number(row["executedQty"]),
            "status": _state(row, _waits(row) and not row.get("isWorking", FUTURES_ONLY.isdisjoint(row))),
        },
    ),
    "algo": Reading(
        _listed("open_orders", "/fapi/v1/openAlgoOrders"),
        lambda row: {"wire_id": row["clientAlgoId"], "side": _sign(row["side"]), "qty": number(row["quantity"])},
    ),
    "position": Reading(
        _listed("positions", "/fapi/v3/positionRisk"), lambda row: {"position": number(row["positionAmt"])}
    ),
    "coin": Reading(_coin, _held),
    "futures coin": Reading(
        _listed("wallet", "/fapi/v3/balance"), lambda row: {"coin": row["asset"], "total": number(row["balance"])}
    ),
}


def test_every_private_row_of_binance(shared: Path) -> None:
    spot, wrong, used = compared(shared, "binance", KINDS, READINGS, LEFT_OUT)
    assert wrong == []
    usdm, wrong, also_used = compared(shared, "binance-usdm", KINDS, READINGS, LEFT_OUT)
    assert wrong == []
    assert used | also_used == LEFT_OUT.keys()
    assert spot["order"] > 60
    assert spot["report"] >= 20
    assert min(spot["coin"], spot["trade"], usdm["order event"], usdm["order"]) > 10
    assert min(usdm["algo"], usdm["algo event"], usdm["position"]) >= 5
