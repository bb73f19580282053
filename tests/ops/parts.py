"""Parts of an operations process for tests: each does what its settings say."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import trio

from mlthon.errors import UserError
from mlthon.ops.client import EngineClient
from mlthon.ops.contract import GetFigures
from mlthon.ops.process import PartJob

log = logging.getLogger("mlthon.ops")


async def serve(
    client: EngineClient, job: PartJob, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Write down what happens into the file that the settings name."""
    settings: Any = job.settings
    path = Path(settings["file"])

    def note(text: str) -> None:
        with path.open("a") as file:
            file.write(text + "\n")

    note(f"begin {job.run} {os.getpid()}")
    task_status.started()
    what = settings.get("what")
    if what == "fail":
        raise ValueError("this part fails")
    if what == "refuse":
        raise UserError("the port is taken", "Set another.")
    if what == "hang":
        time.sleep(60)
    if what == "talk":
        for number in range(4_000):
            log.error("%d %s", number, "x" * 100)
        note("has talked")
    if what == "die":
        os.kill(os.getpid(), 9)
    note(f"asked {await client.ask(GetFigures(), 'part')}")
    async with client.listen(("alert",)) as news, trio.open_nursery() as nursery:

        async def hear() -> None:
            async for each in news:
                note(f"alert {each.source} {each.value}")

        nursery.start_soon(hear)
        await job.closing.wait()
        note("closes")
        await job.ending.wait()
        note("said the last")
        nursery.cancel_scope.cancel()
