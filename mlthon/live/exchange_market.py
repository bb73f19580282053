"""What a served exchange trades against, played by the clock alone: recordings, continued by the synthetic market where
they end, or the synthetic market from the start.

Every row is a queued call of the clock at its time, so whoever moves the clock (the wall clock's server, a simulation)
plays the market with it. The times of a recording are shifted so that it begins now; holes are passed over.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mlthon.basics.instrument import Instrument
from mlthon.data.replay import Gap, Phase, Replay
from mlthon.data.rows import Columns, Kind, Source, Stream
from mlthon.data.synthetic.generator import OrderFlow
from mlthon.data.synthetic.profiles import profile_of
from mlthon.data.timing import FeedModel, FeedTiming
from mlthon.engine.clock import SECOND, Clock
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.market import ServedMarket
from mlthon.exchange.synthetic_flow import SyntheticFlow

Lane = Callable[[int, int, int, int, int, int], None]
Row = tuple[int, Lane, int, int, int, int]

ENDLESS: Final = 365 * 86_400 * SECOND
HOLE_BECOMES: Final = SECOND
"""How long a hole of a recording takes here (ns)."""


class MarketPlayer:
    """Plays markets into a served exchange. `flows`: the synthetic flow of each market that has one by now."""

    def __init__(
        self, served: ServedExchange, sources: Sequence[Source] = (), seed: int = 0, speed: float = 1.0
    ) -> None:
        """`sources`: recordings; markets without any are synthetic from the start. `speed`: how many
        times as fast as the clock the market goes; the clock itself, and so every time that is told, is not changed."""
        self.served = served
        self.flows: dict[Instrument, SyntheticFlow] = {}
        self._seed = seed
        self._speed = speed
        self._clock: Clock = served.clock
        recorded = {stream.instrument for source in sources for stream in source.streams()}
        self._recorded = [instrument for instrument in served.markets if instrument in recorded]
        for instrument in served.markets:
            if instrument not in recorded:
                self._go_synthetic(instrument)
        if self._recorded:
            self._play(self._recorded_rows(sources), self._go_on)

    def set_price(self, instrument: Instrument, price: int) -> bool:
        """Move a synthetic market to a price (ticks); False for a market that still plays its recording."""
        flow = self.flows.get(instrument)
        if flow is None:
            return False
        flow.shift(price)
        return True

    # -- rows by the clock -------------------------------------------------------------------------------------------

    def _play(self, rows: Iterator[Row], then: Callable[[], None] | None) -> None:
        row = next(rows, None)
        if row is not None:
            self._clock.call_at(row[0], self._take, rows, row, then)
        elif then is not None:
            then()

    def _take(self, rows: Iterator[Row], row: Row | None, then: Callable[[], None] | None) -> None:
        """Play a row and all of the same time; queue the next."""
        now = self._clock.now
        while row is not None and row[0] <= now:
            ts, lane, a, b, c, d = row
            lane(a, b, c, d, ts, now)
            row = next(rows, None)
        if row is not None:
            self._clock.call_at(row[0], self._take, rows, row, then)
        elif then is not None:
            then()

    def _rows(self, replay: Replay, lanes: Sequence[Lane | None], start: int | None) -> Iterator[Row]:
        """The rows with their times moved so that the first is at `start` (None: as they are), sped up from now on."""
        origin = self._clock.now
        shift = 0 if start is None else None
        for item in replay:
            if isinstance(item, Gap):
                if shift is not None:
                    shift -= item.end - item.start - HOLE_BECOMES
                continue
            for ts, number, a, b, c, d in zip(item.ts, item.stream, item.a, item.b, item.c, item.d, strict=True):
                lane = lanes[number]
                if lane is None:
                    continue
                if shift is None and start is not None:
                    shift = start - ts
                at = ts + (shift or 0)
                yield at if self._speed == 1.0 else origin + round((at - origin) / self._speed), lane, a, b, c, d

    # -- recordings --------------------------------------------------------------------------------------------------

    def _recorded_rows(self, sources: Sequence[Source]) -> Iterator[Row]:
        replay = Replay(sources, FeedTiming(model=FeedModel.NONE))
        lanes = [self._lane(stream, phase) for stream, phase in replay.lanes]
        return self._rows(replay, lanes, self._clock.now)

    def _lane(self, stream: Stream, phase: Phase) -> Lane | None:
        served = self.served.markets.get(stream.instrument)
        if served is None:
            return None
        if phase is Phase.FEED:
            return {Kind.QUOTE: served.quote, Kind.TRADE: served.trade}.get(stream.kind, served.book)
        market = served.market
        if stream.kind is Kind.QUOTE:
            return market.quote_lane(served)
        if stream.kind is Kind.TRADE:
            return market.trade_lane(served)

        def book(op: int, price: int, qty: int, level_id: int, exch_ts: int, ts: int) -> None:
            market.on_book(op, price, qty, level_id, ts)
            served.book(op, price, qty, level_id, exch_ts, ts)

        return book

    def _go_on(self) -> None:
        """The recordings ended: every market of theirs goes on from its last price."""
        for instrument in self._recorded:
            self._go_synthetic(instrument)

    # -- the synthetic market ----------------------------------------------------------------------------------------

    def _go_synthetic(self, instrument: Instrument) -> None:
        served = self.served.markets[instrument]
        profile = profile_of(instrument)
        price = served.last_price or profile.start_price
        flow = OrderFlow(profile, self._seed_of(instrument), self._clock.now, ENDLESS, price)
        self._hand_over(served)
        maker = self.flows[instrument] = SyntheticFlow(served.market, price)

        def lane(op: int, side: int, x: int, y: int, exch_ts: int, ts: int) -> None:
            maker.on_row(op, side, x, y)

        replay = Replay([_Flow(flow, instrument)], FeedTiming(model=FeedModel.NONE))
        self._play(self._rows(replay, [lane] * len(replay.lanes), None), None)

    def _hand_over(self, served: ServedMarket) -> None:
        """The market becomes its own source, with the orders of accounts in it."""
        market = served.market
        self.served.embedded.publish_to(served.instrument, served)
        market.forget_displayed()
        if served.last is None:
            return
        served.clear()
        for side, book in ((1, market.bids), (-1, market.asks)):
            for price, level in book.levels.items():
                if market.publisher is not None:
                    market.publisher.level(side, price, level.qty)

    def _seed_of(self, instrument: Instrument) -> int:
        return random.Random(f"{self._seed} {instrument.number}").getrandbits(32)


class _Flow:
    """One market's synthetic order flow as a `Source`."""

    def __init__(self, flow: OrderFlow, instrument: Instrument) -> None:
        self._flow = flow
        self._stream = Stream(instrument, Kind.FLOW)
        self.instruments = [instrument]
        self.start = flow.start_ts
        self.end = flow.start_ts + flow.duration

    def streams(self) -> list[Stream]:
        return [self._stream]

    def chunks(self, stream: Stream) -> Iterator[Columns]:
        return self._flow.chunks(2_000)
