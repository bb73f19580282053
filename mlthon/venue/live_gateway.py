"""One account on a live exchange: the `Gateway` face, for any codec, on any edge.

Its life: the exchange's clock is measured, the account looked at (what this program cannot trade is refused for good),
the private lines opened. Once all of them are ready, what they tell is kept back while open orders, executions,
positions and wallet are fetched; all of it is merged by the account book, which tells the differences as ordinary
events; then what was kept back; then orders that should be open and are not listed are asked for. Only then is the
gateway ReadyToTrade. After every loss of a line it is the same. While it is ready the account is fetched again every
few minutes and after each message that could not be understood; what is found only then is logged as an error.

Its end has three steps, so that nothing happens behind the back of whoever closes connections and journal: after
`wind_down` nothing leaves that adds to a risk, cancels still do; `stop` closes the lines and sends nothing more; once
`idle`, or at the latest after `close`, no answer and no event comes up any more.

The lines are `mlthon.venue.private_lines`, recovery and checks `mlthon.venue.account_sync`, strategies' questions
`mlthon.venue.account_questions`; what becomes of requests about orders is `mlthon.venue.order_desk`; what is known of
orders `mlthon.venue.account_book`; who may send when `mlthon.venue.throttle`.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mlthon.basics.defs import GtwStatus
from mlthon.engine.clock import SECOND, Clock
from mlthon.venue.account_book import AccountBook
from mlthon.venue.account_questions import AccountQuestions
from mlthon.venue.account_sync import AccountSync, Wanted
from mlthon.venue.asking import Asker, Asking, Trouble, told
from mlthon.venue.codec import BadMessage, Codec, Question, Refused, Unsupported
from mlthon.venue.dead_man import DeadManSwitch
from mlthon.venue.facts import AccountFact, Fact, PositionFact, Reply, WalletFact
from mlthon.venue.gateway_settings import GatewaySettings as GatewaySettings
from mlthon.venue.gateway_settings import pause_s
from mlthon.venue.order_desk import OrderDesk
from mlthon.venue.private_lines import PrivateLines
from mlthon.venue.scrub import scrub
from mlthon.venue.throttle import WAITS, Throttle
from mlthon.venue.wire import Edge, Priority

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.faces import OrderEvents
    from mlthon.engine.tracker import TrackedOrder

log = logging.getLogger("mlthon.venue")

T = TypeVar("T")

CLOCK_SAMPLES: Final = 3
"""How often the exchange's clock is asked for at a time; the answer with the shortest way counts."""

_READY: Final = GtwStatus.ReadyToTrade


