"""Bots in processes of their own: started with the run, joined to it by a Unix socket, ended with it.

One service (`BotProcesses`) keeps all bots of a run. Each is started as `python -m mlthon.link.bot.keeper NICE SOCKET`,
the socket in a temporary folder that only this user may enter. The keeper is the parent of the bot's process and ends
it, with all that it has started, also when this process is killed. `BotLine` carries what the engine and the bot say to
each other; what the bot says is brought into the run by `Host.deliver`. So a bot that hangs, floods or dies costs the
engine nothing but a full outbox. What it prints goes to the logger `mlthon.bot`, a line at a time.

A bot that dies is told; if so configured it is started again, after a pause that doubles each time up to a minute.
Its environment has none of this program's own variables: those hold API keys.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import trio

from mlthon.config import LinkConfig
from mlthon.errors import UserError
from mlthon.link.bot.keeper import SWEEP_S, TERM_S
from mlthon.link.contract import Logged, ToHost
from mlthon.link.host.host import BotHost
from mlthon.link.wire import CALL_LINES
from mlthon.live.bot_line import BotLines, LineLimit, Unhurried
from mlthon.live.lines import lines_of
from mlthon.live.secrets import without_ours
from mlthon.live.services import Host

log = logging.getLogger("mlthon.link")
printed = logging.getLogger("mlthon.bot")

CONNECT_S: Final = 30.0
"""How long a bot's process may take to connect."""
END_S: Final = 2.0
"""How long a bot may take to end by itself."""
KEEPER_S: Final = TERM_S + SWEEP_S + 1.0
"""How long its keeper may take to end it."""
LOOK_S: Final = 0.5
"""Between two looks at whether a bot is over."""
DRAIN_S: Final = 0.5
"""How long the last of what it printed may take to arrive."""
LONGEST_PAUSE_S: Final = 60.0


