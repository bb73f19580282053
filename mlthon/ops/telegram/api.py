"""The Bot API by python-telegram-bot's `Bot`, on trio.

Of `telegram.Bot` only `initialize` and `shutdown` need asyncio; they are replaced. Updates are taken as they come
(`RawUpdate`s in `said`), because one that the library could not read would come again for ever.

Every request ends within its time whatever the server does: a server that sends a byte a second is given up too. What
goes wrong is one of six `Trouble`s, none of which shows the token.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

import trio
from attrs import frozen
from telegram import Bot, BotCommandScopeChat, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    EndPointNotFound,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
)
from telegram.request import HTTPXRequest

from mlthon.config import TELEGRAM_URL
from mlthon.ops.telegram.token import Token

REQUEST_S: Final = 20.0
"""How long a request may take, beside the time that one for updates stays open."""
ALLOWED_UPDATES: Final = ("message", "callback_query")
_KNOWN: Final = (400, 401, 403, 404, 409, 429)
"""Statuses that say what is wrong: https://core.telegram.org/api/errors."""

os.environ.setdefault("PTB_TIMEDELTA", "1")
# spans of time as `timedelta`: the library warns of whatever else it gives

T = TypeVar("T")


class Trouble(Exception):
    """What can go wrong. Its text is fit for a log."""


class Down(Trouble):
    """No answer, or none that makes sense: worth another try. The request may have been carried out."""


class TooMany(Trouble):
    """Too many requests: nothing more for `wait_s`."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many messages: {wait_s:g} s to wait")
        self.wait_s = wait_s


class Refused(Trouble):
    """Telegram will never take this: a chat that does not exist or does not want the bot."""


class Moved(Trouble):
    """The group has become a supergroup with another id."""

    def __init__(self, chat: int) -> None:
        super().__init__(f"the group's id is {chat} now")
        self.chat = chat


class Contested(Trouble):
    """Another program takes this bot's messages, or a webhook does."""

    @property
    def by_webhook(self) -> bool:
        return "webhook" in str(self).lower()


class BadToken(Trouble):
    """Telegram does not know the token (or the address is not that of a Bot API server)."""


@frozen
class Me:
    """The bot. `hears_all`: in groups it sees every message, not just commands."""

    id: int
    username: str
    name: str
    hears_all: bool


Button = tuple[str, str]
"""What a button says and what it sends when it is pressed (64 bytes at most)."""


class _Request(HTTPXRequest):
    async def do_request(self, *args: Any, **named: Any) -> tuple[int, bytes]:
        """The library takes statuses that it does not know for outages; those of 4xx mean this request."""
        status, content = await super().do_request(*args, **named)
        return (400 if 400 <= status < 500 and status not in _KNOWN else status), content


class _TrioBot(Bot):
    async def initialize(self) -> None:
        for each in self._request:
            await each.initialize()

    async def shutdown(self) -> None:
        for each in self._request:
            await each.shutdown()

    async def raw_updates(self, offset: int | None, limit: int, timeout_s: int) -> Any:
        data = {"offset": offset, "limit": limit, "timeout": timeout_s, "allowed_updates": list(ALLOWED_UPDATES)}
        return await self._post("getUpdates", data, read_timeout=timeout_s + REQUEST_S)


