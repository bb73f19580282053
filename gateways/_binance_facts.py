"""Binance's messages as facts: orders, fills, positions, wallets, candles and instruments.

Quantities must be whole lots, else ValueError. Prices need not be on a tick: ticks change, and a liquidation trades at
its own price; such a price counts as the nearest tick.
"""

from collections.abc import Sequence
from typing import Final

from mlthon.basics import catalogue, money
from mlthon.basics.defs import (
    CancelCode,
    Exchange,
    ExecInstructions,
    GtwRejectCode,
    InstrumentType,
    OrderStatus,
    OrderType,
)
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import binance_account as wire
from mlthon.protocols import binance_errors as errors
from mlthon.venue.facts import Candle, ExecutionFact, Fact, OrderFact, PositionFact, WalletFact

ALGO: Final = "algo-"
"""Before the exchange's id of an algo order, whose numbers are others than those of ordinary orders."""

_UNASKED: Final = (
    ("adl_autoclose", "auto-deleveraging"),
    ("settlement_autoclose-", "settlement of the contract"),
    ("delivery_autoclose-", "delivery of the contract"),
    ("autoclose-", "liquidation"),
)
"""How the client order ids of orders begin that the exchange itself sends (USD-M, ORDER_TRADE_UPDATE)."""

_CONTRACTS: Final = {
    "PERPETUAL": InstrumentType.Perpetual,
    "TRADIFI_PERPETUAL": InstrumentType.Perpetual,
    "CURRENT_QUARTER": InstrumentType.Future,
    "NEXT_QUARTER": InstrumentType.Future,
}


def ticks(instrument: Instrument, text: str) -> int:
    """The price in ticks, to the nearest."""
    return money.ratio(money.parse(text), instrument.price_scale.step_units)


def lots(instrument: Instrument, text: str) -> int:
    """The quantity in lots; negative for a short position. Raises ValueError when it is no whole number of them."""
    return instrument.qty_scale.steps(text)


def price_text(instrument: Instrument, price: int) -> str:
    """A price as it is sent: the shortest decimal text."""
    return money.to_str(price * instrument.price_scale.step_units)


def qty_text(instrument: Instrument, qty: int) -> str:
    """A quantity as it is sent."""
    return money.to_str(qty * instrument.qty_scale.step_units)


def identity(order: TrackedOrder) -> tuple[str, str]:
    """By what the exchange is told which order is meant: its own id, where it is known, is found sooner."""
    if order.exchange_id.isdigit():
        return ("orderId", order.exchange_id)
    return ("origClientOrderId", order.wire_id)


def sign(text: str) -> int:
    """+1 or -1 for BUY or SELL."""
    return _spelled(wire.SIGNS, text, "side")


def exec_id(trade_id: int, side: int) -> str:
    """A fill's name: the trade's id and the side, because an account that trades with itself has both sides of it."""
    return f"{trade_id}{'b' if side > 0 else 's'}"


def _spelled(table: "dict[str, wire.T]", text: str, what: str) -> "wire.T":
    if text not in table:
        raise ValueError(f"{what} {text!r} is unknown")
    return table[text]


def _exec_instr(order_type: str, tif: str, reduce_only: bool) -> ExecInstructions:
    post_only = order_type == wire.LIMIT_MAKER or tif == wire.POST_ONLY_TIF
    return ExecInstructions(post_only * 1 + reduce_only * 2)


def _stop_price(instrument: Instrument, text: str | None) -> int | None:
    found = ticks(instrument, text) if text else 0
    return found or None


def _cancel_code(status: str, order_type: str, tif: str) -> CancelCode:
    """Why an order ended, by its status and kind."""
    if status in ("CANCELED", "PENDING_CANCEL"):
        return CancelCode.CanceledByUser
    if status == "EXPIRED_IN_MATCH":
        return CancelCode.SelfTradePrevention
    if status != "EXPIRED":
        return CancelCode.Unset
    if tif == wire.POST_ONLY_TIF:
        return CancelCode.PostOnlyWouldTake
    if order_type == "MARKET":
        return CancelCode.NoLiquidity
    return CancelCode.TimeInForce if tif in ("IOC", "FOK") else CancelCode.ByExchange


def _status(status: str, order_type: str, waits: bool, filled: int, qty: int) -> OrderStatus:
    found = _spelled(wire.STATUS_OF, status, "order status")
    if found is not OrderStatus.New:
        return found
    if filled:
        # NEW_ADL and NEW_INSURANCE come with their fill.
        return OrderStatus.Filled if filled >= qty else OrderStatus.PartiallyFilled
    waiting = waits and wire.TYPE_OF.get(order_type) in wire.STOP_TYPES
    return OrderStatus.Untriggered if waiting else OrderStatus.New


