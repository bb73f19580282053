"""The express does what the lanes do: the same histories, both ways, give the same calls in the same order."""

from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from mlthon.api.istrat_env import MDSub
from mlthon.api.istrategy import IStrategy
from mlthon.backtest import express
from mlthon.backtest.express import Express
from mlthon.basics.defs import NO_ASK, NO_BID, ExecInstructions, OrderType, Side
from mlthon.config import ErrorBudget, ExchangeSettings, RunConfig
from mlthon.data.replay import Batch
from mlthon.data.rows import Kind, MemorySource, Stream
from mlthon.data.timing import FeedModel, FeedTiming
from mlthon.engine.clock import MS
from mlthon.exchange.config import LatencyConfig
from tests.backtest.play import BTC, ETH, START, Played, Tape, ready, source
from tests.data.made import columns

MID = 1_000_000


class Fickle(IStrategy):
    """Writes down every call with the time of the engine's clock; at random it trades, changes what it reads, replaces
    a callback or raises."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.heard: list[tuple[Any, ...]] = []
        self.count = 0

    def on_framework_connected(self, env: Any) -> None:
        self.env = env
        env.login("fickle")

    def on_start(self, params: str) -> None:
        self.env.subscribe_to_market_data(BTC.venue, [BTC], [MDSub.BBO, MDSub.PublicTrades])
        self.env.setup_timer(300, self.turn)

    def on_stop(self, params: str) -> None:
        self.env.send_stop_ack()

    def turn(self) -> bool:
        kinds = self.rng.choice(([MDSub.BBO], [MDSub.PublicTrades], [MDSub.BBO, MDSub.PublicTrades]))
        more, less = self.env.subscribe_to_market_data, self.env.unsubscribe_from_market_data
        change = self.rng.choice((more, more, less))
        change(BTC.venue, [BTC], kinds)
        return True

    def told(self, *what: Any) -> None:
        self.heard.append(what)
        chance = self.rng.random()
        if chance < 0.1:
            self.count += 1
            side = self.rng.choice((Side.Buy, Side.Sell))
            price = BTC.price_scale.values[MID + self.rng.randint(-12, 12)]
            kind = self.rng.choice((OrderType.Limit, OrderType.Limit, OrderType.Market, OrderType.Stop))
            self.env.send_new_order(
                self.count, BTC.venue, BTC, side, price, "0.002", ExecInstructions.Unset, kind, stop_price=None
            )
        elif chance < 0.13 and self.count:
            self.env.send_cancel_order(BTC.venue, BTC, self.rng.randint(1, self.count))
        elif chance < 0.14:
            self.turn()
        elif chance < 0.15:
            self.on_public_trade = lambda *given: self.told("replaced", *given)  # type: ignore[method-assign]
        elif chance < 0.155:
            raise RuntimeError("on purpose")

    def on_public_trade(self, *given: Any) -> None:
        self.told("trade", *given)

    def on_best_bid_level_update(self, *given: Any) -> None:
        self.told("bid", *given)

    def on_best_ask_level_update(self, *given: Any) -> None:
        self.told("ask", *given)

    def on_new_order_ack(self, *given: Any) -> None:
        self.told("ack", *given)

    def on_new_order_reject(self, *given: Any) -> None:
        self.told("reject", *given)

    def on_order_execution(self, *given: Any) -> None:
        self.told("fill", *given)

    def on_order_cancelled(self, *given: Any) -> None:
        self.told("cancelled", *given)

    def on_feed_handler_status(self, *given: Any) -> None:
        self.told("feed", *given)


class Paired(Fickle):
    def on_best_levels_update(self, *given: Any) -> None:
        self.told("pair", *given)


def market(seed: int, quotes: bool, rows: int = 400) -> MemorySource:
    """Trades, and quotes among them if asked for; many at the same time. Of some seeds some quotes are crossed or have
    an empty side, and some quantities are beyond the ladder of small ones."""
    rng = Random(seed)
    odd = seed % 3 == 0
    most = rng.choice((9, 9, 200_000))
    made: dict[Stream, list[tuple[int, ...]]] = {}
    mid, ts = MID, START
    for number in range(rows):
        ts += rng.choice((0, 0, 3, 20)) * MS
        mid += rng.choice((-3, -1, 0, 0, 0, 1, 3))
        if quotes and rng.random() < 0.7:
            bid, ask = mid - rng.randint(0, 3), mid + rng.randint(-1 if odd else 1, 3)
            values = [bid, rng.randint(0, most), ask, rng.randint(0, most)]
            if odd and rng.random() < 0.02:
                values[:2] = NO_BID, 0
            elif odd and rng.random() < 0.02:
                values[2:] = NO_ASK, 0
            made.setdefault(Stream(BTC, Kind.QUOTE), []).append((ts, ts, *values))
        else:
            trade = mid + rng.randint(-3, 3), rng.randint(1, most), rng.choice((1, -1, 0)), number
            made.setdefault(Stream(BTC, Kind.TRADE), []).append((ts, ts, *trade))
    return MemorySource({stream: columns(values) for stream, values in made.items()})


def config(latency_ms: float) -> RunConfig:
    latency = LatencyConfig(ms=latency_ms)
    exchanges = {BTC.venue.name: ExchangeSettings(entry_latency=latency, response_latency=latency)}
    forgiving = ErrorBudget(count=1_000)
    return RunConfig(timing=FeedTiming(model=FeedModel.NONE), exchanges=exchanges, error_budget=forgiving)


def run_of(strategies: Any, data: Any, latency_ms: float = 1.0, by_express: bool = True) -> Played:
    played = ready(strategies, data, config(latency_ms), seed=1)
    if not by_express:
        played.run.plan = evolve(played.run.plan, express=None)
    return played


def books(played: Played) -> tuple[Any, ...]:
    result = played.result
    return result.digest, result.events, result.orders, result.fills, result.errors, result.position, result.pnl


@pytest.mark.parametrize("quotes", [False, True])
@pytest.mark.parametrize("kind", [Fickle, Paired])
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1 << 30), latency_ms=st.sampled_from([0.0, 1.0, 40.0]))
def test_the_express_calls_what_the_lanes_call(kind: Any, quotes: bool, seed: int, latency_ms: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(express, "FEWEST", 1)
        outcomes = []
        for by_express in (True, False):
            strategy = kind(seed)
            played = run_of(strategy, market(seed, quotes), latency_ms, by_express)
            assert played.run.plan.express is None or by_express
            played.go()
            outcomes.append((strategy.heard, books(played)))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("seed", range(3))
def test_pieces_of_batches_are_played_alike(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A paced run plays batches in pieces; small ones go through the lanes."""
    heard = []
    for size in (10_000, 100, 7):
        strategy = Paired(seed)
        played = run_of(strategy, market(seed, True))
        run = played.run

        def in_pieces(item: Any, run: Any = run, size: int = size) -> None:
            for first in range(0, len(item), size):
                run.play_rows(item, first, min(first + size, len(item)))

        monkeypatch.setattr(run, "play", in_pieces)
        played.go()
        heard.append((strategy.heard, books(played)))
    assert heard[0] == heard[1] == heard[2]


