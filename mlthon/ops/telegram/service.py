"""Telegram as a part of the operations process (`mlthon.ops.process`).

`poller` → `desk` → `mail`, with the outbox's letters and the alerts beside them. At the end of the run, and when the
engine is gone, it gives the bot's messages up at once, so that the next run has them; and it sends what there is still
to send, as long as the process lets it.
"""

import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import Final

import msgspec
import trio

from mlthon.config import TelegramConfig
from mlthon.ops.client import ENGINE, AskFailed, EngineClient, EngineState
from mlthon.ops.contract import Level, News
from mlthon.ops.process import PartJob
from mlthon.ops.telegram.access import Access
from mlthon.ops.telegram.api import Api, Trouble
from mlthon.ops.telegram.bag import Bag
from mlthon.ops.telegram.claim import Claim
from mlthon.ops.telegram.desk import Desk
from mlthon.ops.telegram.hooks import BUILT_IN
from mlthon.ops.telegram.mail import FETCH_S, Mail, strategies_chats
from mlthon.ops.telegram.pace import Limits, Pace
from mlthon.ops.telegram.poller import Poller, PollSettings
from mlthon.ops.telegram.said import Message, Update
from mlthon.ops.telegram.settings import Settings
from mlthon.ops.telegram.store import Store, talker
from mlthon.ops.telegram.text import Piece, Text
from mlthon.ops.telegram.token import Token, hush

log = logging.getLogger("mlthon.telegram")

ALERT: Final = "alert"
MARKS: Final[Mapping[Level, str]] = {Level.INFO: "ℹ", Level.WARNING: "⚠", Level.ERROR: "⛔"}
"""What stands before an alert."""
GOODBYE_S: Final = 2.0
"""How long after the engine has gone a goodbye may still come."""


async def serve(
    client: EngineClient, job: PartJob, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until the run ends. Raises `UserError` where a file is not to be had."""
    settings = msgspec.convert(dict(job.settings), Settings)
    token = Token(settings.token)
    hush(token)
    with Claim(job.folder, token) as claim, closing(Store(job.folder / f"telegram-{token.digest}.db")) as store:
        async with _parts(client, job, settings.config, token, claim, store) as (mail, bag):
            task_status.started()
            await job.ending.wait()
            mail.alert(store.present_id(settings.config.chat), _marked(f"{job.run}: the run has ended", Level.INFO))
            while not mail.idle or (bag is not None and mail.fetch(bag)):
                await trio.sleep(FETCH_S)


@asynccontextmanager
async def _parts(
    client: EngineClient, job: PartJob, config: TelegramConfig, token: Token, claim: Claim, store: Store
) -> AsyncIterator[tuple[Mail, Bag | None]]:
    """The parts at work."""
    api = Api(token, config.base_url)
    chat = store.present_id(config.chat)
    chats = [(name, store.present_id(each)) for name, each in config.chats.items()]
    mail = Mail(api, strategies_chats(chat, chats), partial(_moved, store), Pace(Limits()))

    def tell(text: str, level: Level) -> None:
        mail.alert(chat, _marked(text, level))

    desk = Desk(config, Access(config, store.present_id), client, mail, job.run, job.guard, partial(_note, api))

    def take(update: Update) -> None:
        if update.message is not None:
            _noted(store, update.message)
        desk.take(update)

    poller = Poller(api, store, claim, job.run, take, tell, PollSettings(poll_s=config.poll_s))
    bag = None if job.outbox is None else Bag(job.outbox, store)
    try:
        async with api.open(), trio.open_nursery() as nursery:
            await nursery.start(mail.run, bag)
            await nursery.start(desk.serve)
            await nursery.start(_alerts, client, job, tell)
            nursery.start_soon(_poll_until_closed, job, claim, partial(_poll, poller, desk, api, chat))
            yield mail, bag
            nursery.cancel_scope.cancel()
    finally:
        if bag is not None:
            bag.close()


def _noted(store: Store, message: Message) -> None:
    """Note who wrote, for `telegram check`; nothing depends on it."""
    try:
        store.talked(talker(message))
    except sqlite3.Error as error:
        log.info("who wrote cannot be noted: %s", error)


def _moved(store: Store, old: int, new: int) -> None:
    """Note a group's new id; where that cannot be, Telegram tells it again after a restart."""
    try:
        store.move(old, new)
    except sqlite3.Error as error:
        log.error("the new id of chat %d cannot be noted: %s", old, error)


async def _poll_until_closed(job: PartJob, claim: Claim, poll: Callable[[], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poll)
        await job.closing.wait()
        nursery.cancel_scope.cancel()
    claim.release()


async def _poll(poller: Poller, desk: Desk, api: Api, chat: int) -> None:
    me = await poller.introduce()
    desk.me = me.username
    log.info("Telegram: the bot is @%s", me.username)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_menu, desk, api, chat)
        await poller.run()


async def _menu(desk: Desk, api: Api, chat: int) -> None:
    """Have the owner's chat offer the commands; it is a comfort, and nothing depends on it."""
    commands = [(name, f"{words} {what}".strip()) for name, (words, what) in BUILT_IN.items()]
    try:
        hooks = await desk.hooks("telegram")
        commands += [(name, f"{each.name} of {each.strategy}") for name, each in hooks.menu()]
    except AskFailed as error:
        log.info("no hooks for the menu: %s", error.message)
    try:
        await api.menu(chat, commands[:100])
    except Trouble as error:
        log.info("no menu: %s", error)


async def _note(api: Api, query: str, text: str) -> None:
    try:
        await api.pressed(query, text)
    except Trouble as error:
        log.info("the press of a button could not be answered: %s", error)


async def _alerts(
    client: EngineClient, job: PartJob, tell: Callable[[str, Level], None], task_status: trio.TaskStatus[None]
) -> None:
    """Tell the owner what the engine says, and what becomes of it. One that goes away may just have come to its end."""
    async with client.listen((ALERT,)) as news:
        task_status.started()
        async for each in news:
            if each.source == ENGINE and client.state is EngineState.AWAY:
                with trio.move_on_after(GOODBYE_S):
                    await job.ending.wait()
                if job.ending.is_set():
                    continue
            tell(_alert(each), each.level)


def _marked(text: str, level: Level) -> Text:
    return (Piece(f"{MARKS[level]} {text}"),)


def _alert(news: News) -> str:
    text = str(news.value)
    return text if text.startswith(news.source) else f"{news.source}: {text}"
