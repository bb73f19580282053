"""The web server of a run: bots' webhooks, signals and alerts from outside, the stream, metrics.

It lives in the operations process, so that whatever comes from the network is read, checked and refused there; the
engine hears of what is allowed alone, by the control socket. `application` puts the endpoints together as an ASGI
application that owns no socket; `server` has hypercorn serve it.

    settings      the `[web]` table, checked, with its secrets; `announce` shows a user the addresses
    edge          around everything: size, time and rate limits, no error that tells more than it should, access log
    bodies        what a request says, as plain values; hostile input ends here
    addresses     where a request comes from, behind proxies too, and who may
    limits        how often
    keys          the secrets of the server; `store`: the hashed tokens, and what must not be done twice
    bots          /trading/bot/SECRET/NAME           webhooks of ProfitView bots
    streams       /stream                            what bots publish
    signals       /trading-signal/webhook            Crypto Arsenal's signals
    alerts        /tradingview/TOKEN                 alerts that call a strategy's command
    figures       /metrics, /health

It is a part of the operations process (`mlthon.ops.process`): the run calls `prepare`, the process `serve`, and neither
imports what only the other needs.
"""

from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from mlthon.config import RunConfig
    from mlthon.live.secrets import Places
    from mlthon.ops.client import EngineClient
    from mlthon.ops.process import PartJob


def prepare(config: "RunConfig", places: "Places") -> dict[str, Any] | None:
    """The server's settings, secrets included; None where it is not wanted. Raises `UserError`."""
    from mlthon.ops.place import control_folder
    from mlthon.ops.web.settings import prepare as prepare_web

    if config.web is None or not config.web.enabled:
        return None
    return prepare_web(config.web, places, control_folder(config.ops.state))


async def serve(
    client: "EngineClient", job: "PartJob", task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until the run ends. Raises `UserError` where the port cannot be had."""
    from mlthon.ops.web.server import serve as serve_web

    await serve_web(client, job, task_status)
