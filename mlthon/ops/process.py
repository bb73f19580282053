"""The operations process: Telegram and the web server, beside the engine and never in its way.

Started by the run (`mlthon.ops.keeper`) as `python -m mlthon.ops.process`. What it is to do, secrets included, comes as
the first line on its standard input (`ProcessSpec` as JSON), never in its arguments or environment. Each **part** has a
connection to the engine and a guard of its own: one that fails is logged and started again after a pause, and the
others go on. A part is a module with

    async def serve(client: EngineClient, job: PartJob, task_status) -> None

It says `task_status.started()` when it works, and goes on until it is cancelled or, once `job.ending` is set, has said
what there is still to say. Once `job.closing` is set it takes nothing from outside any more: the next run may be there
already, and want the port and the bot. That the engine hangs, is back or is gone a part hears as an `alert`
(`client.listen`).

The line `bye` says that the run ends in order; the parts then have `LAST_S` to finish. When standard input ends without
it the engine is gone: the parts close, and have `FAREWELL_S` to say so. Every `BEAT_S` a line on standard output says
that this process lives; what it logs goes to standard error, the level first, from the level on that the one argument
says. Neither ever waits for its reader, because an engine that hangs reads nothing and is to be killed from here.
"""

import importlib
import logging
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import trio
from attrs import field, frozen
from msgspec import Struct

from mlthon.errors import UserError
from mlthon.live.backoff import Backoff, BackoffSettings
from mlthon.live.lines import lines_of
from mlthon.ops.client import EngineClient
from mlthon.ops.pipe_log import PipeLog, never_wait

log = logging.getLogger("mlthon.ops")

LONGEST_SPEC: Final = 1 << 20
BEAT_S: Final = 1.0
NICE: Final = 10
"""How far this process stands back where the machine has less time than is wanted: trading goes first."""
LAST_S: Final = 5.0
"""How long parts may take to say what is left when the run ends."""
FAREWELL_S: Final = 10.0
"""How long they have to say that the engine is gone."""
BYE: Final = "bye"
BEAT: Final = b"beat\n"
BAD_SPEC: Final = 2


class PartSpec(Struct, frozen=True):
    """A part: the module that serves it, and its settings, secrets among them."""

    module: str
    settings: dict[str, Any]

    def __repr__(self) -> str:
        return f"PartSpec({self.module!r}, ...)"


class ProcessSpec(Struct, frozen=True):
    """What the process is to do. `folder`: of the control files; `outbox`: messages of strategies; `guard`: the file
    with the guard process's id; `engine`: the engine's own, None where any that is there may be asked."""

    run: str
    mode: str
    socket: str
    folder: str
    parts: dict[str, PartSpec]
    outbox: str | None = None
    guard: str | None = None
    engine: int | None = None


@frozen
class PartJob:
    """What a part is told. `settings`: as the part's own `prepare` made them; `closing`: set when nothing is to be
    taken from outside any more; `ending`: set when the run ends."""

    name: str
    settings: Mapping[str, Any] = field(repr=False)
    run: str
    mode: str
    folder: Path
    outbox: Path | None
    guard: Path | None
    ending: trio.Event = field(factory=trio.Event, repr=False)
    closing: trio.Event = field(factory=trio.Event, repr=False)


