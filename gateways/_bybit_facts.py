"""Bybit's rows turned into facts: orders, executions, positions, wallets, instruments.

Numbers become ticks and lots of the instrument; what is no number of it raises ValueError, which the codec reports.
A row of an instrument that is not traded here gives None.
"""

from collections.abc import Mapping
from typing import Final

from mlthon.basics import catalogue, money
from mlthon.basics.defs import (
    TIF,
    CancelCode,
    Exchange,
    ExecInstructions,
    GtwRejectCode,
    InstrumentType,
    OrderStatus,
    OrderType,
    Quantification,
)
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_private as wire
from mlthon.venue.facts import Candle, ExecutionFact, OrderFact, PositionFact, WalletFact

Known = Mapping[tuple[str, str], Instrument]
"""(category, symbol) -> instrument."""

TRADING: Final = "Trading"
_TIFS: Final = {tables.IOC: TIF.IOC, tables.FOK: TIF.FOK}
_CONTRACTS: Final = {
    "LinearPerpetual": (InstrumentType.Perpetual, Quantification.Linear),
    "LinearFutures": (InstrumentType.Future, Quantification.Linear),
    "InversePerpetual": (InstrumentType.Perpetual, Quantification.Inverse),
    "InverseFutures": (InstrumentType.Future, Quantification.Inverse),
}


def units(text: str | None) -> int:
    """A number in 10^-18; 0 where it is empty."""
    return money.parse(text) if text else 0


def lots(instrument: Instrument, text: str | None) -> int:
    """A quantity in lots; 0 where it is empty. Raises ValueError off a lot."""
    return instrument.qty_scale.steps(text) if text else 0


def ticks(instrument: Instrument, text: str | None) -> int:
    """A price in ticks; 0 where it is empty. Raises ValueError off a tick."""
    return instrument.price_scale.steps(text) if text else 0


def nearest_ticks(instrument: Instrument, text: str) -> int:
    """A price in ticks, rounded: liquidations and deliveries happen between ticks."""
    return money.ratio(money.parse(text), instrument.price_scale.step_units)


def time_ns(text: str) -> int:
    """A time in ns; 0 where it is empty."""
    return int(text) * MS if text else 0


def side(text: str) -> int:
    sign = tables.SIDES.get(text)
    if sign is None:
        raise ValueError(f"side {text!r} is neither Buy nor Sell")
    return sign


def _trigger_type(order: wire.Order, sign: int) -> OrderType:
    if order.order_type == "Limit":
        return OrderType.StopLimit
    if order.trigger_direction:
        rises = order.trigger_direction == tables.RISING
        return OrderType.Stop if rises == (sign > 0) else OrderType.TakeProfit
    return OrderType.TakeProfit if order.stop_order_type == "TakeProfit" else OrderType.Stop


def _exec_instr(order: wire.Order) -> ExecInstructions:
    post_only = order.time_in_force == tables.POST_ONLY
    return ExecInstructions(int(post_only) + 2 * int(order.reduce_only))


def _cancel_code(order: wire.Order) -> CancelCode:
    code = tables.REJECT_REASONS.get(order.reject_reason) or tables.CANCEL_TYPES.get(order.cancel_type)
    if code is not None:
        return code
    if order.time_in_force in _TIFS or order.order_type == "Market":
        return CancelCode.TimeInForce
    return CancelCode.ByExchange if order.reject_reason not in tables.NO_REASON else CancelCode.Unset


def _reason(order: wire.Order) -> str:
    said = [text for text in (order.reject_reason, order.cancel_type) if text not in tables.NO_REASON]
    return ", ".join(said)


def order_fact(order: wire.Order, known: Known, category: str = "") -> OrderFact | None:
    """An order as the exchange has it. Raises ValueError for a spelling that is not known."""
    instrument = known.get((order.category or category, order.symbol))
    if instrument is None:
        return None
    status = tables.ORDER_STATUSES.get(order.order_status)
    if status is None:
        raise ValueError(f"order {order.order_id}: status {order.order_status!r} is not known")
    sign = side(order.side)
    trigger = ticks(instrument, order.trigger_price)
    limit = order.order_type == "Limit"
    plain = OrderType.Limit if limit else OrderType.Market
    rejected = status is OrderStatus.Rejected
    return OrderFact(
        wire_id=order.order_link_id,
        exchange_id=order.order_id,
        instrument=instrument,
        side=sign,
        price=ticks(instrument, order.price) if limit else 0,
        qty=lots(instrument, order.qty),
        status=status,
        filled=lots(instrument, order.cum_exec_qty) if order.cum_exec_qty else None,
        order_type=_trigger_type(order, sign) if trigger else plain,
        tif=_TIFS.get(order.time_in_force, TIF.GTC),
        exec_instr=_exec_instr(order),
        stop_price=trigger or None,
        cancel_code=_cancel_code(order) if status is OrderStatus.Cancelled else CancelCode.Unset,
        reject_code=_reject_code(order.reject_reason) if rejected else GtwRejectCode.Unset,
        reason=_reason(order) if status in (OrderStatus.Cancelled, OrderStatus.Rejected) else "",
        ts=time_ns(order.updated_time),
    )


