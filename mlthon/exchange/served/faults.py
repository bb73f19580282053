"""Faults on purpose: a dialect wrapped so that requests fail in a chosen way.

- `drop`: the request never reaches the exchange and is never answered.
- `timeout-after-accept`: it is carried out, and never answered.
- `delay`: it is carried out `delay_ms` late.
- `duplicate`: it arrives twice; the first answer is sent.
- `error`: it is answered with HTTP `status` (500 unless said otherwise) and not carried out.
- `limit`: it is answered as one request too many, in the exchange's own way.

Which requests: the next ones (`inject`), or those that a `plan` chooses (`mlthon.exchange.served.fault_schedule`); it
may also lose, double and hold back what is pushed to websockets. Requests that come over a websocket (orders on Bybit's
trade line, Binance's websocket API) fail like those over HTTP, and are told from others by the HTTP path that does the
same; an `error` or a `limit` is the exchange's own message there. Other messages of clients (logins, subscriptions)
are not touched: cut their sockets instead. Every fault that strikes is kept in `struck` and told to `on_strike`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from attrs import field, frozen
from attrs.validators import ge, le

from mlthon.engine.clock import MS, Clock
from mlthon.exchange.served.contract import (
    Dialect,
    RequestHandler,
    Respond,
    ServerRequest,
    ServerResponse,
    ServerSocket,
    SocketHandler,
)

KINDS: Final = ("drop", "timeout-after-accept", "delay", "duplicate", "error", "limit")
KEPT: Final = 100
"""How many of the last strikes are remembered."""
LONGEST_MS: Final = 3_600_000


def _known(instance: object, attribute: object, value: str) -> None:
    if value not in KINDS:
        raise ValueError(f"there is no fault {value!r}; there are {', '.join(KINDS)}")


@frozen
class Fault:
    """What happens to the next `count` requests whose path begins with `path`. Raises ValueError for what cannot be."""

    kind: str = field(validator=_known)
    count: int = 1
    path: str = "/"
    status: int = field(default=500, validator=[ge(400), le(599)])
    delay_ms: int = field(default=1000, validator=[ge(0), le(LONGEST_MS)])


@frozen
class Strike:
    """A fault that struck: when (ns) and what, in words."""

    ts: int
    text: str


class Plan(Protocol):
    """Chooses what fails beyond what was injected."""

    def request(self, path: str) -> Fault | None:
        """What happens to a request that has just come, if anything."""

    @property
    def pushes(self) -> bool:
        """Whether anything may happen to what is pushed."""

    def push(self) -> tuple[str, int]:
        """What happens to a message on its way to a client: "", `push-drop`, `push-duplicate` or `push-delay`, and how
        long it is held back (ns)."""


class FaultyDialect:
    """A dialect whose requests may be made to fail. `pending`: the faults still to come, with how many are left."""

    def __init__(self, dialect: Dialect, clock: Clock) -> None:
        self.dialect = dialect
        self.name = dialect.name
        self.exchange = dialect.exchange
        self.clock = clock
        self.pending: deque[tuple[Fault, int]] = deque()
        self.plan: Plan | None = None
        self.struck: deque[Strike] = deque(maxlen=KEPT)
        self.on_strike: Callable[[Strike], None] = _nobody

    def inject(self, fault: Fault) -> None:
        """Have the next requests fail, after those that are to fail already."""
        if fault.count > 0:
            self.pending.append((fault, fault.count))

    def strike(self, text: str) -> None:
        """Tell that a fault strikes now."""
        strike = Strike(self.clock.now, text)
        self.struck.append(strike)
        self.on_strike(strike)

    def fault(self, path: str) -> Fault | None:
        """What happens to a request that has just come, if anything."""
        fault = self._next(path)
        if fault is None and self.plan is not None:
            fault = self.plan.request(path)
        return fault

    def http(self, request: ServerRequest, respond: Respond) -> None:
        fault = self.fault(request.path)
        if fault is None:
            self.dialect.http(request, respond)
            return
        self.strike(f"{_words(fault)}: {request.method} {request.path}")
        if fault.kind == "timeout-after-accept":
            self.dialect.http(request, _unheard)
        elif fault.kind == "delay":
            self.clock.call_at(self.clock.now + fault.delay_ms * MS, self.dialect.http, request, respond)
        elif fault.kind == "duplicate":
            self.dialect.http(request, respond)
            self.dialect.http(request, _unheard)
        elif fault.kind == "error":
            respond(ServerResponse(fault.status, b"", {"Content-Type": "text/plain"}))
        elif fault.kind == "limit":
            respond(self.dialect.busy(request))

    def connect(self, socket: ServerSocket) -> SocketHandler:
        if self.plan is not None and self.plan.pushes:
            socket = _FaultySocket(socket, self, self.plan)
        handler = self.dialect.connect(socket)
        return _FaultyHandler(handler, self) if isinstance(handler, RequestHandler) else handler

    def busy(self, request: ServerRequest) -> ServerResponse:
        return self.dialect.busy(request)

    def _next(self, path: str) -> Fault | None:
        for place, (fault, left) in enumerate(self.pending):
            if path.startswith(fault.path):
                if left == 1:
                    del self.pending[place]
                else:
                    self.pending[place] = (fault, left - 1)
                return fault
        return None


class _FaultyHandler:
    """What takes a client's requests over a websocket, some of which fail."""

    def __init__(self, handler: RequestHandler, faults: FaultyDialect) -> None:
        self._handler = handler
        self._faults = faults

    def message(self, data: str | bytes) -> None:
        handler, faults = self._handler, self._faults
        path = handler.asks(data)
        fault = None if path is None else faults.fault(path)
        if fault is None:
            handler.message(data)
            return
        faults.strike(f"{_words(fault)}: websocket {path}")
        if fault.kind == "timeout-after-accept":
            handler.unheard().message(data)
        elif fault.kind == "delay":
            faults.clock.call_at(faults.clock.now + fault.delay_ms * MS, handler.message, data)
        elif fault.kind == "duplicate":
            handler.message(data)
            handler.unheard().message(data)
        elif fault.kind in ("error", "limit"):
            handler.fail(data, fault.status if fault.kind == "error" else None)

    def closed(self) -> None:
        self._handler.closed()


