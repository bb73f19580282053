"""What the tests of the dialects share: a client's websocket, and a client of HTTP, in virtual time."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec

from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.exchange.served.contract import Dialect, ServerRequest, ServerResponse

START = 1_735_689_600 * SECOND


class Socket:
    """A client's websocket that keeps what it is sent; `code`: with which it was closed."""

    def __init__(self, path: str, query: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.query = query
        self.headers: Mapping[str, str] = dict(headers or {})
        self.sent: list[Any] = []
        self.code: int | None = None

    def send(self, text: str) -> None:
        self.sent.append(text if text == "pong" else msgspec.json.decode(text))

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.code = code


class Client(ABC):
    """A client of a dialect. Subclasses make clock and dialect, and sign as their exchange wants it."""

    clock: Clock
    dialect: Dialect

    def run(self, ns: int = SECOND) -> None:
        """Let time pass."""
        self.clock.run_until(self.clock.now + ns)

    def send(self, request: ServerRequest) -> ServerResponse:
        """The one answer to a request, a tenth of a second later."""
        answers: list[ServerResponse] = []
        self.dialect.http(request, answers.append)
        self.run(100 * MS)
        (answer,) = answers
        return answer

    @abstractmethod
    def ask(self, *args: Any, **options: Any) -> ServerResponse:
        """A signed request, and its answer."""

    def json(self, *args: Any, **options: Any) -> Any:
        """The body of a good answer."""
        answer = self.ask(*args, **options)
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body)

    def connect(self, path: str, query: str = "", headers: Mapping[str, str] | None = None) -> tuple[Any, Socket]:
        """A websocket, and the handler of what is said on it."""
        socket = Socket(path, query, headers)
        return self.dialect.connect(socket), socket
