"""The edge: `mlthon.venue.wire.Edge` on real sockets and HTTP, by trio.

One `TrioEdge` serves one environment of one exchange; all edges of a process share a `Driver`. Each line is a task of
its own that connects, hands over what comes, pings, notices silence and age, and after a loss connects anew, with a
growing pause. Nothing yields between the read of a socket and the last callback that it causes.

What goes wrong stays where it was: a user's handler that raises is logged and its line connected anew; no other line,
and no request, notices.
"""

import logging
import math
import ssl
from collections.abc import Sequence
from functools import partial
from random import Random
from time import perf_counter_ns
from typing import Final

import trio
from attrs import field, frozen

from mlthon.engine.clock import MS
from mlthon.live.backoff import Backoff, BackoffSettings
from mlthon.live.driver import Driver
from mlthon.live.histogram import Histogram
from mlthon.live.http import HttpSettings, exchange_messages
from mlthon.live.sockets import MOST_BYTES, Lost, WebSocket, connect
from mlthon.live.tls import client_context
from mlthon.venue.codec import Endpoints
from mlthon.venue.wire import Answered, BatchUser, Failure, HttpMessage, Line, LineUser, Loss

log = logging.getLogger("mlthon.live")

RENEWED: Final = "renewed before the exchange cuts it off for its age"


@frozen
class EdgeSettings:
    """How an edge connects. `proxy`: a URL, "" for none, None for what the environment says. `ca_file`: a file with
    certificates to trust beside the system's own (a local exchange's). `deflate`: whether to offer compression of
    websocket messages, which costs more time than it saves on a good connection. `close_limit_s`: how long the other
    side has to answer a goodbye; a run that stops waits for no more."""

    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    deflate: bool = False
    connect_limit_s: float = 10.0
    close_limit_s: float = 0.5
    most_message_bytes: int = MOST_BYTES
    backoff: BackoffSettings = field(factory=BackoffSettings)
    http: HttpSettings = field(factory=HttpSettings)

    def tls(self) -> ssl.SSLContext:
        """What certificates are verified by. Raises OSError for a file that cannot be read."""
        return client_context(self.ca_file)


class _Kept:
    """A line that is kept open."""

    __slots__ = ("backoff", "closed", "cut_off", "ending", "heard", "line", "polite", "scope", "socket", "user")

    def __init__(self, line: Line, user: LineUser, backoff: Backoff) -> None:
        self.line = line
        self.user = user
        self.backoff = backoff
        self.closed = False
        """Not wanted any more: nothing more is told."""
        self.socket: WebSocket | None = None
        self.begin()

    def begin(self) -> None:
        """A new attempt, or the pause before one."""
        self.ending = ""
        """Why the present connection is to end; empty while it is not."""
        self.polite = False
        self.cut_off = False
        """Whether its user ended it."""
        self.heard = 0.0
        """When something came (trio's clock); 0 while it is not open."""
        self.scope = trio.CancelScope()

    def end(self, reason: str, *, polite: bool = False) -> None:
        """End the present connection; the first reason given counts."""
        if not self.ending:
            self.ending = reason
            self.polite = polite
        self.scope.cancel()


