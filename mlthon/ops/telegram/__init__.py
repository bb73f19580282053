"""Telegram: commands from a phone, and what strategies have to say.

It lives in the operations process, so a Telegram that is slow, gone or flooding costs the engine nothing. One bot
serves all strategies of a run; one program at a time takes a bot's messages.

    settings      what the run tells the operations process; `service` puts the parts together there
    token         the bot's token: where it is found, and how it is kept out of everything
    api           python-telegram-bot's `Bot` on trio; what can go wrong, in six kinds
    poller        new messages: each once, none too late, and never two programs at it
    claim, store  which program has the bot; which messages were seen
    access        who is answered
    said          a message as a command and its words
    desk          commands → questions and actions of the control socket → answers
    hooks         what can be said: the bot's own commands and those of strategies
    answers       answers as text; `text`: blocks, tables, and how long texts are split
    kill          the confirmation of /kill, and the way to the guard when the engine hangs
    mail, pace    messages in order, as fast as Telegram allows, until it has taken them
"""

import importlib

import trio

from mlthon.ops.client import EngineClient
from mlthon.ops.process import PartJob
from mlthon.ops.telegram.settings import prepare

__all__ = ["prepare", "serve"]


async def serve(
    client: EngineClient, job: PartJob, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until the run ends: see `mlthon.ops.telegram.service`."""
    # the library is for the operations process alone, and takes seconds to load on a busy machine, in which the engine
    # must not seem to hang
    service = await trio.to_thread.run_sync(importlib.import_module, f"{__name__}.service")
    await service.serve(client, job, task_status)
