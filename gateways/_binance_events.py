"""Binance's order events, spot and USD-M, as facts."""

from collections.abc import Sequence

from gateways import _binance_facts as facts
from mlthon.basics import money
from mlthon.basics.defs import GtwRejectCode, OrderStatus
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS
from mlthon.protocols import binance_account as wire
from mlthon.protocols import binance_errors as errors
from mlthon.venue.facts import ExecutionFact, Fact, OrderFact


def execution_report(report: wire.ExecutionReport, instrument: Instrument) -> Sequence[Fact]:
    """Spot: a fill if there is one, and the order after it. A fill without a price (a sample has one) is left to be
    asked for: the order says how much has traded."""
    cancelled = report.execution == "CANCELED"
    wire_id = report.original_client_id if cancelled and report.original_client_id else report.client_id
    side = facts.sign(report.side)
    qty = facts.lots(instrument, report.qty)
    filled = facts.lots(instrument, report.filled)
    ts = report.time * MS
    told: list[Fact] = []
    last_qty, last_price = facts.lots(instrument, report.last_qty), facts.ticks(instrument, report.last_price)
    if report.execution == "TRADE" and last_qty and last_price:
        told.append(
            ExecutionFact(
                exec_id=facts.exec_id(report.trade_id, side),
                wire_id=wire_id,
                exchange_id=str(report.order_id),
                instrument=instrument,
                side=side,
                price=last_price,
                qty=last_qty,
                fee=money.parse(report.fee or "0"),
                fee_coin=report.fee_coin or instrument.quote_currency or "",
                maker=report.maker,
                ts=ts,
                cumulative=filled,
            )
        )
    status = facts.order_state(report.status, report.type, not report.working, filled, qty)
    reason = report.expiry_reason or ("" if report.reject_reason == "NONE" else report.reject_reason)
    rejected = status is OrderStatus.Rejected
    told.append(
        OrderFact(
            wire_id=wire_id,
            exchange_id=str(report.order_id),
            instrument=instrument,
            side=side,
            price=facts.ticks(instrument, report.price),
            qty=qty,
            status=status,
            filled=filled,
            order_type=facts.spelled(wire.TYPE_OF, report.type, "order type"),
            tif=facts.spelled(wire.TIF_OF, report.tif, "time in force"),
            exec_instr=facts.exec_instr(report.type, report.tif, False),
            stop_price=facts.stop_price(instrument, report.stop_price),
            cancel_code=facts.cancel_code(report.status, report.type, report.tif),
            reject_code=errors.REJECT_REASONS.get(reason, GtwRejectCode.InvalidRequest)
            if rejected
            else GtwRejectCode.Unset,
            reason=reason,
            ts=ts,
        )
    )
    return told


def futures_order(order: wire.FuturesOrder, instrument: Instrument) -> Sequence[Fact]:
    """USD-M: a fill if there is one (of the exchange's own orders too), and the order after it."""
    side = facts.sign(order.side)
    qty = facts.lots(instrument, order.qty)
    filled = facts.lots(instrument, order.filled)
    ts = order.time * MS
    unasked = facts.unasked(order.client_id)
    told: list[Fact] = []
    last_qty, last_price = facts.lots(instrument, order.last_qty), facts.ticks(instrument, order.last_price)
    if order.execution in ("TRADE", "CALCULATED") and last_qty and last_price:
        told.append(
            ExecutionFact(
                exec_id=facts.exec_id(order.trade_id, side),
                wire_id=order.client_id,
                exchange_id=str(order.order_id),
                instrument=instrument,
                side=side,
                price=last_price,
                qty=last_qty,
                fee=money.parse(order.fee or "0"),
                fee_coin=order.fee_coin or instrument.settle_currency or "",
                maker=order.maker,
                ts=ts,
                cumulative=filled,
                reason=unasked,
            )
        )
    told.append(
        OrderFact(
            wire_id=order.client_id,
            exchange_id=str(order.order_id),
            instrument=instrument,
            side=side,
            price=facts.ticks(instrument, order.price),
            qty=qty,
            status=facts.order_state(order.status, order.type, True, filled, qty),
            filled=filled,
            order_type=facts.spelled(wire.TYPE_OF, order.type, "order type"),
            tif=facts.spelled(wire.TIF_OF, order.tif, "time in force"),
            exec_instr=facts.exec_instr(order.type, order.tif, order.reduce_only),
            stop_price=facts.stop_price(instrument, order.stop_price),
            cancel_code=facts.cancel_code(order.status, order.type, order.tif),
            reason=unasked,
            ts=ts,
        )
    )
    return told


def algo_update(update: wire.AlgoUpdate, instrument: Instrument) -> OrderFact:
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
