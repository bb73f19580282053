"""Faults on purpose: a dialect wrapped so that the next requests fail in a chosen way.

- `drop`: the request never reaches the exchange and is never answered.
- `timeout-after-accept`: it is carried out, and never answered.
- `delay`: it is carried out `delay_ms` late.
- `error`: it is answered with HTTP `status` (500 unless said otherwise) and not carried out.
- `limit`: it is answered as one request too many, in the exchange's own way.

Websocket messages of clients that ask for something about orders are not touched: cut their sockets instead.
"""

from collections import deque
from typing import Final

from attrs import field, frozen

from mlthon.engine.clock import MS, Clock
from mlthon.exchange.served.contract import Dialect, Respond, ServerRequest, ServerResponse, ServerSocket, SocketHandler

KINDS: Final = ("drop", "timeout-after-accept", "delay", "error", "limit")


def _known(instance: object, attribute: object, value: str) -> None:
    if value not in KINDS:
        raise ValueError(f"there is no fault {value!r}; there are {', '.join(KINDS)}")


@frozen
class Fault:
    """What happens to the next `count` requests whose path begins with `path`."""

    kind: str = field(validator=_known)
    count: int = 1
    path: str = "/"
    status: int = 500
    delay_ms: int = 1000


class FaultyDialect:
    """A dialect whose requests may be made to fail. `pending`: the faults still to come, with how many are left."""

    def __init__(self, dialect: Dialect, clock: Clock) -> None:
        self.dialect = dialect
        self.name = dialect.name
        self.exchange = dialect.exchange
        self._clock = clock
        self.pending: deque[tuple[Fault, int]] = deque()

    def inject(self, fault: Fault) -> None:
        """Have the next requests fail, after those that are to fail already."""
        if fault.count > 0:
            self.pending.append((fault, fault.count))

    def http(self, request: ServerRequest, respond: Respond) -> None:
        fault = self._next(request)
        if fault is None:
            self.dialect.http(request, respond)
        elif fault.kind == "timeout-after-accept":
            self.dialect.http(request, _unheard)
        elif fault.kind == "delay":
            self._clock.call_at(self._clock.now + fault.delay_ms * MS, self.dialect.http, request, respond)
        elif fault.kind == "error":
            respond(ServerResponse(fault.status, b"", {"Content-Type": "text/plain"}))
        elif fault.kind == "limit":
            respond(self.dialect.busy(request))

    def connect(self, socket: ServerSocket) -> SocketHandler:
        return self.dialect.connect(socket)

    def busy(self, request: ServerRequest) -> ServerResponse:
        return self.dialect.busy(request)

    def _next(self, request: ServerRequest) -> Fault | None:
        for place, (fault, left) in enumerate(self.pending):
            if request.path.startswith(fault.path):
                if left == 1:
                    del self.pending[place]
                else:
                    self.pending[place] = (fault, left - 1)
                return fault
        return None


def _unheard(response: ServerResponse) -> None:
    """The client never hears of it."""
