"""What a bot's own code raises: logged with its traceback, told to the host, and survived."""

import traceback
from collections.abc import Callable
from logging import Logger
from pathlib import Path
from threading import ExceptHookArgs
from typing import Any, Final

from mlthon.link.contract import HostFace, Raised, StopTrading
from mlthon.link.errors import LinkClosed

_FROM_OUTSIDE: Final = frozenset({"GeneratorExit", "GreenletExit", "KeyboardInterrupt"})


class Guard:
    """Calls into a bot."""

    def __init__(self, logger: Logger, host: HostFace) -> None:
        self._logger = logger
        self._host = host
        self._times: dict[tuple[str, str], int] = {}

    def call(self, where: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call a function of the bot, and survive what it raises."""
        try:
            function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - a bot's own code
            self.survive(where, error)

    def survive(self, where: str, error: BaseException) -> None:
        """Log and tell what was raised in `where`. Of an error that keeps coming back only the first, second, fourth,
        eighth ... are logged and told with their traceback; each is told. `sys.exit` asks for the bot's end; a call
        that the bot's end has cut off is no error. What ends a thread from outside is raised on."""
        if type(error).__name__ in _FROM_OUTSIDE:
            raise error
        if isinstance(error, SystemExit):
            self._host.tell(StopTrading(f"{where} called sys.exit({'' if error.code is None else error.code})"))
            return
        if isinstance(error, LinkClosed):
            return
        said = said_of(error)
        times = self._count(where, error)
        text = ""
        if times & (times - 1) == 0:
            text = trace_of(error)
            self._logger.error("%s raised %s%s\n%s", where, said, f" ({times} times)" if times > 1 else "", text)
        self._host.tell(Raised(where, said, text))

    def thread_raised(self, args: ExceptHookArgs) -> None:
        """A `threading.excepthook`: for threads that a bot starts itself."""
        if args.exc_value is not None:
            self.survive(f"thread {args.thread.name}" if args.thread else "thread", args.exc_value)

    def _count(self, where: str, error: BaseException) -> int:
        """How often this has been raised at the same line."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        line = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
        key = (where, f"{type(error).__name__} {line}")
        self._times[key] = self._times.get(key, 0) + 1
        return self._times[key]


def said_of(error: BaseException) -> str:
    """Type and text of an error, whose own code may fail at that."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception as worse:  # noqa: BLE001 - a bot's own code
        return f"{type(error).__name__} (its text raised {type(worse).__name__})"


def trace_of(error: BaseException) -> str:
    """The traceback, without the platform's own lines at its top."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and _ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def _ours(filename: str) -> bool:
    return filename.startswith(_HERE)


_HERE: Final = f"{Path(__file__).parents[1]}/"
