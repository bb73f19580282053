"""Binance's order events, spot and USD-M, as facts."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from gateways import _binance_facts as facts
from mlthon.basics import money
from mlthon.basics.defs import GtwRejectCode, OrderStatus
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS
from mlthon.protocols import binance_account as wire
from mlthon.protocols import binance_errors as errors
from mlthon.protocols import binance_user_data as user_data
from mlthon.venue.facts import ExecutionFact, Fact, OrderFact


def execution_report(report: user_data.ExecutionReport, instrument: Instrument) -> Sequence[Fact]:
    """Spot: a fill if there is one, and the order after it."""
    cancelled = report.execution == "CANCELED"
    wire_id = report.original_client_id if cancelled and report.original_client_id else report.client_id
    reason = report.expiry_reason or ("" if report.reject_reason == "NONE" else report.reject_reason)
    order = _order_fact(report, instrument, wire_id, not report.working, False, reason)
    if order.status is OrderStatus.Rejected:
        order = replace(order, reject_code=errors.REJECT_REASONS.get(reason, GtwRejectCode.InvalidRequest))
    if report.execution != "TRADE":
        return [order]
    return [*_fills(report, order, instrument.quote_currency, ""), order]


def futures_order(event: user_data.FuturesOrder, instrument: Instrument) -> Sequence[Fact]:
    """USD-M: a fill if there is one (of the exchange's own orders too), and the order after it."""
    unasked = facts.unasked(event.client_id)
    order = _order_fact(event, instrument, event.client_id, True, event.reduce_only, unasked)
    if event.execution not in ("TRADE", "CALCULATED"):
        return [order]
    return [*_fills(event, order, instrument.settle_currency, unasked), order]


def _order_fact(
    event: user_data.ExecutionReport | user_data.FuturesOrder,
    instrument: Instrument,
    wire_id: str,
    waits: bool,
    reduce_only: bool,
    reason: str,
) -> OrderFact:
    """The order as it stands after an event."""
    qty, filled = facts.lots(instrument, event.qty), facts.lots(instrument, event.filled)
    return OrderFact(
        wire_id=wire_id,
        exchange_id=str(event.order_id),
        instrument=instrument,
        side=facts.sign(event.side),
        price=facts.ticks(instrument, event.price),
        qty=qty,
        status=facts.order_state(event.status, event.type, waits, filled, qty),
        filled=filled,
        order_type=facts.spelled(wire.TYPE_OF, event.type, "order type"),
        tif=facts.spelled(wire.TIF_OF, event.tif, "time in force"),
        exec_instr=facts.exec_instr(event.type, event.tif, reduce_only),
        stop_price=facts.stop_price(instrument, event.stop_price),
        cancel_code=facts.cancel_code(event.status, event.type, event.tif),
        reason=reason,
        ts=event.time * MS,
    )


def _fills(event: user_data.OrderEvent, order: OrderFact, coin: str | None, reason: str) -> Iterable[ExecutionFact]:
    """The fill of an event, whose fee is in `coin` unless it says otherwise. One without a price (a sample has one) is
    left to be asked for: the order says how much has traded."""
    qty, price = facts.lots(order.instrument, event.last_qty), facts.ticks(order.instrument, event.last_price)
    if qty and price:
        yield ExecutionFact(
            exec_id=facts.exec_id(event.trade_id, order.side),
            wire_id=order.wire_id,
            exchange_id=order.exchange_id,
            instrument=order.instrument,
            side=order.side,
            price=price,
            qty=qty,
            fee=money.parse(event.fee or "0"),
            fee_coin=event.fee_coin or coin or "",
            maker=event.maker,
            ts=order.ts,
            cumulative=order.filled,
            reason=reason,
        )


def algo_update(update: user_data.AlgoUpdate, instrument: Instrument) -> OrderFact:
    """USD-M: what happened to a conditional order. From TRIGGERED on the fact bears the id of the ordinary order, whose
    own events follow."""
    order = update.order
    return facts.algo_state(
        instrument,
        wire_id=order.client_id,
        ids=(order.algo_id, order.order_id),
        kind=order.type,
        side=order.side,
        tif=order.tif,
        status=order.status,
        price=order.price,
        trigger=order.trigger_price,
        qty=facts.lots(instrument, order.qty),
        filled=facts.lots(instrument, order.filled),
        reduce_only=order.reduce_only,
        ts=update.time * MS,
        reason=order.reason,
    )
