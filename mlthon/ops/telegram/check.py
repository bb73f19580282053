"""Whether a bot is set up: who it is, where it may write, who may command it, and the ids of those who wrote to it.

It looks without taking anything away: messages that wait are read and left for the run. While a run has the bot, that
run's notes of who wrote are shown instead.
"""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from pathlib import Path

from attrs import frozen

from mlthon.backtest.show import columns, show_span
from mlthon.config import TelegramConfig
from mlthon.ops.telegram.access import Access
from mlthon.ops.telegram.api import Api, Contested, Trouble
from mlthon.ops.telegram.claim import Claim
from mlthon.ops.telegram.said import read_update
from mlthon.ops.telegram.store import Store, Talker, talker
from mlthon.ops.telegram.token import Token

CHECKING = "mlthon telegram check"


@frozen
class Finding:
    """A line of the check; `bad`: something is to be mended."""

    text: str
    bad: bool = False


async def check(
    token: Token, base_url: str, config: TelegramConfig | None, folder: Path, *, delete_webhook: bool = False
) -> AsyncIterator[Finding]:
    """Look at everything, and tell it line by line. `config`: None where there is no table yet."""
    async with Api(token, base_url).open() as api:
        try:
            me = await api.me()
        except Trouble as error:
            yield Finding(f"Telegram ({base_url}) does not answer for this token: {error}", bad=True)
            return
        yield Finding(f"The bot is @{me.username} ({me.name}), id {me.id}.")
        async for line in _webhook(api, delete=delete_webhook):
            yield line
        if config is None:
            yield Finding("There is no [telegram] table yet: it needs chat = ID, one of those below.", bad=True)
        else:
            async for line in _chats(api, config):
                yield line
        talkers, line = await _talkers(api, token, folder)
        yield line
        for row in _table(talkers, config):
            yield Finding(row)


async def _webhook(api: Api, *, delete: bool) -> AsyncIterator[Finding]:
    try:
        url = await api.webhook()
        if url and delete:
            await api.remove_webhook()
            yield Finding("The webhook was removed; commands are fetched again.")
        elif url:
            yield Finding(
                "A webhook takes this bot's messages, so a run gets none; --delete-webhook removes it.", bad=True
            )
    except Trouble as error:
        yield Finding(f"Whether the bot has a webhook is not known: {error}", bad=True)


async def _chats(api: Api, config: TelegramConfig) -> AsyncIterator[Finding]:
    """Whether the bot can write to each chat; nothing is sent."""
    for name, chat in {"chat": config.chat, **{f"chats.{name}": each for name, each in config.chats.items()}}.items():
        try:
            await api.typing(chat)
        except Trouble as error:
            mend = "write /start to the bot first" if chat > 0 else "add the bot to the group first"
            yield Finding(f"{name} = {chat}: cannot be written to ({error}); {mend}.", bad=True)
        else:
            yield Finding(f"{name} = {chat}: can be written to.")
    users = sorted(Access(config).users)
    if users:
        yield Finding(f"Commands are taken from {', '.join(map(str, users))}.")
    else:
        yield Finding("Nobody may give commands: chat is a group, and users is empty.", bad=True)


async def _talkers(api: Api, token: Token, folder: Path) -> tuple[list[Talker], Finding]:
    """Who wrote, and how that is known."""
    with Claim(folder, token) as claim, closing(Store(folder / f"telegram-{token.digest}.db")) as store:
        noted = store.talkers()
        if not claim.take(CHECKING):
            return noted, Finding(f"The bot serves {claim.holder()}; who wrote to it lately:")
        try:
            waiting = list(_read(await api.updates(None, 0)))
        except Contested as error:
            return noted, Finding(f"Another program has this bot ({error}); one bot, one run.", bad=True)
        except Trouble as error:
            return noted, Finding(f"Messages cannot be read: {error}", bad=True)
    found = {(each.chat, each.user): each for each in [*noted, *waiting]}
    if not found:
        return [], Finding("Nobody has written to the bot lately: send it /start, and check again.")
    return sorted(found.values(), key=lambda each: -each.ts), Finding("Who wrote to the bot lately:")


def _read(updates: Iterable[object]) -> Iterable[Talker]:
    for raw in updates:
        try:
            update = read_update(raw)
        except ValueError:  # what a run would pass over, too
            continue
        if update.message is not None:
            yield talker(update.message)


def _table(talkers: Iterable[Talker], config: TelegramConfig | None) -> Iterable[str]:
    access = None if config is None else Access(config)
    rows = [
        (
            str(each.chat),
            str(each.user),
            "".join(letter if letter.isprintable() else "?" for letter in each.name),
            f"{show_span(max(0, round((time.time() - each.ts) * 1e9)))} ago",
            "yes" if access is not None and access.allowed(each.chat, each.user) else "no",
        )
        for each in talkers
    ]
    return columns([("chat", "user", "who", "when", "is answered"), *rows], left=3) if rows else ()
