"""Matching against a reference that is as naive as possible: lists, sorted anew at every step, no cached anything.

The reference was written from the rules in words, for two cases: a book of accounts and anonymous orders that is its
own market, and orders of accounts beside a recording's quotes and trades (pessimistic queue, partial fills).
"""

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mlthon.basics.defs import TIF, ExecInstructions, OrderType
from tests.exchange.rig import LINEAR, Recorder, Rig

SEEDS = st.integers(0, 1 << 30)
RICH: dict[str, Any] = {"balances": {"USDT": 1e9}, "self_trade_prevention": "allow"}


class NaiveBook:
    """Price-time priority over a list of [name, side, price, left, time]."""

    def __init__(self) -> None:
        self.resting: list[list[Any]] = []
        self.fills: list[tuple[Any, int, int]] = []
        self.time = 0

    def best_first(self, side: int) -> list[list[Any]]:
        return sorted((o for o in self.resting if o[1] == side), key=lambda o: (-o[2] * side, o[4]))

    def enter(self, name: Any, side: int, price: int | None, qty: int, tif: TIF = TIF.GTC) -> int:
        """Returns what could not be traded."""
        self.time += 1
        facing = [o for o in self.best_first(-side) if price is None or (price - o[2]) * side >= 0]
        if tif is TIF.FOK and sum(o[3] for o in facing) < qty:
            return qty
        for other in facing:
            lots = min(qty, other[3])
            if lots:
                qty -= lots
                other[3] -= lots
                self.fills += [(name, other[2], lots), (other[0], other[2], lots)]
        self.resting = [o for o in self.resting if o[3]]
        if qty and price is not None and tif is TIF.GTC:
            self.resting.append([name, side, price, qty, self.time])
        return qty

    def levels(self, side: int) -> dict[int, int]:
        sums: dict[int, int] = {}
        for _, own, price, qty, _ in self.resting:
            if own == side:
                sums[price] = sums.get(price, 0) + qty
        return sums


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_a_book_of_orders_matches_the_naive_one(seed: int) -> None:
    rng = Random(seed)
    rig = Rig(("a", "b"), **RICH)
    public: list[tuple[Any, ...]] = []
    rig.exchange.publish_to(LINEAR, Recorder("public", rig.clock, public))
    market = rig.market
    naive = NaiveBook()
    anonymous: dict[int, int] = {}
    for number in range(120):
        what = rng.random()
        side = rng.choice((1, -1))
        price, qty = rng.randint(195, 205), rng.randint(2, 20)
        if what < 0.35:
            naive.enter(("anonymous", number), side, price, qty)
            anonymous[number] = market.add(side, price, qty)
        elif what < 0.45:
            assert market.take(side, qty) == qty - naive.enter(("anonymous", number), side, None, qty)
        elif what < 0.8:
            kind = rng.random()
            tif = rng.choice((TIF.GTC, TIF.GTC, TIF.GTC, TIF.IOC, TIF.FOK))
            account = rng.choice(("a", "b"))
            if kind < 0.2:
                if any(o[1] == -side for o in naive.resting):
                    naive.enter(f"o{len(rig.orders) + 1}", side, None, qty)
                rig.market_order(side, qty, account=account)
            else:
                naive.enter(f"o{len(rig.orders) + 1}", side, price, qty, tif)
                rig.order(side, price, qty, account=account, tif=tif)
        elif what < 0.9 and naive.resting:
            gone = rng.choice(naive.resting)
            naive.resting.remove(gone)
            if isinstance(gone[0], str):
                rig.cancel(gone[0])
            else:
                assert market.remove(anonymous[gone[0][1]])
        elif naive.resting:
            order = rng.choice(naive.resting)
            less = rng.randint(1, order[3])
            if isinstance(order[0], str):
                total = rig.exchange.account(rig.orders[order[0]].account).orders[order[0]].qty
                if order[3] > less and total - less >= 2:
                    order[3] -= less
                    rig.modify(order[0], None, total - less)
            else:
                order[3] -= less
                assert market.reduce(anonymous[order[0][1]], less)
                naive.resting = [o for o in naive.resting if o[3]]
        for own, book in ((1, market.bids), (-1, market.asks)):
            assert {p: level.qty for p, level in book.levels.items()} == naive.levels(own)
    rig.run()
    fills = [(args[0], args[2], args[3]) for _, _, name, args in rig.log if name == "order_execution"]
    assert fills == [fill for fill in naive.fills if isinstance(fill[0], str)]
    _check_public(public, naive)
    rig.check_conserved()


def _check_public(public: list[tuple[Any, ...]], naive: NaiveBook) -> None:
    """Who follows what is published has the same book."""
    levels: dict[int, dict[int, int]] = {0: {}, 1: {}}
    touch = None
    volume = 0
    for _, _, name, args in public:
        if name == "book":
            op, price, qty = args[:3]
            levels[op][price] = qty
        elif name == "quote":
            touch = args[:4]
        else:
            volume += args[1]
    shown = [{p: q for p, q in levels[op].items() if q} for op in (0, 1)]
    assert shown == [naive.levels(1), naive.levels(-1)]
    assert volume * 2 == sum(qty for _, _, qty in naive.fills)
    if shown[0] and shown[1]:
        bid, ask = max(shown[0]), min(shown[1])
        assert touch == (bid, shown[0][bid], ask, shown[1][ask])


