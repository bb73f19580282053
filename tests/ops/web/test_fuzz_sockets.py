"""Bytes of all kinds on real sockets: the server answers or closes, never by a 500, hangs nowhere, goes on serving
others, and the engine hears of nothing that was not authorised."""

import json
import logging
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h11
import hypothesis.strategies as st
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings

from mlthon.ops.contract import GetFigures, GetWebhooks
from mlthon.ops.web.door import DoorLimits
from mlthon.ops.web.limits import Rates
from mlthon.ops.web.server import run
from tests.ops.web.kit import API_KEY, SECRET, Site

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
LONG_S = 10.0
STATUSES = {101, 200, 400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 415, 422, 426, 429, 431, 501, 503, 505}
INJECTED = b"X-Injected: yes"


class Served:
    """A server on a thread of its own, and what its logs say."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self.token = ""
        self.site: Site
        self.lines: list[str] = []
        self._folder = folder
        self._begun = threading.Event()
        self._end: Any = None
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))
        self._thread.start()
        self._begun.wait(LONG_S)

    async def _serve(self) -> None:
        self.site = Site(self._folder, address_rate=1e6, connector_rate=1e6)
        self.site.server.door.limits = DoorLimits(wait_s=2.0)
        # otherwise nobody would be listened to after ten wrong secrets
        self.site.server.edge._failures = Rates(1e9, 1e9)
        self.token = self.site.store.make_token("tv").text
        over = trio.Event()
        token = trio.lowlevel.current_trio_token()
        self._end = lambda: token.run_sync_soon(over.set)

        def started(url: str) -> None:
            self.port = int(url.rpartition(":")[2])
            self._begun.set()

        await run(self.site.server, self.site.settings, self.site.store, over, started)
        self.site.store.close()

    def close(self) -> None:
        self._end()
        self._thread.join(LONG_S)

    def say(self, sent: bytes, wait_s: float = 0.05, then: bytes = b"") -> bytes:
        """Say it, and hear what comes until the other end closes or says nothing for a moment. `then`: what is said
        after the first answer."""
        heard = b""
        with socket.create_connection(("127.0.0.1", self.port), LONG_S) as connection:
            with suppress(OSError):
                connection.sendall(sent)
            with suppress(OSError):
                if then:
                    heard += connection.recv(65536)
                    connection.sendall(then)
                connection.settimeout(wait_s)
                while chunk := connection.recv(65536):
                    heard += chunk
        return heard

    def serves(self) -> None:
        """Others are served."""
        heard = self.say(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", LONG_S)
        assert heard.startswith(b"HTTP/1.1 200"), heard

    @property
    def actions(self) -> list[Any]:
        return [what for what, _ in self.site.engine.asked if not isinstance(what, GetWebhooks | GetFigures)]


class Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(0)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    log = logging.getLogger("mlthon")
    level = log.level
    log.setLevel(logging.DEBUG)
    with tempfile.TemporaryDirectory() as folder:
        found = Served(Path(folder))
        handler = Lines(found.lines)
        log.addHandler(handler)
        try:
            yield found
        finally:
            log.removeHandler(handler)
            log.setLevel(level)
            found.close()


def answers(heard: bytes) -> list[h11.Response]:
    """The answers to requests, read as a client reads them. Raises `h11.ProtocolError` for what is none."""
    found: list[h11.Response] = []
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(heard)
    client.receive_data(b"")
    with suppress(h11.RemoteProtocolError):  # the connection may end in the midst of a second answer
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                found.append(event)
            if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed | h11.EndOfMessage):
                break
    return found


def fine(served: Served, heard: bytes) -> None:
    """What holds of every answer."""
    if heard.startswith(b"HTTP/"):
        assert int(heard[9:12]) in STATUSES, heard
        for answer in answers(heard):
            assert not any(name == b"x-injected" for name, _ in answer.headers)
    served.serves()
    for line in served.lines:
        assert "\n" not in line
        assert SECRET not in line
        assert served.token not in line
        assert API_KEY not in line
    served.lines.clear()


METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"PRI", b"get", b"X" * 300, b"", b"G\tT"])
TARGETS = st.sampled_from(
    [
        *(
            b"/",
            b"*",
            b"/health",
            b"/metrics",
            b"/stream",
            b"/stream?token=" + API_KEY.encode(),
            b"//health",
            b"/%0d%0a",
        ),
        *(
            b"http://127.0.0.1/metrics",
            b"/../../etc/passwd",
            b"/tradingview/" + b"a" * 43,
            b"/health\x00",
            b"/\xff\xfe",
        ),
        *(b"/trading/bot/wrong/x\r\n" + INJECTED, b"/trading/bot/%0d%0aX-Injected:%20yes/y", b"/" + b"a" * 20_000),
        *(b"/trading-signal/webhook", b"/trading-signal/webhook/", b"/trading-signal//webhook", b"?", b"x:443"),
    ]
)
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/11", b"", b"FTP/1.1"])
HEADERS = st.lists(
    st.sampled_from(
        [
            *(b"Host: x", b"Host: a\r\nHost: b", b"Content-Length: 5", b"Content-Length: 5, 5", b"Content-Length: -1"),
            *(
                b"Content-Length: +3",
                b"Content-Length: 0x5",
                b"Content-Length: " + b"9" * 40,
                b"Transfer-Encoding: chunked",
            ),
            *(
                b"Transfer-Encoding: gzip, chunked",
                b"Transfer-Encoding: \x0bchunked",
                b"Expect: 100-continue",
                b"Expect: x",
            ),
            *(
                b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA",
                b"Connection: close",
                b"Upgrade: websocket",
            ),
            *(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x",),
            *(
                b"X-Forwarded-For: 1.2.3.4\n" + INJECTED,
                b" folded: x",
                b"No colon",
                b"X-\xff: \xfe",
                b"X: " + b"y" * 20_000,
            ),
            *(
                b"X-Nonce: a\tb",
                b"X-Timestamp: \xb2",
                b"Authorization: Bearer",
                b"Content-Type: application/json; \x80",
            ),
        ]
    ),
    max_size=4,
)
CHUNKS = st.lists(
    st.sampled_from(
        [
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"-1\r\n",
            b"FFFFFFFFFFFFFFFFF\r\n",
            b"5;x=" + b"y" * 9_000 + b"\r\n",
            b"5\nhello\n",
        ]
    ),
    max_size=4,
).map(b"".join)
JSON = st.sampled_from(
    [
        *(b"NaN", b"[" * 20_000, b'{"a":' * 5_000, b'{"a":1e999}', b'{"a":' + b"9" * 5_000 + b"}", b"\xef\xbb\xbf{}"),
        *(
            b'{"a":"\\ud800"}',
            b'{"a":"\xff"}',
            b'{"connectorName":"tv","connectorName":["tv"]}',
            b'{"connectorToken":null}',
        ),
        *(
            b'{"connectorName":"tv\\r\\nX-Injected: yes","connectorToken":"x"}',
            b'{"connectorName":"' + b"t" * 300 + b'"}',
        ),
    ]
)


@QUICK
@given(
    parts=st.lists(
        st.tuples(METHODS, TARGETS, VERSIONS, HEADERS, st.binary(max_size=60) | CHUNKS | JSON), min_size=1, max_size=3
    )
)
@example([(b"PRI", b"*", b"HTTP/2.0", [], b"SM\r\n\r\n" + bytes(50))])
@example([(b"GET", b"/stream?token=" + API_KEY.encode(), b"HTTP/1.1", [b"Host: x"], b"")])
def test_whatever_comes_as_requests(
    served: Served, parts: list[tuple[bytes, bytes, bytes, list[bytes], bytes]]
) -> None:
    sent = b""
    for method, target, version, headers, body in parts:
        sent += (
            b" ".join((method, target, version))
            + b"\r\n"
            + b"".join(each + b"\r\n" for each in headers)
            + b"\r\n"
            + body
        )
    fine(served, served.say(sent))
    assert served.actions == []


@QUICK
@given(sent=st.binary(max_size=300))
def test_whatever_comes_as_bytes(served: Served, sent: bytes) -> None:
    fine(served, served.say(sent, 0.02))


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@QUICK
@given(
    frames=st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=40)),
        max_size=6,
    )
)
def test_whatever_comes_as_http_2(served: Served, frames: list[tuple[int, int, int, bytes]]) -> None:
    sent = PREFACE + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
    for kind, flags, stream, content in frames:
        sent += len(content).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + content
    fine(served, served.say(sent, 0.02))
    assert served.actions == []


OPENING = (
    f"GET /stream?token={API_KEY} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()


def frame(first: int, masked: bool, size: int, content: bytes) -> bytes:
    """A websocket frame, which may lie about its size."""
    mask = 0x80 if masked else 0
    head = bytes((first,))
    if size < 126:
        head += bytes((mask | size,))
    elif size < 65536:
        head += bytes((mask | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((mask | 127,)) + size.to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + content


@QUICK
@given(
    frames=st.lists(
        st.tuples(
            st.integers(0, 255),
            st.booleans(),
            st.one_of(st.none(), st.sampled_from([0, 125, 126, 5_000, 65_536, 2**40, 2**63 - 1])),
            st.binary(max_size=200),
        ),
        max_size=5,
    )
)
def test_whatever_clients_of_the_stream_send(served: Served, frames: list[tuple[int, bool, int | None, bytes]]) -> None:
    sent = b""
    for first, masked, size, content in frames:
        sent += frame(first, masked, len(content) if size is None else size, content)
    heard = served.say(OPENING, 0.02, sent or frame(0x88, True, 0, b""))
    # a client that breaks the protocol may take a moment to be gone, and there are only so many
    assert heard.startswith((b"HTTP/1.1 101", b"HTTP/1.1 403"))
    fine(served, heard)


@QUICK
@given(body=JSON, name=st.sampled_from(["first", "last"]))
def test_a_token_that_stands_there_twice(served: Served, body: bytes, name: str) -> None:
    """Which of two keys counts is one question, asked once: what is checked is what is carried out."""
    served.site.engine.asked.clear()
    right, wrong = json.dumps(served.token), json.dumps("wrong")
    tokens = (right, wrong) if name == "first" else (wrong, right)
    said = f'{{"action":"buy","connectorName":"tv","connectorToken":{tokens[0]},"connectorToken":{tokens[1]}}}'
    head = (
        f"POST /trading-signal/webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(said)}\r\n\r\n"
    )
    heard = served.say((head + said).encode(), LONG_S)
    assert heard[9:12] == (b"401" if name == "first" else b"200")
    assert len(served.actions) == (name == "last")
    assert "connectorToken" not in str(served.actions)
    served.site.engine.asked.clear()
    head = (
        f"POST /trading-signal/webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    heard = served.say(head.encode() + body, LONG_S)
    assert heard[9:12] in (b"400", b"401", b"429")
    fine(served, heard)
    assert served.actions == []


def test_a_thousand_requests_on_one_connection(served: Served) -> None:
    heard = served.say(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 1_500, 1.0)
    assert heard.count(b"HTTP/1.1 404") >= 900
    served.serves()


def test_no_descriptor_is_left_open(served: Served) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for sent in (b"", b"GET", PREFACE, OPENING, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"):
        for _ in range(5):
            served.say(sent, 0.01)
    served.serves()
    for _ in range(500):
        if len(os.listdir("/proc/self/fd")) <= before + 2:
            break
        threading.Event().wait(0.02)
    assert len(os.listdir("/proc/self/fd")) <= before + 2
