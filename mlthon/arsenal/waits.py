"""Callbacks that wait for an answer while the engine goes on.

A strategy of the platform asks as if the answer were there at once: `CA.get_history_candles`, `CA.get_request`. So each
of its callbacks runs in a greenlet: where the answer has to come from outside it is suspended, the engine goes on, and
it is taken up again when the answer is there. Where the answer is at hand (a backtest) nothing is suspended.
"""

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet  # type: ignore[import-untyped]

T = TypeVar("T")
Begin = Callable[[Callable[[T], None]], None]
"""Starts what is waited for; the function it is given takes the answer, at once or later."""


class Waits:
    """One strategy's callbacks, one at a time. `again` is given what takes a suspended callback up: it calls it when
    the strategy may be called."""

    def __init__(self, again: Callable[[Callable[[], None]], None]) -> None:
        self._again = again
        self._callback: Any = None
        self._ended: list[Any] = []
        """Callbacks that were ended and would not: they are kept, as nothing can be made of them."""

    @property
    def suspended(self) -> bool:
        """Whether a callback waits."""
        return self._callback is not None and not self.inside

    @property
    def inside(self) -> bool:
        """Whether it is a callback that asks this."""
        return self._callback is not None and getcurrent() is self._callback

    def run(self, callback: Callable[[], object]) -> None:
        """Make the callback; returns when it is over, or waits."""
        # a greenlet begins in an empty context; a plain call would have the caller's
        self._callback = greenlet(copy_context().run)
        self._switch(self._callback, callback)

    def wait(self, begin: "Begin[T]") -> T:
        """What the answer is, in a callback. Raises RuntimeError outside of one."""
        callback = self._callback
        while (lost := getcurrent()) in self._ended:
            lost.parent.switch()
        if callback is None or getcurrent() is not callback:
            raise RuntimeError("this can be asked in a callback of the strategy only")
        answers: list[T] = []
        suspended = False

        def answered(answer: T) -> None:
            answers.append(answer)
            if suspended and len(answers) == 1:
                self._again(lambda: self._take_up(callback))

        begin(answered)
        if not answers:
            suspended = True
            callback.parent.switch()
        return answers[0]

    def close(self) -> None:
        """End the callback that waits, if one does: its `finally` clauses are run. One that catches everything and asks
        again is never answered."""
        callback = self._callback
        if callback is None or self.inside:
            return
        self._callback = None
        callback.parent = getcurrent()
        self._ended.append(callback)
        callback.throw(GreenletExit)
        if callback.dead:
            self._ended.remove(callback)

    def _take_up(self, callback: Any) -> None:
        if callback is self._callback:
            self._switch(callback)

    def _switch(self, callback: Any, *given: Any) -> None:
        callback.parent = getcurrent()
        try:
            callback.switch(*given)
        finally:
            if callback.dead and self._callback is callback:
                self._callback = None
