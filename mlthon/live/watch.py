"""A run's guard from the run's side: the heartbeat that it watches, and a new guard where one has died.

Without a guard nobody cancels orders if this program hangs. So while none watches (it has been killed, the machine had
no memory for it) nothing that adds to a risk is sent, and a new one is started.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mlthon.engine.clock import MS, SECOND
from mlthon.engine.entries import OpenOrder
from mlthon.errors import UserError
from mlthon.live.accounts import LiveAccount
from mlthon.live.driver import Driver
from mlthon.live.guard_process import GuardedAccount, GuardProcess, GuardSpec
from mlthon.live.heartbeat import Heartbeat
from mlthon.live.journal_store import SqliteJournal

log = logging.getLogger("mlthon.live")

BEAT_S: Final = 0.25
"""How often the heart beats at least."""
GOODBYE_S: Final = 0.5
"""How long a guard that is let go may take to end."""
AGAIN_S: Final = 5.0
"""How long after a guard was started in vain another one is."""
UNGUARDED: Final = "the guard process has died, and until a new one watches nothing that adds to a risk is sent"


class Watch:
    """The guard process of a run and the heartbeat that it watches, next to the journal.

    At the end of the run the guard is let go, unless orders are open that should not be (`cancel_left`): those it goes
    on cancelling by itself, for as long as that takes, while this program ends in time.
    """

    def __init__(
        self,
        journal: SqliteJournal,
        accounts: Iterable[LiveAccount],
        driver: Driver,
        beat_s: float,
        *,
        cancel_left: bool = True,
    ) -> None:
        """Raises `UserError` when the guard cannot be started."""
        accounts = list(accounts)
        self._journal = journal
        self._watched = {(each.venue.exchange, each.gateway.account) for each in accounts}
        self._cancel_left = cancel_left
        path = Path(f"{journal.path}.heartbeat")
        try:
            self._heart = Heartbeat(path)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}", "The heartbeat's file lies beside the journal.") from None
        self._clock = driver.clock
        self._every = round(min(BEAT_S, beat_s / 4) * SECOND)
        self._over = False
        self._missing = ""
        self._again = 0
        """When a new guard may be started (ns)."""
        self._owed = False
        """Whether everything is to be cancelled, and no guard has been there to be told."""
        self._spec = GuardSpec(
            journal=str(journal.path.absolute()),
            heartbeat=str(path.absolute()),
            log=f"{journal.path.absolute()}.guard.log",
            timeout_s=beat_s,
            accounts=[_guarded(each) for each in accounts],
        )
        self.pid_file = Path(f"{journal.path.absolute()}.guard.pid")
        """Where the guard's id stands, for whoever has to reach it when this program hangs (`fire_guard`)."""
        self.guard = self._started()
        for each in accounts:
            each.risk.halted = self.missing

    def _started(self) -> GuardProcess:
        """A guard that watches. Raises `UserError`."""
        try:
            guard = GuardProcess(self._spec).started()
        except OSError as error:
            raise UserError(f"the guard process cannot be started: {error.strerror}") from error
        self._name(guard)
        return guard

    def _name(self, guard: GuardProcess) -> None:
        try:
            self.pid_file.write_text(f"{guard.pid}\n", "ascii")
        except OSError as error:
            log.error("%s: %s: only this program can reach the guard", self.pid_file, error.strerror)

    def missing(self) -> str:
        """Why nothing that adds to a risk may be sent: no guard watches. Empty: one does."""
        return self._missing

    def start(self) -> None:
        """Beat from now on: as long as the engine's clock is moved on, the engine lives."""
        if self._over:
            return
        self._heart.beat()
        self._look()
        self._clock.call_at(self._clock.now + self._every, self.start)

    def _look(self) -> None:
        """See that a guard watches, and start a new one where none does; nobody waits for it."""
        if self.guard.ready:
            if self._missing:
                self._missing = ""
                self._name(self.guard)
                log.warning("a new guard process watches (id %d)", self.guard.pid)
            if self._owed:
                self.cancel()
            return
        if not self._missing:
            self._missing = UNGUARDED
            log.error("%s", UNGUARDED)
        if not self.guard.alive and self._clock.now >= self._again:
            self._again = self._clock.now + round(AGAIN_S * SECOND)
            self.guard.drop()
            try:
                self.guard = GuardProcess(self._spec)
            except OSError as error:
                log.error("a new guard process cannot be started: %s", error.strerror)

    def cancel(self) -> None:
        """Have the guard cancel every open order now; where none watches, the next one as soon as it does."""
        self._owed = not self.guard.ready
        if not self._owed:
            self.guard.cancel()

    def stop(self) -> None:
        """The run ends in order; everything that it knows is in the journal."""
        self._over = True
        self._journal.flush()
        left = [each.wire_id for each in self._open() if self._cancel_left]
        if left:
            self._leave(", ".join(left))
        else:
            self.guard.goodbye(GOODBYE_S)
            self.pid_file.unlink(missing_ok=True)
        self._heart.close()

    def _leave(self, left: str) -> None:
        """Leave open orders to the guard."""
        try:
            guard = self.guard if self.guard.ready else self._started()
        except UserError as error:
            log.error("%s, and these orders are open: %s; cancel them at the exchange", error, left)
            return
        log.error(
            "the guard process (id %d) goes on cancelling %s; it says what comes of it in %s",
            guard.pid,
            left,
            guard.log,
        )
        guard.finish()

    def _open(self) -> list[OpenOrder]:
        return [each for each in self._journal.open_orders() if (each.exchange, each.account) in self._watched]


def _guarded(account: LiveAccount) -> GuardedAccount:
    venue, keys = account.venue, account.credentials
    return GuardedAccount(
        exchange=venue.exchange.name,
        account=account.gateway.account,
        environment=venue.endpoints.environment,
        urls=dict(venue.endpoints.urls),
        real_money=venue.endpoints.real_money,
        key=keys.key,
        secret=keys.secret,
        kind=keys.kind,
        passphrase=keys.passphrase,
        offset_ms=venue.offset // MS,
        # the guard cancels over HTTP, whatever way the run's orders go
        options={name: value for name, value in venue.settings.live.options.items() if name != "orders"},
    )
