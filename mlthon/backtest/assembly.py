"""A run put together: data, embedded exchanges, engine and strategies, wired to one another.

Each kind of row of the merged data has a lane: the function that takes it. A row that counts at once on the exchange
and at the strategy goes through both; where market data takes time to arrive it is two rows, and two lanes.
"""

import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from attrs import frozen

from mlthon.backtest.loader import construct
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.config import ExchangeSettings, RunConfig, StrategyConfig
from mlthon.data.replay import Phase, Replay
from mlthon.data.rows import Kind, Source
from mlthon.engine.clock import Clock
from mlthon.engine.engine import Engine, EngineSettings
from mlthon.engine.feed import InstrumentFeed
from mlthon.engine.session import ErrorBudget
from mlthon.engine.taps import OrderFlowTap
from mlthon.errors import UserError
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.market import Market

log = logging.getLogger("mlthon.run")

Lane = Callable[[int, int, int, int, int, int], None]
"""Takes a row: `(a, b, c, d, exch_ts, ts)`."""


@frozen
class Assembly:
    """What a run works with. `strategies` maps names to their classes and configuration."""

    clock: Clock
    engine: Engine
    exchanges: Mapping[Exchange, EmbeddedExchange]
    accounts: Sequence[tuple[Exchange, str]]


def zone_of(name: str | None, paper: bool) -> tzinfo | None:
    """The time zone of daily callbacks: the configured one, else the system's on paper and UTC in a backtest."""
    if name is not None:
        return ZoneInfo(name)
    return None if paper else UTC


def instruments_of(config: RunConfig, sources: Sequence[Source]) -> list[Instrument]:
    """Every instrument of a run on data: those that the configuration names of the exchanges that the data is of, and
    where it names none, those of the data. An exchange without data has nothing to trade on and is left out."""
    found: dict[Exchange, dict[int, Instrument]] = {}
    for source in sources:
        for instrument in source.instruments:
            found.setdefault(instrument.venue, {})[instrument.number] = instrument
    for name, settings in config.exchanges.items():
        exchange = Exchange[name]
        if exchange not in found:
            log.info("%s is configured, but the data has nothing of it: left out", name)
        elif settings.instruments is not None:
            present = found[exchange]
            named = [resolve(exchange, key) for key in settings.instruments]
            found[exchange] = {each.number: present.get(each.number, each) for each in named}
    return [each for several in found.values() for each in several.values()]


def assemble(
    config: RunConfig,
    strategies: Mapping[str, tuple[type[Any], StrategyConfig]],
    instruments: Iterable[Instrument],
    *,
    start: int,
    seed: int,
    paper: bool = False,
    taps: Sequence[OrderFlowTap] = (),
    publish: Callable[[str, str], None] | None = None,
) -> Assembly:
    """Build engine and exchanges at time `start` (ns) and put the strategies in. Raises `UserError` where a strategy
    asks for an exchange that the run has not."""
    clock = Clock(start)
    settings = EngineSettings(
        zone_of(config.timezone, paper),
        ErrorBudget(config.error_budget.count, config.error_budget.window_s),
        config.stop_ack_timeout_s,
    )
    engine = Engine(clock, instruments, settings, taps, publish=publish)
    exchanges = {
        exchange: EmbeddedExchange(
            exchange,
            engine.universe.of(exchange),
            clock,
            config.exchanges.get(exchange.name, ExchangeSettings()),
            random.Random(f"{seed} {exchange.name}"),
        )
        for exchange in engine.universe.exchanges()
    }
    for name, (cls, wanted) in strategies.items():
        bound = [Exchange[each] for each in wanted.exchanges] if wanted.exchanges else list(exchanges)
        for exchange in bound:
            if exchange not in exchanges:
                raise UserError(
                    f"strategy {name} trades on {exchange.name}, which this run has not",
                    f"It has {', '.join(each.name for each in exchanges)}. Configure [exchanges.{exchange.name}], "
                    "or give data of it.",
                )
            port = engine.port(exchange, wanted.account)
            if not hasattr(port, "gateway"):
                port.gateway = exchanges[exchange].gateway(wanted.account, port)
        engine.add_strategy(name, construct(cls, wanted.params), bound, wanted.account, wanted.params)
    return Assembly(clock, engine, exchanges, list(engine.ports))


def lanes_of(replay: Replay, assembly: Assembly) -> list[Lane]:
    """The function that takes each kind of row of `replay`."""
    engine = assembly.engine
    lanes: list[Lane] = []
    for stream, phase in replay.lanes:
        exchange = assembly.exchanges[stream.instrument.venue]
        if stream.instrument not in exchange.markets:
            lanes.append(_to_nobody)
            continue
        market = exchange.market(stream.instrument)
        feed = engine.feed(stream.instrument)
        if stream.kind is Kind.BOOK:
            feed.expect_books()
        lanes.append(_LANES[phase](exchange, market, feed, stream.kind))
    return lanes


def _to_nobody(a: int, b: int, c: int, d: int, exch_ts: int, ts: int) -> None:
    """A row of an instrument that the configuration leaves out."""


def _to_market(_: EmbeddedExchange, market: Market, __: InstrumentFeed, kind: Kind) -> Lane:
    if kind is Kind.TRADE:
        return lambda price, qty, side, trade_id, exch_ts, ts: market.on_trade(price, qty, side, ts)
    take = market.on_quote if kind is Kind.QUOTE else market.on_book
    return lambda a, b, c, d, exch_ts, ts: take(a, b, c, d, ts)


def _to_both(_: EmbeddedExchange, market: Market, feed: InstrumentFeed, kind: Kind) -> Lane:
    """A lane through the market to whoever hears of it."""
    if kind is Kind.QUOTE:
        return market.quote_lane(feed)
    if kind is Kind.TRADE:
        return market.trade_lane(feed)

    def book(op: int, price: int, qty: int, level_id: int, exch_ts: int, ts: int) -> None:
        market.on_book(op, price, qty, level_id, ts)
        feed.book(op, price, qty, level_id, exch_ts, ts)

    return book


def _to_feed(exchange: EmbeddedExchange, _: Market, feed: InstrumentFeed, kind: Kind) -> Lane:
    """A lane to whoever hears of it, which also notes how long its rows were on their way, for latency models that
    follow the feed's."""

    def quote(bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, ts: int) -> None:
        exchange.observed_latency = ts - exch_ts
        feed.quote(bid, bid_qty, ask, ask_qty, exch_ts, ts)

    def trade(price: int, qty: int, side: int, trade_id: int, exch_ts: int, ts: int) -> None:
        exchange.observed_latency = ts - exch_ts
        feed.trade(price, qty, side, trade_id, exch_ts, ts)

    return (quote, trade, feed.book)[kind]


_LANES = {Phase.EXCHANGE: _to_market, Phase.BOTH: _to_both, Phase.FEED: _to_feed}
"""Phase -> what makes the lane of a stream."""