# -- REST --------------------------------------------------------------------------------------------------------------


def order_fact(order: wire.Order, instrument: Instrument, wire_id: str | None = None) -> OrderFact:
    """An order in full. `wire_id`: by which it is known here, where that differs."""
    kind = order.orig_type or order.type
    qty = lots(instrument, order.orig_qty)
    filled = lots(instrument, order.executed_qty)
    usdm = instrument.exchange is Exchange.BinanceUsdm
    waits = order.type == kind if usdm else not order.is_working
    return OrderFact(
        wire_id=order.orig_client_order_id or order.client_order_id if wire_id is None else wire_id,
        exchange_id=str(order.order_id),
        instrument=instrument,
        side=sign(order.side),
        price=ticks(instrument, order.price),
        qty=qty,
        status=_status(order.status, kind, waits, filled, qty),
        filled=filled,
        order_type=_spelled(wire.TYPE_OF, kind, "order type"),
        tif=_spelled(wire.TIF_OF, order.time_in_force, "time in force"),
        exec_instr=_exec_instr(kind, order.time_in_force, order.reduce_only),
        stop_price=_stop_price(instrument, order.stop_price),
        cancel_code=_cancel_code(order.status, kind, order.time_in_force),
        ts=(order.update_time or order.transact_time) * MS,
    )


def order_facts(order: wire.Order, instrument: Instrument | None) -> tuple[Fact, ...]:
    """What the answer to a request says beyond the ids: the fills at once, and the order. Empty for an acknowledgement
    of ids only, and for an instrument that nobody here knows."""
    if instrument is None or not order.status:
        return ()
    told = order_fact(order, instrument)
    filled = 0
    fills: list[Fact] = []
    for fill in order.fills:
        qty = lots(instrument, fill.qty)
        filled += qty
        fills.append(
            ExecutionFact(
                exec_id=exec_id(fill.trade_id, told.side),
                wire_id=told.wire_id,
                exchange_id=told.exchange_id,
                instrument=instrument,
                side=told.side,
                price=ticks(instrument, fill.price),
                qty=qty,
                fee=money.parse(fill.commission),
                fee_coin=fill.commission_asset,
                maker=False,
                ts=told.ts,
                cumulative=filled,
            )
        )
    return (*fills, told)


def amended_fact(amendment: wire.Amendment, instrument: Instrument) -> OrderFact:
    """Spot: an order whose quantity was reduced."""
    order = amendment.amended_order
    whole = wire.Order(
        symbol=order.symbol,
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        status=order.status,
        side=order.side,
        type=order.type,
        time_in_force=order.time_in_force,
        price=order.price,
        orig_qty=order.qty or order.orig_qty,
        executed_qty=order.executed_qty,
        transact_time=amendment.transact_time,
    )
    return order_fact(whole, instrument)


def algo_fact(order: wire.AlgoOrder, instrument: Instrument) -> OrderFact:
    """USD-M: a conditional order."""
    kind = order.order_type or order.type
    qty = lots(instrument, order.quantity)
    return _algo(
        instrument,
        wire_id=order.client_algo_id,
        ids=(order.algo_id, order.actual_order_id),
        kind=kind,
        side=order.side,
        tif=order.time_in_force,
        status=order.algo_status,
        price=order.price,
        trigger=order.trigger_price,
        qty=qty,
        filled=lots(instrument, order.actual_qty or "0"),
        reduce_only=order.reduce_only,
        ts=order.update_time * MS,
    )


def _algo(
    instrument: Instrument,
    *,
    wire_id: str,
    ids: tuple[int, str],
    kind: str,
    side: str,
    tif: str,
    status: str,
    price: str,
    trigger: str,
    qty: int,
    filled: int,
    reduce_only: bool,
    ts: int,
    reason: str = "",
) -> OrderFact:
    algo_id, order_id = ids
    if status == "FINISHED":
        state = OrderStatus.Filled if filled and filled >= qty else OrderStatus.Cancelled
    else:
        state = _spelled(wire.ALGO_STATUS_OF, status, "algo order status")
    ended = state in (OrderStatus.Cancelled, OrderStatus.Rejected)
    rejected = state is OrderStatus.Rejected
    cancel_code = CancelCode.CanceledByUser if status == "CANCELED" else CancelCode.ByExchange
    return OrderFact(
        wire_id=wire_id,
        exchange_id=order_id or f"{ALGO}{algo_id}",
        instrument=instrument,
        side=sign(side),
        price=ticks(instrument, price or "0"),
        qty=qty,
        status=state,
        filled=filled,
        order_type=_spelled(wire.TYPE_OF, kind, "order type"),
        tif=_spelled(wire.TIF_OF, tif, "time in force"),
        exec_instr=_exec_instr(kind, tif, reduce_only),
        stop_price=_stop_price(instrument, trigger),
        cancel_code=cancel_code if state is OrderStatus.Cancelled else CancelCode.Unset,
        reject_code=errors.reject_code(0, reason) if rejected else GtwRejectCode.Unset,
        reason=reason if ended else "",
        ts=ts,
    )


