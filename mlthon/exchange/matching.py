"""One market's book: who trades with whom, at what price, and how much.

Three kinds of quantity meet here. **Account orders** and **anonymous orders** rest in two `BookSide`s by price and
time. **Replayed liquidity** is what a recording displays: the touch (`bid`, `bid_qty`, `ask`, `ask_qty`) and, strictly
beyond it, the levels of its depth. A resting order has `ahead` lots of it before it at its price. A taker goes through
the prices from the best on, and at each through its queue: replayed lots that are ahead of the first order, that order,
replayed lots that are ahead of the second, and so on to the replayed lots behind them all.

Replayed liquidity is consumed once: `taken` remembers how much of a level went to takers of ours. When the recording
shows more at the level, the increase is new; when it shows less, at most that is left; when the level goes, the memory
goes with it.

This class holds the book and executes; `Market` adds the market data and the life of orders.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import CancelCode, OrderStatus
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.book import AccountOrder, BookSide, Level, Resting
from mlthon.exchange.contracts import Contract, Position

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.exchange.account import Account, Stake
    from mlthon.exchange.exchange import EmbeddedExchange
    from mlthon.exchange.funding import Funding
    from mlthon.exchange.margin import Closing
    from mlthon.exchange.publisher import Publisher

PLENTY: Final = 1 << 62
"""The quantity displayed by data without sizes: more than any order."""
REASONS: Final = {
    CancelCode.SelfTradePrevention: "an order of the same account is on the other side",
    CancelCode.ReduceOnly: "no position is left to reduce",
}
Ended = list[tuple[Resting, CancelCode]]
"""Orders that leave a level: filled (Unset), or cancelled for the reason given."""
NO_PRICE: Final = -1
"""The last trade's price before the first trade."""

# Bound to names of their own because looking a member up in its class is slow in Python 3.11.
_FILLED: Final = OrderStatus.Filled
_CANCELLED: Final = OrderStatus.Cancelled
_NO_CODE: Final = CancelCode.Unset


