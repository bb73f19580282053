"""The `logger` of a bot: an ordinary `logging.Logger` whose lines go to the host."""

import logging
from collections.abc import Callable
from typing import Final

from mlthon.link.contract import Logged

NAME: Final = "profitview"


class HostHandler(logging.Handler):
    """Tells each line to the host. A message may be anything: a tuple, a dict, a text that does not fit its
    arguments."""

    def __init__(self, tell: Callable[[Logged], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except (TypeError, ValueError, KeyError) as error:
            text = f"{record.msg} {record.args} (a message that does not fit its arguments: {error})"
        self._tell(Logged(record.levelno, text))


class BotLogger(logging.Logger):
    """Stands outside of the tree of loggers, one for each bot of a process; so its level is not looked up there."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return not self.disabled and level >= self.level and level > self.manager.disable


def bot_logger(tell: Callable[[Logged], None]) -> logging.Logger:
    """A logger of the bot's own, from level INFO (`logger.setLevel` changes that)."""
    logger = BotLogger(NAME, logging.INFO)
    logger.addHandler(HostHandler(tell))
    return logger