def my_trade(trade: wire.MyTrade, instrument: Instrument, wire_id: str) -> ExecutionFact:
    """One fill out of a question about fills."""
    if trade.side:
        side = sign(trade.side)
    else:
        side = 1 if (trade.is_buyer if trade.is_buyer is not None else trade.buyer) else -1
    return ExecutionFact(
        exec_id=exec_id(trade.id, side),
        wire_id=wire_id,
        exchange_id=str(trade.order_id),
        instrument=instrument,
        side=side,
        price=ticks(instrument, trade.price),
        qty=lots(instrument, trade.qty),
        fee=money.parse(trade.commission),
        fee_coin=trade.commission_asset,
        maker=bool(trade.is_maker if trade.is_maker is not None else trade.maker),
        ts=trade.time * MS,
        reason=_unasked(wire_id),
    )


def position_fact(position: wire.PositionRisk, instrument: Instrument) -> PositionFact:
    """USD-M: a position in one-way mode."""
    liquidation = float(position.liquidation_price)
    return PositionFact(
        instrument=instrument,
        position=lots(instrument, position.position_amt),
        entry_price=float(position.entry_price),
        mark_price=float(position.mark_price),
        liquidation_price=liquidation if liquidation > 0 else None,
        ts=position.update_time * MS,
    )


def candle(row: wire.Kline, instrument: Instrument, interval_s: int) -> Candle:
    """A candle; a part of a lot in its volume is left out."""
    opened = row[0] * MS
    first, high, low, last = (ticks(instrument, text) for text in row[1:5])
    return Candle(
        open_ts=opened,
        close_ts=opened + interval_s * SECOND,
        open=first,
        high=high,
        low=low,
        close=last,
        volume=money.parse(row[5]) // instrument.qty_scale.step_units,
    )


def intervals_text() -> str:
    """The candle intervals, for people."""
    return ", ".join(wire.INTERVALS.values())


# -- user data streams -------------------------------------------------------------------------------------------------


