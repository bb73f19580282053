"""Messages to Telegram, in order, as fast as it allows, until it has taken them.

Each chat has a lane: answers first, so that a flood of alerts does not hold up the question whether a kill is meant;
then alerts, those that wait as one message, in turns with what strategies published. That waits in the outbox until
Telegram has taken it; where several strategies have one chat they take turns too, so a flood of one holds up no other.
A long text goes in parts, and an answer may go between two of them.

A message is tried again, with growing pauses, for as long as Telegram is away or says `429`; one that it will never
take (400, 403) is logged and set aside, so that it does not hold up those behind it. Where an answer of Telegram's is
lost after it took a message, the message goes out again: each arrives at least once.

Answers that could not be sent for `ANSWER_S` are dropped: nobody waits for them any more. Alerts are kept for a day.
"""

import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Protocol

import trio
from attrs import define, field

from mlthon.live.backoff import Backoff, BackoffSettings
from mlthon.ops.telegram.api import BadToken, Button, Moved, Refused, TooMany, Trouble
from mlthon.ops.telegram.pace import Pace
from mlthon.ops.telegram.text import Piece, Text, messages, read

log = logging.getLogger("mlthon.telegram")

ANSWER_S: Final = 600.0
ALERT_S: Final = 86_400.0
MOST_ANSWERS: Final = 100
"""Answers that wait for one chat, and alerts as many; beyond it the oldest are dropped."""
FETCH: Final = 100
"""Letters that are taken out of the outbox at once. (How many wait of a strategy the outbox bounds.)"""
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


@define
class _Item:
    """Something to send: `read` gives its parts, of which `sent` are sent. `until`: when it has lost its sense; None:
    never. `done` is told why it failed, or None."""

    read: Callable[[], Sequence[str]]
    buttons: Sequence[Button] = ()
    until: float | None = None
    done: Callable[[str | None], None] = field(default=lambda _: None)
    parts: Sequence[str] | None = None
    sent: int = 0

    def next(self) -> tuple[str, Sequence[Button]] | None:
        """The next part and the buttons under it; None when there is none left."""
        if self.parts is None:
            self.parts = self.read()
        if self.sent >= len(self.parts):
            return None
        return self.parts[self.sent], self.buttons if self.sent == len(self.parts) - 1 else ()


class _Lane:
    """One chat: what waits, and what has been begun (`alert`, and a letter of the strategy `begun`)."""

    def __init__(self, chat: int) -> None:
        self.chat = chat
        self.answers: deque[_Item] = deque(maxlen=MOST_ANSWERS)
        self.alerts: deque[tuple[Text, float]] = deque(maxlen=MOST_ANSWERS)
        self.letters: dict[str, deque[_Item]] = {}
        """By strategy; whose turn it is stands first."""
        self._alert: _Item | None = None
        self._letters_turn = False
        self._wake = trio.Event()

    @property
    def idle(self) -> bool:
        """Whether nothing waits but letters."""
        return not self.answers and not self.alerts and self._alert is None

    def answer(self, item: _Item) -> None:
        self._warn(self.answers)
        self.answers.append(item)
        self._wake.set()

    def alert(self, text: Text, until: float) -> None:
        self._warn(self.alerts)
        self.alerts.append((text, until))
        self._wake.set()

    def letter(self, strategy: str, item: _Item) -> None:
        self.letters.setdefault(strategy, deque()).append(item)
        self._wake.set()

    def _warn(self, queue: "deque[_Item] | deque[tuple[Text, float]]") -> None:
        if len(queue) == queue.maxlen:
            log.warning("an answer or alert to chat %d was dropped: %d wait already", self.chat, MOST_ANSWERS)

    async def next(self) -> _Item:
        """What is to be sent now; it stays here until it is `over`."""
        while True:
            if self.answers:
                return self.answers[0]
            alerted = self._alert or self.alerts
            if alerted and not (self._letters_turn and self.letters):
                return self._all_alerts()
            if self.letters:
                return next(iter(self.letters.values()))[0]
            self._wake = trio.Event()
            await self._wake.wait()

    def _all_alerts(self) -> _Item:
        """The alert that was begun, or else those that wait, as one."""
        if self._alert is None:
            texts, times = zip(*self.alerts, strict=True)
            self.alerts.clear()
            whole = tuple(piece for text in texts for piece in (*text, Piece("\n")))
            self._alert = _Item(partial(messages, whole), (), max(times))
        return self._alert

    def over(self, item: _Item) -> None:
        """It is sent, or given up."""
        if item is self._alert:
            self._alert = None
            self._letters_turn = True
        elif self.answers and self.answers[0] is item:
            self.answers.popleft()
        else:
            self._letter_over(item)

    def _letter_over(self, item: _Item) -> None:
        for strategy, queue in self.letters.items():
            if queue[0] is item:
                queue.popleft()
                del self.letters[strategy]
                if queue:
                    self.letters[strategy] = queue
                self._letters_turn = False
                return


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
        return not self._held and all(each.idle for each in self._lanes.values())

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
        self._lane(chat).answer(_Item(partial(messages, text), buttons, trio.current_time() + ANSWER_S))

    def alert(self, chat: int, text: Text) -> None:
        """Send an alert."""
        self._lane(chat).alert(text, trio.current_time() + ALERT_S)

    def fetch(self, outbox: Letters) -> bool:
        """Take what is new out of the outbox; whether anything was."""
        before = self._held
        while found := outbox.more(FETCH):
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
        item = _Item(lambda: messages(read(letter.text)), done=done)
        self._lane(self._chat_of(letter.strategy)).letter(letter.strategy, item)

    def _lane(self, chat: int) -> _Lane:
        lane = self._lanes.get(chat)
        if lane is None:
            lane = self._lanes[chat] = _Lane(chat)
            if self._nursery is not None:
                self._nursery.start_soon(self._serve, lane)
        return lane

    async def _serve(self, lane: _Lane) -> None:
        while True:
            item = await lane.next()
            part = item.next()
            if part is None:
                item.done(None if item.sent else "it shows nothing")
                lane.over(item)
                continue
            failure = await self._send(lane, item, *part)
            if failure is not None:
                self.refused += 1
                log.error("a message to chat %d is set aside: %s", lane.chat, failure)
                item.done(failure)
                lane.over(item)

    async def _send(self, lane: _Lane, item: _Item, part: str, buttons: Sequence[Button]) -> str | None:
        """Send a part, however long that takes; why it was given up, or None: also where an answer has come, which goes
        before it."""
        backoff = Backoff(random.Random(), self._pauses)
        while True:
            await self._turn(lane.chat)
            if lane.answers and lane.answers[0] is not item:
                return None
            if item.until is not None and trio.current_time() > item.until:
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
                item.sent += 1
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