class Api:
    """See the module. All methods raise `Trouble`s."""

    def __init__(self, token: Token, base_url: str = TELEGRAM_URL, request_s: float = REQUEST_S) -> None:
        self._token = token
        self._request_s = request_s
        url = base_url.rstrip("/")
        self._bot = _TrioBot(
            token.value,
            base_url=f"{url}/bot",
            base_file_url=f"{url}/file/bot",
            request=_Request(connection_pool_size=8, read_timeout=request_s, pool_timeout=request_s),
            get_updates_request=_Request(connection_pool_size=2, read_timeout=request_s, pool_timeout=request_s),
        )

    def __repr__(self) -> str:
        return f"<Bot API of {self._token}>"

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Api"]:
        """Its connections are closed at the end."""
        await self._bot.initialize()
        try:
            yield self
        finally:
            with trio.move_on_after(1, shield=True):
                await self._bot.shutdown()

    async def me(self) -> Me:
        """Who the bot is."""
        user = await self._call(self._bot.get_me, self._request_s)
        return Me(user.id, user.username or "", user.first_name, bool(user.can_read_all_group_messages))

    async def updates(self, offset: int | None, timeout_s: int, limit: int = 100) -> list[Any]:
        """What came since; waits up to `timeout_s` for something. What lies below `offset` is forgotten there."""

        async def ask() -> Any:
            return await self._bot.raw_updates(offset, limit, timeout_s)

        found = await self._call(ask, timeout_s + self._request_s)
        if not isinstance(found, list):
            raise Down("an answer that is no list of updates")
        return found

    async def pending(self) -> int:
        """How many updates wait for somebody to fetch them. Asking takes none away from whoever does."""
        return int((await self._call(self._bot.get_webhook_info, self._request_s)).pending_update_count)

    async def webhook(self) -> str:
        """Where a webhook sends the bot's messages; empty where there is none."""
        return str((await self._call(self._bot.get_webhook_info, self._request_s)).url)

    async def remove_webhook(self) -> None:
        """Have messages wait to be fetched again."""
        await self._call(self._bot.delete_webhook, self._request_s)

    async def send(self, chat: int, html: str, buttons: Sequence[Button] = ()) -> int:
        """Send a message; its number in the chat."""
        rows = [[InlineKeyboardButton(text, callback_data=data) for text, data in buttons]]

        async def ask() -> Any:
            return await self._bot.send_message(
                chat,
                html,
                parse_mode="HTML",
                link_preview_options=LinkPreviewOptions(is_disabled=True),
                reply_markup=InlineKeyboardMarkup(rows) if buttons else None,
            )

        return int((await self._call(ask, self._request_s)).message_id)

    async def chat_name(self, chat: int) -> str:
        """What a chat is called; `Refused` where the bot is not in it."""
        found = await self._call(lambda: self._bot.get_chat(chat), self._request_s)
        return str(found.title or found.full_name or found.username or chat)

    async def typing(self, chat: int) -> None:
        """Show in the chat that an answer is being written: a way to see whether it can be."""
        await self._call(lambda: self._bot.send_chat_action(chat, "typing"), self._request_s)

    async def pressed(self, query: str, text: str) -> None:
        """Answer the press of a button by a short note."""
        await self._call(lambda: self._bot.answer_callback_query(query, text[:200]), self._request_s)

    async def menu(self, chat: int, commands: Sequence[tuple[str, str]]) -> None:
        """What the menu of one chat offers: commands and what they do. Others see none."""
        scope = BotCommandScopeChat(chat)
        await self._call(lambda: self._bot.set_my_commands(list(commands), scope=scope), self._request_s)

    async def _call(self, ask: Callable[[], Awaitable[T]], limit_s: float) -> T:
        trouble: Trouble
        try:
            with trio.fail_after(limit_s):
                return await ask()
        except trio.TooSlowError:
            trouble = Down(f"no answer within {limit_s:g} s")
        except TelegramError as error:
            trouble = self._trouble(error)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            trouble = Down(f"an answer that cannot be read ({type(error).__name__})")
        # raised out here: the error at its root may show the address, and so the token
        raise trouble

    def _trouble(self, error: TelegramError) -> Trouble:
        told = self._token.hide(error.message)
        if isinstance(error, RetryAfter):
            return TooMany(_seconds(error))
        if isinstance(error, ChatMigrated):
            return Moved(error.new_chat_id)
        for kinds, trouble in _TROUBLES:
            if isinstance(error, kinds):
                return trouble(told)
        return Down(told)


def _seconds(error: RetryAfter) -> float:
    after = error.retry_after
    return after.total_seconds() if isinstance(after, timedelta) else float(after)


_TROUBLES: Final[Sequence[tuple[tuple[type[TelegramError], ...], type[Trouble]]]] = (
    ((Conflict,), Contested),
    ((InvalidToken, EndPointNotFound), BadToken),
    ((BadRequest, Forbidden), Refused),
)