class LiveGateway:
    """See the module. Implements `Gateway` and hears of its lines. `on_offset` hears of the exchange's clock less this
    one (ns) each time that it is measured: the edge makes the URLs of lines with it.

    `account_fact`, `positions` and `wallets` are what was last heard, for people; `bad_messages` counts messages that
    could not be understood, `book.differences` what only a check of the account brought to light,
    `position_differences` how often a position was not what the executions make of it.
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
        self.bad_messages = 0
        self._codec = codec
        self._clock = clock
        self._events = events
        self._on_offset = on_offset
        self._status = (GtwStatus.Connecting, "not started")
        waits = {**WAITS, Priority.ORDER: self.settings.order_wait_s}
        self.throttle = Throttle(clock, edge, codec.rules, codec.usage, events.rate_limit_info, waits)
        self._asker = Asker(clock, self.throttle)
        self.book = AccountBook(
            events, clock, lambda booked: self._sync.fetch_executions(booked, lambda _: None), self.settings.grace_s
        )
        self._sync = AccountSync(
            codec,
            clock,
            self.throttle,
            self._asker,
            self.book,
            self.settings,
            lambda booked, then: self._desk.inquire(booked, then),
            self._audit_soon,
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
            self.bad_message,
            self._sync.fetch_executions,
        )
        self._lines = PrivateLines(codec, edge, clock, self.throttle, self.settings.line_ready_s, self)
        self._questions = AccountQuestions(codec, clock, self._asker, self.book, self._sync, events, self._count_bad)
        self._switch = DeadManSwitch(
            codec, clock, self.throttle, self.settings.dead_man_s, self.settings.secrets, self._unless_over
        )
        self._refusals = 0
        self._oldest = 0
        """When the oldest order of earlier runs that is open was sent (ns of this clock)."""
        self._epoch = 0
        """Counted up whenever what is under way to bring the account up to date has become worthless."""
        self._over = False
        self._audit_due = False

    def status(self) -> tuple[GtwStatus, str]:
        return self._status

    @property
    def account_fact(self) -> AccountFact | None:
        return self._questions.account_fact

    @property
    def positions(self) -> "dict[Instrument, PositionFact]":
        return self._sync.positions

    @property
    def wallets(self) -> dict[str, WalletFact]:
        return self._sync.wallets

    @property
    def position_differences(self) -> int:
        return self._sync.differences

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
        self._oldest = min((order.created_ts for order in orders), default=0)
        self._sync.covered = since or self._oldest
        for order in orders:
            self._switch.traded(order.instrument)

    def start(self) -> None:
        """Connect. What becomes of it is told by `gateway_status`."""
        overlap = round(self.settings.overlap_s * SECOND)
        if self._sync.covered:
            self.book.horizon = self._sync.covered - overlap
        self._report(GtwStatus.Connecting, "asking the exchange for its clock and the account", tell=False)
        self._clock.call_soon(self._measure_clock, CLOCK_SAMPLES, [], self._check_account)

    def wind_down(self, reason: str) -> None:
        """From now on new orders and modifications are refused, those that wait for a rate limit included. Cancels
        still go out."""
        self.throttle.refuse_orders(f"the gateway is stopping: {reason}")

    def stop(self) -> None:
        """Close the lines, disarm the exchange's switch, send nothing any more. Where orders are open that should not
        be, the switch stays armed: it is what will cancel them."""
        left = [] if self.settings.orders_stay else list(self.book.open_orders())
        if self._switch.armed and left:
            log.error(
                "%s %s: %d orders are open: the exchange's dead man's switch is left armed and cancels them in %g s",
                self.exchange.name,
                self.account,
                len(left),
                self.settings.dead_man_s,
            )
        else:
            self._switch.disarm()
        self._give_up(GtwStatus.Connecting, "stopped")
        self.throttle.refuse_all("the gateway has stopped")

    @property
    def idle(self) -> bool:
        """Whether no answer is waited for."""
        return self.throttle.idle

    def close(self) -> None:
        """Nothing comes up any more, whatever is still under way."""
        self.throttle.close()
        self.book.close()

    def _give_up(self, status: GtwStatus, reason: str) -> None:
        self._over = True
        self._epoch += 1
        self._desk.stopped = status is not GtwStatus.Maintenance
        self._lines.close("the gateway has stopped")
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

    def _wanted(self) -> Wanted:
        """Says whether what is begun now is still of use: the gateway has not ended, and no line been lost since."""
        epoch = self._epoch
        return lambda: epoch == self._epoch and not self._over

    def _insist(self, what: str, make: Callable[[], Question[T]], done: Callable[[T | None], None]) -> None:
        """Ask until there is an answer or the exchange refuses for good; None: it has no such thing. Dropped when a new
        epoch begins."""
        wanted, tries = self._wanted(), 0

        def failed(trouble: Trouble) -> None:
            nonlocal tries
            if not wanted():
                return
            if isinstance(trouble, Unsupported):
                done(None)
            elif isinstance(trouble, Refused) and trouble.final:
                self._refused_for_good(f"{what}: {told(trouble)}")
            else:
                pause = pause_s(tries, trouble)
                tries += 1
                self._count_bad(what, trouble)
                self._report(GtwStatus.Connecting, f"{what}: {told(trouble)}; asked again in {pause:g} s")
                self._later(pause, ask)

        def ask() -> None:
            if wanted():
                self._asker.ask(make, lambda answer: done(answer) if wanted() else None, failed, urgent=True)

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
                pause = pause_s(0, trouble)
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
        if not self._sync.covered:
            # nothing is known of this account: what happened before is history, not news
            self._sync.covered = self.book.horizon = self.throttle.exchange_now
        elif self._oldest:
            # its fills bear times of the exchange's clock
            self._sync.covered = min(self._sync.covered, self._oldest + self.throttle.offset)
        self._insist("the account", self._codec.account_info, self._account_told)

    def _account_told(self, fact: AccountFact | None) -> None:
        self._questions.account_fact = fact
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
        self._lines.open(list(lines or ()))

    def lines_ready(self) -> None:
        self._recover(0)

    def line_lost(self, name: str, reason: str) -> None:
        self._epoch += 1
        self._report(GtwStatus.Connecting, f"the line {name} was lost: {reason}")

    def lines_useless(self, reason: str, *, at_once: bool = False) -> None:
        self._epoch += 1
        self._lines.close(reason)
        self._report(GtwStatus.Connecting, reason)
        pause = 0.0
        if not at_once:
            pause = pause_s(self._refusals)
            self._refusals += 1
        self._later(pause, self._with_the_time, self._wanted(), self._open_lines)

    def lines_refused(self, reason: str) -> None:
        self._refused_for_good(reason)

    def _with_the_time(self, wanted: Wanted, call: Callable[..., None], *args: Any) -> None:
        """Measure the exchange's clock before something is tried again, if that is still wanted: ours may have stood
        still while the machine slept, and everything that is signed with its time is refused then."""

        def measured() -> None:
            if wanted():
                call(*args)

        if wanted():
            self._measure_clock(1, [], measured)

    def heard(self, name: str, fact: Fact) -> None:
        if isinstance(fact, Reply):
            ticket = self.throttle.take(name, fact.key) if fact.key else None
            if ticket is None:
                self._deal(fact)
            else:
                self._desk.replied(ticket, fact)
        elif self._status[0] is _READY:
            self._sync.apply(fact)
        else:
            self._sync.keep(fact)

    def _keep_alive(self, tries: int) -> None:
        """Do what the exchange wants done every half hour; what fails is tried again soon, for the lines are at
        stake."""
        question = self._codec.keep_alive()
        if question is None:
            return

        def failed(trouble: Trouble) -> None:
            if not isinstance(trouble, Unsupported):
                log.warning("%s: keeping the lines alive failed: %s", self.exchange.name, told(trouble))
                self._later(max(pause_s(tries, trouble), 5.0), self._keep_alive, tries + 1)

        self._asker.ask(
            lambda: question, lambda _: self._later(self.settings.keep_alive_s, self._keep_alive, 0), failed
        )

    # -- bringing the account up to date -----------------------------------------------------------------------------

    def _recover(self, tries: int) -> None:
        """All lines tell everything from now on: fetch what happened before."""
        wanted = self._wanted()

        def failed(trouble: Trouble) -> None:
            if isinstance(trouble, Refused) and trouble.final:
                self._refused_for_good(f"the account's state: {told(trouble)}")
                return
            self._count_bad("the account's state", trouble)
            pause = pause_s(tries, trouble)
            self._report(GtwStatus.Connecting, f"the account's state: {told(trouble)}; asked again in {pause:g} s")
            self._later(pause, self._with_the_time, wanted, self._recover, tries + 1)

        self._report(GtwStatus.Connecting, "fetching the account's orders and executions")
        self._sync.recover(wanted, self._now_ready, failed)

    def _now_ready(self) -> None:
        self._refusals = 0
        self._sync.apply_kept()
        self._switch.arm()
        self._report(_READY, "")

    def _audit_regularly(self) -> None:
        self._later(self.settings.audit_s, self._audit_regularly)
        self._audit()

    def _audit_soon(self) -> None:
        if not self._audit_due:
            self._audit_due = True
            self._later(1.0, self._audit)

    def _audit(self) -> None:
        """Check the account, unless it is being fetched anyway."""
        self._audit_due = False
        if self._status[0] is not _READY:
            return

        def failed(trouble: Trouble) -> None:
            self._count_bad("the account's state", trouble)
            log.warning("%s: the account could not be checked: %s", self.exchange.name, told(trouble))

        self._sync.audit(self._wanted(), failed)

    def _deal(self, reply: Reply) -> None:
        for fact in reply.facts:
            self._sync.apply(fact)

    # -- what cannot be understood -----------------------------------------------------------------------------------

    def bad_message(self, where: str, data: bytes, error: Exception) -> None:
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

    # -- requests about orders ---------------------------------------------------------------------------------------

    def new_order(self, order: "TrackedOrder") -> None:
        self._switch.traded(order.instrument)
        self._desk.new_order(order)

    def modify_order(self, order: "TrackedOrder", price: int | None, qty: int | None) -> None:
        self._desk.modify_order(order, price, qty)

    def cancel_order(self, order: "TrackedOrder") -> None:
        self._desk.cancel_order(order)

    def cancel_all(self, instrument: "Instrument") -> None:
        """Cancel every order of ours in the instrument; orders of others on the account are not touched."""
        self._desk.cancel_all(instrument)

    # -- questions ---------------------------------------------------------------------------------------------------

    def fetch_order_status(self, request_id: int, order: "TrackedOrder") -> None:
        self._questions.order_status(request_id, order)

    def fetch_orders_info(self, request_id: int, instrument: "Instrument | None") -> None:
        self._questions.orders_info(request_id, instrument)

    def fetch_position_info(self, request_id: int, instrument: "Instrument") -> None:
        self._questions.position_info(request_id, instrument)

    def fetch_wallet_info(self, request_id: int, coin: str) -> None:
        self._questions.wallet_info(request_id, coin)

    def fetch_funding_info(self, request_id: int, instrument: "Instrument") -> None:
        self._questions.funding_info(request_id, instrument)

    def fetch_account_info(self, request_id: int) -> None:
        self._questions.account_info(request_id)
