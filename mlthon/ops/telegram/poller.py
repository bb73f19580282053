"""New messages: each once, and never two programs at it.

Telegram gives a bot's messages to whoever asks; it ends the question of one program when another asks (409). Programs
of one machine settle it by a lock (`claim`): who has not got it asks nothing and looks for it again. Between machines
the newest wins: a program whose question is ended asks once more, and if that is ended too it stands back. From time to
time it listens, without taking anything, whether the other is still there, and goes on when it is not. So no two
programs go on taking messages from each other, and no command is carried out by both.
"""

import logging
import random
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import trio
from attrs import field, frozen

from mlthon.live.backoff import Backoff, BackoffSettings
from mlthon.ops.contract import Level
from mlthon.ops.telegram.api import Api, BadToken, Contested, Me, TooMany, Trouble
from mlthon.ops.telegram.claim import Claim
from mlthon.ops.telegram.said import Update, read_update
from mlthon.ops.telegram.store import WEEK_S, Store

log = logging.getLogger("mlthon.telegram")

T = TypeVar("T")

KEPT: Final = 1_000
"""Numbers of messages that are known here too, should the store fail."""


@frozen(kw_only=True)
class PollSettings:
    """Times in s. `poll_s`: how long a question stays open; `idle_s`: the pause after one that brought nothing new at
    once; `again_s`: until the second try after a conflict, `strike_s`: two conflicts within it are one too many;
    `back_s`, `most_back_s`: how long to stand back, at first and at most (longer than `strike_s`); `listen_s`: for how
    long nobody else must be heard (longer than `again_s`); `claim_s`: how often the lock is tried; `bad_token_s`: until
    a token that was refused is tried again."""

    poll_s: int = 25
    idle_s: float = 1.0
    again_s: float = 3.0
    strike_s: float = 60.0
    back_s: float = 300.0
    most_back_s: float = 3_600.0
    listen_s: int = 30
    claim_s: float = 5.0
    bad_token_s: float = 60.0
    pauses: BackoffSettings = field(factory=lambda: BackoffSettings(first_s=0.5, most_s=30.0))