class NaiveReplay:
    """Orders of accounts beside quotes and trades. `queue`: [name, side, price, left, ahead, time]."""

    def __init__(self) -> None:
        self.queue: list[list[Any]] = []
        self.touch = {1: (0, 0), -1: (1 << 40, 0)}
        self.used: dict[tuple[int, int], list[int]] = {}
        self.fills: list[tuple[str, int, int]] = []
        self.time = 0

    def free(self, side: int) -> int:
        price, shown = self.touch[side]
        return shown - self.used.get((side, price), [0, 0])[1]

    def use(self, side: int, lots: int) -> None:
        price, shown = self.touch[side]
        entry = self.used.setdefault((side, price), [shown, 0])
        entry[1] += lots

    def fill(self, order: list[Any], price: int, lots: int) -> None:
        if lots:
            order[3] -= lots
            self.fills.append((order[0], price, lots))

    def own(self, side: int) -> list[list[Any]]:
        return sorted((o for o in self.queue if o[1] == side and o[3]), key=lambda o: (-o[2] * side, o[5]))

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int) -> None:
        self.touch = {1: (bid, bid_qty), -1: (ask, ask_qty)}
        for side in (1, -1):
            price, shown = self.touch[side]
            for own_side, at in list(self.used):
                if own_side == side and (at - price) * side > 0:
                    del self.used[own_side, at]
            entry = self.used.get((side, price))
            if entry:
                entry[1] = shown - min(entry[0] - entry[1], shown) if shown < entry[0] else entry[1]
                entry[0] = shown
            for order in self.own(side):
                if (order[2] - price) * side > 0:
                    order[4] = 0
                elif order[2] == price:
                    order[4] = min(order[4], shown)
        for side in (1, -1):
            for order in self.own(side):
                if (order[2] - self.touch[-side][0]) * side >= 0:
                    lots = min(order[3], self.free(-side))
                    if lots:
                        self.use(-side, lots)
                    self.fill(order, order[2], lots)

    def trade(self, price: int, qty: int, taker: int) -> None:
        for side in (1, -1):
            for order in self.own(side):
                if (order[2] - price) * side > 0:
                    order[4] = 0
                    lots = min(order[3], qty)
                    qty -= lots
                    self.fill(order, order[2], lots)
            if taker == -side:
                passed = 0
                for order in [o for o in self.own(side) if o[2] == price]:
                    step = min(max(0, order[4] - passed), qty)
                    passed += step
                    qty -= step
                    lots = min(order[3], qty)
                    qty -= lots
                    self.fill(order, price, lots)
                for order in self.own(side):
                    if order[2] == price:
                        order[4] = max(0, order[4] - passed)

    def enter(self, name: str, side: int, price: int, qty: int) -> None:
        """A limit order, or with price 0 a market order."""
        self.time += 1
        order: list[Any] = [name, side, price, qty, 0, self.time]
        limit = price or side * (1 << 50)
        while order[3]:
            best, _ = self.touch[-side]
            others = self.own(-side)
            here = others[0][2] if others else None
            if self.free(-side) <= 0:
                best = -side * -(1 << 45)
            at = best if here is None or (best - here) * side < 0 else here
            if (limit - at) * side < 0 or abs(at) >= 1 << 40:
                break
            passed = 0
            start = self.free(-side) if at == self.touch[-side][0] else 0
            for other in [o for o in others if o[2] == at]:
                step = max(0, min(other[4] - passed, start - passed, order[3]))
                passed += step
                self.fill(order, at, step)
                lots = min(order[3], other[3])
                self.fill(order, at, lots)
                self.fill(other, at, lots)
            step = min(start - passed, order[3])
            passed += max(0, step)
            self.fill(order, at, max(0, step))
            if passed:
                self.use(-side, passed)
            for other in others:
                if other[2] == at:
                    other[4] = max(0, other[4] - passed)
        if price and order[3]:
            shown_at, _ = self.touch[side]
            order[4] = self.free(side) if price == shown_at else 0
            self.queue.append(order)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_orders_beside_a_recording_match_the_naive_ones(seed: int) -> None:
    rng = Random(seed)
    rig = Rig(("a", "b"), **RICH)
    naive = NaiveReplay()
    mid = 200
    rig.quote(199, 10, 201, 10)
    naive.quote(199, 10, 201, 10)
    for _ in range(150):
        rig.run(1)
        what = rng.random()
        mid += rng.choice((-1, 0, 0, 0, 1))
        qty = rng.randint(2, 25)
        if what < 0.45:
            bid, ask = mid - rng.randint(0, 1), mid + rng.randint(1, 2)
            sizes = rng.randint(1, 20), rng.randint(1, 20)
            rig.quote(bid, sizes[0], ask, sizes[1])
            naive.quote(bid, sizes[0], ask, sizes[1])
        elif what < 0.65:
            price, taker = mid + rng.randint(-2, 3), rng.choice((1, -1))
            rig.trade(price, qty, taker)
            naive.trade(price, qty, taker)
        elif what < 0.92:
            side = rng.choice((1, -1))
            price = 0 if rng.random() < 0.2 else mid + rng.randint(-3, 4)
            naive.enter(f"o{len(rig.orders) + 1}", side, price, qty)
            rig.order(
                side,
                price,
                qty,
                account=rng.choice(("a", "b")),
                order_type=OrderType.Limit if price else OrderType.Market,
                exec_instr=ExecInstructions.Unset,
            )
        else:
            live = [order for order in naive.queue if order[3]]
            if live:
                gone = rng.choice(live)
                naive.queue.remove(gone)
                rig.cancel(gone[0])
    fills: dict[str, list[tuple[int, int]]] = {}
    for name, price, lots in naive.fills:
        fills.setdefault(name, []).append((price, lots))
    assert fills == {
        name: [(price, lots) for price, lots, _ in rig.fills(name)] for name in rig.orders if rig.fills(name)
    }
    rig.check_conserved()