class Serve(Protocol):
    """What a part's module has as `serve`."""

    async def __call__(
        self, client: EngineClient, job: PartJob, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None: ...


class Parts:
    """The parts of one process. `left`: how many have not ended yet."""

    def __init__(self, spec: ProcessSpec, backoff: BackoffSettings | None = None) -> None:
        self.ending = trio.Event()
        self.closing = trio.Event()
        self.left = len(spec.parts)
        self._spec = spec
        self._backoff = backoff or BackoffSettings(first_s=1.0, most_s=60.0, stable_s=30.0)

    async def serve(self) -> None:
        """Serve all parts until each has ended or this is cancelled."""
        async with trio.open_nursery() as nursery:
            for name, part in self._spec.parts.items():
                nursery.start_soon(self._keep, name, part)

    async def _keep(self, name: str, part: PartSpec) -> None:
        """Serve one part, again each time it fails."""
        spec = self._spec
        job = PartJob(
            name=name,
            settings=part.settings,
            run=spec.run,
            mode=spec.mode,
            folder=Path(spec.folder),
            outbox=None if spec.outbox is None else Path(spec.outbox),
            guard=None if spec.guard is None else Path(spec.guard),
            ending=self.ending,
            closing=self.closing,
        )
        backoff = Backoff(random.Random(), self._backoff)
        while not self.ending.is_set():
            began = trio.current_time()
            try:
                await self._once(part, job)
            except Exception as error:  # noqa: BLE001 - a part fails alone, whatever it does; it is logged
                backoff.held(trio.current_time() - began)
                pause = backoff.pause()
                _tell_failure(name, error, pause)
                with trio.move_on_after(pause):
                    await self.ending.wait()
            else:
                break
        self.left -= 1
        log.info("%s has ended", name)

    async def _once(self, part: PartSpec, job: PartJob) -> None:
        serve: Serve = importlib.import_module(part.module).serve
        async with trio.open_nursery() as nursery:
            client = await nursery.start(EngineClient(Path(self._spec.socket), engine=self._spec.engine).run)
            await serve(client, job)
            nursery.cancel_scope.cancel()


def _tell_failure(name: str, error: Exception, pause: float) -> None:
    """Log why a part failed: what its user can mend (a port that is taken) in a sentence, anything else in full."""
    whole: BaseException = error
    while isinstance(whole, BaseExceptionGroup) and len(whole.exceptions) == 1:
        whole = whole.exceptions[0]
    if isinstance(whole, UserError):
        log.error("%s: %s; it is tried again in %.1f s. %s", name, whole.message, pause, whole.hint)
    else:
        log.error("%s failed; it is started again in %.1f s", name, pause, exc_info=error)


async def operate(
    lines: AsyncIterator[str],
    beat: Callable[[], None],
    last_s: float = LAST_S,
    farewell_s: float = FAREWELL_S,
) -> int:
    """The process: `lines` are what the engine says, `beat` tells it that this process lives. Gives its exit status."""
    try:
        spec = msgspec.json.decode(await anext(lines, ""), type=ProcessSpec)
    except msgspec.MsgspecError:
        # what was wrong would be told with what is there, secrets perhaps
        log.error("what this process is to do cannot be understood")
        return BAD_SPEC
    parts = Parts(spec)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve, parts, nursery.cancel_scope)
        nursery.start_soon(_beat, beat)
        orderly = await _until_the_end(lines)
        parts.closing.set()
        if not orderly:
            log.error("THE ENGINE IS GONE without a goodbye; this process says so and ends")
            await trio.sleep(farewell_s)
        parts.ending.set()
        await trio.sleep(last_s)
        nursery.cancel_scope.cancel()
    return 0


async def _serve(parts: Parts, everything: trio.CancelScope) -> None:
    await parts.serve()
    if parts.closing.is_set():
        everything.cancel()


async def _beat(beat: Callable[[], None]) -> None:
    while True:
        beat()
        await trio.sleep(BEAT_S)


async def _until_the_end(lines: AsyncIterator[str]) -> bool:
    """Whether the engine said goodbye."""
    async for line in lines:
        if line == BYE:
            return True
    return False


def _beat_on_stdout() -> None:
    try:
        os.write(1, BEAT)
    except OSError as error:  # nobody reads it: the engine hangs, or is gone, which standard input says too
        log.debug("no beat: %s", error)


def main() -> int:
    """Run the process."""
    os.nice(NICE)
    level = int(sys.argv[1]) if len(sys.argv) > 1 else logging.INFO
    logging.basicConfig(handlers=[PipeLog(2)], level=level, format="%(levelname)s %(name)s: %(message)s", force=True)
    never_wait(1)
    # addresses of requests carry a bot's token
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)

    async def run() -> int:
        async with trio.lowlevel.FdStream(os.dup(0)) as stream:
            return await operate(lines_of(stream, LONGEST_SPEC), _beat_on_stdout)

    return trio.run(run)


if __name__ == "__main__":
    sys.exit(main())
