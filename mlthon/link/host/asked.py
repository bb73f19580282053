"""`Asked`: one exchange call of a bot on its way to an answer, and `Pending`: what sees to it that each is answered.

All calls of a bot may take equally long, so they run out in the order in which they were made: one queued call of the
clock waits for the oldest of them, however many there are.
"""

from collections import deque
from typing import TYPE_CHECKING, Any

from mlthon.basics.defs import GtwRejectCode
from mlthon.engine.clock import SECOND
from mlthon.link.contract import Answer, Call
from mlthon.link.host.payloads import Payload

if TYPE_CHECKING:
    from mlthon.link.host.host import BotHost
    from mlthon.link.host.venue import VenueStrategy


class Asked:
    """One call of a bot, until it is answered. `venue` is None where it names none that there is. `face`: the bot, None
    once it is answered. `queued`: it waits for the rate limit, and nothing has been sent. `until`: when it runs out
    (ns)."""

    __slots__ = ("_host", "arguments", "face", "name", "number", "queued", "until", "venue")

    def __init__(self, host: "BotHost", call: Call, venue: "VenueStrategy | None") -> None:
        self._host = host
        self.face = host.face
        self.number = call.call
        self.name = call.name
        self.arguments = call.arguments
        self.venue = venue
        self.queued = False
        self.until = 0

    def expire(self) -> None:
        """Nothing has been answered, and it is too late for that."""
        within = f"{self.name}: no answer within {self._host.settings.call_timeout_s:g} s; "
        if self.queued:
            reason = "it was not sent, for too little is left of the rate limit: ask again after its reset"
            self.failed(GtwRejectCode.RateLimited, within + reason)
        else:
            reason = "look at open orders and positions before asking again"
            self.failed(GtwRejectCode.RequestPending, within + reason)

    def done(self, data: Any) -> None:
        self._answer(data, None)

    def failed(self, code: GtwRejectCode, reason: str) -> None:
        kind = "rate_limits" if code is GtwRejectCode.RateLimited else "api_error"
        self._answer(None, {"type": kind, "message": reason})

    def bad(self, reason: str) -> None:
        """The call itself is wrong."""
        self._answer(None, {"type": "api_error", "message": reason})

    def _answer(self, data: Any, error: Payload | None) -> None:
        face, self.face = self.face, None
        # a bot that was started anew knows nothing of calls from before
        if face is not None and face is self._host.face:
            face.tell(Answer(self.number, self._host.envelope(self, data, error)))


class Pending:
    """The calls of one bot that are to be answered by a certain time."""

    def __init__(self, host: "BotHost") -> None:
        self._host = host
        self._calls: deque[Asked] = deque()
        self._waits = False

    def add(self, asked: Asked) -> None:
        """Answer this one with an error if nothing else is answered in time."""
        calls = self._calls
        while calls and calls[0].face is None:
            calls.popleft()
        asked.until = self._host.clock.now + round(self._host.settings.call_timeout_s * SECOND)
        calls.append(asked)
        self._wait()

    def _wait(self) -> None:
        if not self._waits and self._calls:
            self._waits = True
            self._host.clock.call_at(self._calls[0].until, self._look)

    def _look(self) -> None:
        self._waits = False
        calls, now = self._calls, self._host.clock.now
        while calls and (calls[0].face is None or calls[0].until <= now):
            asked = calls.popleft()
            if asked.face is not None:
                asked.expire()
        self._wait()
