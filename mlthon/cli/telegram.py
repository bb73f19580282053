"""`python -m mlthon telegram check`: whether the bot of a configuration is set up, and whose ids it has heard of."""

from pathlib import Path
from typing import Annotated

import trio
from cyclopts import App, Parameter

from mlthon.config import TELEGRAM_URL, load_config
from mlthon.live.secrets import usual_places
from mlthon.ops.place import control_folder

app = App(name="telegram", help="Look at the Telegram bot of a configuration.", help_epilogue="")


@app.command
def check(
    *,
    config: Annotated[Path | None, Parameter()] = None,
    delete_webhook: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say who the bot is, whether its chats can be written to, and the chat and user ids of those who wrote to it.

    Nothing is sent, and messages that wait are left for the run. Exit status 2 where something is to be mended.

    Parameters
    ----------
    config
        The configuration file. Without it the bot of the token is looked at alone.
    delete_webhook
        Remove a webhook, which keeps a run from getting messages.
    """
    from mlthon.ops.telegram.check import check as look
    from mlthon.ops.telegram.token import find_token, hush

    loaded = load_config(config)
    secrets = loaded.live.secrets_file
    token = find_token(usual_places(Path(secrets) if secrets else None))
    hush(token)
    table = loaded.telegram
    url = TELEGRAM_URL if table is None else table.base_url
    folder = control_folder(loaded.ops.state)

    async def show() -> int:
        bad = False
        async for line in look(token, url, table, folder, delete_webhook=delete_webhook):
            print(line.text, flush=True)
            bad = bad or line.bad
        return 2 if bad else 0

    return trio.run(show)