class Poller:
    """See the module. `take` gets each update once; `tell` has the owner told. `duplicates`: what came again."""

    def __init__(
        self,
        api: Api,
        store: Store,
        claim: Claim,
        run: str,
        take: Callable[[Update], None],
        tell: Callable[[str, Level], None],
        settings: PollSettings | None = None,
    ) -> None:
        self.duplicates = 0
        self._api = api
        self._store = store
        self._claim = claim
        self._run = run
        self._take = take
        self._tell = tell
        self._settings = settings or PollSettings()
        self._backoff = Backoff(random.Random(), self._settings.pauses)
        self._failing = ""
        self._strikes: deque[float] = deque(maxlen=2)
        self._seen: deque[int] = deque(maxlen=KEPT)
        self._offset: int | None = None
        self._latest = 0.0
        """When the last update came, s since 1970 UTC."""

    async def introduce(self) -> Me:
        """Who the bot is, as soon as Telegram can be reached."""
        while True:
            me = await self._try(self._api.me)
            if me is not None:
                return me

    async def run(self) -> None:
        """Take messages until cancelled."""
        await self._have_the_bot()
        self._latest = time.time()
        try:
            self._offset = self._store.offset(self._latest)
        except sqlite3.Error as error:
            log.error("which messages were seen cannot be read: %s", error)
        while True:
            began = trio.current_time()
            found = await self._try(self._ask)
            if found is None:
                continue
            new = self._sort(found)
            for each in new:
                self._take(each)
            if not new and trio.current_time() - began < self._settings.idle_s:
                await trio.sleep(self._settings.idle_s)

    async def _have_the_bot(self) -> None:
        if self._claim.take(self._run):
            return
        told = f"this bot's commands go to another run of this machine: {self._claim.holder()}"
        log.error("%s; here messages are only sent. One run, one bot: see docs/telegram.md", told)
        self._tell(f"{self._run}: {told}. Here messages are only sent.", Level.WARNING)
        while not self._claim.take(self._run):
            await trio.sleep(self._settings.claim_s)
        log.warning("this bot's commands come here from now on")
        self._tell(f"{self._run}: commands come here from now on.", Level.INFO)

    async def _ask(self) -> list[Any]:
        return await self._api.updates(self._offset, self._settings.poll_s)

    async def _try(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """The answer, or None after having waited for what went wrong."""
        try:
            answer = await ask()
        except Contested as error:
            await self._contested(error)
        except TooMany as error:
            log.warning("asking for messages: %s", error)
            await trio.sleep(error.wait_s)
        except BadToken as error:
            self._failed(f"Telegram does not accept the token ({error}): see BotFather, and [telegram] base_url")
            await trio.sleep(self._settings.bad_token_s)
        except Trouble as error:
            self._failed(f"Telegram cannot be reached ({error}); trading goes on")
            await trio.sleep(self._backoff.pause())
        else:
            if self._failing:
                self._failing = ""
                log.warning("Telegram can be reached again")
            self._backoff.held(self._settings.pauses.stable_s)
            return answer
        return None

    def _failed(self, told: str) -> None:
        if not self._failing:
            self._failing = told
            log.error("%s", told)

    # -- each once ---------------------------------------------------------------------------------------------------

    def _sort(self, found: Sequence[Any]) -> list[Update]:
        """Those that are new, in their order; whatever cannot be read is left out."""
        now = time.time()
        if not found and now - self._latest > WEEK_S:
            self._offset = None
        new = []
        for raw in found:
            update = _read(raw)
            number = _number(raw)
            if number is None or not self._first_time(number, now):
                continue
            self._latest = now
            self._offset = max(number + 1, self._offset or 0)
            if update is not None:
                new.append(update)
        return sorted(new, key=lambda each: each.update_id)

    def _first_time(self, number: int, now: float) -> bool:
        if number in self._seen:
            self.duplicates += 1
            return False
        self._seen.append(number)
        try:
            first = self._store.first_time(number, now)
        except sqlite3.Error as error:
            # a kill must get through when the disk is full
            log.error("which messages were seen cannot be written down, a restart may repeat commands: %s", error)
            return True
        self.duplicates += not first
        return first

    # -- never two programs at it ------------------------------------------------------------------------------------

    async def _contested(self, error: Contested) -> None:
        settings = self._settings
        self._strikes.append(trio.current_time())
        if not error.by_webhook and (len(self._strikes) < 2 or self._strikes[1] - self._strikes[0] > settings.strike_s):
            log.warning("another program asked for this bot's messages: %s", error)
            await trio.sleep(settings.again_s)
            return
        self._strikes.clear()
        what = (
            "a webhook takes this bot's messages" if error.by_webhook else "another program takes this bot's messages"
        )
        mend = (
            "remove it (python -m mlthon telegram check --delete-webhook)"
            if error.by_webhook
            else "end it, or give this run a bot of its own"
        )
        log.error("%s (%s): no commands are taken here, messages are still sent; %s", what, error, mend)
        told = f"{self._run}: {what}. No commands are taken here, not /kill either, until it is gone; {mend}."
        self._tell(told, Level.ERROR)
        back = settings.back_s
        while True:
            await trio.sleep(back)
            if await self._alone():
                break
            back = min(2 * back, settings.most_back_s)
        log.warning("nobody else takes this bot's messages any more; commands are taken here again")
        self._tell(f"{self._run}: commands are taken here again.", Level.INFO)

    async def _alone(self) -> bool:
        """Listen for a while without taking anything; whether nobody else was heard. This ends the other's question
        once, which it bears."""
        settings = self._settings
        try:
            found = await self._api.updates(None, settings.listen_s)
            if not found:
                return True
            # messages that wait end the listening at once: does anybody fetch them?
            await trio.sleep(3 * settings.again_s)
            return await self._api.pending() > 0
        except Trouble as error:
            log.info("listening for another program: %s", error)
            return False


def _read(raw: Any) -> Update | None:
    try:
        return read_update(raw)
    except ValueError as error:
        log.error("a message that cannot be read: %s", error)
        return None


def _number(raw: Any) -> int | None:
    number = raw.get("update_id") if isinstance(raw, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None
