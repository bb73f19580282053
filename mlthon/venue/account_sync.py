"""Bringing what is known of an account up to date: recovery after each connect, and checks while all is well.

Both fetch open orders, executions since the last complete fetch, positions and wallet, and have the account book merge
them. In a recovery what the lines tell meanwhile is kept back and merged after it; orders that should be open and are
not listed are asked for. A check merges a little later, when the lines have had their time: whatever is told only then
should have been known, and is logged as an error. After both the positions are compared with the executions.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mlthon.engine.clock import SECOND, Clock
from mlthon.venue.account_book import AccountBook
from mlthon.venue.asking import Asker, Trouble, told
from mlthon.venue.booked_order import BookedOrder
from mlthon.venue.codec import Codec, Question, Unsupported
from mlthon.venue.facts import ExecutionFact, Fact, OrderFact, PositionFact, WalletFact
from mlthon.venue.gateway_settings import GatewaySettings
from mlthon.venue.position_check import PositionCheck
from mlthon.venue.throttle import Throttle
from mlthon.venue.wire import HttpAnswer, Request

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument

log = logging.getLogger("mlthon.venue")

T = TypeVar("T")
Inquire = Callable[[BookedOrder, Callable[[], None] | None], None]
Wanted = Callable[[], bool]
"""Whether what was begun is still of use: no line has been lost since."""


class AccountSync:
    """One account's. `inquire` asks for an order; `on_doubt` has the account checked again soon. `differences`: how
    often positions did not fit the executions."""

    def __init__(
        self,
        codec: Codec,
        clock: Clock,
        throttle: Throttle,
        asker: Asker,
        book: AccountBook,
        settings: GatewaySettings,
        inquire: Inquire,
        on_doubt: Callable[[], None],
    ) -> None:
        self.positions: dict[Instrument, PositionFact] = {}
        self.wallets: dict[str, WalletFact] = {}
        self.covered = 0
        """Every execution before this time (ns of the exchange) has been fetched."""
        self.differences = 0
        self._codec = codec
        self._clock = clock
        self._throttle = throttle
        self._asker = asker
        self._book = book
        self._overlap = round(settings.overlap_s * SECOND)
        self._grace = round(settings.grace_s * SECOND)
        self._inquire = inquire
        self._on_doubt = on_doubt
        self._check = PositionCheck()
        self._kept: list[Fact] = []
        self._before: tuple[dict[Instrument, PositionFact], dict[str, WalletFact]] = {}, {}
        """Positions and wallets as they were known when the account was last asked for."""
        book.on_execution = lambda fact: self._check.execution(fact.instrument, fact.side * fact.qty, clock.now)

    # -- facts -------------------------------------------------------------------------------------------------------

    def keep(self, fact: Fact) -> None:
        """Something was told that has to wait until the account has been fetched."""
        self._kept.append(fact)

    def apply_kept(self) -> None:
        kept, self._kept = self._kept, []
        for fact in kept:
            self.apply(fact)

    def apply(self, fact: Fact) -> None:
        if isinstance(fact, OrderFact):
            self._book.order(fact)
        elif isinstance(fact, ExecutionFact):
            self._book.execution(fact)
        elif isinstance(fact, PositionFact):
            self.positions[fact.instrument] = fact
        elif isinstance(fact, WalletFact):
            self.wallets[fact.coin] = fact

    # -- fetching ----------------------------------------------------------------------------------------------------

    def _ask_account(
        self, wanted: Wanted, done: Callable[[list[Any]], None], failed: Callable[[Trouble], None], *, urgent: bool
    ) -> None:
        since = max(0, self.covered - self._overlap)
        codec = self._codec
        self._before = dict(self.positions), dict(self.wallets)
        self._asker.ask_all(
            [
                lambda: codec.open_orders(None),
                lambda: codec.executions(since, None),
                lambda: _if_any(lambda: codec.positions(None)),
                lambda: _if_any(codec.wallet),
            ],
            done,
            failed,
            wanted,
            urgent=urgent,
        )

    def fetch_executions(self, booked: BookedOrder, done: Callable[[bool], None]) -> None:
        """Fetch the executions of an order; `done` hears whether that worked."""
        since = max(0, booked.created_ts + self._throttle.offset - self._overlap)

        def answered(executions: Iterable[ExecutionFact]) -> None:
            for fact in executions:
                self._book.execution(fact)
            done(True)

        def failed(trouble: Trouble) -> None:
            log.warning("executions of order %s could not be fetched: %s", booked.wire_id, told(trouble))
            done(False)

        self._asker.ask(lambda: self._codec.executions(since, booked.instrument), answered, failed, urgent=True)

    # -- recovery ----------------------------------------------------------------------------------------------------

    def recover(self, wanted: Wanted, done: Callable[[], None], failed: Callable[[Trouble], None]) -> None:
        """All lines tell everything from now on: fetch what happened before; `done` once all of it is known."""
        asked, covers = self._clock.now, self._throttle.exchange_now
        self._ask_account(
            wanted, lambda answers: self._recovered(answers, asked, covers, wanted, done), failed, urgent=True
        )

    def _recovered(self, answers: list[Any], asked: int, covers: int, wanted: Wanted, done: Callable[[], None]) -> None:
        listed = self._merge(answers, asked, covers)
        merged = self._check.changes
        self.apply_kept()
        self._clock.call_at(self._clock.now + self._grace, self._compare, answers, merged, wanted)
        unlisted = self._unlisted(listed, asked)
        waiting = len(unlisted)

        def answered() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting and wanted():
                done()

        for booked in unlisted:
            self._inquire(booked, answered)
        if not unlisted:
            done()

    def _merge(self, answers: list[Any], asked: int, covers: int) -> set[str]:
        """Take in what was fetched; the wire ids of the open orders."""
        orders, executions, positions, wallets = answers
        listed = set()
        for fact in orders:
            booked = self._book.order(fact, asked)
            if booked is not None:
                listed.add(booked.wire_id)
        for each in executions:
            self._book.execution(each)
        self._merge_positions(positions or (), wallets or ())
        self.covered = max(self.covered, covers)
        return listed

    def _merge_positions(self, positions: Iterable[PositionFact], wallets: Iterable[WalletFact]) -> None:
        """What was fetched counts unless a line has told something since it was asked for; an instrument that is not
        listed has no position."""
        positions_before, wallets_before = self._before
        fetched = {instrument: PositionFact(instrument=instrument, position=0) for instrument in positions_before}
        fetched.update((fact.instrument, fact) for fact in positions)
        for instrument, fact in fetched.items():
            if self.positions.get(instrument) is positions_before.get(instrument):
                self.positions[instrument] = fact
        for wallet in wallets:
            if self.wallets.get(wallet.coin) is wallets_before.get(wallet.coin):
                self.wallets[wallet.coin] = wallet

    def _unlisted(self, listed: set[str], asked: int) -> list[BookedOrder]:
        """Orders that should be open, but are not in the list of those that are; and what earlier runs sent that was
        never acknowledged."""
        return [
            booked
            for booked in self._book.open_orders()
            if booked.wire_id not in listed and booked.heard <= asked and booked.created_ts <= asked
            if booked.acked or booked.restored
        ]

    # -- checks ------------------------------------------------------------------------------------------------------

    def audit(self, wanted: Wanted, failed: Callable[[Trouble], None]) -> None:
        """Fetch the account though all seems well. What the lines have not told a little later either is missing."""
        asked, covers = self._clock.now, self._throttle.exchange_now

        def done(answers: list[Any]) -> None:
            self._clock.call_at(self._clock.now + self._grace, self._audited, answers, asked, covers, wanted)

        self._ask_account(wanted, done, failed, urgent=False)

    def _audited(self, answers: list[Any], asked: int, covers: int, wanted: Wanted) -> None:
        if not wanted():
            return
        name = self._codec.exchange.name
        self._book.auditing = f"{name} {self._codec.account}: found only when the account was checked"
        try:
            listed = self._merge(answers, asked, covers)
        finally:
            self._book.auditing = ""
        for booked in self._unlisted(listed, asked):
            log.error("%s: order %s is not among the open orders; asking for it", name, booked.wire_id)
            self._book.differences += 1
            self._inquire(booked, None)
        self._compare(answers, self._check.since(asked - self._grace), wanted)

    def _compare(self, answers: list[Any], since: int, wanted: Wanted) -> None:
        """See whether positions and executions fit."""
        positions = answers[2]
        if positions is None or not wanted():
            return
        for difference in self._check.compare(positions, since):
            self.differences += 1
            log.error("%s %s: %s", self._codec.exchange.name, self._codec.account, difference)
        if self._check.doubted:
            self._on_doubt()


def _if_any(make: Callable[[], Question[Sequence[T]]]) -> Generator[Request, HttpAnswer, Sequence[T] | None]:
    """The answer, None where the exchange has no such thing (positions of a spot market)."""
    try:
        return (yield from make())
    except Unsupported:
        return None