def _reject_code(reason: str) -> GtwRejectCode:
    if tables.REJECT_REASONS.get(reason) is CancelCode.PostOnlyWouldTake:
        return GtwRejectCode.PostOnlyWouldTake
    return GtwRejectCode.InsufficientMargin if "MARGIN" in reason.upper() else GtwRejectCode.Unset


def execution_fact(row: wire.Execution, known: Known, category: str = "") -> ExecutionFact | None:
    """A fill; None also for what is no fill (funding)."""
    instrument = known.get((row.category or category, row.symbol))
    if instrument is None or row.exec_type not in tables.FILLS:
        return None
    sign = side(row.side)
    return ExecutionFact(
        exec_id=row.exec_id,
        wire_id=row.order_link_id,
        exchange_id=row.order_id,
        instrument=instrument,
        side=sign,
        price=nearest_ticks(instrument, row.exec_price),
        qty=lots(instrument, row.exec_qty),
        fee=units(row.exec_fee),
        fee_coin=row.fee_currency or _fee_coin(instrument, sign),
        maker=row.is_maker,
        ts=time_ns(row.exec_time),
        reason=tables.FILLS[row.exec_type],
    )


def _fee_coin(instrument: Instrument, sign: int) -> str:
    """Contracts are charged in what they settle in; on spot whoever buys pays in what was bought."""
    if instrument.instrument_type is InstrumentType.Spot:
        return (instrument.base_currency if sign > 0 else instrument.quote_currency) or ""
    return instrument.settle_currency or ""


def position_fact(row: wire.Position, known: Known, category: str = "") -> PositionFact | None:
    """A position of one-way mode; None also for one side of hedge mode."""
    instrument = known.get((row.category or category, row.symbol))
    if instrument is None or row.position_idx:
        return None
    size = lots(instrument, row.size)
    liquidation = float(row.liq_price or 0)
    return PositionFact(
        instrument=instrument,
        position=size * side(row.side) if size else 0,
        entry_price=float(row.avg_price or row.entry_price or 0),
        mark_price=float(row.mark_price or 0),
        liquidation_price=liquidation or None,
        ts=time_ns(row.updated_time),
    )


def wallet_fact(coin: wire.Coin, ts: int) -> WalletFact:
    """`availableToWithdraw` is empty on unified accounts: what is free is what neither orders nor positions hold."""
    total = units(coin.wallet_balance)
    held = units(coin.locked) + units(coin.total_order_i_m) + units(coin.total_position_i_m)
    return WalletFact(coin=coin.coin, total=total, available=max(0, total - held), ts=ts)


def candle(row: list[str], instrument: Instrument, interval_s: int) -> Candle:
    """start, open, high, low, close, volume, turnover. Volumes count whole lots."""
    if len(row) < 6:
        raise ValueError(f"a candle of {len(row)} fields")
    opened = int(row[0]) * MS
    high, low = nearest_ticks(instrument, row[2]), nearest_ticks(instrument, row[3])
    return Candle(
        open_ts=opened,
        close_ts=opened + interval_s * 1000 * MS,
        open=nearest_ticks(instrument, row[1]),
        high=high,
        low=low,
        close=nearest_ticks(instrument, row[4]),
        volume=money.parse(row[5]) // instrument.qty_scale.step_units,
    )


def instrument(info: wire.InstrumentInfo, category: str) -> Instrument | None:
    """The instrument of a row of instruments-info, under its number in the catalogue if it has one there; None for what
    is not trading or of a kind not traded here."""
    spot = category == tables.SPOT
    kind = (InstrumentType.Spot, Quantification.Linear) if spot else _CONTRACTS.get(info.contract_type)
    if kind is None or info.status != TRADING:
        return None
    size = info.lot_size_filter
    parts = [info.base_coin.lower(), info.quote_coin.lower()]
    dated = kind[0] is InstrumentType.Future
    if dated:
        parts.append(info.symbol.rpartition("-")[2].lower())
    like = next(
        (
            each
            for each in catalogue.instruments(Exchange.Bybit)
            if each.symbol == info.symbol and tables.category(each) == category
        ),
        None,
    )
    minimum = size.min_order_amt if spot else size.min_notional_value
    return catalogue.define(
        Exchange.Bybit,
        info.symbol,
        kind[0],
        "-".join(parts),
        tick=info.price_filter.tick_size,
        lot=size.base_precision if spot else size.qty_step,
        quantification=kind[1],
        min_quantity=size.min_order_qty if units(size.min_order_qty) else None,
        max_quantity=size.max_order_qty if units(size.max_order_qty) else None,
        min_notional=minimum if units(minimum) else None,
        settle_currency=info.settle_coin or None,
        valid_end_ts=int(info.delivery_time) if dated else None,
        maker_fee=like.maker_fee if like is not None and like.maker_fee is not None else 0,
        taker_fee=like.taker_fee if like is not None and like.taker_fee is not None else 0,
        index=None if like is None else like.number - Exchange.Bybit.value * catalogue.IDS_PER_EXCHANGE,
    )
