"""The bot's token: where it is found, and how it is kept out of logs, errors and representations.

Whoever has the token is the bot. Bot API addresses hold it (`/bot123:ABC/sendMessage`), so every library on the way to
Telegram may show it; `hush` keeps those quiet and takes it out of whatever is logged all the same.
"""

import hashlib
import logging
import re
from collections.abc import Iterable
from typing import Final

from mlthon.errors import UserError
from mlthon.live.secrets import Places, find_values

VARIABLE: Final = "MLTHON_TELEGRAM_TOKEN"
_FORM: Final = re.compile(r"(\d{1,20}):([A-Za-z0-9_-]{20,100})")
_TALKATIVE: Final = ("httpx", "httpcore", "telegram")
"""Loggers of libraries that show addresses."""
HIDDEN: Final = "***"


class Token:
    """A bot's token. Only `value` shows it. Raises `UserError` for what cannot be one."""

    __slots__ = ("_secret", "bot_id", "value")

    def __init__(self, value: str, where: str = "the token") -> None:
        form = _FORM.fullmatch(value.strip())
        if form is None:
            raise UserError(f"{where}: no Telegram token", "BotFather gives it in the form 123456789:ABC…, 46 letters.")
        self.value: Final = form[0]
        self.bot_id: Final = int(form[1])
        self._secret: Final = form[2]

    def __repr__(self) -> str:
        return f"<token of bot {self.bot_id}>"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a token is not to be stored")

    @property
    def digest(self) -> str:
        """A name for files that belong to the token, from which it cannot be found out."""
        return hashlib.sha256(self.value.encode()).hexdigest()[:16]

    def hide(self, text: str) -> str:
        """The text without the token, however it is quoted in it."""
        return text.replace(self._secret, HIDDEN)


def find_token(places: Places) -> Token:
    """The token of the environment, the secrets file (`[telegram] token`) or `.env`. Raises `UserError`."""
    found = find_values("telegram", ("token",), places)
    if "token" not in found:
        raise UserError(
            "no Telegram token",
            f"Set {VARIABLE} in the environment or in a .env file,\nor put it into a secrets file: "
            '[telegram] and below it token = "…".',
        )
    return Token(found["token"])


class _Hide(logging.Filter):
    def __init__(self, token: Token) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        told = record.getMessage()
        record.msg, record.args = self._token.hide(told), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._token.hide(record.exc_text)
        return True


def hush(token: Token, handlers: Iterable[logging.Handler] | None = None) -> None:
    """Have the libraries log no addresses, and `handlers` (those of the root logger) write no token."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "telegram" else logging.WARNING)
    for handler in logging.getLogger().handlers if handlers is None else handlers:
        handler.addFilter(_Hide(token))
