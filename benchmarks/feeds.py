"""The feed workloads on this engine: raw messages through Bybit's feed handler into a callback.

W3 keeps the handler's own book and calls once a message with its top. W4 goes on through the engine's feed to a
strategy's `on_public_trade`. W5 is W4 with the messages coming over a loopback websocket from another process, through
the edge and the feed of live trading, which subscribe first. Only what comes between bytes and callback is timed. A run
whose callbacks do not add up to what the messages say raises RuntimeError: it measures nothing.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import cast

import trio

from benchmarks import messages
from benchmarks.outcome import Outcome, main, now
from benchmarks.sender import sending
from feedhandlers import bybit
from mlthon.api.istrat_env import IStratEnv, MDSub
from mlthon.api.istrategy import IStrategy
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange, FeedHandlerStatus, GtwStatus, Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.engine.clock import MS, Clock
from mlthon.engine.engine import Engine, EngineSettings
from mlthon.engine.faces import Gateway
from mlthon.live.driver import Driver, WallTime
from mlthon.live.edge import EdgeSettings, TrioEdge
from mlthon.venue.codec import Endpoints
from mlthon.venue.live_feed import LiveFeed

EXCHANGE = Exchange.Bybit
ACCOUNT = "main"
SYMBOL = "byt:perp:btc-usdt"
INSTRUMENT = resolve(EXCHANGE, SYMBOL)
RECEIVED = messages.START_MS * MS

Levels = Sequence[tuple[int, int]]


class Tops:
    """W3's receiver: its callback once a message reads the top of the handler's book."""

    top: Callable[[], tuple[int, int, int, int]]

    def __init__(self) -> None:
        self.count = 0
        self.last: tuple[int, ...] = ()

    def changes(self, _bids: Levels, _asks: Levels, _exch_ts: int, _recv_ts: int) -> None:
        self.count += 1
        self.last = self.top()

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None:
        """A snapshot begins or is whole."""

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None: ...

    def trade(self, price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None: ...


class Listener(IStrategy):
    """A strategy that counts trades and remembers the last; `done` is called with the last of `expected`. `began`: when
    the feed was said to be there."""

    def __init__(self, expected: int, done: Callable[[], None]) -> None:
        self.left = expected
        self.began = 0.0
        self.done = done
        self.last: tuple[Side, Price, Qty, int, int] | None = None

    def on_framework_connected(self, env: IStratEnv) -> None:
        self.env = env
        env.login("listener")

    def on_start(self, params: str) -> None:
        self.env.subscribe_to_market_data(EXCHANGE, [SYMBOL], [MDSub.PublicTrades])

    def on_feed_handler_status(self, exchange: Exchange, status: FeedHandlerStatus, detail: str) -> None:
        if status is FeedHandlerStatus.SnapshotStart:
            self.began = now()

    def on_public_trade(
        self, exchange: Exchange, instrument_id: int, side: Side, price: Price, qty: Qty, exec_ts: int, recv_ts: int
    ) -> None:
        self.last = (side, price, qty, exec_ts, recv_ts)
        self.left -= 1
        if not self.left:
            self.done()


class Silent:
    """The gateway of an account that nobody trades."""

    def status(self) -> tuple[GtwStatus, str]:
        return GtwStatus.ReadyToTrade, ""


def problem(reason: str, data: bytes) -> None:
    raise RuntimeError(f"{reason}: {data[:200]!r}")


def done_at_once() -> None:
    """W4's loop ends by itself."""


def heard(count: int, run_s: float) -> Outcome:
    """A feed workload has no orders."""
    return Outcome(count, run_s, 0, 0, 0, 0)


def w3(events: int | None) -> Outcome:
    lines, expected = messages.book(events)
    tops = Tops()
    handler = bybit.feed_handler(EXCHANGE, {INSTRUMENT: tops}, problem)
    tops.top = handler.book(INSTRUMENT).top
    message = handler.message
    start = now()
    for line in lines:
        message(line, RECEIVED)
    run_s = now() - start
    if (tops.count, tops.last) != (len(lines), expected):
        raise RuntimeError(f"the book ends with {tops.last} after {tops.count} callbacks, not with {expected}")
    return heard(len(lines), run_s)