def has_express(*tapes: Tape, model: FeedModel = FeedModel.NONE) -> bool:
    settings = RunConfig(timing=FeedTiming(model=model))
    return isinstance(ready(Paired(1), source(*tapes), settings).run.plan.express, Express)


def test_one_instrument_heard_of_at_once_has_one() -> None:
    assert has_express(Tape().quote(1, 10, 1, 11, 1).trade(2, 10, 1, 1))
    assert has_express(Tape().trade(2, 10, 1, 1))


def test_books_and_several_instruments_have_none() -> None:
    one = Tape().trade(2, 10, 1, 1)
    assert not has_express(Tape().trade(2, 10, 1, 1).book(3, 0, 10, 1))
    assert not has_express(one, Tape(ETH).trade(2, 10, 1, 1))


def test_strategies_hear_by_the_lanes_what_takes_time_to_arrive() -> None:
    tape = Tape()
    for number in range(200):
        tape.trade(number, 10, 1, 1)
    played = ready(Paired(1), source(tape), RunConfig(timing=FeedTiming(model=FeedModel.RECORDED)))
    played.run.begin()
    express_ = played.run.plan.express
    assert express_ is not None
    batches = [each for each in played.run.plan.items if isinstance(each, Batch)]
    assert max(map(len, batches)) > express.FEWEST
    assert all(express_.play(each, 0, len(each)) is None for each in batches)


def test_two_who_hear_the_same_go_through_the_lanes() -> None:
    """The express steps back where a row has two hearers, and both hear everything."""
    rows = Tape()
    for number in range(200):
        rows.trade(number + 1, MID + number % 5, 1, 1)
    first, second = Quiet(), Quiet()
    run_of([first, second], source(rows)).go()
    assert len(first.heard) == 200
    assert first.heard == second.heard


class Quiet(IStrategy):
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def on_framework_connected(self, env: Any) -> None:
        self.env = env
        env.login("quiet")

    def on_start(self, params: str) -> None:
        self.env.subscribe_to_market_data(BTC.venue, [BTC], [MDSub.PublicTrades])

    def on_public_trade(self, *given: Any) -> None:
        self.heard.append(given)