class _FaultySocket:
    """A client's websocket on which pushes are lost, doubled and held back. It stays a stream: nothing overtakes."""

    def __init__(self, socket: ServerSocket, faults: FaultyDialect, plan: Plan) -> None:
        self._socket = socket
        self._faults = faults
        self._plan = plan
        self._free = 0
        """Until when (ns) what is sent waits for what was held back."""

    @property
    def path(self) -> str:
        return self._socket.path

    @property
    def query(self) -> str:
        return self._socket.query

    @property
    def headers(self) -> Mapping[str, str]:
        return self._socket.headers

    def send(self, text: str) -> None:
        kind, hold = self._plan.push()
        if kind:
            self._faults.strike(f"{kind}{f' {hold // MS} ms' if hold else ''}: {self.path} {text[:60]}")
        if kind == "push-drop":
            return
        clock = self._faults.clock
        self._free = max(self._free, clock.now + hold)
        for _ in range(2 if kind == "push-duplicate" else 1):
            if self._free > clock.now:
                clock.call_at(self._free, self._socket.send, text)
            else:
                self._socket.send(text)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._socket.close(code, reason)


def _words(fault: Fault) -> str:
    detail = {"delay": f" {fault.delay_ms} ms", "error": f" {fault.status}"}.get(fault.kind, "")
    return fault.kind + detail


def _unheard(response: ServerResponse) -> None:
    """The client never hears of it."""


def _nobody(strike: Strike) -> None:
    """Nobody wants to know."""
