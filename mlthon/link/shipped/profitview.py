"""`from profitview import Link, logger, http, cron`, for editors, type checkers and tests of bots.

The wheel installs this as the module `profitview`. A bot that runs (`python -m mlthon bot.py`) is given a module of its
own under this name instead; outside of a run `Link` says so when it is constructed, and `logger` writes to stderr.
"""

import logging
from typing import Final

from mlthon.link.bot.cron import Cron
from mlthon.link.bot.http import http as http
from mlthon.link.bot.link import Link as Link
from mlthon.link.candles import Bars as Bars
from mlthon.link.errors import ApiError as ApiError

__all__ = ["ApiError", "Bars", "Link", "cron", "http", "logger"]

cron: Final = Cron()
logger: Final = logging.getLogger("profitview")
