"""Binance's answers as facts: orders, fills, positions, wallets and candles; and what order events (`_binance_events`)
share with them.

Quantities must be whole lots, else ValueError. Prices need not be on a tick: ticks change, and a liquidation trades at
its own price; such a price counts as the nearest tick.
"""

from collections.abc import Sequence
from typing import Final

from mlthon.basics import money
from mlthon.basics.defs import (
    CancelCode,
    Exchange,
    ExecInstructions,
    GtwRejectCode,
    OrderStatus,
    OrderType,
)
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import binance_account as wire
from mlthon.protocols import binance_errors as errors
from mlthon.protocols import binance_user_data as user_data
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
    return spelled(wire.SIGNS, text, "side")


def exec_id(trade_id: int, side: int) -> str:
    """A fill's name: the trade's id and the side, because an account that trades with itself has both sides of it."""
    return f"{trade_id}{'b' if side > 0 else 's'}"


def spelled(table: "dict[str, wire.T]", text: str, what: str) -> "wire.T":
    """What a text means by the table. Raises ValueError, which names `what` it is."""
    if text not in table:
        raise ValueError(f"{what} {text!r} is unknown")
    return table[text]


def exec_instr(order_type: str, tif: str, reduce_only: bool) -> ExecInstructions:
    """Post-only, by the type on spot and the time in force on USD-M, and reduce-only."""
    post_only = order_type == wire.LIMIT_MAKER or tif == wire.POST_ONLY_TIF
    return ExecInstructions(post_only * 1 + reduce_only * 2)


def stop_price(instrument: Instrument, text: str | None) -> int | None:
    """The trigger price; None for an order without one, which is spelt 0."""
    found = ticks(instrument, text) if text else 0
    return found or None


def cancel_code(status: str, order_type: str, tif: str) -> CancelCode:
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


def order_state(status: str, order_type: str, waits: bool, filled: int, qty: int) -> OrderStatus:
    """An order's status. `waits`: whether a stop of this type and status New still waits for its price."""
    found = spelled(wire.STATUS_OF, status, "order status")
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
        status=order_state(order.status, kind, waits, filled, qty),
        filled=filled,
        order_type=spelled(wire.TYPE_OF, kind, "order type"),
        tif=spelled(wire.TIF_OF, order.time_in_force, "time in force"),
        exec_instr=exec_instr(kind, order.time_in_force, order.reduce_only),
        stop_price=stop_price(instrument, order.stop_price),
        cancel_code=cancel_code(order.status, kind, order.time_in_force),
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
    return algo_state(
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


def algo_state(
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
    """USD-M: a conditional order. `ids`: of the algo order and, once triggered, of the ordinary order (else empty)."""
    algo_id, order_id = ids
    if status == "FINISHED":
        state = OrderStatus.Filled if filled and filled >= qty else OrderStatus.Cancelled
    else:
        state = spelled(wire.ALGO_STATUS_OF, status, "algo order status")
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
        order_type=spelled(wire.TYPE_OF, kind, "order type"),
        tif=spelled(wire.TIF_OF, tif, "time in force"),
        exec_instr=exec_instr(kind, tif, reduce_only),
        stop_price=stop_price(instrument, trigger),
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
        reason=unasked(wire_id),
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


def unasked(client_id: str) -> str:
    """Why the exchange itself sent an order of this id; empty for orders of people."""
    return next((reason for prefix, reason in _UNASKED if client_id.startswith(prefix)), "")


def spot_wallets(position: user_data.AccountPosition) -> Sequence[WalletFact]:
    """Spot: the coins that changed."""
    return [spot_wallet(each.asset, each.free, each.locked, position.sent * MS) for each in position.balances]


def spot_wallet(coin: str, free: str, locked: str, ts: int = 0) -> WalletFact:
    """Spot: one coin."""
    available = money.parse(free)
    return WalletFact(coin=coin, total=available + money.parse(locked), available=available, ts=ts)


def futures_wallet(balance: wire.FuturesBalance) -> WalletFact:
    """USD-M: one coin."""
    return WalletFact(
        coin=balance.asset,
        total=money.parse(balance.balance),
        available=money.parse(balance.available_balance),
        ts=balance.update_time * MS,
    )


def wallet_change(wallet: user_data.FuturesWallet, ts: int) -> WalletFact:
    """USD-M: a coin that changed. What is available is not said; the cross wallet balance bounds it from above."""
    return WalletFact(coin=wallet.asset, total=money.parse(wallet.total), available=money.parse(wallet.cross), ts=ts)


STOPS: Final = wire.STOP_TYPES
MARKETS: Final = frozenset({OrderType.Market, OrderType.Stop, OrderType.TakeProfit})
"""Orders without a limit price."""
