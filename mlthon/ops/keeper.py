"""The engine's end of the operations process: starts it, watches it, starts it again.

What the process logs is logged here under the same names and levels. A process that ends, or has not said for
`SILENT_S` that it lives, is started again after a pause that grows; the run itself never waits for it. At the end of
the run it is told so and finishes by itself.
"""

import logging
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
import trio

from mlthon.live.backoff import Backoff, BackoffSettings
from mlthon.live.lines import lines_of
from mlthon.live.secrets import without_ours
from mlthon.live.services import Host
from mlthon.ops.process import BYE, ProcessSpec

log = logging.getLogger("mlthon.ops")

SILENT_S: Final = 30.0
"""A process that has not said for so long that it lives hangs."""
END_S: Final = 1.0
"""How long the end of a run waits for the process, which then finishes alone."""


class OpsService:
    """A service: see the module. `restarts`: how often the process was started anew."""

    name = "the operations process"

    def __init__(
        self,
        spec: ProcessSpec,
        command: Sequence[str] = (),
        backoff: BackoffSettings | None = None,
        silent_s: float = SILENT_S,
    ) -> None:
        """`command`: what is run instead of the operations process."""
        self.restarts = 0
        self.pid: int | None = None
        self._spec = spec
        # what would not be shown here is not sent: a flood of requests must not become one of lines that are read here
        level = str(log.getEffectiveLevel())
        self._command = list(command) or [sys.executable, "-P", "-m", "mlthon.ops.process", level]
        self._backoff = Backoff(random.Random(), backoff or BackoffSettings(first_s=1.0, most_s=60.0, stable_s=60.0))
        self._silent_s = silent_s

    async def serve(self, host: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the process running until cancelled. The run begins without waiting for it."""
        task_status.started()
        while True:
            began = trio.current_time()
            try:
                why = await self._one_life()
            except OSError as error:
                why = f"it cannot be started: {error}"
            self._backoff.held(trio.current_time() - began)
            pause = self._backoff.pause()
            log.error("the operations process %s; it is started again in %.1f s, trading goes on", why, pause)
            await trio.sleep(pause)
            self.restarts += 1

    async def _one_life(self) -> str:
        """One process; why it ended."""
        process = await self._spawn()
        self.pid = process.pid
        why = ""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_log_lines, process)
                nursery.start_soon(self._instruct, process)
                why = await self._listen(process)
                with trio.move_on_after(END_S):
                    await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            self.pid = None
            with trio.CancelScope(shield=True):
                await _let_go(process, kill=bool(why))
        return why or f"ended with status {process.returncode}"

    async def _spawn(self) -> trio.Process:
        return await trio.lowlevel.open_process(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=without_ours(os.environ),
            # Ctrl-C is for the engine, which says goodbye; in a session of its own its niceness would not count
            process_group=0,
        )

    async def _instruct(self, process: trio.Process) -> None:
        if process.stdin is not None:
            try:
                await process.stdin.send_all(msgspec.json.encode(self._spec) + b"\n")
            except trio.BrokenResourceError:
                log.error("the operations process ended before it knew what to do")

    async def _listen(self, process: trio.Process) -> str:
        """Hear its beats until it ends or is silent for too long; says why where it has to be killed."""
        if process.stdout is None:
            return ""
        beats = lines_of(process.stdout)
        while True:
            try:
                with trio.fail_after(self._silent_s):
                    await anext(beats)
            except StopAsyncIteration:
                return ""
            except trio.TooSlowError:
                return f"has said nothing for {self._silent_s:g} s"


async def _log_lines(process: trio.Process) -> None:
    """Log what the process logs, under its own names and levels."""
    if process.stderr is None:
        return
    async for line in lines_of(process.stderr):
        level, _, rest = line.partition(" ")
        name, _, message = rest.partition(": ")
        number = logging.getLevelNamesMapping().get(level)
        if number is None or not name.startswith("mlthon"):
            log.warning("operations: %s", line)
        else:
            logging.getLogger(name).log(number, "%s", message)


async def _let_go(process: trio.Process, *, kill: bool) -> None:
    """Say goodbye and wait a moment; `kill` one that does not hear."""
    if kill and process.returncode is None:
        process.kill()
    if process.stdin is not None:
        with trio.move_on_after(END_S):
            try:
                await process.stdin.send_all(f"{BYE}\n".encode())
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                log.debug("the operations process is gone already")
        await process.stdin.aclose()
    with trio.move_on_after(END_S):
        await process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            await stream.aclose()
