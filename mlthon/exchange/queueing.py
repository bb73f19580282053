"""Resting orders and what comes from outside: where they stand in their queues, and how they trade with it.

**What fills a resting order**, besides takers: a public trade at its price by a taker of the other side, once the trade
is larger than what is ahead; a trade through its price; the opposite touch at its price. What a trade offers is shared
by the orders in priority, and what a quote displays is consumed once. At one time a quote comes before the trade whose
effect it shows: what the display lost by it does not count again as a trade.

This class does it; `Market` says when.
"""

from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import CancelCode
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.book import BookSide, Level, Resting
from mlthon.exchange.desk import Desk
from mlthon.exchange.matching import PLENTY, Ended

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.exchange.exchange import EmbeddedExchange

# Bound to names of their own because looking a member up in its class is slow in Python 3.11.
_NO_CODE: Final = CancelCode.Unset


class Queueing(Desk):
    """See the module text."""

    __slots__ = ("_model",)

    def __init__(self, exchange: "EmbeddedExchange", instrument: "Instrument") -> None:
        super().__init__(exchange, instrument)
        self._model = exchange.queue

    # -- queues ------------------------------------------------------------------------------------------------------

    def rest(self, order: Resting) -> None:
        """Put an order last at its price, behind what is displayed there."""
        side, price = order.side, order.price
        shown = self._joined(side, price)
        taken = self.taken_bids if side > 0 else self.taken_asks
        order.ahead = min(shown, self.unclaimed(side, price)) if taken and shown else shown
        book = self.bids if side > 0 else self.asks
        book.add(order, shown)
        if self.publisher is not None:
            self.publisher.order(order)
            self.publisher.level(side, price, book.levels[price].qty)

    def _joined(self, side: int, price: int) -> int:
        """The replayed lots that an order joining at a price finds there. A touch derived from trades shows nothing,
        unless a size is configured."""
        if not self.quoted and self.unsized == PLENTY:
            return 0
        return self.displayed(side, price)

    def _refresh(self, side: int, top: int, shown: int, book: BookSide, taken: dict[int, list[int]]) -> bool:
        """Queues and taken quantities at the touch, and at better prices, where nothing is displayed any more; whether
        that moves the watch band."""
        for key in reversed(book.keys):
            price = key * side
            if price == top:
                self._requeue(book.levels[price], shown)
            elif (price - top) * side > 0:
                self._requeue(book.levels[price], 0)
            else:
                break
        if not taken:
            return False
        before = len(taken)
        for price in list(taken):
            if (price - top) * side >= 0:
                self._retake(side, price, self.displayed(side, price))
        return len(taken) != before

    def _requeue(self, level: Level, shown: int) -> None:
        """The replayed quantity displayed at a level is now `shown`."""
        left = level.seen - level.traded - shown
        level.seen = shown
        level.traded = 0
        if left > 0:
            now = self.clock.now
            level.gone = left + (level.gone if level.gone_at == now else 0)
            level.gone_at = now
        before = 0
        for resting in level.orders.values():
            ahead = resting.ahead
            if ahead:
                if left > 0:
                    ahead = self._model.shrunk(ahead, left, shown)
                elif ahead > shown:
                    ahead = shown
                # nobody passes the order before
                resting.ahead = before = ahead if ahead > before else before

    def _retake(self, side: int, price: int, shown: int) -> None:
        """What was taken of a level that displays `shown` now: an increase is new, a decrease leaves at most that."""
        taken = self.taken_bids if side > 0 else self.taken_asks
        entry = taken.get(price)
        if entry is None:
            return
        if shown < entry[0]:
            entry[1] -= entry[0] - shown
        entry[0] = shown
        if entry[1] <= 0:
            del taken[price]

    # -- fills -------------------------------------------------------------------------------------------------------

    def _fill_touched(self, side: int, book: BookSide) -> None:
        """The opposite touch is at resting orders' prices: they trade with what it displays, at their price."""
        while book.keys:
            price = book.best
            if (price - (self.ask if side > 0 else self.bid)) * side < 0:
                break
            level = book.levels[price]
            ended: Ended = []
            short = False
            for resting in level.orders.values():
                wanted = self.fillable(resting, resting.leaves)
                if wanted == 0:
                    ended.append((resting, CancelCode.ReduceOnly))
                    continue
                lots = self._claim_up_to(side, price, wanted)
                if self.full and resting.stake is not None:
                    lots = wanted
                if lots:
                    self._fill(level, resting, price, lots, ended)
                if lots < wanted:
                    short = True
                    break
            self.clear_out(book, price, level, ended)
            if short or price in book.levels:
                break

    def _claim_up_to(self, side: int, price: int, lots: int) -> int:
        """Take up to `lots` of what the other side displays at `price` or better; returns how many."""
        got = 0
        while got < lots:
            best = self.bid if side < 0 else self.ask
            best = self.replayed_best(-side) if best not in (NO_BID, NO_ASK) else best
            if best in (NO_BID, NO_ASK) or (best - price) * side > 0:
                break
            there = min(self.unclaimed(-side, best), lots - got)
            if there <= 0:
                break
            self.claim(-side, best, there)
            got += there
        return got

    def _fill_traded(self, book: BookSide, price: int, offered: int, through: bool) -> int:
        """A public trade offers so much to the queue at a price; returns what it still offers to the next."""
        level = book.levels[price]
        left = offered
        told = 0
        if level.gone and not through:
            # a quote of the same time showed its effect already
            told = min(level.gone, offered) if level.gone_at == self.clock.now else 0
            level.gone -= told
            left -= told
        gone = 0
        ended: Ended = []
        for resting in level.orders.values():
            if not through:
                step = min(max(0, resting.ahead - gone), left)
                gone += step
                left -= step
            whole = self.full and resting.stake is not None
            if left <= 0 and not (whole and through):
                break
            lots = self.fillable(resting, resting.leaves if whole else left)
            left = max(0, left - lots)
            if lots:
                self._fill(level, resting, price, lots, ended)
            else:
                ended.append((resting, CancelCode.ReduceOnly))
        level.traded += offered - told
        if gone:
            self.advance(level, gone)
        self.clear_out(book, price, level, ended)
        return left

    def _fill(self, level: Level, resting: Resting, price: int, lots: int, ended: Ended) -> None:
        """A resting order trades with somebody outside."""
        level.qty -= lots
        if resting.stake is None:
            resting.leaves -= lots
        else:
            self.execute(resting, price, lots, True)  # type: ignore[arg-type]
        if resting.leaves == 0:
            ended.append((resting, _NO_CODE))
