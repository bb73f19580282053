"""Simulated runs that are killed: `python -m tests.simulation.crashes --seeds 100`.

As `sim`, with a journal between strategies and gateway; and the program dies, again and again while the network fails,
at a moment that is drawn from the seed: before or after a commit of the journal, before or after a request leaves. Then
nothing of it happens any more (its clock stands still, its lines are cut, what it sent may yet arrive); a little later
another one starts with the journal that it left. At the end journal and exchange must agree on every order and fill;
nothing may have been told or sent twice, over all lives. No new order may leave that the journal does not know, and
what it said was safe must be in it in every later life. Now and then the disk is full for a while.

Every other seed waits for its disk (`durability="power"`): entries are written in groups, which take their time, and
those that were not written when the program died are gone, and what they told may be told again in the next life.

`kill` does the same with real processes, a hundred times as slow; here every place is reached.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Final, cast

from mlthon.basics.defs import GtwStatus
from mlthon.engine.clock import MS, SECOND, US, Clock, Handle, Send
from mlthon.engine.engine import Engine, EngineSettings
from mlthon.engine.entries import Entry, StoreFailed
from mlthon.engine.journal import JournalStage
from mlthon.engine.taps import OrderFlowTap
from mlthon.live.accounts import restore
from mlthon.live.assembly import adopt_orders
from mlthon.live.journal_group import Done, Group, tell
from mlthon.live.journal_store import Durability, SqliteJournal
from mlthon.venue.live_gateway import GatewaySettings, LiveGateway
from mlthon.venue.wire import Answer, Answered, HttpMessage
from tests.simulation.network import Network
from tests.simulation.seeds import play_seeds
from tests.simulation.sim import ACCOUNT, AUDIT_S, Outcome, Plan, Simulation
from tests.simulation.venues import VENUES, Venue

FOR_EVER: Final = 0
STEPS: Final = 400
"""A life has at most so many steps: commits and requests, each with a moment before and one after."""
OVER: Final = ("Filled", "Cancelled", "Rejected")
FULL: Final = 0.002
"""How often a commit finds the disk full, and how long (ms) it then stays so."""
FULL_MS: Final = (1, 8000)
DISK_US: Final = (300, 30_000)
"""How long a commit that waits for the disk takes (us)."""


class Killed(BaseException):
    """The program dies here."""


class Life:
    """How long the program lives (steps); `alive` until then."""

    def __init__(self, steps: int) -> None:
        self.alive = True
        self._left = steps

    def step(self) -> None:
        """One more moment. Raises Killed at the last."""
        self._left -= 1
        if self.alive and not self._left:
            raise Killed


class Mortal(Clock):
    """The clock of one life: what it has queued is not called after its end."""

    def __init__(self, clock: Clock, life: Life) -> None:
        super().__init__(clock.now)
        self._ours = clock
        self.life = life

    @property
    def now(self) -> int:
        return self._ours.now

    @now.setter
    def now(self, value: int) -> None:
        """Set by the base class alone: time is everybody's."""

    def _call(self, call: Callable[..., object], *args: Any) -> None:
        if self.life.alive:
            call(*args)

    def call_at(self, ts: int, call: Callable[..., object], *args: Any) -> None:
        self._ours.call_at(ts, self._call, call, *args)

    def after(self, delay: int) -> Send:
        return lambda call, *args: self.call_at(self.now + delay, call, *args)

    def call_soon(self, call: Callable[..., object], *args: Any) -> None:
        self._ours.call_soon(self._call, call, *args)

    def schedule(self, ts: int, call: Callable[..., object], *args: Any) -> Handle:
        return self._ours.schedule(ts, self._call, call, *args)