def engine_of(strategy: IStrategy, clock: Clock, gateway: Gateway) -> Engine:
    """A running engine with one strategy."""
    engine = Engine(clock, [INSTRUMENT], EngineSettings())
    engine.port(EXCHANGE, ACCOUNT).gateway = gateway
    engine.add_strategy("listener", strategy, [EXCHANGE], ACCOUNT, {})
    engine.start()
    clock.run_until(clock.now)
    return engine


def check(strategy: Listener, last: bytes) -> None:
    """Every message came, and the last one as it was sent."""
    if strategy.left or strategy.last is None:
        raise RuntimeError(f"{strategy.left} trades did not reach the strategy")
    side, price, qty, exec_ts, _ = strategy.last
    price_text = messages.price_text(INSTRUMENT.price_scale.steps(price))
    qty_text = messages.qty_text(INSTRUMENT.qty_scale.steps(qty))
    said = f'"T":{exec_ts},"s":"BTCUSDT","S":"{side.name}","v":"{qty_text}","p":"{price_text}"'
    if said.encode() not in last:
        raise RuntimeError(f"the last trade came as {said}")


def w4(events: int | None) -> Outcome:
    lines = messages.trades(events)
    strategy = Listener(len(lines), done_at_once)
    engine = engine_of(strategy, Clock(RECEIVED), cast(Gateway, Silent()))
    message = bybit.feed_handler(EXCHANGE, {INSTRUMENT: engine.feed(INSTRUMENT)}, problem).message
    start = now()
    for line in lines:
        message(line, RECEIVED)
    run_s = now() - start
    check(strategy, lines[-1])
    return heard(len(lines), run_s)


def live_feed(engine: Engine, edge: TrioEdge, driver: Driver, endpoints: Endpoints) -> LiveFeed:
    """The engine's live feed, started."""
    receivers = {INSTRUMENT: engine.feed(INSTRUMENT)}
    feed = LiveFeed(EXCHANGE, bybit, endpoints, edge, driver.clock, engine.feeds[EXCHANGE], receivers)
    feed.start()
    driver.look()
    return feed


async def over_the_line(url: str, expected: int) -> tuple[float, Listener]:
    """How long the messages took from the opening of the line to the last callback."""
    over = trio.Event()
    ended = 0.0

    def done() -> None:
        nonlocal ended
        ended = now()
        over.set()

    strategy = Listener(expected, done)
    wall = WallTime()
    driver = Driver(Clock(wall.now()), wall)
    endpoints = Endpoints("local", {"public.linear": url}, False)
    engine = engine_of(strategy, driver.clock, cast(Gateway, Silent()))
    async with trio.open_nursery() as nursery:
        edge = TrioEdge(driver, nursery, endpoints, EdgeSettings(proxy=""), Random(1))
        feed = live_feed(engine, edge, driver, endpoints)
        nursery.start_soon(driver.run)
        await over.wait()
        feed.stop()
        await edge.aclose()
        nursery.cancel_scope.cancel()
    if driver.failures or feed.problems or feed.faults:
        raise RuntimeError(
            f"{driver.failures} calls and {feed.faults} messages raised, {feed.problems} were unreadable"
        )
    return ended - strategy.began, strategy


def w5(events: int | None) -> Outcome:
    lines = messages.trades(events)
    with sending(messages.trades_path(events), wait_for_message=True) as url:
        run_s, strategy = trio.run(over_the_line, url, len(lines))
    check(strategy, lines[-1])
    return heard(len(lines), run_s)


WORKLOADS = {"W3": w3, "W4": w4, "W5": w5}

if __name__ == "__main__":
    # here, for it brings the whole of backtests along
    from benchmarks.ours import build

    main(build(), WORKLOADS)