class TrioEdge:
    """See the module. `offset`: the exchange's clock minus ours (ns), set by whoever estimates it; URLs and headers of
    lines are made with the exchange's time. Tasks run in `nursery`; cancelling it ends everything at once, and nobody
    is told anything any more. Use it as an async context manager, or call `aclose` at the end."""

    def __init__(
        self,
        driver: Driver,
        nursery: trio.Nursery,
        endpoints: Endpoints,
        settings: EdgeSettings,
        rng: Random,
    ) -> None:
        self.offset = 0
        self.reconnects = 0
        self.batch_times = Histogram()
        """How long the messages of one read took all parts together, strategies too; of every eighth read."""
        self._reads = 0
        self._driver = driver
        self._nursery = nursery
        self._endpoints = endpoints
        self._settings = settings
        self._rng = rng
        self._tls = settings.tls()
        self._kept: dict[str, _Kept] = {}
        self._client = settings.http.client(self._tls, settings.proxy, settings.connect_limit_s)

    async def __aenter__(self) -> "TrioEdge":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every line and the HTTP connections."""
        for name in list(self._kept):
            self.close_line(name)
        with trio.move_on_after(self._settings.close_limit_s, shield=True):
            await self._client.aclose()

    # -- lines -------------------------------------------------------------------------------------------------------

    def open_line(self, line: Line, user: LineUser) -> None:
        if line.name in self._kept:
            raise ValueError(f"line {line.name} is open already: close it first, or give this one a name of its own")
        kept = self._kept[line.name] = _Kept(line, user, Backoff(self._rng, self._settings.backoff))
        self._nursery.start_soon(self._keep, kept)

    def close_line(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            kept.closed = True
            kept.end("not wanted any more", polite=True)

    def restart_line(self, name: str, reason: str) -> None:
        kept = self._kept.get(name)
        if kept is not None and kept.socket is not None:
            kept.cut_off = True
            kept.end(reason)

    def send(self, name: str, text: str) -> bool:
        kept = self._kept.get(name)
        if kept is None or kept.socket is None or kept.ending:
            return False
        return kept.socket.send_text(text)

    async def _keep(self, kept: _Kept) -> None:
        name = kept.line.name
        while not kept.closed:
            began = trio.current_time()
            reason = await self._connect_once(kept)
            if kept.closed:
                return
            self.reconnects += 1
            held = trio.current_time() - began if kept.polite or kept.heard else 0.0
            kept.backoff.held(held, cut_off=kept.cut_off)
            pause = 0.0 if kept.polite else kept.backoff.pause()
            log.warning("%s: %s; connecting anew in %.2f s", name, reason, pause)
            self._driver.deliver(kept.user.line_closed, name, reason)
            if kept.closed:
                return
            kept.begin()
            with kept.scope:
                await trio.sleep(pause)

    async def _connect_once(self, kept: _Kept) -> str:
        """One connection, from its opening to its end; why it ended."""
        kept.begin()
        try:
            with kept.scope:
                socket = await self._open(kept)
                try:
                    await self._serve(kept, socket)
                finally:
                    kept.socket = None
                    if kept.polite:
                        await socket.close(self._settings.close_limit_s)
                    else:
                        await socket.abandon()
        except Lost as error:
            kept.ending = kept.ending or str(error)
        except Exception:
            log.exception("%s: a fault of the program; the line is connected anew", kept.line.name)
            kept.ending = kept.ending or "a fault of the program"
        return kept.ending or "ended"

    async def _open(self, kept: _Kept) -> WebSocket:
        line = kept.line
        now_ms = (self._driver.wall.now() + self.offset) // MS
        settings = self._settings
        return await connect(
            line.url(now_ms),
            line.headers(now_ms) if line.headers is not None else {},
            tls=self._tls,
            now=self._driver.wall.now,
            proxy=settings.proxy,
            deflate=settings.deflate,
            most_bytes=settings.most_message_bytes,
            limit_s=settings.connect_limit_s,
        )

    async def _serve(self, kept: _Kept, socket: WebSocket) -> None:
        kept.socket = socket
        kept.heard = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, kept, socket)
            nursery.start_soon(self._watch, kept, socket)
            log.info("%s: open", kept.line.name)
            if not self._driver.deliver(kept.user.line_opened, kept.line.name):
                kept.end("its user raised when it opened")
            await self._read(kept, socket)

    async def _read(self, kept: _Kept, socket: WebSocket) -> None:
        """Hand over what comes until the connection ends."""
        name, user, driver = kept.line.name, kept.user, self._driver
        clock, hear = driver.clock, user.line_messages if isinstance(user, BatchUser) else partial(hear_one, user)
        while True:
            try:
                messages = await socket.receive()
            except Lost as error:
                kept.end(str(error))
                return
            kept.heard = trio.current_time()
            ts = socket.recv_ts
            self._reads += 1
            timed = not self._reads & 7
            if timed:
                start = perf_counter_ns()
            driver.advance(ts)
            try:
                heard, count = 0, len(messages)
                while heard < count:
                    heard = hear(name, messages, heard, ts)
                    if clock.due <= ts:
                        driver.advance(ts)
                    if kept.ending:
                        return
            except Exception:
                driver.failures += 1
                log.exception("%s: its user raised; the line is connected anew", name)
                kept.end("its user raised")
                return
            finally:
                driver.look()
            if timed:
                self.batch_times.observe(perf_counter_ns() - start)

    async def _send(self, kept: _Kept, socket: WebSocket) -> None:
        try:
            await socket.send_queued()
        except Lost as error:
            kept.end(str(error))

    async def _watch(self, kept: _Kept, socket: WebSocket) -> None:
        """Ping, and end the connection when it is silent or old."""
        line = kept.line
        began = trio.current_time()
        ping_at = began + line.ping_every_s
        old_at = math.inf if line.max_age_s is None else began + line.max_age_s
        while True:
            await trio.sleep_until(min(ping_at, old_at, kept.heard + line.silence_s))
            now = trio.current_time()
            if now >= kept.heard + line.silence_s:
                kept.end(f"silent for {line.silence_s:g} s")
                return
            if now >= old_at:
                kept.end(RENEWED, polite=True)
                return
            if now >= ping_at:
                ping_at = now + line.ping_every_s
                if line.ping is None:
                    socket.ping()
                else:
                    socket.send_text(line.ping())

    # -- http --------------------------------------------------------------------------------------------------------

    def http(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        self._nursery.start_soon(self._ask, message, timeout_s, answered)

    async def _ask(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        base = self._endpoints.urls.get(message.base)
        if base is None:
            known = ", ".join(self._endpoints.urls)
            answer = Failure(Loss.NOT_SENT, f"the environment has no URL {message.base!r} (it has {known})")
            self._driver.deliver(answered, answer)
            return
        most = self._settings.http.most_bytes
        self._driver.deliver(
            answered,
            await exchange_messages(self._client, base, message, timeout_s, self._driver.wall.now, most),
        )


def hear_one(user: LineUser, name: str, messages: Sequence[bytes], first: int, recv_ts: int) -> int:
    """What `BatchUser.line_messages` does, for users that take one message at a time."""
    user.line_message(name, messages[first], recv_ts)
    return first + 1
