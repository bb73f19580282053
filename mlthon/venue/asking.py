"""Questions carried out: a codec's generators run, request by request, over the throttle.

Every question is answered through one of two callbacks, once, and never inside the call that asked. `failed` is given
what the contract of `Codec` names: `NoAnswer`, `Refused`, `BadMessage`, `Unsupported`; any other exception out of a
codec is a mistake in it, logged with its traceback and told as a `BadMessage`, because one broken answer must disturb
nothing else.

What becomes of orders may depend on a question: such an urgent one goes before new orders, and may use what the rate
rules keep back.
"""

import logging
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from attrs import evolve

from mlthon.engine.clock import Clock
from mlthon.venue.codec import BadMessage, NoAnswer, Question, Refused, Unsupported
from mlthon.venue.throttle import Throttle
from mlthon.venue.wire import Answer, Failure, HttpAnswer, Priority, Request

log = logging.getLogger("mlthon.venue")

T = TypeVar("T")
Trouble = NoAnswer | Refused | BadMessage | Unsupported


def told(trouble: Trouble) -> str:
    """What went wrong, for people."""
    return str(trouble) or type(trouble).__name__


class Asking(Generic[T]):
    """A question under way. `sent_ts`, `recv_ts`: of its last request and answer (ns)."""

    __slots__ = (
        "_done",
        "_failed",
        "_generator",
        "_make",
        "_throttle",
        "_urgent",
        "dropped",
        "recv_ts",
        "sent_ts",
    )

    def __init__(
        self,
        throttle: Throttle,
        make: Callable[[], Question[T]],
        done: Callable[[T], None],
        failed: Callable[[Trouble], None],
        *,
        urgent: bool,
    ) -> None:
        self._urgent = urgent
        self._throttle = throttle
        self._make = make
        self._done = done
        self._failed = failed
        self._generator: Generator[Request, HttpAnswer, T] | None = None
        self.sent_ts = 0
        self.recv_ts = 0
        self.dropped = False

    def drop(self) -> None:
        """Nobody wants to know any more: neither callback is called."""
        self.dropped = True

    def begin(self) -> None:
        if not self.dropped:
            self._step(self._start)

    def _start(self) -> Request:
        self._generator = self._make()
        return next(self._generator)

    def _step(self, advance: Callable[[], Request]) -> None:
        try:
            request = advance()
        except StopIteration as stop:
            self._done(stop.value)
        except (NoAnswer, Refused, BadMessage, Unsupported) as trouble:
            self._failed(trouble)
        except Exception as error:
            log.exception("a question to the exchange failed in its codec")
            self._failed(BadMessage(f"the codec could not read an answer: {type(error).__name__}"))
        else:
            self._ask(request)

    def _ask(self, request: Request) -> None:
        if self._urgent:
            request = evolve(request, priority=Priority.RESOLVE)
        ticket = self._throttle.send(request, lambda answer: self._answered(answer, ticket.sent_ts))

    def _answered(self, answer: Answer, sent_ts: int) -> None:
        generator = self._generator
        if self.dropped or generator is None:
            return
        if isinstance(answer, Failure):
            reason = answer.reason
            self._step(lambda: generator.throw(NoAnswer(reason)))
            return
        self.sent_ts = answer.sent_ts or sent_ts
        self.recv_ts = answer.recv_ts
        self._step(lambda: generator.send(answer))


class Asker:
    """Asks an account's questions."""

    def __init__(self, clock: Clock, throttle: Throttle) -> None:
        self._clock = clock
        self._throttle = throttle

    def ask(
        self,
        make: Callable[[], Question[T]],
        done: Callable[[T], None],
        failed: Callable[[Trouble], None],
        *,
        urgent: bool = False,
    ) -> Asking[T]:
        """Ask what `make` makes (`codec.wallet`)."""
        asking = Asking(self._throttle, make, done, failed, urgent=urgent)
        self._clock.call_soon(asking.begin)
        return asking

    def ask_all(
        self,
        makes: "list[Callable[[], Question[Any]]]",
        done: Callable[[list[Any]], None],
        failed: Callable[[Trouble], None],
        wanted: Callable[[], bool],
        *,
        urgent: bool = False,
    ) -> None:
        """Ask several, one after the other; `done` is given all answers. Nothing is told once `wanted` says no."""
        answers: list[Any] = []

        def answered(answer: Any) -> None:
            if not wanted():
                return
            answers.append(answer)
            if len(answers) == len(makes):
                done(answers)
            else:
                self.ask(makes[len(answers)], answered, troubled, urgent=urgent)

        def troubled(trouble: Trouble) -> None:
            if wanted():
                failed(trouble)

        self.ask(makes[0], answered, troubled, urgent=urgent)
