"""What runs beside the engine of a paper or live run, and is started and stopped with it.

A service is one async function with a name: `serve(host, task_status)`. It prepares whatever it needs (a socket, a
child process), says `task_status.started()`, and then goes on until it is cancelled; its clean-up stands in `finally`.
The run begins when all services have started, and they are cancelled after it has ended, so a service may still carry
what strategies say while they stop. Everything a service does to the engine goes through `Host.deliver`, which first
makes the queued calls whose time has come: the engine knows no other task.

A service that cannot be started ends the run with what it raises; one that fails later is logged, and the run goes on.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from mlthon.live.histogram import Histogram

log = logging.getLogger("mlthon.live")


class Deliver(Protocol):
    """Move the run's clock to the present and make the call; False if it raised (it is logged)."""

    def __call__(self, call: Callable[..., object], *args: object) -> bool: ...


class Host:
    """What a service has of its run: `deliver`, and `now`, the run's time (ns). `batches`: how long rows took that were
    played in one go, where rows are played."""

    __slots__ = ("batches", "deliver", "now")

    def __init__(self, deliver: Deliver, now: Callable[[], int], batches: Histogram | None = None) -> None:
        self.deliver = deliver
        self.now = now
        self.batches = batches


class Service(Protocol):
    """See the module. `name` is for messages."""

    @property
    def name(self) -> str: ...

    async def serve(self, host: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None: ...


@asynccontextmanager
async def serving(services: Sequence[Service], host: Host) -> AsyncIterator[None]:
    """Run the services beside what stands inside: it begins when all of them have started."""
    if not services:
        yield
        return
    async with trio.open_nursery() as nursery:
        for service in services:
            await nursery.start(_guarded, service, host)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()


async def _guarded(service: Service, host: Host, task_status: trio.TaskStatus[None]) -> None:
    """Run one service; once it has started its failures are its own."""
    begun = _Begun(task_status)
    try:
        await service.serve(host, task_status=begun)
    except Exception:
        if not begun.done:
            raise
        log.exception("%s failed; the run goes on without it", service.name)


class _Begun(trio.TaskStatus[None]):
    """Passes on that a task has started, and remembers it."""

    def __init__(self, status: trio.TaskStatus[None]) -> None:
        self._status = status
        self.done = False

    def started(self, value: None = None) -> None:
        self.done = True
        self._status.started()
