"""A market of the plainest kind, in which the synthetic flow is tested by itself."""

from collections.abc import Callable
from heapq import heappop, heappush

from mlthon.data.calibration import Figures, calibrate
from mlthon.data.rows import Columns, Kind, RowLists
from mlthon.data.synthetic.generator import OrderFlow
from mlthon.data.synthetic.profiles import Profile
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.synthetic_flow import SyntheticFlow


class NaiveMarket:
    """Levels by price, each a dict of quantities by order id in the order of arrival. Refuses an order that would lock
    the book."""

    def __init__(
        self,
        quote: Callable[[int, int, int, int], None] = lambda *_: None,
        trade: Callable[[int, int, int], None] = lambda *_: None,
    ) -> None:
        self.bid, self.bid_qty, self.ask, self.ask_qty = NO_BID, 0, NO_ASK, 0
        self.levels: dict[int, dict[int, dict[int, int]]] = {1: {}, -1: {}}
        self.where: dict[int, tuple[int, int]] = {}
        self._prices: dict[int, list[int]] = {1: [], -1: []}
        self._last_id = 0
        self._quote = quote
        self._trade = trade

    def add(self, side: int, price: int, qty: int) -> int:
        if qty < 1:
            raise ValueError(f"an order of {qty} lots")
        if (price - (self.ask if side > 0 else self.bid)) * side >= 0:
            raise ValueError(f"an order of side {side} at {price} would lock {self.bid}/{self.ask}")
        self._last_id += 1
        if price not in self.levels[side]:
            self.levels[side][price] = {}
            heappush(self._prices[side], -price * side)
        self.levels[side][price][self._last_id] = qty
        self.where[self._last_id] = side, price
        self._publish()
        return self._last_id

    def remove(self, order_id: int) -> bool:
        if order_id not in self.where:
            return False
        self._delete(order_id)
        self._publish()
        return True

    def take(self, side: int, qty: int) -> int:
        left = qty
        while left and self.levels[-side]:
            price = self._best(-side)
            order_id, resting = next(iter(self.levels[-side][price].items()))
            filled = min(left, resting)
            left -= filled
            self._trade(price, filled, side)
            if filled == resting:
                self._delete(order_id)
            else:
                self.levels[-side][price][order_id] -= filled
        self._publish()
        return qty - left

    def _delete(self, order_id: int) -> None:
        side, price = self.where.pop(order_id)
        level = self.levels[side][price]
        del level[order_id]
        if not level:
            del self.levels[side][price]

    def _best(self, side: int) -> int:
        prices, levels = self._prices[side], self.levels[side]
        while prices and -prices[0] * side not in levels:
            heappop(prices)
        return -prices[0] * side if prices else (NO_BID if side > 0 else NO_ASK)

    def _publish(self) -> None:
        before = self.bid, self.bid_qty, self.ask, self.ask_qty
        self.bid, self.ask = self._best(1), self._best(-1)
        self.bid_qty = sum(self.levels[1].get(self.bid, {}).values())
        self.ask_qty = sum(self.levels[-1].get(self.ask, {}).values())
        after = self.bid, self.bid_qty, self.ask, self.ask_qty
        if after != before:
            self._quote(*after)


class Session:
    """A synthetic market played on a naive one; what it publishes is kept as rows."""

    def __init__(self, flow: OrderFlow) -> None:
        self.rows = RowLists()
        self.now = flow.start_ts
        self.market = NaiveMarket(self._quote, self._trade)
        self.flow = SyntheticFlow(self.market, flow.start_price)
        self._order_flow = flow

    def run(self, watch: Callable[[], None] = lambda: None) -> dict[Kind, Columns]:
        """Play it to its end; `watch` is called after each row."""
        on_row = self.flow.on_row
        for chunk in self._order_flow.chunks():
            columns = (values.tolist() for values in (chunk.exch_ts, *chunk.arrays()[2:]))
            for self.now, *row in zip(*columns, strict=True):
                on_row(*row)
                watch()
        return self.rows.take()

    def _quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int) -> None:
        self.rows.quote(bid, bid_qty, ask, ask_qty, self.now, self.now)

    def _trade(self, price: int, qty: int, side: int) -> None:
        self.rows.trade(price, qty, side, 0, self.now, self.now)


def measure(profile: Profile, seed: int, seconds: int) -> Figures:
    """The figures of a synthetic market, its first twenty seconds (in which the book builds up) left out."""
    flow = OrderFlow(profile, seed, 0, seconds * 10**9, profile.start_price or round(profile.price_ticks))
    kinds = Session(flow).run()
    later = {kind: rows[int((rows.exch_ts < 20 * 10**9).sum()) :] for kind, rows in kinds.items()}
    return calibrate(later[Kind.QUOTE], later[Kind.TRADE])
