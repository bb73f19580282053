"""What passes between the pure parts of a live connection and the edge that owns sockets and HTTP.

A `Request` goes down: not bytes but the recipe for them, because what is signed carries the time at which it leaves,
and a request may have to wait for its turn. It becomes an `HttpMessage`, answered by an `HttpAnswer` or a `Failure`, or
a `Frame` on a line, answered (where the exchange answers) by a message on the same line. A `Line` is a websocket that
is wanted: whoever asked for it is told each time it opens, of each message and each time it is lost; keeping it open is
the edge's work. `Edge` is the contract with whoever does the I/O: `mlthon.live` on real sockets, a simulation on none.

Nothing here knows an event loop. Times are nanoseconds since 1970 UTC unless a name says otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, IntEnum
from typing import Final, Protocol, runtime_checkable

from attrs import field, frozen


class Priority(IntEnum):
    """Who goes first when not all may go: what reduces risk before what adds to it, and both before questions.
    RESOLVE: questions on which it depends what becomes of orders; with CANCEL they have the part of a rate rule that is
    kept back (`RateRule.reserve`)."""

    CANCEL = 0
    RESOLVE = 1
    ORDER = 2
    QUESTION = 3


@frozen
class HttpMessage:
    """An HTTP request ready to leave. `base`: the name of the base URL (`rest`) among the environment's endpoints.
    `target`: path and query, exactly as signed. The repr shows neither headers nor body: they may hold secrets."""

    method: str
    target: str = field(repr=lambda target: target.partition("?")[0])
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    base: str = "rest"


@frozen
class Frame:
    """A text message for the line of this name. `key`: the id under which its answer will come; empty: none does."""

    line: str
    text: str = field(repr=False)
    key: str = ""


@frozen
class HttpAnswer:
    """What came back: status, headers (names in lower case), body, and when it left and came (ns)."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    sent_ts: int = 0
    recv_ts: int = 0


class Loss(Enum):
    """How a request failed. NOT_SENT: no byte of it reached the exchange. NO_ANSWER: it may have been carried out."""

    NOT_SENT = "not sent"
    NO_ANSWER = "no answer"


@frozen
class Failure:
    """No answer: why, in words without secrets."""

    loss: Loss
    reason: str


Answer = HttpAnswer | Failure
Answered = Callable[[Answer], None]

ORDER_TIMEOUT_S: Final = 5.0
"""How long a request about orders may go unanswered."""
QUESTION_TIMEOUT_S: Final = 10.0


@frozen
class Request:
    """One request on its way down.

    `name` says what it is, for logs and the journal (`new order`). `build` makes the message: it is given the
    exchange's time (ms) at the moment of sending. `costs`: (name of a rate rule, weight) pairs. `timeout_s`: after so
    long without an answer it counts as unanswered.
    """

    name: str
    build: Callable[[int], HttpMessage | Frame]
    costs: tuple[tuple[str, int], ...] = ()
    priority: Priority = Priority.QUESTION
    timeout_s: float = QUESTION_TIMEOUT_S


class LineUser(Protocol):
    """Who a line belongs to. The clock's `now` is the time of receipt when any of these is called."""

    def line_opened(self, name: str) -> None:
        """The websocket is open: send what has to be sent first (a login, subscriptions)."""

    def line_message(self, name: str, data: bytes, recv_ts: int) -> None:
        """A text or binary message, whole. It must not raise."""

    def line_closed(self, name: str, reason: str) -> None:
        """It was lost or could not be opened; the edge tries again by itself."""


@runtime_checkable
class BatchUser(LineUser, Protocol):
    """A `LineUser` that goes through the messages of a read by itself."""

    def line_messages(self, name: str, messages: Sequence[bytes], first: int, recv_ts: int) -> int:
        """Hear messages from `first` on, at least that one: until the last, or until one after which something is due
        on the clock or the line must end. Gives how many of `messages` are heard now. It must not raise."""


@frozen
class Line:
    """A websocket that is wanted.

    `url` is asked for at each connect, with the exchange's time (ms), and so may carry a signature. `headers` likewise.
    `ping`: what to send every `ping_every_s` in the exchange's own way; None for the protocol's ping frame. After
    `silence_s` in which nothing at all arrived, answers to pings included, the line counts as dead. `max_age_s`: some
    exchanges cut a line off after a day; it is renewed earlier than that.
    """

    name: str
    url: Callable[[int], str] = field(repr=False)
    headers: Callable[[int], Mapping[str, str]] | None = field(default=None, repr=False)
    ping: Callable[[], str] | None = None
    ping_every_s: float = 20.0
    silence_s: float = 45.0
    max_age_s: float | None = None


class Edge(Protocol):
    """Who does the I/O. No call blocks, none raises for what a network may do, and nothing is answered inside the
    call that asked."""

    def open_line(self, line: Line, user: LineUser) -> None:
        """Keep this websocket open, with a growing pause between attempts, until `close_line`."""

    def close_line(self, name: str) -> None:
        """It is not wanted any more; its user hears nothing more of it."""

    def restart_line(self, name: str, reason: str) -> None:
        """Cut it off and connect anew: what came over it can no longer be trusted."""

    def send(self, name: str, text: str) -> bool:
        """Send a message on a line; False, and nothing is sent, when it is not open."""

    def http(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        """Send an HTTP request; `answered` is called once, later."""