class MortalNetwork(Network):
    """The network of one life."""

    life: Life

    def http(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        def heard(answer: Answer) -> None:
            if self.life.alive:
                answered(answer)

        self.life.step()
        super().http(message, timeout_s, heard)
        self.life.step()

    def send(self, name: str, text: str) -> bool:
        self.life.step()
        sent = super().send(name, text)
        self.life.step()
        return sent


class MortalStore:
    """The journal of one life. `safe`: how many entries it has said are written; `fails`: whether the disk may be full
    now and then."""

    def __init__(self, journal: SqliteJournal, life: Life, clock: Clock, rng: Random, *, fails: bool) -> None:
        self.safe = 0
        self.failures = 0
        self._journal = journal
        self._life = life
        self._clock = clock
        self._rng = rng
        self._fails = fails
        self._full_until = 0

    def commit(self, entries: Sequence[Entry]) -> None:
        self._life.step()
        if self._fails and self._rng.random() < FULL:
            self._full_until = self._clock.now + self._rng.randint(*FULL_MS) * MS
        if self._clock.now < self._full_until:
            self.failures += 1
            raise StoreFailed("the disk is full")
        self._journal.commit(entries)
        self._life.step()
        self.safe += len(entries)


class SlowDisk(Group):
    """What `GroupCommit` is, its thread a call of the clock: one group at a time, each after a while."""

    def __init__(self, store: MortalStore, clock: Clock, rng: Random) -> None:
        super().__init__(store.commit)
        self._clock = clock
        self._rng = rng
        self._busy = False

    def submit(self, entries: Sequence[Entry], done: Done) -> None:
        super().submit(entries, done)
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        self._busy = True
        self._clock.call_at(self._clock.now + self._rng.randint(*DISK_US) * US, self._written, *self.take())

    def _written(self, entries: list[Entry], waiting: list[Done]) -> None:
        reason = self.write(entries)
        if reason:
            self.put_back(entries)
        self._busy = False
        tell(waiting, reason)
        if self._waiting and not self._busy:
            self._begin()


class Crashing(Simulation):
    """One run of one seed, in a folder of its own."""

    def __init__(self, venue: Venue, seed: int, folder: Path, plan: Plan | None = None) -> None:
        self._folder = folder
        self._durability: Durability = "power" if seed % 2 else "process"
        self.crashes = 0
        self.safe = 0
        """How many entries the journals of earlier lives have said are written."""
        self.faults: Counter[str] = Counter()
        super().__init__(venue, seed, plan)

    def _build(self) -> None:
        """The program, as `mlthon.live.assembly` puts it together: with what the last one left in the journal."""
        venue = self.venue
        self.life = life = Life(FOR_EVER if self.quiet else self._rng.randint(1, STEPS))
        self._mortal = clock = Mortal(self.clock, life)
        self.journal = journal = SqliteJournal(
            self._folder / "run.journal", durability=self._durability, now=self.clock.now
        )
        ((written,),) = journal.rows("SELECT count(*) FROM events")
        if written < self.safe:
            self.watch.problems.append(f"{self.safe} entries were said to be safe; the journal has {written}")
        self.network = network = MortalNetwork(
            self.clock, self.dialect, self.urls, self._rng, self.plan.weather, self._left
        )
        network.life = life
        network.calm = self.quiet
        network.on_send = self._said
        taps: list[OrderFlowTap] = [self.watch]
        self.engine = Engine(
            clock, [self.instrument], EngineSettings(), taps, journal.run, installation=journal.installation
        )
        self._add_strategies(["a", "b"], f"{self._seed} {journal.run}")
        self.store = store = MortalStore(journal, life, clock, self._rng, fails=not self.quiet)
        disk = SlowDisk(store, clock, self._rng) if self._durability == "power" else None
        stage = JournalStage(self.port, venue.exchange, ACCOUNT, clock, store, self.port.find, disk)
        self.gateway = LiveGateway(self._codec(), network, clock, stage, GatewaySettings(audit_s=AUDIT_S))
        stage.gateway = self.gateway
        self.port.gateway = stage
        account = SimpleNamespace(venue=SimpleNamespace(exchange=venue.exchange), gateway=self.gateway)
        risk = SimpleNamespace(adopt=lambda order: None)
        adopt_orders(self.engine, journal, {(venue.exchange, ACCOUNT): stage}, cast(Any, risk))
        restore(self.engine, journal, [cast(Any, account)])

    def _begin(self) -> None:
        self.engine.start()
        self.gateway.start()
        for gambler in self.gamblers:
            self._mortal.call_at(self.clock.now + SECOND, self._act, gambler)

    def _act(self, gambler: Any) -> None:
        if not self.quiet and self.life.alive:
            gambler.act()
            self._mortal.call_at(self.clock.now + self._rng.randint(20, 1000) * MS, self._act, gambler)

    def _sent_new(self, wire_id: str) -> None:
        super()._sent_new(wire_id)
        if not self.journal.rows("SELECT 1 FROM orders WHERE wire_id = ?", wire_id):
            self.watch.problems.append(f"the new order {wire_id} left before it was in the journal")

    def _die(self) -> None:
        self.crashes += 1
        self.life.alive = False
        self.network.die()
        self.faults += self.network.faults
        self.faults["disk full"] += self.store.failures
        self.safe += self.store.safe
        if self._durability == "power" or self.store.failures:
            fills = {exec_id for (exec_id,) in self.journal.rows("SELECT exec_id FROM fills")}
            self.watch.forget(fills, self.journal.rows("SELECT wire_id, kind FROM events"))
        # as the system does it: what was not committed is gone, files and lock are released
        journal = self.journal
        journal._closing.set()
        journal._checkpoints.join()
        journal._db.close()
        journal._write.close()
        journal._lock.close()

    def _live_until(self, ts: int) -> None:
        """Until then, however often the program dies."""
        while self.clock.now < ts:
            try:
                self.clock.run_until(ts)
            except Killed:
                self._die()
                self.clock.run_until(self.clock.now + self._rng.randint(100, 5000) * MS)
                self._build()
                self._begin()

    def run(self) -> Outcome:
        clock, plan = self.clock, self.plan
        self._market()
        self._begin()
        self._live_until(clock.now + plan.stormy_s * SECOND)
        self.quiet = True
        # the last death, so that the last life has everything to find out
        self._die()
        self._build()
        self._begin()
        self._live_until(clock.now + plan.calm_s * SECOND)
        self.served.halt("the market rests")
        found = self.watch.problems + self._compare_journal()
        self.faults += self.network.faults
        self.watch.counts["crash"] = self.crashes
        self.journal.close()
        return Outcome(self.venue.dialect, self._seed, found, self.faults, self.watch.counts)

    def _compare_journal(self) -> list[str]:
        status, detail = self.gateway.status()
        found = [] if status is GtwStatus.ReadyToTrade else [f"the gateway is {status.name}: {detail}"]
        rows = self.journal.rows("SELECT wire_id, state, filled, price, qty FROM orders WHERE is_foreign = 0")
        mine = {wire_id: row for wire_id, *row in rows}
        for order in self.account.orders.values():
            row = mine.pop(order.client_id, None)
            if row is None:
                found.append(f"the journal does not know order {order.client_id}")
                continue
            state, filled, price, qty = row
            is_over = state in OVER
            if filled != order.filled or is_over == order.is_open:
                found.append(f"{order.client_id}: {state} {filled}; {order.status.name} {order.filled} there")
            if not is_over and (price, qty) != (order.price, order.qty) and order.stop_price is None:
                found.append(f"{order.client_id}: {qty} @ {price}; {order.qty} @ {order.price} there")
        for wire_id, (state, filled, _, _) in mine.items():
            if state not in OVER or filled:
                found.append(f"{wire_id}: {state}, but it was never there")
        theirs = {self._execution_id(each): each.qty for each in self.account.executions}
        fills = dict(self.journal.rows("SELECT exec_id, qty FROM fills"))
        found += [f"fill {each} was lost" for each in sorted(theirs.keys() - fills.keys())]
        found += [f"fill {each} never happened" for each in sorted(fills.keys() - theirs.keys())]
        ((total,),) = self.journal.rows("SELECT coalesce(sum(side * qty), 0) FROM fills")
        if total != self._held():
            found.append(f"the journal's fills make up {total} lots; the account holds {self._held()}")
        return found


def crash(venue: str, seed: int, plan: Plan | None = None) -> Outcome:
    """One run: the same for the same seed, venue and plan."""
    with TemporaryDirectory() as folder:
        return Crashing(VENUES[venue], seed, Path(folder), plan).run()


def summary(counts: Counter[str], faults: Counter[str]) -> str:
    told = f"orders {counts['new']}, fills told {counts['fill']}, faults {sum(faults.values())}"
    return f"{counts['crash']} crashes, {told}"


if __name__ == "__main__":
    sys.exit(play_seeds("python -m tests.simulation.crashes", __doc__, VENUES, crash, summary))
