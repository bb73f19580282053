"""The module `profitview` of one bot: what its `from profitview import Link, logger, http, cron` finds."""

from logging import Logger
from types import ModuleType

from mlthon.link.bot.cron import Cron
from mlthon.link.bot.http import http
from mlthon.link.bot.link import Link
from mlthon.link.candles import Bars
from mlthon.link.errors import ApiError


def profitview_module(logger: Logger, cron: Cron) -> ModuleType:
    """A fresh module with the bot's own `logger` and `cron`."""
    module = ModuleType("profitview", "ProfitView's interface to bots, served by mlthon.")
    names = {"Link": Link, "logger": logger, "http": http, "cron": cron, "ApiError": ApiError, "Bars": Bars}
    module.__dict__.update(names, __all__=sorted(names))
    return module
