"""One account on a live exchange: the `Gateway` face, for any codec, on any edge.

Its life: the exchange's clock is measured, the account looked at (what this program cannot trade is refused for good),
the private lines opened. Once all of them are ready, what they tell is kept back while open orders, executions,
positions and wallet are fetched; all of it is merged by the account book, which tells the differences as ordinary
events; then what was kept back; then orders that should be open and are not listed are asked for. Only then is the
gateway ReadyToTrade. After every loss of a line it is the same. While it is ready the account is fetched again every
few minutes and after each message that could not be understood; what is found only then is logged as an error.

What becomes of requests about orders is `mlthon.venue.order_desk`; what is known of orders `mlthon.venue.account_book`;
who may send when `mlthon.venue.throttle`.
"""

import logging
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import field, frozen
from attrs.validators import ge, gt

from mlthon.basics.defs import GtwRejectCode, GtwStatus
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.order.state import TERMINAL
from mlthon.venue.account_book import AccountBook, BookedOrder
from mlthon.venue.asking import Asker, Asking, Trouble, told
from mlthon.venue.codec import BadMessage, Codec, Question, Refused, Unsupported
from mlthon.venue.facts import (
    AccountFact,
    ExecutionFact,
    Fact,
    FundingFact,
    LineInterrupted,
    LineReady,
    LineRefused,
    OrderFact,
    PositionFact,
    Reply,
    WalletFact,
)
from mlthon.venue.order_desk import OrderDesk
from mlthon.venue.scrub import scrub
from mlthon.venue.throttle import WAITS, Throttle
from mlthon.venue.wire import Answer, Edge, Failure, HttpAnswer, Priority, Request

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.faces import OrderEvents
    from mlthon.engine.tracker import TrackedOrder

log = logging.getLogger("mlthon.venue")

T = TypeVar("T")

