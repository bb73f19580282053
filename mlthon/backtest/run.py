"""A run from its rows to its result: the loop that moves the clock along.

For each row, what is due at or before its time happens first (requests reach the exchange, answers reach strategies,
timers fire), then the row itself. At the end strategies are stopped, their open orders cancelled, and the books closed.
`Run.go` plays rows as fast as they go; `mlthon.live.paced` plays the same run by the wall clock.
"""

from collections.abc import Callable, Iterable, Sequence
from time import perf_counter  # the real one, also where a bot's clocks are replaced later
from typing import Any

from attrs import frozen

from mlthon.backtest.assembly import Assembly, Lane
from mlthon.backtest.express import Express
from mlthon.backtest.portfolio import deposits_of, holdings_of, positions, profit
from mlthon.backtest.result import Amounts, Progress, Result
from mlthon.backtest.tapped import Tapped
from mlthon.data.replay import Batch, Gap
from mlthon.engine.clock import SECOND
from mlthon.engine.garbage import THROUGHPUT, rare_collections
from mlthon.engine.taps import Digest, Tally
from mlthon.engine.tracker import TrackedOrder
from mlthon.exchange.contracts import Contract

PROGRESS_EVERY_S = 0.25
GRACE = SECOND
"""How long (ns) answers may take to come in before the clock crosses a hole."""
DATA_ENDED = "the data ended"
ROUNDS = 60
"""How many times `GRACE` the end waits for cancels to be answered."""

Sampler = Callable[[int, Amounts], None]
"""Is told the time (ns) and the profit so far by coin."""


class Turnover:
    """A tap: the value traded and the fees paid, by coin."""

    kinds = frozenset({"fill"})

    def __init__(self) -> None:
        self.value: dict[str, int] = {}
        self.fees: dict[str, int] = {}
        self._contracts: dict[object, Contract] = {}

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        if order is None:
            return
        _, price, qty, _, fee, fee_coin, _, _ = detail
        contract = self._contracts.get(order.instrument)
        if contract is None:
            contract = self._contracts[order.instrument] = Contract(order.instrument)
        self.value[contract.coin] = self.value.get(contract.coin, 0) + qty * contract.unit_value(price)
        self.fees[fee_coin] = self.fees.get(fee_coin, 0) + fee


@frozen
class Plan:
    """What a run goes through: its rows, the lanes that take them, and its span (ns; `end` None if unknown). Rows of
    lanes from `first_heard` on count as events: the others are what an exchange knew earlier of the same."""

    items: Iterable[Batch | Gap]
    lanes: Sequence[Lane]
    start: int
    end: int | None
    first_heard: int = 0
    ending: str = DATA_ENDED
    """Why it is over when it is."""
    express: Express | Tapped | None = None
    """The short way of most of its rows, where it has one."""


