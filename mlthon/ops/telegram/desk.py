"""Commands → questions and actions of the control socket → answers.

Each chat is served in order, one command after the other, on a task of its own; `/kill` and its confirmation wait for
nothing before them. Everything is answered, what fails by a sentence that says why.

A strategy's own commands (hooks) are said by their names. Where several strategies have one, or the bot has one of the
name itself, the strategy is named: `/size grid 5`, or in one word `/grid_size 5`.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import trio
from attrs import frozen

from mlthon.backtest.show import show_span
from mlthon.config import TelegramConfig
from mlthon.errors import UserError
from mlthon.ops.client import AskFailed
from mlthon.ops.contract import (
    STOPPED,
    Action,
    CancelAll,
    GetCommands,
    GetOrders,
    GetPositions,
    GetProfit,
    GetStatus,
    Kill,
    Question,
    RunCommand,
    StartStrategy,
    Status,
    StopStrategy,
)
from mlthon.ops.killed import LOOK_S, Follow, Progress, progress_of_engine, progress_of_guard
from mlthon.ops.telegram import answers
from mlthon.ops.telegram.access import Access
from mlthon.ops.telegram.api import Button
from mlthon.ops.telegram.hooks import BUILT_IN, Hook, Hooks, meant
from mlthon.ops.telegram.kill import Confirmations, tell_guard
from mlthon.ops.telegram.said import Command, Message, Press, Update, User, first_word, read_command, words
from mlthon.ops.telegram.text import Piece, Text

log = logging.getLogger("mlthon.telegram")

KILL_S: Final = 2.0
"""How long the engine may take to answer a kill before the guard is told itself."""
MOST_WAITING: Final = 20
"""Commands that wait in one chat."""
_KILL, _KEEP = "kill", "keep"


class Engine(Protocol):
    """Of `EngineClient`, what is needed here."""

    async def ask(self, what: Question | Action, who: str, timeout_s: float = ...) -> Any: ...


class Answers(Protocol):
    """Of `Mail`, what is needed here."""

    def answer(self, chat: int, text: Text, buttons: Sequence[Button] = ()) -> None: ...


@frozen
class _Sender:
    chat: int
    user: User

    @property
    def who(self) -> str:
        return self.user.told


class Desk:
    """See the module. `run` first, then `take` updates; `me` is the bot's own name."""

    def __init__(
        self,
        config: TelegramConfig,
        access: Access,
        engine: Engine,
        mail: Answers,
        run: str,
        guard: Path | None,
        note: Callable[[str, str], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`note` answers the press of a button; `clock`: s since 1970 UTC, as messages are dated."""
        self.me = ""
        self._config = config
        self._access = access
        self._engine = engine
        self._mail = mail
        self._run = run
        self._guard = guard
        self._note = note
        self._clock = clock
        self._confirmations = Confirmations(config.confirm_s)
        self._queues: dict[int, trio.MemorySendChannel[tuple[Command, _Sender]]] = {}
        self._nursery: trio.Nursery | None = None
        self._commands: dict[str, Callable[[str, _Sender], Awaitable[Text]]] = {
            "status": self._status,
            "positions": self._listing("positions", GetPositions, answers.positions),
            "orders": self._listing("orders", GetOrders, answers.orders),
            "pnl": self._listing("pnl", GetProfit, answers.profits),
            "start": self._start,
            "stop": self._stop,
            "cancel_all": self._cancel_all,
            "help": self._help,
        }

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry commands out until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def take(self, update: Update) -> None:
        """Have one update carried out, in its turn; those of others, and what is no command, are left."""
        message, press = update.message, update.callback_query
        if press is not None:
            self._take_press(press)
        elif message is not None and message.text is not None and self._may(message.chat.id, message):
            command = read_command(message.text, self.me)
            if command is not None and message.sender is not None:
                self._take_command(command, message, _Sender(message.chat.id, message.sender))

    def _may(self, chat: int, message: Message) -> bool:
        user = message.sender.id if message.sender is not None and message.own_words else None
        return self._permit(chat, user)

    def _permit(self, chat: int, user: int | None) -> bool:
        if self._access.allowed(chat, user):
            return True
        self._access.refuse(chat, user, trio.current_time())
        return False

    def _take_press(self, press: Press) -> None:
        if press.message is None or not self._permit(press.message.chat.id, press.sender.id):
            return
        verb, _, code = (press.data or "").partition(":")
        self._soon(self._pressed, press.id, verb, code, _Sender(press.message.chat.id, press.sender))

    def _take_command(self, command: Command, message: Message, sender: _Sender) -> None:
        age = self._clock() - message.date
        if command.name.casefold() == _KILL:
            # however old: it asks back first, and must work where this machine's clock is wrong
            self._soon(self._answered, self._kill, command.rest, sender)
        elif age > self._config.stale_s:
            log.warning("not carried out, %.0f s old: /%s of %s", age, command.name, sender.who)
            self._say(sender, f"Not done: /{command.name} was sent {show_span(round(age) * 10**9)} ago. Send it again.")
        else:
            self._queue(command, sender)

    def _soon(self, call: Callable[..., Awaitable[None]], *args: Any) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(call, *args)

    def _queue(self, command: Command, sender: _Sender) -> None:
        queue = self._queues.get(sender.chat)
        if queue is None:
            queue, commands = trio.open_memory_channel[tuple[Command, _Sender]](MOST_WAITING)
            self._queues[sender.chat] = queue
            self._soon(self._serve_chat, commands)
        try:
            queue.send_nowait((command, sender))
        except trio.WouldBlock:
            self._say(sender, f"Not done: {MOST_WAITING} commands wait already.")

    async def _serve_chat(self, commands: trio.MemoryReceiveChannel[tuple[Command, _Sender]]) -> None:
        async for command, sender in commands:
            own = self._commands.get(command.name.casefold())
            if own is not None:
                await self._answered(own, command.rest, sender)
            else:
                await self._answered(self._hook_of(command), command.rest, sender)

    async def _answered(self, do: Callable[[str, _Sender], Awaitable[Text | None]], rest: str, sender: _Sender) -> None:
        """Do it and answer, whatever comes of it."""
        try:
            text = await do(rest, sender)
        except UserError as error:
            text = _failure(error)
        except Exception:
            log.exception("a command of %s failed", sender.who)
            text = answers.plain("This failed here; the run's log says why.")
        if text is not None:
            self._mail.answer(sender.chat, text)

    def _say(self, sender: _Sender, text: str) -> None:
        self._mail.answer(sender.chat, answers.plain(text))

    # -- questions ---------------------------------------------------------------------------------------------------

    async def hooks(self, who: str) -> Hooks:
        """What can be said to whom."""
        return Hooks(await self._engine.ask(GetCommands(), who))

    async def _status(self, rest: str, sender: _Sender) -> Text:
        instead = await self._instead("status", rest, sender) if rest else None
        if instead is not None:
            return instead
        told: Status = await self._engine.ask(GetStatus(), sender.who)
        return answers.status(told)

    def _listing(
        self,
        name: str,
        question: Callable[[str | None], Question],
        show: Callable[[Any], Text],
    ) -> Callable[[str, _Sender], Awaitable[Text]]:
        async def answer(rest: str, sender: _Sender) -> Text:
            instead = await self._instead(name, rest, sender) if rest else None
            if instead is not None:
                return instead
            return show(await self._engine.ask(question(rest or None), sender.who))

        return answer

    async def _instead(self, name: str, rest: str, sender: _Sender) -> Text | None:
        """The answer of a strategy's own hook of this name, where it is named and has one."""
        hooks = await self.hooks(sender.who)
        word, tail = first_word(rest)
        strategy = hooks.strategy(word)
        found = [each for each in hooks.named(name) if each.strategy == strategy]
        return await self._run_hook(found[0], tail, sender) if found else None

    async def _help(self, _: str, sender: _Sender) -> Text:
        own = "\n".join(f"/{name} {words} – {what}".replace("  ", " ") for name, (words, what) in BUILT_IN.items())
        pieces = [Piece(f"{self._run}\n", "bold"), Piece(own)]
        try:
            hooks = await self.hooks(sender.who)
        except AskFailed as error:
            return (*pieces, Piece(f"\n\nWhat strategies understand is not known now: {error.message}"))
        for strategy in hooks.strategies:
            said = [hooks.spelled(each) for each in hooks.all if each.strategy == strategy]
            pieces += [Piece("\n\n"), Piece(strategy, "bold"), Piece(f"\n{' '.join(said) or 'no commands of its own'}")]
        return tuple(pieces)

    # -- actions -----------------------------------------------------------------------------------------------------

    async def _start(self, rest: str, sender: _Sender) -> Text:
        if not rest and (greeting := await self._greeting(sender)):
            return greeting
        strategy, params = (await self.hooks(sender.who)).addressed(rest, "start")
        return await self._act(StartStrategy(strategy, params), sender)

    async def _greeting(self, sender: _Sender) -> Text | None:
        """The answer to the `/start` that Telegram sends when somebody opens the bot; None where it may be meant."""
        told: Status = await self._engine.ask(GetStatus(), sender.who)
        if any(each.phase == STOPPED for each in told.strategies):
            return None
        running = ", ".join(f"{each.name} is {each.phase}" for each in told.strategies) or "no strategies"
        return answers.plain(f"{self._run} ({told.mode}): {running}. /help lists what there is.")

    async def _stop(self, rest: str, sender: _Sender) -> Text:
        strategy, params = (await self.hooks(sender.who)).addressed(rest, "stop")
        return await self._act(StopStrategy(strategy, params), sender)

    async def _cancel_all(self, rest: str, sender: _Sender) -> Text:
        strategy, more = (await self.hooks(sender.who)).addressed(rest, "cancel_all")
        if more:
            raise UserError(f"/cancel_all takes a strategy's name only, not {more!r}")
        return await self._act(CancelAll(strategy), sender)

    async def _act(self, what: Action, sender: _Sender) -> Text:
        return answers.plain(str(await self._engine.ask(what, sender.who)))

    def _hook_of(self, command: Command) -> Callable[[str, _Sender], Awaitable[Text]]:
        async def answer(rest: str, sender: _Sender) -> Text:
            hooks = await self.hooks(sender.who)
            hook, tail = meant(command.name, rest, hooks)
            return await self._run_hook(hook, tail, sender)

        return answer

    async def _run_hook(self, hook: Hook, rest: str, sender: _Sender) -> Text:
        return await self._act(RunCommand(hook.strategy, hook.name, words(rest)), sender)

    # -- the kill ----------------------------------------------------------------------------------------------------

    async def _kill(self, rest: str, sender: _Sender) -> Text | None:
        now = trio.current_time()
        if rest:
            self._confirmations.confirm(rest, sender.chat, sender.user.id, now)
            return await self._do_kill(sender)
        code = self._confirmations.ask(sender.chat, sender.user.id, now)
        text = (
            f"Stop every strategy of {self._run} and cancel all its open orders?\n"
            f"Press, or send /kill {code}, within {self._config.confirm_s:g} s."
        )
        buttons = (("Kill everything", f"{_KILL}:{code}"), ("No", f"{_KEEP}:{code}"))
        self._mail.answer(sender.chat, answers.plain(text), buttons)
        return None

    async def _pressed(self, query: str, verb: str, code: str, sender: _Sender) -> None:
        if verb == _KILL:
            self._soon(self._note, query, "Killing")
            await self._answered(self._kill, code, sender)
        elif verb == _KEEP:
            self._confirmations.forget(sender.user.id)
            await self._note(query, "Nothing was done")

    async def _do_kill(self, sender: _Sender) -> Text:
        log.warning("KILL by %s", sender.who)
        since = time.time_ns()
        try:
            done = await self._engine.ask(Kill(), sender.who, KILL_S)
            self._soon(self._follow, sender, since)
            return answers.plain(f"Killed: {done}.")
        except AskFailed as error:
            log.error("the engine did not carry out the kill of %s: %s", sender.who, error.message)
            failure = error.message
        guard = tell_guard(self._guard, failure)
        self._soon(self._follow, sender, since)
        log.warning("the guard (process %d) was told to cancel, by %s", guard, sender.who)
        return answers.plain(
            f"The engine did not do it: {failure}.\nSo the guard (process {guard}) was told to cancel every open order "
            "of the run. An engine that comes back stops every strategy."
        )

    async def _follow(self, sender: _Sender, since: int) -> None:
        """Tell what comes of a kill."""
        follow = Follow(trio.current_time())
        while not follow.over:
            await trio.sleep(LOOK_S)
            for text in follow.take(await self._progress(sender, since), trio.current_time()):
                self._say(sender, f"The kill: {text}")

    async def _progress(self, sender: _Sender, since: int) -> Progress | None:
        if self._guard is not None:
            return progress_of_guard(self._guard, since)
        try:
            return progress_of_engine(await self._engine.ask(GetStatus(), sender.who))
        except UserError:  # an engine that hangs, or is gone
            return None


def _failure(error: UserError) -> Text:
    return (Piece(f"⚠ {error.message}"), Piece(f"\n{error.hint}" if error.hint else ""))
