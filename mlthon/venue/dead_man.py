"""The exchange's own switch: it cancels an account's orders when it has not heard of this program for so long.

Armed once the gateway is ready and again three times within its time limit, for each instrument that orders have been
sent in (some exchanges count an account's time, some each symbol's). How it is spelled is the codec's affair, which
gives as many requests as it takes, or none where nothing has to be said now.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mlthon.engine.clock import SECOND, Clock
from mlthon.venue.asking import told
from mlthon.venue.codec import Codec, Unsupported
from mlthon.venue.scrub import scrub
from mlthon.venue.throttle import Throttle
from mlthon.venue.wire import Answer, Failure, Request

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument

log = logging.getLogger("mlthon.venue")

REPEATS: Final = 3
"""How often within its time limit the switch is armed anew."""


class DeadManSwitch:
    """The switch of one account. `timeout_s`: 0 for none. `unless_over` makes a call unless the gateway has ended."""

    def __init__(
        self,
        codec: Codec,
        clock: Clock,
        throttle: Throttle,
        timeout_s: float,
        secrets: tuple[str, ...],
        unless_over: Callable[..., None],
    ) -> None:
        self._codec = codec
        self._clock = clock
        self._throttle = throttle
        self._timeout_s = timeout_s if codec.has_dead_man else 0.0
        self._secrets = secrets
        self._unless_over = unless_over
        self._instruments: dict[Instrument, None] = {}
        self.armed = False

    def traded(self, instrument: "Instrument") -> None:
        """An order in the instrument is about to be sent."""
        if instrument not in self._instruments:
            self._instruments[instrument] = None
            if self.armed:
                self._send(self._timeout_s)

    def arm(self) -> None:
        """The gateway is ready: arm it, and keep it armed."""
        if self._timeout_s and not self.armed:
            self.armed = True
            self._again()
        elif self.armed:
            self._send(self._timeout_s)

    def disarm(self) -> None:
        if self.armed:
            self.armed = False
            self._send(0.0)

    def _again(self) -> None:
        if self.armed:
            self._send(self._timeout_s)
            at = self._clock.now + round(self._timeout_s / REPEATS * SECOND)
            self._clock.call_at(at, self._unless_over, self._again)

    def _send(self, timeout_s: float) -> None:
        try:
            requests = self._codec.arm_dead_man(timeout_s, tuple(self._instruments))
        except Unsupported as error:
            self.armed = False
            log.error("%s: the dead man's switch cannot be set: %s", self._codec.exchange.name, told(error))
            return
        for request in requests:
            self._ask(request)

    def _ask(self, request: Request) -> None:
        self._throttle.send(request, lambda answer: self._answered(request, answer))

    def _answered(self, request: Request, answer: Answer) -> None:
        problem = ""
        if isinstance(answer, Failure):
            problem = answer.reason
        else:
            try:
                reply = self._codec.reply(request, answer)
            except ValueError as error:
                problem = f"HTTP {answer.status}: {error}: {scrub(answer.body, self._secrets)}"
            else:
                problem = "" if reply.accepted else reply.reason or f"HTTP {answer.status}"
        if problem:
            log.error("%s: %s failed: %s", self._codec.exchange.name, request.name, problem)