class BotProcesses:
    """A service: see the module."""

    name = "the bots"

    def __init__(self, hosts: Sequence[BotHost], config: LinkConfig, command: Sequence[str] = ()) -> None:
        """`command`: what is run with the socket's path as its last argument, instead of a bot's keeper."""
        self._command = list(command) or [sys.executable, "-m", "mlthon.link.bot.keeper", str(config.nice)]
        self._bots = [_Bot(host, config, self._command) for host in hosts]

    async def serve(self, host: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start all bots; the run begins when their processes are connected. Raises `UserError`."""
        with tempfile.TemporaryDirectory(prefix="mlthon-") as folder:
            async with trio.open_nursery() as nursery:
                async with trio.open_nursery() as starting:
                    for number, bot in enumerate(self._bots):
                        path = Path(folder) / str(number)
                        starting.start_soon(nursery.start, bot.live, path, host)
                task_status.started()


class _Bot:
    """One bot, from its first process to its last."""

    def __init__(self, host: BotHost, config: LinkConfig, command: Sequence[str]) -> None:
        self._host = host
        self._config = config
        self._command = command
        self._lines = LineLimit(host.name)

    async def live(self, path: Path, run: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the bot running until it has ended for good. Raises `UserError` where its first process cannot be
        started."""
        pause = self._config.restart_s
        first: trio.TaskStatus[None] | None = task_status
        while True:
            began = trio.current_time()
            try:
                reason = await self._one_life(path, run, first)
            except OSError as error:
                reason = f"its process cannot be started: {error}"
                if first is not None:
                    raise UserError(f"{self._host.name}: {reason}") from error
            again = self._config.restart and not self._host.over
            if not self._host.over:
                run.deliver(partial(self._host.gone, reason, again=again))
            if not again:
                return
            if trio.current_time() - began > LONGEST_PAUSE_S:
                pause = self._config.restart_s
            log.warning("%s: started again in %g s", self._host.name, pause)
            await trio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            first = None

    async def _one_life(self, path: Path, run: Host, task_status: trio.TaskStatus[None] | None) -> str:
        """One process of the bot; why it ended. Raises OSError where there cannot be one."""
        with _Listener(path) as listener:
            process = await self._spawn(path)
            outputs = [Unhurried(each) for each in (process.stdout, process.stderr) if each is not None]
            try:
                async with trio.open_nursery() as logs:
                    for output in outputs:
                        logs.start_soon(self._log_lines, output)
                    connected = await self._connected(listener, process, task_status is not None)
                    if connected is None:
                        hung = process.returncode is None
                        await _end(process)
                        broken = f"its process did not connect within {CONNECT_S:g} s" if hung else ""
                    else:
                        broken = await self._talk(connected, listener, run, task_status)
                        with trio.move_on_after(END_S):
                            await process.wait()
                    # what it printed last is still to be read
                    for output in outputs:
                        output.hurry()
                    logs.cancel_scope.deadline = trio.current_time() + DRAIN_S
            finally:
                with trio.CancelScope(shield=True):
                    await _end(process)
                    await self._last_words(outputs)
                    for output in outputs:
                        await output.aclose()
        return broken or _ended(process)

    async def _spawn(self, path: Path) -> trio.Process:
        environment = without_ours(os.environ) | {"PYTHONUNBUFFERED": "1"}
        return await trio.lowlevel.open_process(
            [*self._command, str(path)],
            # it closes when this process ends, however it does
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            # Ctrl-C is for the engine, which has the bot stop. Not a session: in one of its own the bot's niceness
            # would not count beside the engine (see the keeper).
            process_group=0,
        )

    async def _connected(self, listener: "_Listener", process: trio.Process, must: bool) -> socket.socket | None:
        """The process's connection; None where it ended before. Raises `UserError` where the first one takes too
        long."""
        found: list[socket.socket] = []

        async def accept() -> None:
            found.append(await listener.accept())
            race.cancel_scope.cancel()

        async def died() -> None:
            await process.wait()
            race.cancel_scope.cancel()

        with trio.move_on_after(CONNECT_S) as limit:
            async with trio.open_nursery() as race:
                race.start_soon(accept)
                race.start_soon(died)
        if found:
            return found[0]
        if must:
            await trio.sleep(DRAIN_S)
            what = f"did not connect within {CONNECT_S:g} s" if limit.cancelled_caught else "ended before it connected"
            raise UserError(f"{self._host.name}: its process {what}", "What it printed stands above.")
        return None

    async def _talk(
        self, connected: socket.socket, listener: "_Listener", run: Host, task_status: trio.TaskStatus[None] | None
    ) -> str:
        """Carry both ways until the bot hangs up; what was wrong with what it said, if anything was."""
        lines = BotLines(connected, partial(self._hear, run), self._config.backlog)
        run.deliver(self._host.join, lines.face)
        if task_status is not None:
            task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hang_up, nursery.cancel_scope)
            broken = await lines.carry(listener.accept)
            nursery.cancel_scope.cancel()
        return broken

    def _hear(self, run: Host, message: ToHost) -> None:
        if not isinstance(message, Logged) or self._lines.allows(trio.current_time(), message.text):
            run.deliver(self._host.tell, message)

    async def _last_words(self, outputs: Sequence[Unhurried]) -> None:
        """Log what an ended process has left behind."""
        with trio.move_on_after(DRAIN_S):
            for output in outputs:
                output.hurry()
                await self._log_lines(output)
        for text in self._lines.end():
            printed.info("%s: %s", self._host.name, text)

    async def _log_lines(self, stream: Unhurried) -> None:
        """Log what the bot prints, a line at a time."""
        async for text in lines_of(stream):
            if self._lines.allows(trio.current_time(), text):
                printed.info("%s: %s", self._host.name, text)
                # hundreds may have come in one piece, and each takes its time
                await trio.lowlevel.checkpoint()

    async def _hang_up(self, talk: trio.CancelScope) -> None:
        """A bot that is over hangs up itself; one that does not is hung up on."""
        while not self._host.over:
            await trio.sleep(LOOK_S)
        await trio.sleep(END_S)
        talk.cancel()


class _Listener:
    """A listening Unix socket while it is needed; its file goes with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> "_Listener":
        self._path.unlink(missing_ok=True)
        self._socket.bind(str(self._path))
        self._socket.listen(1 + CALL_LINES)
        self._socket.setblocking(False)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)

    async def accept(self) -> socket.socket:
        """The next connection."""
        await trio.lowlevel.wait_readable(self._socket)
        return self._socket.accept()[0]


def _ended(process: trio.Process) -> str:
    """How a process has ended."""
    status = process.returncode or 0
    if status >= 0:
        return f"its process ended with status {status}"
    try:
        return f"its process was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"its process was ended by signal {-status}"


async def _end(process: trio.Process) -> None:
    """See to it that a process is gone, with whatever it started."""
    if process.returncode is None:
        process.terminate()
        with trio.move_on_after(KEEPER_S):
            await process.wait()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.stdin is not None:
        await process.stdin.aclose()
