"""Messages to Telegram, in order, as fast as it allows, until it has taken them.

Each chat has a lane: answers first, so that a flood of alerts does not hold up the question whether a kill is meant;
then alerts, then what strategies published, which waits in the outbox's file until Telegram has taken it. A message is
tried again, with growing pauses, for as long as Telegram is away or says `429`; one that it will never take (400, 403)
is logged and set aside, so that it does not hold up those behind it. Where an answer of Telegram's is lost after it
took a message, the message goes out again: each arrives at least once.

Answers that could not be sent for `ANSWER_S` are dropped: nobody waits for them any more. Alerts are kept for a day.
"""

import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import trio
from attrs import field, frozen

from mlthon.live.backoff import Backoff, BackoffSettings
from mlthon.ops.telegram.api import BadToken, Button, Moved, Refused, TooMany, Trouble
from mlthon.ops.telegram.pace import Pace
from mlthon.ops.telegram.text import Text, messages, read

log = logging.getLogger("mlthon.telegram")

ANSWER_S: Final = 600.0
ALERT_S: Final = 86_400.0
MOST_ANSWERS: Final = 100
"""Answers that wait for one chat, and alerts as many; beyond it the oldest are dropped."""
FETCH: Final = 100
"""Letters that are taken out of the outbox at once."""
MOST_LETTERS: Final = 2_000
"""Letters held here; the others stay in the file."""
FETCH_S: Final = 0.25
"""How often the outbox is looked at."""
PAUSES: Final = BackoffSettings(first_s=0.5, most_s=60.0)


class Letter(Protocol):
    """A message of a strategy. `number`: its place in the outbox."""

    @property
    def number(self) -> int: ...

    @property
    def strategy(self) -> str: ...

    @property
    def text(self) -> str: ...


class Letters(Protocol):
    """The outbox."""

    def more(self, most: int) -> Sequence[Letter]:
        """Letters that were not given yet, in order."""

    def taken(self, number: int) -> None:
        """Telegram has it."""

    def set_aside(self, letter: Letter, why: str) -> None:
        """Telegram will never take it."""


class Sends(Protocol):
    """Of `Api`, what is needed here."""

    async def send(self, chat: int, html: str, buttons: Sequence[Button] = ()) -> int: ...


@frozen
class _Item:
    """Something to send. `until`: when it has lost its sense; None: never. `done` is told why it failed, or None."""

    parts: Sequence[str]
    buttons: Sequence[Button] = ()
    until: float | None = None
    done: Callable[[str | None], None] = field(default=lambda _: None)


class _Lane:
    """One chat."""

    def __init__(self, chat: int) -> None:
        self.chat = chat
        self.answers: deque[_Item] = deque(maxlen=MOST_ANSWERS)
        self.alerts: deque[_Item] = deque(maxlen=MOST_ANSWERS)
        self.letters: deque[_Item] = deque()
        self.wake = trio.Event()

    def put(self, item: _Item, queue: deque[_Item]) -> None:
        if len(queue) == queue.maxlen:
            log.warning("an answer or alert to chat %d was dropped: %d wait already", self.chat, MOST_ANSWERS)
        queue.append(item)
        self.wake.set()

    async def next(self) -> deque[_Item]:
        """The queue whose first item is to be sent."""
        while True:
            for queue in (self.answers, self.alerts, self.letters):
                if queue:
                    return queue
            self.wake = trio.Event()
            await self.wake.wait()


