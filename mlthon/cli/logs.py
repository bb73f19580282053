"""Where messages for a person go: standard error, by structlog over the standard library's logging."""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

LEVELS: Final = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
NORMAL: Final = 1
"""The place in `LEVELS` without -v and -q."""

BOTS: Final = "mlthon.bot"
"""The logger of what bots log and print."""


class Console:
    """Standard error for messages that end a command."""

    def error(self, message: str, hint: str = "") -> None:
        colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        label = "\033[1;31merror:\033[0m" if colour else "error:"
        print(f"mlthon: {label} {message}", file=sys.stderr)
        if hint:
            print("\n".join(f"  {line}" for line in hint.splitlines()), file=sys.stderr)

    def abandon(self) -> None:
        """Whoever read standard output has gone: let nothing complain of it at exit."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Stderr(logging.StreamHandler[Any]):
    """Writes to what standard error is at the moment, so that a live display can put itself in between."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def set_up(verbosity: int) -> None:
    """Send all logs from the level of `verbosity` on (-1 errors, 0 warnings, 1 information, 2 everything) to standard
    error, with tracebacks where a strategy's callback raised."""
    place = min(max(NORMAL + verbosity, 0), len(LEVELS) - 1)
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _plain,
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                    pad_event_to=0,
                    exception_formatter=structlog.dev.plain_traceback,
                ),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[place])
    # a line for each request says nothing that the run does not, and buries what it says
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(max(LEVELS[place], logging.WARNING))


def _plain(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["level"] = event["level"].replace("critical", "error")
    if event.get("logger") == BOTS:  # each begins with its bot's name
        del event["logger"]
        event["event"] = str(event["event"]).rstrip("\n")
    return event
