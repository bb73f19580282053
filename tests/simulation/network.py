"""A network in virtual time that fails on purpose: `Edge` on one side, a server's dialect on the other.

Everything is a call in the engine's clock, so a seed gives the same run each time. Requests travel one by one and may
overtake each other; a line is a stream: what is not lost comes in order. What fails is drawn from `Weather`; in a calm
network only latencies are left.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from urllib.parse import urlsplit

from attrs import frozen

from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.exchange.served.contract import Dialect, RequestHandler, ServerRequest, ServerResponse, SocketHandler
from mlthon.venue.wire import Answer, Answered, Failure, HttpAnswer, HttpMessage, Line, LineUser, Loss


@frozen(kw_only=True)
class Weather:
    """How often (a share of all requests, or messages) something goes wrong. Requests, over HTTP or a line: `unsent`:
    no byte leaves; `vanish`: it never arrives; `mute`: it is carried out and never answered; `reset`: the connection
    breaks, carried out or not; `late`: it arrives seconds late; `slow`: the answer takes seconds; `busy`: one request
    too many; `error`: HTTP 5xx, `error_after`: though it was carried out. Messages of a line: `lost`, `double`, `lag`.
    `cut`, `freeze`: how often in a second the lines are cut off, or carry nothing any more until that is noticed;
    `closed`: an attempt to connect fails."""

    unsent: float = 0.01
    vanish: float = 0.01
    mute: float = 0.02
    reset: float = 0.015
    late: float = 0.015
    slow: float = 0.03
    busy: float = 0.01
    error: float = 0.01
    error_after: float = 0.015
    lost: float = 0.01
    double: float = 0.05
    lag: float = 0.05
    cut: float = 0.02
    freeze: float = 0.005
    closed: float = 0.3


REQUEST_FAULTS = ("unsent", "vanish", "mute", "reset", "late", "slow", "busy", "error", "error_after")
STATUSES = (500, 502, 503, 504)


class _Asked:
    """A request under way: it is answered once."""

    def __init__(self, clock: Clock, timeout_s: float, answered: Answered) -> None:
        self._clock = clock
        self._answered: Answered | None = answered
        self.sent_ts = clock.now
        self.answer_at(round(timeout_s * SECOND), Failure(Loss.NO_ANSWER, "timed out"))

    def answer_at(self, after: int, answer: Answer) -> None:
        self._clock.call_at(self._clock.now + after, self._answer, answer)

    def _answer(self, answer: Answer) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(answer)

    def respond(self, response: ServerResponse, after: int) -> None:
        headers = {name.lower(): value for name, value in response.headers.items()}
        arrival = self._clock.now + after
        self.answer_at(after, HttpAnswer(response.status, headers, response.body, self.sent_ts, arrival))


class _Connection:
    """One connection of a line, seen by the server as its client's socket. `frozen`: nothing passes any more."""

    def __init__(self, network: "Network", kept: "_Kept", url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self.path = parts.path
        self.query = parts.query
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.alive = True
        self.frozen = False
        self.heard = network.clock.now
        self._network = network
        self._kept = kept
        self._up = self._down = 0
        self.handler: SocketHandler = network.dialect.connect(self)

    # -- the server's face

    def send(self, text: str) -> None:
        network = self._network
        fault = network.message_fault(text)
        if not self.alive or self.frozen or fault == "lost":
            return
        lag = network.rng.randint(1, 3000) * MS if fault == "lag" else network.latency()
        self._down = max(self._down, network.clock.now + lag)
        for _ in range(2 if fault == "double" else 1):
            network.clock.call_at(self._down, self._deliver, text.encode())

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self.alive:
            self._network.clock.call_soon(self.end, f"closed by the exchange: {code} {reason}")

    # -- the client's face

    def say(self, text: str, fault: str = "") -> None:
        """`fault`: what becomes of a request on its way (see `Weather`)."""
        network = self._network
        late = network.rng.randint(500, 9000) * MS if fault == "late" else 0
        self._up = max(self._up, network.clock.now + network.latency() + late)
        network.clock.call_at(self._up, self._arrive, text, fault)
        if fault == "reset":
            network.clock.call_at(network.clock.now + network.rng.randint(1, 80) * MS, self.end, "connection reset")

    def _arrive(self, text: str, fault: str) -> None:
        if not self.alive or self.frozen or fault == "vanish":
            return
        handler = self.handler
        if fault == "slow":
            self._down = self._network.clock.now + self._network.rng.randint(500, 7000) * MS
        if isinstance(handler, RequestHandler) and fault in ("mute", "error_after"):
            handler.unheard().message(text)
        if isinstance(handler, RequestHandler) and fault in ("error", "error_after", "busy"):
            handler.fail(text, None if fault == "busy" else self._network.rng.choice(STATUSES))
        elif fault != "mute":
            handler.message(text)

    def _deliver(self, data: bytes) -> None:
        if self.alive and not self.frozen:
            self.heard = self._network.clock.now
            self._kept.user.line_message(self._kept.line.name, data, self.heard)

    def drop(self) -> None:
        """Both sides lose it; the server notices somewhat later."""
        if self.alive:
            self.alive = False
            self._network.clock.call_at(self._network.clock.now + self._network.latency(), self.handler.closed)

    def end(self, reason: str) -> None:
        """It is lost, and its user told."""
        if self.alive:
            self.drop()
            self._kept.lost(reason)


class _Kept:
    """A line that is kept open."""

    def __init__(self, network: "Network", line: Line, user: LineUser) -> None:
        self.line = line
        self.user = user
        self.wanted = True
        self.connection: _Connection | None = None
        self._network = network
        self._later(network.latency(), self._connect)

    def _later(self, after: int, call: Callable[[], None]) -> None:
        self._network.clock.call_at(self._network.clock.now + after, self._if_wanted, call)

    def _if_wanted(self, call: Callable[[], None]) -> None:
        if self.wanted:
            call()

    def _connect(self) -> None:
        network = self._network
        if not network.calm and network.rng.random() < network.weather.closed:
            network.faults["closed"] += 1
            self.lost("connection refused")
            return
        now_ms = network.clock.now // MS
        headers = self.line.headers(now_ms) if self.line.headers is not None else {}
        self.connection = connection = _Connection(network, self, self.line.url(now_ms), headers)
        self.user.line_opened(self.line.name)
        self._ping(connection)

    def _ping(self, connection: _Connection) -> None:
        """Ping now and then; a line that was silent for too long is dead."""
        line = self.line
        if connection is not self.connection or not connection.alive:
            return
        now = self._network.clock.now
        if line.ping is not None:
            connection.say(line.ping())
        elif not connection.frozen:
            connection.heard = now
        if now - connection.heard > line.silence_s * SECOND:
            connection.end("silent")
            return
        self._later(round(line.ping_every_s * SECOND), lambda: self._ping(connection))

    def lost(self, reason: str) -> None:
        self.connection = None
        if self.wanted:
            self._later(self._network.rng.randint(100, 3000) * MS, self._connect)
            self.user.line_closed(self.line.name, reason)

    def close(self) -> None:
        self.wanted = False
        if self.connection is not None:
            self.connection.drop()


class Network:
    """See the module. Implements `Edge`. `calm`: nothing fails any more. `sent`: hears of each request that leaves;
    `faults` counts what went wrong, by kind."""

    def __init__(
        self,
        clock: Clock,
        dialect: Dialect,
        urls: Mapping[str, str],
        rng: Random,
        weather: Weather,
        sent: Callable[[HttpMessage], None],
    ) -> None:
        self.clock = clock
        self.dialect = dialect
        self.rng = rng
        self.weather = weather
        self.calm = False
        self.dead = False
        self.faults: Counter[str] = Counter()
        self.on_send: Callable[[str], None] = _nobody
        """Hears of each message that leaves over a line."""
        self._urls = urls
        self._sent = sent
        self._lines: dict[str, _Kept] = {}
        self._disturb()

    def latency(self) -> int:
        """One way (ns)."""
        return self.rng.randint(1, 40) * MS

    # -- faults ------------------------------------------------------------------------------------------------------

    def be_calm(self) -> None:
        """Nothing fails from now on; lines that carry nothing any more still have to be noticed."""
        self.calm = True

    def die(self) -> None:
        """The program is gone: every line is closed, and nothing that it sends leaves."""
        self.dead = True
        for name in list(self._lines):
            self.close_line(name)

    def cut(self, reason: str) -> None:
        """Every line is lost now."""
        for kept in list(self._lines.values()):
            if kept.connection is not None:
                kept.connection.end(reason)

    def _disturb(self) -> None:
        if self.calm:
            return
        for kept in list(self._lines.values()):
            if kept.connection is None:
                continue
            chance = self.rng.random()
            if chance < self.weather.cut:
                self.faults["cut"] += 1
                kept.connection.end("connection reset")
            elif chance < self.weather.cut + self.weather.freeze:
                self.faults["freeze"] += 1
                kept.connection.frozen = True
        self.clock.call_at(self.clock.now + SECOND, self._disturb)

    def _draw(self, kinds: tuple[str, ...]) -> str:
        """A fault of these, by their shares, or none."""
        if self.calm:
            return ""
        chance = self.rng.random()
        for kind in kinds:
            chance -= getattr(self.weather, kind)
            if chance < 0:
                self.faults[kind] += 1
                return kind
        return ""

    def message_fault(self, text: str) -> str:
        """What becomes of a message of the server. Only news is lost: no exchange forgets to answer a login."""
        fault = self._draw(("lost", "double", "lag"))
        news = '"table"' in text or '"topic"' in text or '"e":' in text
        if fault == "lost" and ('"partial"' in text or not news):
            self.faults["lost"] -= 1
            return ""
        return fault

    # -- Edge --------------------------------------------------------------------------------------------------------

    def open_line(self, line: Line, user: LineUser) -> None:
        if line.name in self._lines:
            raise ValueError(f"line {line.name} is open already")
        self._lines[line.name] = _Kept(self, line, user)

    def close_line(self, name: str) -> None:
        kept = self._lines.pop(name, None)
        if kept is not None:
            kept.close()

    def restart_line(self, name: str, reason: str) -> None:
        kept = self._lines.get(name)
        if kept is not None and kept.connection is not None:
            self.clock.call_soon(kept.connection.end, reason)

    def send(self, name: str, text: str) -> bool:
        kept = self._lines.get(name)
        if kept is None or kept.connection is None or self.dead:
            return False
        handler = kept.connection.handler
        asks = isinstance(handler, RequestHandler) and handler.asks(text) is not None
        fault = self._draw(REQUEST_FAULTS) if asks else ""
        if fault == "unsent":
            return False
        self.on_send(text)
        kept.connection.say(text, fault)
        return True

    def http(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        path, _, query = message.target.partition("?")
        headers = {name.lower(): value for name, value in message.headers.items()}
        path = urlsplit(self._urls[message.base]).path + path
        request = ServerRequest(message.method, path, query, headers, message.body, "simulation")
        asked = _Asked(self.clock, timeout_s, answered)
        fault = self._draw(REQUEST_FAULTS)
        if fault == "unsent" or self.dead:
            asked.answer_at(self.latency(), Failure(Loss.NOT_SENT, "cannot connect"))
            return
        self._sent(message)
        self._travel(fault, request, asked)

    def _travel(self, fault: str, request: ServerRequest, asked: _Asked) -> None:
        """What becomes of a request that has left."""
        there, back = self.latency(), self.latency()
        heard = fault not in ("mute", "error_after", "reset")
        if fault == "reset":
            asked.answer_at(there + back, Failure(Loss.NO_ANSWER, "connection reset"))
        if fault == "vanish" or (fault == "reset" and self.rng.random() < 0.5):
            return
        if fault == "busy":
            asked.respond(self.dialect.busy(request), there + back)
            return
        if fault in ("error", "error_after"):
            page = ServerResponse(self.rng.choice(STATUSES), b"<html>bad gateway</html>", {"Content-Type": "text/html"})
            asked.respond(page, there + back)
        if fault == "error":
            return
        if fault == "late":
            there += self.rng.randint(500, 9000) * MS
        elif fault == "slow":
            back += self.rng.randint(500, 7000) * MS

        def respond(response: ServerResponse) -> None:
            if heard:
                asked.respond(response, back)

        self.clock.call_at(self.clock.now + there, self.dialect.http, request, respond)


def _nobody(text: str) -> None:
    """Nobody wants to know."""
