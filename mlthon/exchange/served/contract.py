"""What a dialect is given and what it gives back: HTTP requests and websockets without any I/O.

Everything is synchronous and happens on the engine's clock. A dialect may answer inside the call or later (when the
exchange has answered); it answers each request at most once, and never twice. A websocket's `send` never blocks and
never raises: a socket that is gone swallows what is sent to it until its handler is told `closed`.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl

from attrs import define, field, frozen

from mlthon.basics.defs import Exchange


@define(slots=False, frozen=True)
class ServerRequest:
    """An HTTP request. `path` without the query; `query` exactly as sent (signatures cover it), without the `?`;
    `headers` with names in lower case; `client` says who asks, for limits by address. The repr shows no headers and no
    body."""

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    client: str = ""

    @cached_property
    def params(self) -> dict[str, str]:
        """The query decoded; of a name given twice the last counts."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, str]:
        """The body decoded as a form (`a=1&b=2`); empty for a body that is no text."""
        try:
            return dict(parse_qsl(self.body.decode(), keep_blank_values=True))
        except UnicodeDecodeError:
            return {}


@frozen
class ServerResponse:
    """An HTTP response; `body` is JSON unless `headers` say otherwise."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict)


Respond = Callable[[ServerResponse], None]


class ServerSocket(Protocol):
    """One client's websocket, as the dialect sees it."""

    @property
    def path(self) -> str: ...

    @property
    def query(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""

    def send(self, text: str) -> None:
        """Send a text message; does nothing once the socket is closed."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it; `SocketHandler.closed` follows."""


class SocketHandler(Protocol):
    """What takes one client's messages."""

    def message(self, data: str | bytes) -> None:
        """A whole message. It must not raise for anything a client may send."""

    def closed(self) -> None:
        """The socket is gone: stop listening to accounts and markets. Called once."""


@runtime_checkable
class RequestHandler(SocketHandler, Protocol):
    """A handler whose client may also ask what it could ask over HTTP: orders above all. It lets such messages fail."""

    def asks(self, data: str | bytes) -> str | None:
        """The HTTP path of what a message asks; None for every other message (logins, pings, subscriptions)."""

    def fail(self, data: str | bytes, status: int | None) -> None:
        """Answer a message that `asks` knows with a failure of the exchange, as HTTP `status` would be; None: with its
        answer to a request that is one too many. Nothing is carried out."""

    def unheard(self) -> SocketHandler:
        """One with the same login that carries out what it is given and answers nobody."""


class DeafSocket:
    """A websocket that nobody listens to."""

    def __init__(self, socket: ServerSocket) -> None:
        self.path = socket.path
        self.query = socket.query
        self.headers = socket.headers

    def send(self, text: str) -> None:
        """Nobody hears of it."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """There is nothing to close."""


class Dialect(Protocol):
    """One exchange's protocol."""

    @property
    def name(self) -> str:
        """As on the command line: `bybit`."""

    @property
    def exchange(self) -> Exchange: ...

    def http(self, request: ServerRequest, respond: Respond) -> None:
        """Deal with a request and call `respond` once, now or later."""

    def connect(self, socket: ServerSocket) -> SocketHandler:
        """A client opened a websocket. One that has no business at its path is told so and closed."""

    def busy(self, request: ServerRequest) -> ServerResponse:
        """The exchange's own answer to a request that is one too many (HTTP 429 or what it uses instead)."""


class Unserved:
    """The handler of a socket that was refused."""

    def message(self, data: str | bytes) -> None:
        """Nothing is listened to."""

    def closed(self) -> None:
        """Nothing was begun."""
