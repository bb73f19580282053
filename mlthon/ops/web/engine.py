"""The engine as the web server sees it: whoever asks it, and what its silence is called in HTTP."""

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from mlthon.ops.client import TIMEOUT_S, AskFailed, EngineState, NoAnswer
from mlthon.ops.contract import Action, News, Question
from mlthon.ops.web.bodies import Refused


class Engine(Protocol):
    """As of `mlthon.ops.client.EngineClient`."""

    @property
    def state(self) -> EngineState: ...

    async def ask(self, what: Question | Action, who: str, timeout_s: float = TIMEOUT_S) -> Any: ...

    def listen(self, kinds: Collection[str]) -> AbstractAsyncContextManager[AsyncIterator[News]]: ...


def away(engine: Engine) -> Refused | None:
    """The refusal where there is certainly no engine to ask."""
    if engine.state is EngineState.AWAY:
        return Refused(503, "the engine is not there; nothing was done", headers={"retry-after": "5"})
    return None


def unanswered(error: AskFailed, engine: Engine) -> Refused:
    """The refusal where the engine said no, or nothing."""
    if isinstance(error, NoAnswer):
        return Refused(504 if engine.state is not EngineState.AWAY else 503, error.message, error.hint)
    return Refused(422, error.message, error.hint)