CLOCK_SAMPLES: Final = 3
"""How often the exchange's clock is asked for at a time; the answer with the shortest way counts."""
LOSSES: Final = 3
"""After how many failed attempts in a row to connect a line the codec is asked anew where it is."""
PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""How long after each failure in a row something is tried again; the last from then on."""

_READY: Final = GtwStatus.ReadyToTrade


@frozen(kw_only=True)
class GatewaySettings:
    """`audit_s`: how often the account is fetched again while all is well. `margin_s`: how much longer than its
    validity a request is believed to be able to arrive. `overlap_s`: how far back before the last complete fetch
    executions are fetched again. `grace_s`: how long executions that an order fact speaks of may lag behind it.
    `order_wait_s`: an order that the rate limits would hold back for longer is refused. `dead_man_s`: after how
    long without a sign of life the exchange is to cancel everything; 0: never. `secrets`: texts that are never
    logged."""

    audit_s: float = field(default=300.0, validator=gt(0))
    margin_s: float = field(default=5.0, validator=ge(0))
    overlap_s: float = field(default=60.0, validator=ge(0))
    grace_s: float = field(default=2.0, validator=gt(0))
    order_wait_s: float = field(default=1.0, validator=ge(0))
    clock_s: float = field(default=600.0, validator=gt(0))
    keep_alive_s: float = field(default=1800.0, validator=gt(0))
    dead_man_s: float = field(default=0.0, validator=ge(0))
    secrets: tuple[str, ...] = field(default=(), repr=False)


class LiveGateway:
    """See the module. Implements `Gateway` and `LineUser`. `on_offset` hears of the exchange's clock less this one (ns)
    each time that it is measured: the edge makes the URLs of lines with it.

    `account_fact`, `positions` and `wallets` are what was last heard, for people; `bad_messages` counts messages that
    could not be understood, `book.differences` what only a check of the account brought to light.
    """

    def __init__(
        self,
        codec: Codec,
        edge: Edge,
        clock: Clock,
        events: "OrderEvents",
        settings: GatewaySettings | None = None,
        on_offset: Callable[[int], None] | None = None,
    ) -> None:
        self.exchange = codec.exchange
        self.account = codec.account
        self.settings = settings or GatewaySettings()
        self.account_fact: AccountFact | None = None
        self.positions: dict[Instrument, PositionFact] = {}
        self.wallets: dict[str, WalletFact] = {}
        self.bad_messages = 0
        self._codec = codec
        self._edge = edge
        self._clock = clock
        self._events = events
        self._on_offset = on_offset
        self._status = (GtwStatus.Connecting, "not started")
        waits = {**WAITS, Priority.ORDER: self.settings.order_wait_s}
        self.throttle = Throttle(clock, edge, codec.rules, codec.usage, events.rate_limit_info, waits)
        self._asker = Asker(clock, self.throttle)
        self.book = AccountBook(
            events, clock, lambda booked: self._fetch_executions(booked, lambda _: None), self.settings.grace_s
        )
        self._desk = OrderDesk(
            codec,
            clock,
            self.throttle,
            self._asker,
            self.book,
            events,
            self.settings.margin_s,
            self._deal,
            self._bad,
            self._fetch_executions,
        )
        self._lines: set[str] = set()
        self._ready: set[str] = set()
        self._losses: dict[str, int] = {}
        self._refusals = 0
        self._epoch = 0
        """Counted up whenever what is under way to bring the account up to date has become worthless."""
        self._over = False
        self._kept: list[Fact] = []
        self._covered = 0
        """Every execution before this time (ns of the exchange) has been fetched."""
        self._before: tuple[dict[Instrument, PositionFact], dict[str, WalletFact]] = {}, {}
        """Positions and wallets as they were known when the account was last asked for."""
        self._audit_due = False
        self._armed = False

    def status(self) -> tuple[GtwStatus, str]:
        return self._status

    @property
    def offset(self) -> int:
        """The exchange's clock less this one (ns)."""
        return self.throttle.offset

    # -- start and stop ----------------------------------------------------------------------------------------------

    def restore(self, orders: "Sequence[TrackedOrder]", exec_ids: Collection[tuple[int, str]], since: int) -> None:
        """Before `start`: orders of earlier runs that are not known to be over, the executions that are known (number
        of the instrument, id), and since when others may have happened (ns; 0: since the oldest of the orders). What
        became of the orders is asked for as of unknown ones."""
        self.book.restore(orders, exec_ids)
        self._covered = since or min((order.created_ts for order in orders), default=0)

    def start(self) -> None:
        """Connect. What becomes of it is told by `gateway_status`."""
        overlap = round(self.settings.overlap_s * SECOND)
        if self._covered:
            self.book.horizon = self._covered - overlap
        self._report(GtwStatus.Connecting, "asking the exchange for its clock and the account", tell=False)
        self._clock.call_soon(self._measure_clock, CLOCK_SAMPLES, [], self._check_account)

    def stop(self) -> None:
        """Close the lines, disarm the dead man's switch, ask nothing any more."""
        if self._armed:
            self._armed = False
            self._send_dead_man(0.0)
        self._give_up(GtwStatus.Connecting, "stopped")

    def _give_up(self, status: GtwStatus, reason: str) -> None:
        self._over = True
        self._epoch += 1
        self._desk.stopped = status is not GtwStatus.Maintenance
        self._close_lines("the gateway has stopped")
        self._report(status, reason)

    def _refused_for_good(self, reason: str) -> None:
        log.error("%s %s will not be traded: %s", self.exchange.name, self.account, reason)
        self._give_up(GtwStatus.Maintenance, reason)

    def _report(self, status: GtwStatus, detail: str, *, tell: bool = True) -> None:
        if (status, detail) != self._status:
            self._status = status, detail
            if tell:
                self._events.gateway_status(status, detail)

    def _later(self, pause_s: float, call: Callable[..., None], *args: Any) -> None:
        """Call unless the gateway has ended by then."""
        self._clock.call_at(self._clock.now + round(pause_s * SECOND), self._unless_over, call, *args)

    def _unless_over(self, call: Callable[..., None], *args: Any) -> None:
        if not self._over:
            call(*args)

    def _insist(self, what: str, make: Callable[[], Question[T]], done: Callable[[T | None], None]) -> None:
        """Ask until there is an answer or the exchange refuses for good; None: it has no such thing. Dropped when a new
        epoch begins."""
        epoch, tries = self._epoch, 0

        def wanted() -> bool:
            return epoch == self._epoch and not self._over

        def failed(trouble: Trouble) -> None:
            nonlocal tries
            if not wanted():
                return
            if isinstance(trouble, Unsupported):
                done(None)
            elif isinstance(trouble, Refused) and trouble.final:
                self._refused_for_good(f"{what}: {told(trouble)}")
            else:
                pause = _pause(tries, trouble)
                tries += 1
                self._count_bad(what, trouble)
                self._report(GtwStatus.Connecting, f"{what}: {told(trouble)}; asked again in {pause:g} s")
                self._later(pause, ask)

        def ask() -> None:
            if wanted():
                self._asker.ask(make, lambda answer: done(answer) if wanted() else None, failed)

        ask()

    def _measure_clock(self, samples: int, found: list[tuple[int, int]], then: Callable[[], None]) -> None:
        """Ask the exchange's time so often; what counts is the answer that was fastest, half of whose way is taken to
        be each direction's."""

        def answered(server: int, asking: Asking[int]) -> None:
            trip = asking.recv_ts - asking.sent_ts
            found.append((trip, server - asking.sent_ts - trip // 2))
            if len(found) < samples:
                self._measure_clock(samples, found, then)
                return
            self.throttle.offset = min(found)[1]
            if self._on_offset is not None:
                self._on_offset(self.throttle.offset)
            then()

        def failed(trouble: Trouble) -> None:
            if isinstance(trouble, Unsupported):
                then()
            elif isinstance(trouble, Refused) and trouble.final:
                self._refused_for_good(f"the exchange's time: {told(trouble)}")
            else:
                pause = _pause(0, trouble)
                if self._status[0] is not _READY:
                    self._report(GtwStatus.Connecting, f"the exchange's time: {told(trouble)}")
                self._later(pause, self._measure_clock, samples, found, then)

        asking = self._asker.ask(
            self._codec.server_time, lambda server: self._unless_over(answered, server, asking), failed
        )

    def _measure_again(self) -> None:
        self._measure_clock(CLOCK_SAMPLES, [], lambda: self._later(self.settings.clock_s, self._measure_again))

    def _check_account(self) -> None:
        self._later(self.settings.clock_s, self._measure_again)
        if not self._covered:
            # nothing is known of this account: what happened before is history, not news
            self._covered = self.book.horizon = self.throttle.exchange_now
        self._insist("the account", self._codec.account_info, self._account_told)

    def _account_told(self, fact: AccountFact | None) -> None:
        self.account_fact = fact
        if fact is not None and (fact.refusal or fact.may_trade is False):
            self._refused_for_good(fact.refusal or "the API key has no permission to trade")
            return
        self._open_lines()
        self._later(self.settings.keep_alive_s, self._keep_alive, 0)
        self._later(self.settings.audit_s, self._audit_regularly)

    # -- lines -------------------------------------------------------------------------------------------------------

    def _open_lines(self) -> None:
        self._insist("the private lines", self._codec.lines, self._lines_told)

    def _lines_told(self, lines: Any) -> None:
        self._report(GtwStatus.Connecting, "connecting")
        wanted = list(lines or ())
        self._lines = {line.name for line in wanted}
        for line in wanted:
            self._edge.open_line(line, self)
        if not wanted:
            self._recover(0)

    def _close_lines(self, reason: str) -> None:
        for name in sorted(self._lines):
            self._edge.close_line(name)
            self.throttle.line_lost(name, reason)
        self._lines.clear()
        self._ready.clear()
        self._losses.clear()

    def _renew_lines(self, reason: str, pause_s: float) -> None:
        """Ask anew where the lines are: those there were are of no use any more."""
        self._epoch += 1
        self._close_lines(reason)
        self._report(GtwStatus.Connecting, reason)
        self._later(pause_s, self._open_if_same, self._epoch)

    def _open_if_same(self, epoch: int) -> None:
        if epoch == self._epoch:
            self._open_lines()

    def line_opened(self, name: str) -> None:
        if name in self._lines:
            self._losses[name] = 0
            for text in self._codec.line_opened(name, self.throttle.exchange_now // MS):
                self._edge.send(name, text)

    def line_closed(self, name: str, reason: str) -> None:
        if name not in self._lines:
            return
        self._epoch += 1
        self._ready.discard(name)
        self.throttle.line_lost(name, reason)
        self._report(GtwStatus.Connecting, f"the line {name} was lost: {reason}")
        self._losses[name] = self._losses.get(name, 0) + 1
        if self._losses[name] > LOSSES:
            self._renew_lines(f"the line {name} cannot be opened: {reason}", _pause(self._refusals))
            self._refusals += 1

    def line_message(self, name: str, data: bytes, recv_ts: int) -> None:
        if name not in self._lines:
            return
        facts: list[Fact | str] = []
        try:
            for fact in self._codec.line_message(name, data, recv_ts):
                facts.append(fact)  # noqa: PERF402  what came before an error is kept
        except Exception as error:  # noqa: BLE001  one broken message must not end anything else
            self._bad(f"the line {name}", data, error)
        for fact in facts:
            self._heard(name, fact)

    def _heard(self, name: str, fact: Fact | str) -> None:
        if isinstance(fact, str):
            self._edge.send(name, fact)
        elif isinstance(fact, Reply):
            ticket = self.throttle.take(name, fact.key) if fact.key else None
            if ticket is None:
                self._deal(fact)
            else:
                self._desk.replied(ticket, fact)
        elif isinstance(fact, LineReady):
            self._line_ready(name)
        elif isinstance(fact, LineRefused):
            self._line_refused(fact)
        elif isinstance(fact, LineInterrupted):
            self._renew_lines(f"the exchange interrupts the line {name}: {fact.reason}", 0.0)
        elif self._status[0] is _READY:
            self._apply(fact)
        else:
            self._kept.append(fact)

    def _line_ready(self, name: str) -> None:
        if name in self._lines and name not in self._ready:
            self._ready.add(name)
            if self._ready == self._lines:
                self._recover(0)

    def _line_refused(self, fact: LineRefused) -> None:
        reason = f"the exchange refuses the line {fact.line}: {fact.reason}"
        if fact.final:
            self._refused_for_good(reason)
        else:
            self._renew_lines(reason, _pause(self._refusals))
            self._refusals += 1

    def _keep_alive(self, tries: int) -> None:
        """Do what the exchange wants done every half hour; what fails is tried again soon, for the lines are at
        stake."""
        question = self._codec.keep_alive()
        if question is None:
            return

        def failed(trouble: Trouble) -> None:
            if not isinstance(trouble, Unsupported):
                log.warning("%s: keeping the lines alive failed: %s", self.exchange.name, told(trouble))
                self._later(max(_pause(tries, trouble), 5.0), self._keep_alive, tries + 1)

        self._asker.ask(
            lambda: question, lambda _: self._later(self.settings.keep_alive_s, self._keep_alive, 0), failed
        )

    # -- bringing the account up to date -----------------------------------------------------------------------------

    def _ask_account(self, done: Callable[[list[Any]], None], failed: Callable[[Trouble], None]) -> None:
        epoch = self._epoch
        since = max(0, self._covered - round(self.settings.overlap_s * SECOND))
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
            lambda: epoch == self._epoch and not self._over,
        )

    def _recover(self, tries: int) -> None:
        """All lines tell everything from now on: fetch what happened before."""
        epoch, asked, covers = self._epoch, self._clock.now, self.throttle.exchange_now

        def failed(trouble: Trouble) -> None:
            if isinstance(trouble, Refused) and trouble.final:
                self._refused_for_good(f"the account's state: {told(trouble)}")
                return
            self._count_bad("the account's state", trouble)
            pause = _pause(tries, trouble)
            self._report(GtwStatus.Connecting, f"the account's state: {told(trouble)}; asked again in {pause:g} s")
            self._later(pause, self._recover_if_same, epoch, tries + 1)

        self._report(GtwStatus.Connecting, "fetching the account's orders and executions")
        self._ask_account(lambda answers: self._recovered(answers, asked, covers), failed)

    def _recover_if_same(self, epoch: int, tries: int) -> None:
        if epoch == self._epoch:
            self._recover(tries)

    def _recovered(self, answers: list[Any], asked: int, covers: int) -> None:
        listed = self._merge(answers, asked, covers)
        kept, self._kept = self._kept, []
        for fact in kept:
            self._apply(fact)
        unlisted = self._unlisted(listed, asked)
        epoch, waiting = self._epoch, len(unlisted)

        def answered() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting and epoch == self._epoch:
                self._now_ready()

        for booked in unlisted:
            self._desk.inquire(booked, answered)
        if not unlisted:
            self._now_ready()

    def _merge(self, answers: list[Any], asked: int, covers: int) -> set[str]:
        """Take in what was fetched; the wire ids of the open orders."""
        orders, executions, positions, wallets = answers
        listed = set()
        for fact in orders:
            booked = self.book.order(fact, asked)
            if booked is not None:
                listed.add(booked.wire_id)
        for each in executions:
            self.book.execution(each)
        self._merge_positions(positions, wallets)
        self._covered = max(self._covered, covers)
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
            for booked in self.book.open_orders()
            if booked.wire_id not in listed and booked.heard <= asked and booked.created_ts <= asked
            if booked.acked or booked.restored
        ]

    def _now_ready(self) -> None:
        self._refusals = 0
        kept, self._kept = self._kept, []
        for fact in kept:
            self._apply(fact)
        if not self._armed and self._codec.has_dead_man and self.settings.dead_man_s:
            self._armed = True
            self._arm()
        self._report(_READY, "")

    def _audit_regularly(self) -> None:
        self._later(self.settings.audit_s, self._audit_regularly)
        self._audit()

    def _audit_soon(self) -> None:
        if not self._audit_due:
            self._audit_due = True
            self._later(1.0, self._audit)

    def _audit(self) -> None:
        """Fetch the account though all seems well. What the lines have not told a little later either is missing."""
        self._audit_due = False
        if self._status[0] is not _READY:
            return
        asked, covers, epoch = self._clock.now, self.throttle.exchange_now, self._epoch

        def done(answers: list[Any]) -> None:
            self._later(self.settings.grace_s, self._audited, answers, asked, covers, epoch)

        def failed(trouble: Trouble) -> None:
            self._count_bad("the account's state", trouble)
            log.warning("%s: the account could not be checked: %s", self.exchange.name, told(trouble))

        self._ask_account(done, failed)

    def _audited(self, answers: list[Any], asked: int, covers: int, epoch: int) -> None:
        if epoch != self._epoch:
            return
        self.book.auditing = f"{self.exchange.name} {self.account}: found only when the account was checked"
        try:
            listed = self._merge(answers, asked, covers)
        finally:
            self.book.auditing = ""
        for booked in self._unlisted(listed, asked):
            log.error("%s: order %s is not among the open orders; asking for it", self.exchange.name, booked.wire_id)
            self.book.differences += 1
            self._desk.inquire(booked)

    def _fetch_executions(self, booked: BookedOrder, done: Callable[[bool], None]) -> None:
        """Fetch the executions of an order; `done` hears whether that worked."""
        overlap = round(self.settings.overlap_s * SECOND)
        since = max(0, booked.created_ts + self.offset - overlap)

        def answered(executions: Iterable[ExecutionFact]) -> None:
            for fact in executions:
                self.book.execution(fact)
            done(True)

        def failed(trouble: Trouble) -> None:
            log.warning("executions of order %s could not be fetched: %s", booked.wire_id, told(trouble))
            done(False)

        self._asker.ask(lambda: self._codec.executions(since, booked.instrument), answered, failed)

    def _deal(self, reply: Reply) -> None:
        for fact in reply.facts:
            self._apply(fact)

    def _apply(self, fact: Fact) -> None:
        if isinstance(fact, OrderFact):
            self.book.order(fact)
        elif isinstance(fact, ExecutionFact):
            self.book.execution(fact)
        elif isinstance(fact, PositionFact):
            self.positions[fact.instrument] = fact
        elif isinstance(fact, WalletFact):
            self.wallets[fact.coin] = fact

    # -- what cannot be understood -----------------------------------------------------------------------------------

    def _bad(self, where: str, data: bytes, error: Exception) -> None:
        """Count and log a message that makes no sense, and see what it may have said."""
        self.bad_messages += 1
        if not isinstance(error, BadMessage):
            error = BadMessage(f"{type(error).__name__} in the codec")
        shown = scrub(data, self.settings.secrets)
        log.error("%s: %s could not be understood: %s: %s", self.exchange.name, where, error, shown)
        self._audit_soon()

    def _count_bad(self, where: str, trouble: Trouble) -> None:
        if isinstance(trouble, BadMessage):
            self.bad_messages += 1
            log.error("%s: the answer about %s could not be understood: %s", self.exchange.name, where, told(trouble))

    # -- the dead man's switch ---------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._armed:
            self._send_dead_man(self.settings.dead_man_s)
            self._later(self.settings.dead_man_s / 3, self._arm)

    def _send_dead_man(self, timeout_s: float) -> None:
        try:
            request = self._codec.arm_dead_man(timeout_s)
        except Unsupported as error:
            self._armed = False
            log.error("%s: the dead man's switch cannot be armed: %s", self.exchange.name, told(error))
            return
        self.throttle.send(request, lambda answer: self._dead_man_answered(request, answer))

    def _dead_man_answered(self, request: Request, answer: Answer) -> None:
        problem = ""
        if isinstance(answer, Failure):
            problem = answer.reason
        elif answer.status >= 400:
            problem = f"HTTP {answer.status}: {scrub(answer.body, self.settings.secrets)}"
        if problem:
            log.error("%s: %s failed: %s", self.exchange.name, request.name, problem)

    # -- requests about orders ---------------------------------------------------------------------------------------

    def new_order(self, order: "TrackedOrder") -> None:
        self._desk.new_order(order)

    def modify_order(self, order: "TrackedOrder", price: int | None, qty: int | None) -> None:
        self._desk.modify_order(order, price, qty)

    def cancel_order(self, order: "TrackedOrder") -> None:
        self._desk.cancel_order(order)

    def cancel_all(self, instrument: "Instrument") -> None:
        """Cancel every order of ours in the instrument; orders of others on the account are not touched."""
        self._desk.cancel_all(instrument)

    # -- questions ---------------------------------------------------------------------------------------------------

    def _question(self, request_id: int, name: str, make: Callable[[], Question[T]], done: Callable[[T], None]) -> None:
        def failed(trouble: Trouble) -> None:
            code = GtwRejectCode.InvalidRequest
            if isinstance(trouble, Unsupported):
                self._events.unsupported(name)
            elif isinstance(trouble, Refused):
                code = GtwRejectCode.RateLimited if trouble.retry_after_s is not None else code
            else:
                code = GtwRejectCode.GtwNotReady
                self._count_bad(name, trouble)
            self._events.request_reject(request_id, code, told(trouble), name)

        self._asker.ask(make, done, failed)

    def fetch_order_status(self, request_id: int, order: "TrackedOrder") -> None:
        asked = self._clock.now

        def done(fact: OrderFact | None) -> None:
            if fact is None:
                detail = "the exchange does not know the order"
                self._events.request_reject(request_id, GtwRejectCode.UnknownOrder, detail, "OrderStatus")
                return
            self.book.order(fact, asked)
            filled = fact.filled or 0
            leaves = 0 if fact.status in TERMINAL else max(0, fact.qty - filled)
            self._events.order_status(request_id, order.wire_id, fact.status, fact.price, leaves)

        self._question(request_id, "OrderStatus", lambda: self._codec.order_status(order), done)

    def fetch_orders_info(self, request_id: int, instrument: "Instrument | None") -> None:
        asked = self._clock.now

        def done(facts: Sequence[OrderFact]) -> None:
            booked = [self.book.order(fact, asked) for fact in facts]
            self._events.orders_info(request_id, [each.wire_id for each in booked if each is not None])

        self._question(request_id, "OrdersInfo", lambda: self._codec.open_orders(instrument), done)

    def fetch_position_info(self, request_id: int, instrument: "Instrument") -> None:
        def done(facts: Sequence[PositionFact]) -> None:
            mine = [fact for fact in facts if fact.instrument == instrument]
            fact = mine[0] if mine else PositionFact(instrument=instrument, position=0)
            self.positions[instrument] = fact
            self._events.position_info(
                request_id, instrument, fact.position, fact.entry_price, fact.mark_price, fact.liquidation_price
            )

        self._question(request_id, "PositionInfo", lambda: self._codec.positions(instrument), done)

    def fetch_wallet_info(self, request_id: int, coin: str) -> None:
        def done(facts: Sequence[WalletFact]) -> None:
            self.wallets.update((fact.coin, fact) for fact in facts)
            fact = next((fact for fact in facts if fact.coin == coin), WalletFact(coin=coin, total=0, available=0))
            self._events.wallet_info(request_id, coin, fact.total, fact.available)

        self._question(request_id, "WalletInfo", self._codec.wallet, done)

    def fetch_funding_info(self, request_id: int, instrument: "Instrument") -> None:
        def done(fact: FundingFact) -> None:
            self._events.funding_info(request_id, instrument, fact.rate, fact.next_ts)

        self._question(request_id, "FundingInfo", lambda: self._codec.funding(instrument), done)

    def fetch_account_info(self, request_id: int) -> None:
        def done(fact: AccountFact) -> None:
            self.account_fact = fact
            self._events.account_info(request_id, fact.user_id)

        self._question(request_id, "AccountInfo", self._codec.account_info, done)


def _pause(tries: int, trouble: Trouble | None = None) -> float:
    """How long (s) to wait after so many failures before this one, or as long as the exchange says."""
    said = trouble.retry_after_s if isinstance(trouble, Refused) else None
    return max(PAUSES_S[min(tries, len(PAUSES_S) - 1)], said or 0.0)


def _if_any(make: Callable[[], Question[Sequence[T]]]) -> Generator[Request, HttpAnswer, Sequence[T]]:
    """The answer, empty where the exchange has no such thing (positions of a spot market)."""
    try:
        return (yield from make())
    except Unsupported:
        return ()
