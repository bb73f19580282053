"""Between a gateway and its edge: who may send when.

Every request waits in one queue, cancels before orders before questions and first in, first out within each, until all
rate rules it counts against have room; it never overtakes one that waits for the same rule. Its message is made when it
leaves, because what is signed carries that time. The count is this side's own, raised by what the exchange says in its
answers (`Usage`), never lowered: too slow is safe. After a 429 the rules of the request are shut for as long as the
answer says, after a 418 all are.

Part of a rule (`RateRule.reserve`) is kept for cancels and for questions that resolve orders: what new orders and other
questions may use ends there, so that a run can be stopped however busy it was.

An order that would have to wait longer than its bound is refused (`RateLimited`): its price is of the past. A cancel
waits as long as it takes. Everything that happens to a request is told through its `answered`, later, and once; after
`close` nothing is sent, and nothing is told of what was under way.
"""

import logging
import math
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from attrs import frozen

from mlthon.engine.clock import MS, NEVER, SECOND, Clock, Handle
from mlthon.venue.rate_rules import RateRule, Usage
from mlthon.venue.wire import Answer, Answered, Edge, Failure, Frame, HttpAnswer, Loss, Priority, Request

log = logging.getLogger("mlthon.venue")

STEPS: Final = (50, 90, 100)
"""At which percentages of a rule the account is told."""
WAITS: Final[Mapping[Priority, float]] = {Priority.RESOLVE: 60.0, Priority.ORDER: 1.0, Priority.QUESTION: 60.0}
"""How long (s) a request may wait for its turn; one that is not listed waits as long as it takes."""

PLENTY: Final = 1000
"""What remains where an exchange has no rules."""

URGENT: Final = (Priority.CANCEL, Priority.RESOLVE)
"""What may use the reserve of a rule."""

TOO_MANY: Final = 429
BANNED: Final = 418
TOO_MANY_PAUSE_S: Final = 1.0
"""How long to be silent after a 429 that does not say."""
BAN_PAUSE_S: Final = 120.0
"""The same after a 418: Binance's bans start at two minutes (its documentation, "IP Limits")."""


@frozen
class RateLimited(Failure):
    """Not sent: it would have had to wait too long for a rate rule."""


@frozen
class Stopping(Failure):
    """Not sent: nothing that adds to a risk is sent any more."""


class Ticket:
    """A request on its way. `sent_ts`: when it left (ns); 0: it has not. `key`: of the frame that it became."""

    __slots__ = ("answered", "done", "key", "line", "number", "request", "sent_ts", "since", "timeout")

    def __init__(self, request: Request, answered: Answered, number: int, since: int) -> None:
        self.request = request
        self.answered = answered
        self.number = number
        self.since = since
        self.sent_ts = 0
        self.key = ""
        self.line = ""
        self.timeout: Handle | None = None
        self.done = False

    def __lt__(self, other: "Ticket") -> bool:
        return (self.request.priority, self.number) < (other.request.priority, other.number)

    def answer(self, answer: Answer) -> None:
        """Say how it went; only the first answer counts."""
        if self.timeout is not None:
            self.timeout.cancel()
        if not self.done:
            self.done = True
            self.answered(answer)


