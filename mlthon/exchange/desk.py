"""The life of orders on one market: they arrive, rest, wait for a trigger, are amended, expire and end.

`arrive`, `amend` and `cancel` are where requests get to after their latency; each answers through the account's
response wire. `add`, `take`, `reduce` and `remove` are the same for anonymous orders: no account, no checks and no
latency.
An order is acknowledged before it trades; what an IOC, FOK or market order cannot trade is cancelled, unsolicited.
"""

from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import TIF, CancelCode, GtwRejectCode, InstrumentType, OrderStatus
from mlthon.basics.money import parse, to_str
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.book import AccountOrder, Resting
from mlthon.exchange.funding import Funding
from mlthon.exchange.margin import Closing, shortage
from mlthon.exchange.matching import Matching
from mlthon.exchange.rules import NEEDS_PRICE, breach, funds
from mlthon.exchange.triggers import Triggers, triggered

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.exchange.account import Stake
    from mlthon.exchange.exchange import EmbeddedExchange

DAY_NS: Final = 86_400_000_000_000
HOUR_NS: Final = 3_600_000_000_000
OPEN: Final = frozenset({OrderStatus.New, OrderStatus.Untriggered})

# Bound to names of their own because looking a member up in its class is slow in Python 3.11.
_NEW: Final = OrderStatus.New
_UNTRIGGERED: Final = OrderStatus.Untriggered
_DAY: Final = TIF.Day
_FOK: Final = TIF.FOK
_IOC: Final = TIF.IOC
_BY_USER: Final = CancelCode.CanceledByUser


