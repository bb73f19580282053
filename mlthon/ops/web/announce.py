"""What a user is shown at the start: the addresses of bots' webhooks, the stream, signals, alerts and the metrics.

The run itself shows them, on standard error, when its bots are loaded. The secrets stand in them only where that is a
terminal: what is written to a file or a log says `WEBHOOK_SECRET` and `API_KEY`, and where those are.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import trio

from mlthon.live.services import Host
from mlthon.ops.web.settings import WebSettings, read

log = logging.getLogger("mlthon.ops.web")

WAIT_S: Final = 60.0
LOOK_S: Final = 0.2
Routes = Mapping[str, Sequence[tuple[str, str]]]


def clashes(routes: Routes) -> dict[tuple[str, str], list[str]]:
    """The webhooks that several bots have, and which."""
    owners: dict[tuple[str, str], list[str]] = {}
    for bot, own in routes.items():
        for method, name in own:
            owners.setdefault((method, name), []).append(bot)
    return {route: bots for route, bots in owners.items() if len(bots) > 1}


def addresses(
    settings: WebSettings, routes: Routes, keys: Path | None, connectors: Iterable[str] = ()
) -> Iterator[str]:
    """The lines. `keys`: the file in whose place secrets are left out; None to have them shown. `connectors`: the names
    under which signals come."""
    secret = settings.webhook_secret if keys is None else "WEBHOOK_SECRET"
    api_key = settings.api_key if keys is None else "API_KEY"
    base = settings.base
    twice = clashes(routes)
    for bot, own in routes.items():
        for method, name in own:
            place = f"{bot}/{name}" if (method, name) in twice else name
            yield f"{bot}: {method.upper():4} {base}/trading/bot/{secret}/{place}"
    if routes:
        yield f"stream: {base.replace('http', 'ws', 1)}/stream?token={api_key}"
    for name in connectors:
        yield f"signals of {name}: {base}/trading-signal/webhook (its token: python -m mlthon webhook token {name})"
    for name in settings.alerts:
        yield f"alerts of {name}: {base}/tradingview/TOKEN (its token: python -m mlthon webhook token {name})"
    yield f"metrics: {base}/metrics"
    if keys is not None and routes:
        yield f"WEBHOOK_SECRET and API_KEY: as configured, else in {keys}"


class Announcer:
    """A service: shows the addresses when all bots are loaded. `routes` gives those of loaded bots, `loaded` says
    whether all are. `keys`: the file of secrets. `connectors`: the names under which signals come, by then."""

    name = "the list of webhooks"

    def __init__(
        self,
        settings: Mapping[str, Any],
        routes: Callable[[], Routes],
        loaded: Callable[[], bool],
        keys: Path,
        out: TextIO | None = None,
        connectors: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._settings = read(settings)
        self._routes = routes
        self._loaded = loaded
        self._keys = keys
        self._out = out
        self._connectors = connectors

    async def serve(self, host: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        with trio.move_on_after(WAIT_S):
            while not self._loaded():
                await trio.sleep(LOOK_S)
        out = self._out or sys.stderr
        for line in self.lines(out.isatty()) if log.isEnabledFor(logging.WARNING) else ():
            print(line, file=out, flush=True)
        for (method, name), bots in clashes(self._routes()).items():
            log.error(
                "the bots %s both have a webhook %s %s: it is called with the bot's name before its own",
                *(" and ".join(bots), method.upper(), name),
            )

    def lines(self, terminal: bool) -> Iterable[str]:
        """What is shown on a terminal, or where it may be kept."""
        return addresses(self._settings, self._routes(), None if terminal else self._keys, self._connectors())
