"""The endpoints put together: `WebServer` makes them of an engine, settings and a store, and `app` is what serves them.

No socket is opened here: `mlthon.ops.web.server` has the `door` serve the application, tests call it directly.
"""

import time
from collections.abc import Callable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from mlthon.ops.web.addresses import networks
from mlthon.ops.web.alerts import Alerts, AlertTarget
from mlthon.ops.web.bodies import Refused
from mlthon.ops.web.bots import BotWebhooks
from mlthon.ops.web.door import Door, DoorLimits
from mlthon.ops.web.edge import Edge, Handler, Visit, refusal
from mlthon.ops.web.engine import Engine
from mlthon.ops.web.figures import Figures
from mlthon.ops.web.settings import WebSettings
from mlthon.ops.web.signals import Signals
from mlthon.ops.web.store import WebhookStore
from mlthon.ops.web.streams import Streams

CONNECTIONS: Final = 400
"""Connections at once, beside those of the stream's clients."""
ALL: Final = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
"""Every endpoint is asked for whatever method, so that it is its own limits which refuse."""


class WebServer:
    """See the module. `clock`: s, for limits. `wall`: ns since 1970 UTC. `run`: the run's name."""

    def __init__(
        self,
        engine: Engine,
        settings: WebSettings,
        store: WebhookStore,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
        run: str = "",
    ) -> None:
        trusted = networks(settings.trusted_proxies, "web.trusted_proxies")
        allow = networks(settings.allow, "web.allow")
        edge = self.edge = Edge(store, clock, wall, settings.address_rate, trusted, settings.keys.all)
        self.streams = Streams(engine, edge, settings.api_key, most=settings.streams, backlog=settings.backlog)
        bots = BotWebhooks(engine, edge, settings.webhook_secret, settings.timeout_s)
        signals = Signals(
            *(engine, edge, store),
            rate=settings.connector_rate,
            window_s=settings.window_s,
            wall=wall,
            networks=allow,
            run=run,
        )
        targets = {
            name: AlertTarget(each.strategy, each.hook, allow + networks(each.allow, f"web.alerts.{name}.allow"))
            for name, each in settings.alerts.items()
        }
        alerts = Alerts(engine, edge, store, targets, settings.connector_rate, run)
        limits = DoorLimits(most=CONNECTIONS + settings.streams)
        self.door = Door(self._asgi, trusted, limits)
        figures = Figures(engine, edge, self.streams, self.door, settings.keys, closed=settings.reached)
        self._routes = [
            self._route("/trading/bot/{secret}/{name}", "bot", bots.serve),
            self._route("/trading/bot/{secret}/{bot}/{name}", "bot", bots.serve),
            self._route("/trading-signal/webhook", "signal", _only("POST", signals.serve), tokens=True),
            self._route("/tradingview/{token}", "alert", _only("POST", alerts.serve), tokens=True),
            self._route("/metrics", "metrics", _only("GET", figures.metrics)),
            self._route("/health", "health", _only("GET", figures.health), audited=False, tokens=True),
            WebSocketRoute("/stream", self.streams.serve),
        ]
        self._app = self.app()

    async def _asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def _route(self, path: str, what: str, handler: Handler, **how: bool) -> Route:
        return Route(path, self.edge.endpoint(what, handler, **how), methods=ALL)

    def app(self) -> Starlette:
        """The ASGI application."""
        nowhere = self.edge.endpoint("nowhere", _nowhere, audited=False)

        async def missing(request: Request, _: Exception) -> Response:
            return await nowhere(request)

        app = Starlette(
            routes=self._routes, middleware=[Middleware(_OneVersion)], exception_handlers={HTTPException: missing}
        )
        # a redirection would repeat an address with its secret
        app.router.redirect_slashes = False
        return app


class _OneVersion:
    """Serves HTTP/1 alone. hypercorn lets any client change to HTTP/2 without TLS, and then a proxy on the way, which
    still believes in HTTP/1, sees nothing of what follows: whoever came through it could write `X-Forwarded-For` as he
    likes, and ask for what the proxy keeps from others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["http_version"].startswith("1"):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await refusal(Refused(505, "this server speaks HTTP/1.1"))(scope, receive, send)


def _only(method: str, handler: Handler) -> Handler:
    async def serve(visit: Visit) -> Response:
        if visit.request.method != method:
            raise Refused(405, f"this is asked for by {method}", headers={"allow": method})
        return await handler(visit)

    return serve


async def _nowhere(_: Visit) -> Response:
    raise Refused(404, "there is nothing here")


def application(engine: Engine, settings: WebSettings, store: WebhookStore) -> Starlette:
    """The ASGI application alone; its stream is silent, because nothing runs beside it."""
    return WebServer(engine, settings, store).app()