class Desk(Matching):
    """See the module text. `triggers`: the orders that wait for their price."""

    __slots__ = ("triggers",)

    def __init__(self, exchange: "EmbeddedExchange", instrument: "Instrument") -> None:
        super().__init__(exchange, instrument)
        self.triggers = Triggers()
        if instrument.instrument_type is InstrumentType.Perpetual:
            funding = exchange.config.funding
            self.funding = Funding(self, parse(funding.rate), round(funding.interval_hours * HOUR_NS))

    def set_funding(self, rate: float, next_ts: int | None = None) -> None:
        """The data says: this rate (a fraction) from now on, next paid at `next_ts` (ns; None: at the interval).
        Raises ValueError for an instrument without funding."""
        if self.funding is None:
            raise ValueError(f"{self.name} is no perpetual: it has no funding")
        self.funding.set(parse(rate), next_ts)

    # -- an account's orders -----------------------------------------------------------------------------------------

    def arrive(self, order: AccountOrder) -> None:
        """A new order reached the exchange."""
        self.sync()
        stake = order.stake
        if stake is None:
            raise TypeError("an anonymous order does not arrive, it is added")
        account = stake.account
        account.orders[order.wire_id] = order
        waits = order.waits
        if order.close_position and not waits:
            order.qty = order.leaves = stake.reducible(order.side)
        broken = breach(order, self)
        if broken is None:
            if order.reduce_only and not waits:
                order.qty = order.leaves = min(order.qty, stake.reducible(order.side))
            broken = funds(order, self)
        if broken is not None:
            order.state = OrderStatus.Rejected
            account.ended(order)
            account.response.send(account.events.new_order_reject, order.wire_id, *broken)
            return
        order.exchange_id = str(order.order_id)
        stake.opened(order)
        account.response.send(
            account.events.new_order_ack,
            order.wire_id,
            order.exchange_id,
            order.price,
            order.qty,
            order.leaves,
            self.clock.now,
        )
        if order.tif is _DAY:
            now = self.clock.now
            self.clock.call_at(now - now % DAY_NS + DAY_NS, self._expire, order)
        if waits:
            order.state = _UNTRIGGERED
            self.triggers.add(order)
            self.rebound()
        else:
            order.state = _NEW
            self._enter(order)
        self.after()

    def _enter(self, order: AccountOrder) -> None:
        """Trade what can be traded at once, and let the rest rest or end it."""
        side = order.side
        market = order.is_market
        limit = (NO_ASK if side > 0 else NO_BID) if market else order.price
        if order.tif is _FOK and not self._can_fill(order, limit):
            self.finish(order, CancelCode.TimeInForce, f"fill-or-kill: {self.name} cannot fill all of it now")
            return
        # what is post-only was refused if it would take
        if market or (not order.post_only and self.would_take(side, limit)):
            beyond = self._beyond_book(order) if market else None
            self.match(side, order.leaves, limit, order)
            if beyond is not None and order.leaves and order.state is _NEW:
                self.execute(order, beyond, order.leaves, False)
        if order.state is not _NEW:
            return
        if market:
            self.finish(order, CancelCode.NoLiquidity, f"{self.name} has nothing left to trade with")
        elif order.tif is _IOC or order.tif is _FOK:
            self.finish(order, CancelCode.TimeInForce, "immediate-or-cancel: the rest cannot be filled now")
        else:
            order.resting = True
            self.rest(order)

    def _can_fill(self, order: AccountOrder, limit: int) -> bool:
        if order.is_market and self.fills_beyond:
            return self.touch(-order.side) is not None
        stake = order.stake if self.self_trade != "allow" else None
        return self.reachable(order.side, limit, order.leaves, stake)[0] >= order.leaves

    def _beyond_book(self, order: AccountOrder) -> int | None:
        """The price of what the displayed book will not fill of a market order; None where the rest is cancelled."""
        return self.worst_price(order.side, order.leaves) if self.fills_beyond else None

    def amend(self, order: AccountOrder, price: int | None, qty: int | None) -> None:
        """A modification reached the exchange. Priority is kept when only the size shrinks."""
        self.sync()
        stake = order.stake
        if stake is None:
            raise TypeError("an anonymous order is reduced, not amended")
        account = stake.account
        if price == order.price:
            price = None
        if qty == order.qty:
            qty = None
        broken = self._amendment_breach(order, price, qty)
        if broken is not None:
            account.response.send(account.events.modify_order_reject, order.wire_id, *broken)
            return
        change = 0 if qty is None else qty - order.qty
        keeps = price is None and change <= 0
        if keeps and order.resting:
            self._shrink(order, -change)
        else:
            if order.resting:
                self._unrest(order)
                order.resting = False
            stake.reserve(order, -order.leaves)
            order.qty += change
            order.leaves += change
            if price is not None:
                order.price = price
            if order.state is _NEW:
                # sets what each lot reserves at the new price; that it suffices is checked already
                shortage(stake, order, self, order.leaves)
            stake.reserve(order, order.leaves)
        account.response.send(account.events.modify_order_ack, order.wire_id, price, qty, order.leaves)
        if not keeps and order.state is _NEW:
            self._enter(order)
        self.after()

    def _amendment_breach(
        self, order: AccountOrder, price: int | None, qty: int | None
    ) -> tuple[GtwRejectCode, str] | None:
        """What keeps an open order from being changed so: the rules of new orders, for the order as it would be."""
        stake = order.stake
        if order.state not in OPEN or stake is None:
            return GtwRejectCode.OrderNotOpen, f"the order is {order.state.name}, not open"
        if price is not None and order.order_type not in NEEDS_PRICE:
            return GtwRejectCode.InvalidRequest, f"a {order.order_type.name} order has no price to modify"
        if qty is not None and order.close_position and order.waits:
            return GtwRejectCode.InvalidRequest, "a close-position order has the quantity of the position"
        if qty is not None and qty <= order.filled:
            lot = self.contract.lot_units
            return (
                GtwRejectCode.InvalidQty,
                f"quantity {to_str(qty * lot)} is not above the {to_str(order.filled * lot)} filled already",
            )
        before = order.price, order.qty, order.leaves, order.reserve
        resting = order.resting
        stake.reserve(order, -order.leaves)
        if resting:
            # its own quantity must not stand in its way
            own = self.bids if order.side > 0 else self.asks
            own.levels[order.price].qty -= order.leaves
        if price is not None:
            order.price = price
        if qty is not None:
            order.leaves += qty - order.qty
            order.qty = qty
        broken = breach(order, self)
        if broken is None and order.reduce_only and order.state is _NEW:
            held = stake.reducible(order.side)
            if order.leaves > held:
                broken = (
                    GtwRejectCode.ReduceOnlyWouldIncrease,
                    (
                        f"reduce-only quantity {to_str(order.leaves * self.contract.lot_units)} is above the position "
                        f"{to_str(held * self.contract.lot_units)} of {self.name}"
                    ),
                )
        if broken is None:
            broken = funds(order, self)
        order.price, order.qty, order.leaves, order.reserve = before
        if resting:
            own.levels[order.price].qty += order.leaves
        stake.reserve(order, order.leaves)
        return broken

    def _shrink(self, order: AccountOrder, lots: int) -> None:
        """A resting order gets smaller and keeps its place."""
        if lots <= 0 or order.stake is None:
            return
        order.stake.reserve(order, -lots)
        order.qty -= lots
        order.leaves -= lots
        level = (self.bids if order.side > 0 else self.asks).levels[order.price]
        level.qty -= lots
        if self.publisher is not None:
            self.publisher.order(order)
            self.publisher.level(order.side, order.price, level.qty)

    def _unrest(self, order: Resting) -> None:
        """Take a resting order out of the book."""
        book = self.bids if order.side > 0 else self.asks
        book.remove(order)
        if self.publisher is not None:
            level = book.levels.get(order.price)
            self.publisher.gone(order)
            self.publisher.level(order.side, order.price, 0 if level is None else level.qty)

    def end(self, order: AccountOrder, unsolicited: bool, code: CancelCode, reason: str) -> None:
        """Take an open order out of the market."""
        if order.resting:
            self._unrest(order)
            order.resting = False
        elif order.state is _UNTRIGGERED:
            self.triggers.discard(order)
            self.rebound()
        self.finish(order, code, reason, unsolicited)

    def cancel(self, order: AccountOrder) -> None:
        """A cancel request for an open order reached the exchange."""
        self.end(order, False, _BY_USER, "")
        self.after()

    def _expire(self, order: AccountOrder) -> None:
        if order.state in OPEN:
            self.end(order, True, CancelCode.TimeInForce, "the UTC day is over")
            self.after()

    def trim(self, stake: "Stake") -> None:
        """The position changed: reduce-only orders must not be larger than it."""
        for order in list(stake.reducing.values()):
            if order.state is not _NEW:
                continue
            held = stake.reducible(order.side)
            if held == 0:
                self.end(order, True, CancelCode.ReduceOnly, f"{stake.account.name} has no {self.name} left to reduce")
            elif order.leaves > held and order.resting:
                self._shrink(order, order.leaves - held)
                account = stake.account
                account.response.send(account.events.modify_order_ack, order.wire_id, None, order.qty, order.leaves)

    # -- stops -------------------------------------------------------------------------------------------------------

    def would_trigger(self, order: AccountOrder) -> bool:
        """Whether a stop would trigger at once."""
        return triggered(order, self.last, self.bid, self.ask)

    def fire(self) -> bool:
        """Let the stops whose price is reached enter the market, oldest first; whether there were any."""
        due = self.triggers.due(self.last, self.bid, self.ask)
        for order in due:
            # one before it may have ended it
            if order.state is _UNTRIGGERED:
                self.triggers.discard(order)
                self.rebound()
                self._activate(order)
        return bool(due)

    def _activate(self, order: AccountOrder) -> None:
        stake = order.stake
        if stake is None:
            raise TypeError("an anonymous order has no trigger")
        order.state = _NEW
        order.waits = False
        stake.reserve(order, -order.leaves)
        if order.reduce_only:
            held = stake.reducible(order.side)
            before = order.qty
            order.leaves = held if order.close_position else min(order.leaves, held)
            order.qty = order.filled + order.leaves
            if held and order.qty != before:
                account = stake.account
                account.response.send(account.events.modify_order_ack, order.wire_id, None, order.qty, order.leaves)
            if held == 0:
                order.reserve = 0
                self.finish(order, CancelCode.ReduceOnly, f"{stake.account.name} has no {self.name} to reduce")
                return
        short = shortage(stake, order, self, order.leaves)
        if short is not None:
            order.reserve = 0
            needed, there, coin = short
            reason = f"triggered, but {to_str(needed)} {coin} needed and {to_str(there)} available"
            self.finish(order, CancelCode.ByExchange, reason)
            return
        stake.reserve(order, order.leaves)
        self._enter(order)

    def close_out(self, stake: "Stake", request: Closing) -> None:
        """Close a liquidated position at the market, with the liquidation fee on top."""
        exchange = self.exchange
        exchange.orders += 1
        order = AccountOrder(exchange.orders, request, stake)
        order.extra_fee = self.margin.liquidation_fee
        order.state = _NEW
        account = stake.account
        account.orders[order.wire_id] = order
        reason = f"{account.name} is liquidated"
        account.response.send(
            account.events.foreign_order, order.wire_id, self.instrument, order.side, order.qty, reason
        )
        stake.opened(order)
        self.match(order.side, order.leaves, NO_ASK if order.side > 0 else NO_BID, order)
        if order.state is _NEW:
            self.finish(order, CancelCode.NoLiquidity, f"{self.name} has nothing left to trade with: to be tried again")

    # -- anonymous orders --------------------------------------------------------------------------------------------

    def add(self, side: int, price: int, qty: int) -> int:
        """An anonymous limit order; returns its id. It trades first with what it reaches."""
        exchange = self.exchange
        exchange.orders += 1
        order_id = exchange.orders
        left = self.match(side, qty, price, None) if self.would_take(side, price) else qty
        if left > 0:
            order = self.anonymous[order_id] = Resting(order_id, side, price, left)
            self.rest(order)
        self.after()
        return order_id

    def take(self, side: int, qty: int) -> int:
        """An anonymous market order; returns what it traded."""
        left = self.match(side, qty, NO_ASK if side > 0 else NO_BID, None)
        self.after()
        return qty - left

    def reduce(self, order_id: int, qty: int) -> bool:
        """Make an anonymous order smaller by `qty`, in its place; False when it is not there any more."""
        order = self.anonymous.get(order_id)
        if order is None:
            return False
        if qty >= order.leaves:
            return self.remove(order_id)
        order.leaves -= qty
        level = (self.bids if order.side > 0 else self.asks).levels[order.price]
        level.qty -= qty
        if self.publisher is not None:
            self.publisher.order(order)
            self.publisher.level(order.side, order.price, level.qty)
        self.after()
        return True

    def remove(self, order_id: int) -> bool:
        """Cancel an anonymous order; False when it is not there any more."""
        order = self.anonymous.pop(order_id, None)
        if order is None:
            return False
        self._unrest(order)
        self.after()
        return True