class Matching(ABC):
    """The book of one instrument. `at_risk`: the stakes with a derivative position, which prices may liquidate.
    `outside`: what all who are no account of ours (replayed and anonymous) hold against the accounts."""

    __slots__ = (
        "anonymous",
        "ask",
        "ask_qty",
        "asks",
        "at_risk",
        "bid",
        "bid_qty",
        "bids",
        "clock",
        "contract",
        "depth_asks",
        "depth_bids",
        "exchange",
        "full",
        "funding",
        "half_spread",
        "instrument",
        "last",
        "maker_fee",
        "margin",
        "max_lots",
        "min_lots",
        "min_notional",
        "name",
        "outside",
        "publisher",
        "quoted",
        "self_trade",
        "stakes",
        "taken_asks",
        "taken_bids",
        "taker_fee",
        "unsized",
    )

    def __init__(self, exchange: "EmbeddedExchange", instrument: "Instrument") -> None:
        config = exchange.config
        self.exchange = exchange
        self.clock = exchange.clock
        self.instrument = instrument
        self.name = instrument.name
        self.contract = contract = Contract(instrument)
        self.min_lots = instrument.min_lots
        self.max_lots = instrument.max_lots
        self.min_notional = exchange.units(instrument.min_notional)
        self.maker_fee = exchange.fee(config.maker_fee, instrument.maker_fee, maker=True)
        self.taker_fee = exchange.fee(config.taker_fee, instrument.taker_fee, maker=False)
        self.margin = exchange.margin
        self.full = config.fills == "full"
        self.self_trade = config.self_trade_prevention
        self.half_spread = config.half_spread_ticks
        self.unsized = int(exchange.units(config.displayed_size) // contract.lot_units) or PLENTY
        self.bid, self.bid_qty, self.ask, self.ask_qty = NO_BID, 0, NO_ASK, 0
        self.quoted = False
        self.last = NO_PRICE
        self.bids = BookSide(1)
        self.asks = BookSide(-1)
        self.depth_bids: dict[int, int] = {}
        self.depth_asks: dict[int, int] = {}
        self.taken_bids: dict[int, list[int]] = {}
        self.taken_asks: dict[int, list[int]] = {}
        self.anonymous: dict[int, Resting] = {}
        self.at_risk: dict[Stake, None] = {}
        self.outside = Position(contract)
        self.stakes: list[Stake] = []
        self.funding: Funding | None = None
        self.publisher: Publisher | None = None

    # -- what there is -----------------------------------------------------------------------------------------------

    def displayed(self, side: int, price: int) -> int:
        """The replayed lots at a price of a side (+1: bids). A market that is its own source has none: its touch is
        that of the orders in the book."""
        if self.publisher is not None:
            return 0
        if side > 0:
            if price < self.bid:
                return self.depth_bids.get(price, 0)
            return (self.bid_qty or self.unsized) if price == self.bid else 0
        if price > self.ask:
            return self.depth_asks.get(price, 0)
        return (self.ask_qty or self.unsized) if price == self.ask else 0

    def unclaimed(self, side: int, price: int) -> int:
        """The replayed lots at a price that no taker of ours took yet."""
        taken = (self.taken_bids if side > 0 else self.taken_asks).get(price)
        shown = self.displayed(side, price)
        return shown if taken is None else max(0, shown - taken[1])

    def replayed_best(self, side: int) -> int:
        """The best price of a side with replayed lots to take, `NO_BID` or `NO_ASK` if there is none."""
        top = self.bid if side > 0 else self.ask
        if top in (NO_BID, NO_ASK):
            return top
        if self.full or self.unclaimed(side, top) > 0:
            return top
        if side > 0:
            beyond = (p for p in self.depth_bids if p < top and self.unclaimed(1, p) > 0)
            return max(beyond, default=NO_BID)
        beyond = (p for p in self.depth_asks if p > top and self.unclaimed(-1, p) > 0)
        return min(beyond, default=NO_ASK)

    def touch(self, side: int) -> int | None:
        """The best price of a side (+1: bids), of all kinds of orders; None when the side is empty."""
        if side > 0:
            price = self.bids.best
            if self.publisher is None and self.bid > price:
                price = self.bid
            return None if price == NO_BID else price
        price = self.asks.best
        if self.publisher is None and self.ask < price:
            price = self.ask
        return None if price == NO_ASK else price

    @property
    def mark(self) -> int | None:
        """The market's price in ticks: the middle of the touch, or the last trade's when a side is empty."""
        if not self.quoted:
            self.sync()
        if self.bid != NO_BID and self.ask != NO_ASK:
            return (self.bid + self.ask) // 2
        return None if self.last == NO_PRICE else self.last

    def would_take(self, side: int, price: int) -> bool:
        """Whether a limit order at this price would trade at once."""
        if side > 0:
            return price >= self.asks.best or (price >= self.ask and self.publisher is None)
        return price <= self.bids.best or (price <= self.bid and self.publisher is None)

    def mark_value(self, position: Position) -> int:
        """The value a lot at which the position counts: where the market would take it; the last trade's when there is
        no such price, and what it cost when nothing is known."""
        if not self.quoted:
            self.sync()
        price = self.bid if position.lots > 0 else self.ask
        if price in (NO_BID, NO_ASK):
            price = self.last
        if price <= 0:
            return position.cost // position.lots if position.lots else 0
        return self.contract.unit_value(price)

    def reachable(self, side: int, limit: int, lots: int, stake: "Stake | None") -> tuple[int, int | None]:
        """How many of `lots` a taker of this side could trade now up to `limit`, and the worst price it would reach.
        Orders of `stake`'s own account do not count."""
        left = lots
        worst: int | None = None
        for price, quantity in self._offers(-side, limit, stake):
            worst = price
            left -= quantity
            if left <= 0:
                return lots, worst
        return lots - left, worst

    def _offers(self, side: int, limit: int, stake: "Stake | None") -> list[tuple[int, int]]:
        """Prices of a side, best first, up to `limit`, and what can be taken at each: up to the first order of the
        account itself, if meeting it would end the taker."""
        book = self.bids if side > 0 else self.asks
        top = self.bid if side > 0 else self.ask
        depth = self.depth_bids if side > 0 else self.depth_asks
        prices = {p for p in depth if (p - top) * side < 0}
        prices.update(book.levels)
        if top != NO_BID and top != NO_ASK and self.publisher is None:
            prices.add(top)
        account = None if stake is None else stake.account
        held: dict[Stake, int] = {}
        offers = []
        for price in sorted(prices, reverse=side > 0):
            if (price - limit) * side < 0:
                break
            quantity = PLENTY if self.full and price == top and self.publisher is None else self.unclaimed(side, price)
            level = book.levels.get(price)
            barred = False
            if level is not None:
                quantity, barred = self._queued(level, quantity, account, held)
            if quantity > 0:
                offers.append((price, quantity))
            if barred:
                break
        return offers

    def _queued(
        self, level: Level, replayed: int, account: "Account | None", held: "dict[Stake, int]"
    ) -> tuple[int, bool]:
        """What can be taken at a level with so many replayed lots, and whether an order of the account's own bars the
        way. `held`: what reduce-only orders of each stake can still reduce after what was counted before."""
        quantity = 0
        for resting in level.orders.values():
            stake = resting.stake
            lots = resting.leaves
            if stake is not None and stake.account is account:
                if self.self_trade == "cancel_oldest":
                    continue
                return quantity + min(replayed, resting.ahead), True
            if stake is not None and stake.reducing:
                left = held.get(stake)
                if left is None:
                    left = stake.reducible(resting.side)
                if resting.order_id in stake.reducing:
                    lots = min(lots, left)
                held[stake] = max(0, left - lots)
            quantity += lots
        return quantity + replayed, False

    def worst_price(self, side: int, lots: int) -> int | None:
        """The worst price that a market order of so many lots would reach now."""
        top = self.ask if side > 0 else self.bid
        own = self.asks.best if side > 0 else self.bids.best
        shown = top not in (NO_ASK, NO_BID)
        if shown and (top - own) * side < 0 and self.unclaimed(-side, top) >= lots:
            return top
        worst = self.reachable(side, NO_ASK if side > 0 else NO_BID, lots, None)[1]
        if self.fills_beyond:
            if worst is None and shown:
                worst = top
            if worst is not None:
                worst = max(1, worst + side * self.exchange.config.beyond_book_ticks)
        return worst

    @property
    def fills_beyond(self) -> bool:
        """Whether market orders are filled beyond what the book displays."""
        return self.publisher is None and self.exchange.config.beyond_book == "fill"

    # -- trading -----------------------------------------------------------------------------------------------------

    def match(self, side: int, lots: int, limit: int, taker: AccountOrder | None) -> int:
        """Trade up to `lots` at `limit` or better against the other side; returns what is left. An anonymous taker is
        None. When a taker would meet an order of its own account and the newest goes, it is ended in here."""
        book = self.asks if side > 0 else self.bids
        left = lots
        none = book.empty
        while left > 0:
            own = book.best
            replayed = none if self.publisher is not None else self.replayed_best(-side)
            price = own if (own - replayed) * side < 0 else replayed
            if price == none or (price - limit) * side > 0:
                break
            before = left
            if price == own:
                left = self._take_level(book, price, left, taker)
            else:
                left -= self._take_replayed(-side, price, left, taker)
            if taker is not None and taker.state is _CANCELLED:
                break
            if left == before and price != own:
                break
        return left

    def _take_replayed(self, side: int, price: int, lots: int, taker: AccountOrder | None) -> int:
        """Take replayed lots of a side at a price; returns how many."""
        there = self.unclaimed(side, price)
        took = lots if self.full and taker is not None else min(there, lots)
        if took <= 0:
            return 0
        self.claim(side, price, min(took, there))
        if taker is not None:
            self.execute(taker, price, took, False)
        return took

    def claim(self, side: int, price: int, lots: int) -> None:
        """Remember that replayed lots are taken."""
        if lots <= 0 or self.full or not self.quoted:
            # whole fills count no quantities, and a touch derived from trades is news with every trade
            return
        taken = self.taken_bids if side > 0 else self.taken_asks
        entry = taken.get(price)
        if entry is None:
            taken[price] = [self.displayed(side, price), lots]
        else:
            entry[1] += lots

    def _take_level(self, book: BookSide, price: int, lots: int, taker: AccountOrder | None) -> int:
        """Go through the queue at a price where orders rest; returns what is left of `lots`."""
        level = book.levels[price]
        side = book.sign
        left = lots
        there = 0 if self.publisher is not None else self.unclaimed(side, price)
        gone = 0
        account = None if taker is None or taker.stake is None or self.self_trade == "allow" else taker.stake.account
        ended: Ended = []
        for resting in level.orders.values():
            if there:
                step = min(resting.ahead - gone, there - gone, left)
                if step > 0:
                    gone += step
                    left -= step
                    if taker is not None:
                        self.execute(taker, price, step, False)
            if left <= 0:
                break
            if account is not None and resting.stake is not None and resting.stake.account is account:
                if self._self_trade(taker, resting, ended):
                    break
                continue
            if resting.stake is None:
                lot = resting.leaves if resting.leaves < left else left
            else:
                lot = self.fillable(resting, left)
                if lot <= 0:
                    ended.append((resting, CancelCode.ReduceOnly))
                    continue
            left -= lot
            level.qty -= lot
            if taker is not None:
                self.execute(taker, price, lot, False)
            if resting.stake is None:
                resting.leaves -= lot
            else:
                self.execute(resting, price, lot, True)  # type: ignore[arg-type]
            if resting.leaves == 0:
                ended.append((resting, _NO_CODE))
            if self.publisher is not None:
                self.publisher.order(resting)
        else:
            step = min(there - gone, left)
            if step > 0:
                gone += step
                left -= step
                if taker is not None:
                    self.execute(taker, price, step, False)
        if gone:
            self.claim(side, price, gone)
            self.advance(level, gone)
        if self.publisher is not None and left < lots:
            self.last = price
            self.publisher.trade(price, lots - left, -side)
        self.clear_out(book, price, level, ended)
        return left

    def fillable(self, resting: Resting, lots: int) -> int:
        """How many of `lots` a resting order may trade: what it has left, and of a reduce-only order no more than the
        position."""
        if resting.leaves < lots:
            lots = resting.leaves
        stake = resting.stake
        if stake is not None and stake.reducing and resting.order_id in stake.reducing:
            return min(lots, stake.reducible(resting.side))
        return lots

    def _self_trade(self, taker: AccountOrder | None, resting: Resting, ended: Ended) -> bool:
        """An account meets itself; True when its taker ends here."""
        code = CancelCode.SelfTradePrevention
        if self.self_trade != "cancel_newest":
            ended.append((resting, code))
        if self.self_trade != "cancel_oldest" and taker is not None:
            self.finish(taker, code, REASONS[code])
            return True
        return False

    def clear_out(self, book: BookSide, price: int, level: Level, ended: Ended) -> None:
        """Remove orders that are over from their level, and the level when none is left."""
        for resting, code in ended:
            del level.orders[resting.order_id]
            if resting.stake is None:
                del self.anonymous[resting.order_id]
            elif resting.leaves:
                level.qty -= resting.leaves
                resting.resting = False  # type: ignore[attr-defined]
                self.finish(resting, code, REASONS[code])  # type: ignore[arg-type]
        if not level.orders:
            book.drop(price)
        if self.publisher is not None:
            self.publisher.level(book.sign, price, level.qty)

    def advance(self, level: Level, lots: int) -> None:
        """So many replayed lots at the head of the queue traded."""
        for resting in level.orders.values():
            ahead = resting.ahead - lots
            resting.ahead = ahead if ahead > 0 else 0

    def execute(self, order: AccountOrder, price: int, lots: int, maker: bool) -> None:
        """One fill of an account's order: its money, its state, its event."""
        stake = order.stake
        if stake is None:
            raise TypeError("an anonymous order has no account to book a fill to")
        order.leaves = leaves = order.leaves - lots
        order.filled += lots
        if order.reserve:
            stake.reserve(order, -lots)
        unit = self.contract.unit_value(price)
        rate = (self.maker_fee if maker else self.taker_fee) + order.extra_fee
        signed = order.side * lots
        fee = stake.account.traded(stake, signed, unit, rate)
        exchange = self.exchange
        exchange.fees[self.contract.coin] += fee
        self.outside.trade(-signed, unit)
        exchange.executions += 1
        now = self.clock.now
        account = stake.account
        account.response.send(
            account.events.order_execution,
            order.wire_id,
            str(exchange.executions),
            price,
            lots,
            leaves,
            fee,
            self.contract.coin,
            maker,
            now,
        )
        if leaves == 0:
            order.state = _FILLED
            order.resting = False
            stake.closed(order)
        exchange.unsettled[stake] = None

    def finish(self, order: AccountOrder, code: CancelCode, reason: str, unsolicited: bool = True) -> None:
        """The order is over without being filled: free its reserves and say so. It is out of the book already."""
        stake = order.stake
        if stake is None:
            raise TypeError("an anonymous order has no account to tell")
        order.state = _CANCELLED
        stake.closed(order)
        account = stake.account
        account.response.send(account.events.order_cancelled, order.wire_id, unsolicited, self.clock.now, code, reason)

    # -- what `Desk` and `Market` add --------------------------------------------------------------------------------

    @abstractmethod
    def end(self, order: AccountOrder, unsolicited: bool, code: CancelCode, reason: str) -> None:
        """Take an open order out of the market."""

    @abstractmethod
    def rest(self, order: Resting) -> None:
        """Put an order last at its price."""

    @abstractmethod
    def sync(self) -> None:
        """Bring the touch up to date."""

    @abstractmethod
    def after(self) -> None:
        """Do what the event or request set off."""

    @abstractmethod
    def rebound(self) -> None:
        """Set the part of the watch band that is due to stops and liquidation bounds anew."""

    @abstractmethod
    def trim(self, stake: "Stake") -> None:
        """Make reduce-only orders no larger than the position."""

    @abstractmethod
    def would_trigger(self, order: AccountOrder) -> bool:
        """Whether a stop would trigger at once."""

    @abstractmethod
    def close_out(self, stake: "Stake", request: "Closing") -> None:
        """Close a position at the market."""