class Run:
    """One run. `sample_every` (ns of the run's time, 0 for never): how often the samplers are told the profit."""

    def __init__(
        self,
        name: str,
        mode: str,
        assembly: Assembly,
        plan: Plan,
        tally: Tally,
        turnover: Turnover,
        digest: Digest | None = None,
        sample_every: int = 0,
        samplers: Sequence[Sampler] = (),
    ) -> None:
        self.name = name
        self.mode = mode
        self.assembly = assembly
        self.plan = plan
        self.start = plan.start
        self.end = plan.end
        self.events = 0
        self._tally = tally
        self._turnover = turnover
        self._digest = digest
        self._sample_every = sample_every
        self._samplers = tuple(samplers)
        self._began = 0.0

    def go(
        self, on_progress: Callable[[Progress], None] | None = None, stop: Callable[[], bool] | None = None
    ) -> Result:
        """Play everything as fast as it goes. `stop` is asked between batches whether to end early."""
        self.begin()
        with rare_collections(THROUGHPUT):
            ended = self._play_all(on_progress, stop)
        return self.finish(ended)

    def _play_all(self, on_progress: Callable[[Progress], None] | None, stop: Callable[[], bool] | None) -> str:
        told = self._began
        for item in self.plan.items:
            self.play(item)
            if stop is not None and stop():
                return "it was stopped"
            now = perf_counter()
            if on_progress is not None and now - told >= PROGRESS_EVERY_S:
                told = now
                on_progress(self.progress())
        return self.plan.ending

    # -- the parts, for whoever drives the run -----------------------------------------------------------------------

    def begin(self) -> None:
        """Connect the strategies."""
        self._began = perf_counter()
        clock = self.assembly.clock
        self.assembly.engine.start()
        if self._samplers and self._sample_every:
            clock.call_at(clock.now + self._sample_every, self._sample)

    def play(self, item: Batch | Gap) -> None:
        """Play a batch of rows, or cross a hole."""
        if isinstance(item, Gap):
            self._cross(item)
        else:
            self.play_rows(item, 0, len(item))

    def play_rows(self, batch: Batch, first: int, last: int) -> None:
        """Play the rows of a batch from `first` until before `last`."""
        row = first
        express = self.plan.express
        while express is not None and row < last:
            reached = express.play(batch, row, last)
            if reached is None:
                break
            row = reached
        if row < last:
            self._play_lanes(batch, row, last)
        self.events += batch.count(self.plan.first_heard, first, last)
        if self._digest is not None and last == len(batch):
            batch.digest_into(self._digest.market)

    def _play_lanes(self, batch: Batch, first: int, last: int) -> None:
        """Play rows by calling the lane of each."""
        columns = (batch.ts, batch.stream, batch.a, batch.b, batch.c, batch.d, batch.exch_ts)
        if last - first < len(batch):
            columns = tuple(column[first:last] for column in columns)  # type: ignore[assignment]
        clock, lanes = self.assembly.clock, self.plan.lanes
        for ts, lane, a, b, c, d, exch_ts in zip(*columns, strict=True):
            if ts >= clock.due:
                clock.run_until(ts)
            clock.now = ts
            lanes[lane](a, b, c, d, exch_ts, ts)

    def _cross(self, gap: Gap) -> None:
        """A hole in the data: everything is disconnected, resting orders are cancelled, and the clock passes over it
        without timers or funding of the time between."""
        clock, engine = self.assembly.clock, self.assembly.engine
        clock.run_until(min(gap.start + GRACE, gap.end))
        detail = f"no data for {(gap.end - gap.start) // SECOND} s"
        for exchange, embedded in self.assembly.exchanges.items():
            engine.feeds[exchange].disconnect(detail)
            embedded.disconnect(detail)
        clock.run_until(min(clock.now + GRACE, gap.end))
        length = gap.end - clock.now
        clock.leap(length)
        for embedded in self.assembly.exchanges.values():
            embedded.shift(length)
        for session in engine.sessions.values():
            session.leapt()
        for exchange, embedded in self.assembly.exchanges.items():
            embedded.reconnect()
            engine.feeds[exchange].reconnect("the data goes on")

    def finish(self, ended: str) -> Result:
        """Stop the strategies, cancel what they leave open, and close the books."""
        engine, clock = self.assembly.engine, self.assembly.clock
        engine.wind_down(GRACE, ROUNDS)
        engine.end()
        elapsed = perf_counter() - self._began
        holdings = holdings_of(self.assembly)
        for sampler in self._samplers:
            sampler(clock.now, profit(holdings))
        counts = self._tally.counts
        return Result(
            strategy=self.name,
            mode=self.mode,
            events=self.events,
            orders=counts["new"],
            acks=counts["ack"] + counts["modify_ack"] + counts["cancel_ack"],
            rejects=counts["reject"] + counts["modify_reject"] + counts["cancel_reject"],
            cancels=counts["cancel"] + counts["cancel_all"],
            fills=counts["fill"],
            volume=self._turnover.value,
            fees=self._turnover.fees,
            pnl=profit(holdings),
            position=positions(holdings),
            errors=sum(session.failures for session in engine.sessions.values()),
            elapsed_s=elapsed,
            digest=self._digest.hexdigest() if self._digest is not None else None,
            ended=ended,
            start_ns=self.start,
            end_ns=clock.now,
            holdings=holdings,
            deposits=deposits_of(self.assembly),
        )

    def progress(self) -> Progress:
        """How the run is getting on."""
        holdings = holdings_of(self.assembly)
        return Progress(
            now_ns=self.assembly.clock.now,
            start_ns=self.start,
            end_ns=self.end,
            events=self.events,
            elapsed_s=perf_counter() - self._began,
            orders=self._tally.counts["new"],
            fills=self._tally.counts["fill"],
            holdings=holdings,
            pnl=profit(holdings),
            errors=sum(session.failures for session in self.assembly.engine.sessions.values()),
        )

    def _sample(self) -> None:
        made = profit(holdings_of(self.assembly))
        clock = self.assembly.clock
        for sampler in self._samplers:
            sampler(clock.now, made)
        clock.call_at(clock.now + self._sample_every, self._sample)