class Window:
    """The count of one rule. Times are the exchange's (ns)."""

    __slots__ = ("_end", "_sent", "interval", "limit", "rule", "shut_until", "told", "used")

    def __init__(self, rule: RateRule) -> None:
        self.rule = rule
        self.limit = rule.limit
        self.interval = round(rule.interval_s * SECOND)
        self.shut_until = 0
        self.used = 0
        self.told = 0
        self._sent: deque[tuple[int, int]] = deque()
        self._end = 0

    def advance(self, now: int) -> None:
        """Forget what no longer counts."""
        if self.rule.rolling:
            while self._sent and self._sent[0][0] + self.interval <= now:
                self.used -= self._sent.popleft()[1]
        elif now >= self._end:
            self._end = now - now % self.interval + self.interval
            self.used = 0

    def free_at(self, weight: int, now: int, *, urgent: bool = True) -> int:
        """From when on there is room for so much; NEVER if it is more than the limit. Only what is urgent may use the
        reserve (and what would never have room without it)."""
        if weight > self.limit:
            return NEVER
        self.advance(now)
        at = max(now, self.shut_until)
        most = self.limit if urgent else max(weight, self.limit - math.ceil(self.limit * self.rule.reserve))
        excess = self.used + weight - most
        if excess <= 0:
            return at
        if not self.rule.rolling:
            return max(at, self._end)
        for ts, weighed in self._sent:
            excess -= weighed
            if excess <= 0:
                return max(at, ts + self.interval)
        return max(at, now + self.interval)

    def count(self, weight: int, now: int) -> None:
        self.advance(now)
        self.used += weight
        if self.rule.rolling:
            self._sent.append((now, weight))

    def correct(self, usage: Usage, sent: int, now: int) -> None:
        """What the exchange says it had counted when it answered a request sent at `sent`."""
        if usage.limit is not None and usage.limit > 0:
            self.limit = usage.limit
        self.advance(now)
        reset = usage.reset_ts
        stale = not self.rule.rolling and sent < self._end - self.interval
        if usage.used is None or stale:
            return
        if usage.used > self.used:
            self.count(usage.used - self.used, now)
        if usage.used >= self.limit and reset is not None:
            self.shut_until = max(self.shut_until, reset)

    def reset_ts(self) -> int:
        """When nothing counts any more, if nothing else is sent."""
        if not self.rule.rolling:
            return self._end
        return self._sent[-1][0] + self.interval if self._sent else 0

    def step(self) -> int:
        """The step that has been reached since the last call, 0 for none."""
        reached = max((step for step in STEPS if self.used * 100 >= step * self.limit), default=0)
        told, self.told = self.told, reached
        return reached if reached > told else 0