def execution_report(report: wire.ExecutionReport, instrument: Instrument) -> Sequence[Fact]:
    """Spot: a fill if there is one, and the order after it. A fill without a price (a sample has one) is left to be
    asked for: the order says how much has traded."""
    cancelled = report.execution == "CANCELED"
    wire_id = report.original_client_id if cancelled and report.original_client_id else report.client_id
    side = sign(report.side)
    qty = lots(instrument, report.qty)
    filled = lots(instrument, report.filled)
    ts = report.time * MS
    told: list[Fact] = []
    last_qty, last_price = lots(instrument, report.last_qty), ticks(instrument, report.last_price)
    if report.execution == "TRADE" and last_qty and last_price:
        told.append(
            ExecutionFact(
                exec_id=exec_id(report.trade_id, side),
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
    status = _status(report.status, report.type, not report.working, filled, qty)
    reason = report.expiry_reason or ("" if report.reject_reason == "NONE" else report.reject_reason)
    rejected = status is OrderStatus.Rejected
    told.append(
        OrderFact(
            wire_id=wire_id,
            exchange_id=str(report.order_id),
            instrument=instrument,
            side=side,
            price=ticks(instrument, report.price),
            qty=qty,
            status=status,
            filled=filled,
            order_type=_spelled(wire.TYPE_OF, report.type, "order type"),
            tif=_spelled(wire.TIF_OF, report.tif, "time in force"),
            exec_instr=_exec_instr(report.type, report.tif, False),
            stop_price=_stop_price(instrument, report.stop_price),
            cancel_code=_cancel_code(report.status, report.type, report.tif),
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
    side = sign(order.side)
    qty = lots(instrument, order.qty)
    filled = lots(instrument, order.filled)
    ts = order.time * MS
    unasked = _unasked(order.client_id)
    told: list[Fact] = []
    last_qty, last_price = lots(instrument, order.last_qty), ticks(instrument, order.last_price)
    if order.execution in ("TRADE", "CALCULATED") and last_qty and last_price:
        told.append(
            ExecutionFact(
                exec_id=exec_id(order.trade_id, side),
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
            price=ticks(instrument, order.price),
            qty=qty,
            status=_status(order.status, order.type, True, filled, qty),
            filled=filled,
            order_type=_spelled(wire.TYPE_OF, order.type, "order type"),
            tif=_spelled(wire.TIF_OF, order.tif, "time in force"),
            exec_instr=_exec_instr(order.type, order.tif, order.reduce_only),
            stop_price=_stop_price(instrument, order.stop_price),
            cancel_code=_cancel_code(order.status, order.type, order.tif),
            reason=unasked,
            ts=ts,
        )
    )
    return told


def algo_update(update: wire.AlgoUpdate, instrument: Instrument) -> OrderFact:
    """USD-M: what happened to a conditional order. From TRIGGERED on the fact bears the id of the ordinary order, whose
    own events follow."""
    order = update.order
    return _algo(
        instrument,
        wire_id=order.client_id,
        ids=(order.algo_id, order.order_id),
        kind=order.type,
        side=order.side,
        tif=order.tif,
        status=order.status,
        price=order.price,
        trigger=order.trigger_price,
        qty=lots(instrument, order.qty),
        filled=lots(instrument, order.filled),
        reduce_only=order.reduce_only,
        ts=update.time * MS,
        reason=order.reason,
    )


def _unasked(client_id: str) -> str:
    """Why the exchange itself sent an order of this id; empty for orders of people."""
    return next((reason for prefix, reason in _UNASKED if client_id.startswith(prefix)), "")


def spot_wallets(position: wire.AccountPosition) -> Sequence[WalletFact]:
    """Spot: the coins that changed."""
    return [spot_wallet(each.asset, each.free, each.locked, position.sent * MS) for each in position.balances]


def spot_wallet(coin: str, free: str, locked: str, ts: int = 0) -> WalletFact:
    """Spot: one coin."""
    available = money.parse(free)
    return WalletFact(coin=coin, total=available + money.parse(locked), available=available, ts=ts)


def spot_position(instrument: Instrument, held: WalletFact | None) -> PositionFact:
    """Spot: what is held of the base coin; a part of a lot is left out."""
    total = 0 if held is None else held.total
    return PositionFact(instrument=instrument, position=total // instrument.qty_scale.step_units)


def futures_wallet(balance: wire.FuturesBalance) -> WalletFact:
    """USD-M: one coin."""
    return WalletFact(
        coin=balance.asset,
        total=money.parse(balance.balance),
        available=money.parse(balance.available_balance),
        ts=balance.update_time * MS,
    )


def wallet_change(wallet: wire.FuturesWallet, ts: int) -> WalletFact:
    """USD-M: a coin that changed. What is available is not said; the cross wallet balance bounds it from above."""
    return WalletFact(coin=wallet.asset, total=money.parse(wallet.total), available=money.parse(wallet.cross), ts=ts)


# -- instruments -------------------------------------------------------------------------------------------------------


def instrument(exchange: Exchange, info: wire.SymbolInfo) -> Instrument | None:
    """A symbol of `exchangeInfo` that is open for trading; None for others, and for kinds that are unknown here. Those
    of the catalogue keep their ids and fees."""
    if info.status != "TRADING" or not info.is_spot_trading_allowed:
        return None
    spot = exchange is Exchange.Binance
    kind = InstrumentType.Spot if spot else _CONTRACTS.get(info.contract_type)
    filters = {each.filter_type: each for each in info.filters}
    price, size = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    if kind is None or price is None or size is None or not (_positive(price.tick_size) and _positive(size.step_size)):
        return None
    value = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL")
    minimum = (value.min_notional or value.notional) if value is not None else ""
    shipped = {each.symbol: each for each in catalogue.instruments(exchange) if each.instrument_type is kind}
    like = shipped.get(info.symbol)
    fees = like or next(iter(shipped.values()), None)
    dated = kind is InstrumentType.Future
    parts = [info.base_asset, info.quote_asset] + ([info.symbol.rpartition("_")[2]] if dated else [])
    return catalogue.define(
        exchange,
        info.symbol,
        kind,
        "-".join(parts).lower(),
        tick=price.tick_size,
        lot=size.step_size,
        min_quantity=size.min_qty if _positive(size.min_qty) else None,
        max_quantity=size.max_qty if _positive(size.max_qty) else None,
        min_notional=minimum if _positive(minimum) else None,
        settle_currency=info.margin_asset or None,
        valid_end_ts=info.delivery_date if dated else None,
        maker_fee=fees.maker_fee if fees is not None and fees.maker_fee is not None else 0,
        taker_fee=fees.taker_fee if fees is not None and fees.taker_fee is not None else 0,
        index=None if like is None else like.number - exchange.value * catalogue.IDS_PER_EXCHANGE,
    )


def _positive(text: str) -> bool:
    return bool(text) and money.parse(text) > 0


STOPS: Final = wire.STOP_TYPES
MARKETS: Final = frozenset({OrderType.Market, OrderType.Stop, OrderType.TakeProfit})
"""Orders without a limit price."""
