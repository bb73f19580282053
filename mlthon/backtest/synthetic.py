"""A run without data: the synthetic order flow trades on the embedded exchange, and strategies trade with it.

The flow's rows are a source like any other, so the same loop plays them; what they do to the book is published by the
market itself and reaches strategies after the feed latency.
"""

from collections.abc import Callable, Iterator, Sequence

from mlthon.api.istrat_env import MDSub
from mlthon.backtest.assembly import Assembly, Lane
from mlthon.backtest.run import Plan
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.config import RunConfig
from mlthon.data.replay import Replay
from mlthon.data.rows import Columns, Kind, Stream
from mlthon.data.synthetic.generator import OrderFlow
from mlthon.data.synthetic.profiles import profile_of
from mlthon.data.timing import FeedModel, FeedTiming
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.engine.exchange_feed import ExchangeFeed
from mlthon.engine.faces import MarketEvents
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.synthetic_flow import SyntheticFlow

DEFAULT_START = 1_735_689_600 * SECOND
"""2025-01-01 00:00 UTC."""
DEFAULT_DURATION = 3600 * SECOND
DEFAULT_MARKET = (Exchange.Bybit, "byt:perp:btc-usdt")
_SEEDS_APART = 1_000_003


class FlowSource:
    """The synthetic order flows of several instruments, as a `Source`."""

    def __init__(self, flows: Sequence[OrderFlow], instruments: Sequence[Instrument]) -> None:
        self._flows = {Stream(instrument, Kind.FLOW): flow for instrument, flow in zip(instruments, flows, strict=True)}
        self.instruments = list(instruments)
        self.start = flows[0].start_ts
        self.end = flows[0].start_ts + flows[0].duration

    def streams(self) -> list[Stream]:
        return list(self._flows)

    def chunks(self, stream: Stream) -> Iterator[Columns]:
        return self._flows[stream].chunks()


class DelayedFeed:
    """Market data on its way to strategies: passes everything on `delay` ns later."""

    def __init__(self, feed: MarketEvents, clock: Clock, delay: int) -> None:
        self._feed = feed
        self._clock = clock
        self._delay = delay

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
        at = exch_ts + self._delay
        self._clock.call_at(at, self._arrive, "quote", bid, bid_qty, ask, ask_qty, exch_ts, at)

    def trade(self, price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None:
        at = exch_ts + self._delay
        self._clock.call_at(at, self._arrive, "trade", price, qty, side, trade_id, exch_ts, at)

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None:
        at = exch_ts + self._delay
        self._clock.call_at(at, self._arrive, "book", op, price, qty, level_id, exch_ts, at)

    def _arrive(self, event: str, *row: int) -> None:
        """Looked up only now: who hears of it may have changed on the way."""
        getattr(self._feed, event)(*row)


def synthetic_instruments(config: RunConfig) -> list[Instrument]:
    """The instruments that get a synthetic market: those that the configuration names, else BTC-USDT on Bybit."""
    named = [
        resolve(Exchange[name], key)
        for name, settings in config.exchanges.items()
        for key in settings.instruments or ()
    ]
    return named or [resolve(*DEFAULT_MARKET)]


def synthetic_plan(
    assembly: Assembly, instruments: Sequence[Instrument], config: RunConfig, seed: int, start: int, duration: int
) -> Plan:
    """The rows of a synthetic market of each instrument, wired to the exchanges of the run."""
    flows = []
    delay = feed_delay(config.timing)
    lanes: dict[Stream, Lane] = {}
    for number, instrument in enumerate(instruments):
        profile = profile_of(instrument)
        flow = OrderFlow(profile, seed + _SEEDS_APART * number, start, duration, profile.start_price)
        flows.append(flow)
        exchange = assembly.exchanges[instrument.venue]
        feed = assembly.engine.feed(instrument)
        feed.expect_books(whole=True)
        feed.has_orders = True
        exchange.observed_latency = delay
        exchange.publish_to(instrument, DelayedFeed(feed, assembly.clock, delay) if delay else feed)
        lanes[Stream(instrument, Kind.FLOW)] = _lane(SyntheticFlow(exchange.market(instrument), flow.start_price))
    for venue, exchange in assembly.exchanges.items():
        group = assembly.engine.feeds[venue]
        group.on_change = _orders_on_demand(group, exchange, assembly.clock)
    replay = Replay([FlowSource(flows, instruments)], FeedTiming(model=FeedModel.NONE))
    return Plan(
        replay, [lanes[stream] for stream, _ in replay.lanes], start, start + duration, ending="its time was over"
    )


def _orders_on_demand(group: ExchangeFeed, exchange: EmbeddedExchange, clock: Clock) -> Callable[[], None]:
    """What to do when subscriptions change: publish single orders from the first time that somebody reads them."""
    shown: set[Instrument] = set()

    def changed() -> None:
        for instrument, kinds in group.wanted().items():
            if MDSub.OrderBook in kinds and instrument not in shown:
                shown.add(instrument)
                clock.call_soon(exchange.publish_orders, instrument)

    return changed


def feed_delay(timing: FeedTiming) -> int:
    """How long (ns) market data takes where nothing was recorded: the constant of that model, else the base."""
    if timing.model is FeedModel.NONE:
        return 0
    ms = timing.constant_ms if timing.model is FeedModel.CONSTANT else timing.base_ms
    return round(ms * MS)


def _lane(flow: SyntheticFlow) -> Lane:
    on_row = flow.on_row

    def lane(op: int, side: int, x: int, y: int, exch_ts: int, ts: int) -> None:
        on_row(op, side, x, y)

    return lane