class Throttle:
    """The way of one account's requests to the edge.

    `usage` reads an answer's headers (`Codec.usage`); `on_usage(percent, reset_ts)` hears of a rule that is used to 50,
    90 or 100 %, `reset_ts` (ns) by this clock. `offset`: the exchange's time less this clock's (ns). `waits`: how long
    each kind of request may wait (s). Rules per line are counted once, whichever line: a gateway sends on one.
    """

    def __init__(
        self,
        clock: Clock,
        edge: Edge,
        rules: Sequence[RateRule],
        usage: Callable[[Request, HttpAnswer], Iterable[Usage]],
        on_usage: Callable[[int, int], None],
        waits: Mapping[Priority, float] = WAITS,
    ) -> None:
        self._clock = clock
        self._edge = edge
        self._windows = {rule.name: Window(rule) for rule in rules}
        self._usage = usage
        self._on_usage = on_usage
        self._waits = {priority: round(wait * SECOND) for priority, wait in waits.items()}
        self._queue: list[Ticket] = []
        self._frames: dict[tuple[str, str], Ticket] = {}
        self._count = 0
        self._wake: Handle | None = None
        self._refusals: Mapping[Priority, str] = {}
        self._closed = False
        self._under_way = 0
        self.offset = 0
        self.banned_until = 0
        """Nothing is sent before this time (ns of the exchange)."""

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._queue)

    @property
    def exchange_now(self) -> int:
        """The exchange's time (ns), as well as it is known."""
        return self._clock.now + self.offset

    # -- down --------------------------------------------------------------------------------------------------------

    def send(self, request: Request, answered: Answered) -> Ticket:
        """Have the request sent as soon as it may be; `answered` is called once, later."""
        for name, _ in request.costs:
            if name not in self._windows:
                raise ValueError(f"{request.name} counts against a rate rule {name!r} that is not declared")
        self._count += 1
        ticket = Ticket(request, answered, self._count, self._clock.now)
        if self._closed:
            ticket.done = True
        elif request.priority in self._refusals:
            refusal = Stopping(Loss.NOT_SENT, self._refusals[request.priority])
            self._clock.call_soon(self._answer, ticket, refusal)
        else:
            insort(self._queue, ticket)
            self._pump()
        return ticket

    @property
    def idle(self) -> bool:
        """Whether nothing waits, for its turn or for its answer."""
        return not self._queue and not self._under_way and not self._frames

    def allowance(self) -> tuple[int, int]:
        """How many more requests the rule that is closest to its end has room for, and when nothing of it counts any
        more (ns of this clock)."""
        now = self.exchange_now
        for window in self._windows.values():
            window.advance(now)
        tightest = min(self._windows.values(), key=lambda each: (each.limit - each.used) / each.limit, default=None)
        if tightest is None:
            return PLENTY, self._clock.now + SECOND
        until = max(tightest.reset_ts(), tightest.shut_until, now)
        return max(0, tightest.limit - tightest.used), until - self.offset

    def refuse_orders(self, reason: str) -> None:
        """From now on nothing of the priority ORDER leaves, what waits in the queue included."""
        self._refuse_what_waits({Priority.ORDER: reason})

    def refuse_all(self, reason: str) -> None:
        """From now on nothing leaves; what has left is still answered."""
        self._refuse_what_waits(dict.fromkeys(Priority, reason))

    def _refuse_what_waits(self, refusals: Mapping[Priority, str]) -> None:
        self._refusals = refusals
        queue, self._queue = self._queue, []
        for ticket in queue:
            reason = refusals.get(ticket.request.priority)
            if reason is None:
                self._queue.append(ticket)
            else:
                self._clock.call_soon(self._answer, ticket, Stopping(Loss.NOT_SENT, reason))
        self._pump()

    def close(self) -> None:
        """Send nothing more, and tell nothing more of what waits or is under way."""
        self._closed = True
        for ticket in (*self._queue, *self._frames.values()):
            ticket.done = True
            if ticket.timeout is not None:
                ticket.timeout.cancel()
        self._queue.clear()
        self._frames.clear()
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    def _pump(self) -> None:
        """Send what may be sent, refuse what has waited too long, and come back when more may be."""
        wake = NEVER
        shut: set[str] = set()
        for ticket in list(self._queue):
            names = {name for name, _ in ticket.request.costs}
            at = self._room(ticket)
            bound = self._bound(ticket)
            behind = not shut.isdisjoint(names)
            if at <= self.exchange_now and not behind:
                self._queue.remove(ticket)
                self._leave(ticket)
                continue
            shut |= names
            if at - self.offset > bound or self._clock.now >= bound:
                self._queue.remove(ticket)
                self._refuse(ticket, at)
                continue
            wake = min(wake, bound if behind else at - self.offset)
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None if wake >= NEVER else self._clock.schedule(wake, self._pump)

    def _bound(self, ticket: Ticket) -> int:
        wait = self._waits.get(ticket.request.priority)
        return NEVER if wait is None else ticket.since + wait

    def _room(self, ticket: Ticket) -> int:
        """When (exchange's time) its rules let the ticket leave."""
        now = self.exchange_now
        urgent = ticket.request.priority in URGENT
        rooms = (self._windows[name].free_at(weight, now, urgent=urgent) for name, weight in ticket.request.costs)
        return max(now, self.banned_until, *rooms)

    def _refuse(self, ticket: Ticket, at: int) -> None:
        names = ", ".join(name for name, _ in ticket.request.costs) or "a ban"
        wait = "for ever" if at >= NEVER else f"{(at - self.exchange_now) / SECOND:.1f} s"
        reason = f"{ticket.request.name} would have to wait {wait} for the exchange's rate limit ({names})"
        self._clock.call_soon(self._answer, ticket, RateLimited(Loss.NOT_SENT, reason))

    def _leave(self, ticket: Ticket) -> None:
        request = ticket.request
        now = self.exchange_now
        for name, weight in request.costs:
            window = self._windows[name]
            window.count(weight, now)
            self._tell(window)
        ticket.sent_ts = self._clock.now
        message = request.build(now // MS)
        if isinstance(message, Frame):
            self._leave_on_line(ticket, message)
        else:
            self._under_way += 1
            self._edge.http(message, request.timeout_s, lambda answer: self._http_answered(ticket, answer))

    def _leave_on_line(self, ticket: Ticket, frame: Frame) -> None:
        if not self._edge.send(frame.line, frame.text):
            failure = Failure(Loss.NOT_SENT, f"the line {frame.line} is not open")
            self._clock.call_soon(self._answer, ticket, failure)
            return
        ticket.line, ticket.key = frame.line, frame.key
        if frame.key:
            self._frames[frame.line, frame.key] = ticket
            timeout = round(ticket.request.timeout_s * SECOND)
            ticket.timeout = self._clock.schedule(self._clock.now + timeout, self._timed_out, ticket)

    def _tell(self, window: Window) -> None:
        percent = window.step()
        if percent:
            self._clock.call_soon(self._on_usage, percent, window.reset_ts() - self.offset)

    # -- up ----------------------------------------------------------------------------------------------------------

    def _answer(self, ticket: Ticket, answer: Answer) -> None:
        if not self._closed:
            ticket.answer(answer)

    def _http_answered(self, ticket: Ticket, answer: Answer) -> None:
        self._under_way -= 1
        if self._closed:
            return
        if isinstance(answer, HttpAnswer):
            self._heed(ticket, answer)
        ticket.answer(answer)

    def _heed(self, ticket: Ticket, answer: HttpAnswer) -> None:
        """Learn from an answer what is used up and what is forbidden."""
        now = self.exchange_now
        for usage in self._usage(ticket.request, answer):
            window = self._windows.get(usage.rule)
            if usage.banned_until is not None:
                self.banned_until = max(self.banned_until, usage.banned_until)
            if window is not None:
                window.correct(usage, ticket.sent_ts + self.offset, now)
                self._tell(window)
        if answer.status in (TOO_MANY, BANNED):
            banned = answer.status == BANNED
            self.limited(ticket, _retry_after(answer, BAN_PAUSE_S if banned else TOO_MANY_PAUSE_S), everything=banned)
        self._pump()

    def limited(self, ticket: Ticket, pause_s: float | None, *, everything: bool = False) -> None:
        """The exchange said that this request was too many: be silent for so long, on its rules or on all."""
        pause = TOO_MANY_PAUSE_S if pause_s is None else pause_s
        until = self.exchange_now + round(pause * SECOND)
        rules = [self._windows[name] for name, _ in ticket.request.costs]
        log.warning("%s was refused for its rate; silent for %.1f s", ticket.request.name, pause)
        if everything or not rules:
            self.banned_until = max(self.banned_until, until)
        for window in rules:
            window.shut_until = max(window.shut_until, until)
            if window.told < STEPS[-1]:
                window.told = STEPS[-1]
                self._clock.call_soon(self._on_usage, STEPS[-1], until - self.offset)

    def take(self, line: str, key: str) -> Ticket | None:
        """The request that a message on a line answers; None if it is not waited for any more."""
        ticket = self._frames.pop((line, key), None)
        if ticket is not None:
            ticket.done = True
            if ticket.timeout is not None:
                ticket.timeout.cancel()
        return ticket

    def line_lost(self, line: str, reason: str) -> None:
        """What was sent on the line and not answered never will be."""
        for place in [place for place in self._frames if place[0] == line]:
            ticket = self._frames.pop(place)
            self._clock.call_soon(self._answer, ticket, Failure(Loss.NO_ANSWER, f"the line {line} was lost: {reason}"))

    def _timed_out(self, ticket: Ticket) -> None:
        self._frames.pop((ticket.line, ticket.key), None)
        self._answer(ticket, Failure(Loss.NO_ANSWER, f"no answer in {ticket.request.timeout_s:g} s"))


def _retry_after(answer: HttpAnswer, otherwise: float) -> float:
    """Seconds of the header Retry-After (RFC 9110, 10.2.3); its form as a date is not used by exchanges."""
    try:
        return max(0.0, float(answer.headers.get("retry-after", "")))
    except ValueError:
        return otherwise