class Mail:
    """See the module. `chat_of`: a strategy's chat; `moved`: told when a group got another id. `sent`, `refused`,
    `retries`: so far."""

    def __init__(
        self,
        api: Sends,
        chat_of: Callable[[str], int],
        moved: Callable[[int, int], None],
        pace: Pace | None = None,
        pauses: BackoffSettings = PAUSES,
    ) -> None:
        self.sent = self.refused = self.retries = 0
        self._api = api
        self._chat_of = chat_of
        self._moved = moved
        self._pace = pace or Pace()
        self._pauses = pauses
        self._lanes: dict[int, _Lane] = {}
        self._nursery: trio.Nursery | None = None
        self._held = 0
        """Letters here."""
        self._failing = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits here."""
        return not self._held and not any(each.answers or each.alerts for each in self._lanes.values())

    async def run(self, outbox: Letters | None, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled."""
        async with trio.open_nursery() as self._nursery:
            for lane in self._lanes.values():
                self._nursery.start_soon(self._serve, lane)
            task_status.started()
            while outbox is not None:
                self.fetch(outbox)
                await trio.sleep(FETCH_S)
            await trio.sleep_forever()

    def answer(self, chat: int, text: Text, buttons: Sequence[Button] = ()) -> None:
        """Send an answer; the buttons stand under its end."""
        lane = self._lane(chat)
        lane.put(_Item(messages(text), buttons, trio.current_time() + ANSWER_S), lane.answers)

    def alert(self, chat: int, text: Text) -> None:
        """Send an alert."""
        lane = self._lane(chat)
        lane.put(_Item(messages(text), (), trio.current_time() + ALERT_S), lane.alerts)

    def fetch(self, outbox: Letters) -> bool:
        """Take what is new out of the outbox, as long as there is room; whether anything was."""
        before = self._held
        while self._held < MOST_LETTERS:
            found = outbox.more(FETCH)
            for letter in found:
                self._take(outbox, letter)
            if len(found) < FETCH:
                break
        return self._held > before

    def _take(self, outbox: Letters, letter: Letter) -> None:
        def done(failure: str | None) -> None:
            self._held -= 1
            if failure is None:
                outbox.taken(letter.number)
            else:
                outbox.set_aside(letter, failure)

        self._held += 1
        parts = messages(read(letter.text))
        if not parts:
            done("it shows nothing")
            return
        lane = self._lane(self._chat_of(letter.strategy))
        lane.put(_Item(parts, done=done), lane.letters)

    def _lane(self, chat: int) -> _Lane:
        lane = self._lanes.get(chat)
        if lane is None:
            lane = self._lanes[chat] = _Lane(chat)
            if self._nursery is not None:
                self._nursery.start_soon(self._serve, lane)
        return lane

    async def _serve(self, lane: _Lane) -> None:
        while True:
            queue = await lane.next()
            # it stays in the queue while it is sent, so that `idle` is true only when it has arrived
            item = queue[0]
            item.done(await self._deliver(lane, item))
            if queue and queue[0] is item:
                queue.popleft()

    async def _deliver(self, lane: _Lane, item: _Item) -> str | None:
        """Send it, however long that takes; why it was given up, or None."""
        for place, part in enumerate(item.parts, 1):
            failure = await self._until_taken(lane, part, item.buttons if place == len(item.parts) else (), item.until)
            if failure is not None:
                self.refused += 1
                log.error("a message to chat %d is set aside: %s", lane.chat, failure)
                return failure
        return None

    async def _until_taken(self, lane: _Lane, part: str, buttons: Sequence[Button], until: float | None) -> str | None:
        backoff = Backoff(random.Random(), self._pauses)
        while True:
            await self._turn(lane.chat)
            if until is not None and trio.current_time() > until:
                return "it is too late for it"
            self._pace.sent(lane.chat, trio.current_time())
            try:
                await self._api.send(lane.chat, part, buttons)
            except Refused as error:
                return str(error)
            except Moved as error:
                self._move(lane, error.chat)
            except TooMany as error:
                self.retries += 1
                log.warning("chat %d: %s", lane.chat, error)
                self._pace.pause(lane.chat, trio.current_time() + error.wait_s)
            except Trouble as error:
                self.retries += 1
                self._failed(error)
                await trio.sleep(backoff.pause())
            else:
                self.sent += 1
                self._worked()
                return None

    async def _turn(self, chat: int) -> None:
        """Wait until a message to the chat may go."""
        while (wait := self._pace.ready_at(chat) - trio.current_time()) > 0:
            await trio.sleep(wait)

    def _move(self, lane: _Lane, chat: int) -> None:
        log.warning("chat %d is %d now: write this into [telegram] of the configuration", lane.chat, chat)
        self._moved(lane.chat, chat)
        lane.chat = chat

    def _failed(self, error: Trouble) -> None:
        if not self._failing:
            self._failing = True
            what = "the token is not accepted" if isinstance(error, BadToken) else "Telegram cannot be reached"
            log.error("%s (%s): messages are kept, and tried again", what, error)

    def _worked(self) -> None:
        if self._failing:
            self._failing = False
            log.warning("Telegram can be reached again")


def strategies_chats(chat: int, chats: Iterable[tuple[str, int]]) -> Callable[[str], int]:
    """The chat of a strategy: its own, or the owner's."""
    own = {name.casefold(): each for name, each in chats}
    return lambda strategy: own.get(strategy.casefold(), chat)
