"""`/metrics` for Prometheus and `/health` for whoever looks whether the engine lives.

The metrics need a token (`metrics_token`, or the API key) where one is configured, and wherever the server is reached
from other machines: by its configuration, or as a request shows that came through a proxy or tunnel, or that asks for
another name than this machine's own (as a web page in a browser here could). `/health` tells nothing but whether the
engine answers: 200 if it does, 503 if not.
"""

import re
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import Response

from mlthon.ops.client import AskFailed, EngineState
from mlthon.ops.contract import GetFigures
from mlthon.ops.web.bots import same
from mlthon.ops.web.door import Door
from mlthon.ops.web.edge import Edge, Visit, answer, plain
from mlthon.ops.web.engine import Engine, unanswered
from mlthon.ops.web.keys import WebKeys
from mlthon.ops.web.settings import is_loopback
from mlthon.ops.web.streams import BEARER, Streams

_HOST: Final = re.compile(r"(?P<name>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PASSED_ON: Final = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via", "cf-connecting-ip")
"""What proxies and tunnels add."""
LABELS: Final = ("endpoint", "status")
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


class Figures:
    """The endpoints. `closed`: the metrics need a token in any case."""

    def __init__(
        self, engine: Engine, edge: Edge, streams: Streams, door: Door, keys: WebKeys, *, closed: bool
    ) -> None:
        self._engine = engine
        self._edge = edge
        self._streams = streams
        self._door = door
        self._keys = keys
        self._closed = closed or keys.metrics_token is not None
        self._registry = CollectorRegistry()
        self._registry.register(self)

    async def metrics(self, visit: Visit) -> Response:
        if (self._closed or _from_elsewhere(visit.request)) and not self._may(_given(visit.request)):
            raise self._edge.wrong_secret(visit, "the metrics need their token")
        try:
            text: str = await self._engine.ask(GetFigures(), "metrics")
        except AskFailed as error:
            raise unanswered(error, self._engine) from None
        return plain(f"{generate_latest(self._registry).decode()}{text}", media_type=PROMETHEUS)

    def _may(self, given: str) -> bool:
        right = [same(given, each) for each in (self._keys.metrics_token, self._keys.api_key) if each]
        return any(right)

    def collect(self) -> Iterator[Metric]:
        """The web server's own figures."""
        requests = CounterMetricFamily("mlthon_web_requests", "Requests of the web server.", labels=LABELS)
        for (what, status), count in sorted(self._edge.counts.items()):
            requests.add_metric((what, str(status)), count)
        yield requests
        door, streams = self._door, self._streams
        yield GaugeMetricFamily("mlthon_web_connections", "Connections of the web server.", door.connections)
        yield CounterMetricFamily(
            "mlthon_web_connections_cut",
            "Connections that sent no request and were cut for others, or were turned away.",
            door.cut + door.turned_away,
        )
        yield CounterMetricFamily(
            "mlthon_web_connections_failed", "Connections in which the web server itself failed.", door.failed
        )
        yield GaugeMetricFamily("mlthon_web_stream_clients", "Clients of the stream.", streams.clients)
        yield CounterMetricFamily("mlthon_web_stream_lost", "Messages that slow clients lost.", streams.lost)

    async def health(self, visit: Visit) -> Response:
        lives = self._engine.state is EngineState.LIVES
        return answer({"engine": self._engine.state.value}, 200 if lives else 503)


def _from_elsewhere(request: Request) -> bool:
    """Whether a request shows that it began on another machine, or in a web page: unless it says in so many words that
    it asks for this machine. (nginx as it comes speaks HTTP/1.0 to the server and adds nothing.)"""
    named = _HOST.fullmatch(request.headers.get("host", ""))
    passed_on = request.scope["http_version"] == "1.0" or any(each in request.headers for each in _PASSED_ON)
    return passed_on or named is None or not is_loopback(named["name"])


def _given(request: Request) -> str:
    header = request.headers.get("authorization", "")
    if header.lower().startswith(BEARER):
        return header[len(BEARER) :].strip()
    return request.query_params.get("token", "")
