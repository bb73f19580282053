"""HTTP requests of the edge against real sockets: answers, and whether what failed may have been carried out."""

from random import Random

import pytest
import trio

from mlthon.engine.clock import Clock
from mlthon.live.driver import Driver, WallTime
from mlthon.live.edge import EdgeSettings, TrioEdge
from mlthon.live.http import HttpSettings
from mlthon.venue.codec import Endpoints
from mlthon.venue.wire import Answer, Failure, HttpAnswer, HttpMessage, Loss
from tests.live.servers import edge_to, raw_server, until

pytestmark = pytest.mark.trio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-MBX-USED-WEIGHT-1M: 7\r\n\r\n{}"


class Replies:
    """A server that gives one answer to each request and keeps what it was asked."""

    def __init__(self, answer: bytes | None = OK, *, close: bool = False) -> None:
        self.answer = answer
        self.close = close
        self.requests: list[bytes] = []
        self.connections = 0

    async def __call__(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        try:
            async for data in stream:
                self.requests.append(data)
                if self.answer is not None:
                    await stream.send_all(self.answer)
                if self.close:
                    return
        except trio.BrokenResourceError:
            return


async def ask(edge: TrioEdge, message: HttpMessage, timeout_s: float = 5.0) -> Answer:
    """Ask, and wait for the answer, which must not come inside the call."""
    answers: list[Answer] = []
    edge.http(message, timeout_s, answers.append)
    assert answers == []
    await until(lambda: answers)
    return answers[0]


async def test_an_answer_with_its_headers_and_times() -> None:
    server = Replies()
    async with raw_server(server) as port, edge_to(f"http://127.0.0.1:{port}/base") as edge:
        message = HttpMessage("POST", "/v5/order?a=1", {"X-Key": "k"}, b'{"b":2}')
        answer = await ask(edge, message)
    assert isinstance(answer, HttpAnswer)
    assert (answer.status, answer.body) == (200, b"{}")
    assert answer.headers["x-mbx-used-weight-1m"] == "7"
    assert 0 < answer.sent_ts <= answer.recv_ts
    head, _, body = b"".join(server.requests).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /base/v5/order?a=1 HTTP/1.1\r\n")
    assert b"X-Key: k" in head
    assert body == b'{"b":2}'


async def test_the_target_goes_out_as_it_was_signed() -> None:
    target = '/api?filter=%7B"open"%3Atrue%7D&x=a,b|c[]&empty='
    server = Replies()
    async with raw_server(server) as port, edge_to(f"http://127.0.0.1:{port}") as edge:
        await ask(edge, HttpMessage("GET", target))
    assert server.requests[0].startswith(f"GET {target} HTTP/1.1\r\n".encode())


async def test_connections_are_kept() -> None:
    server = Replies()
    async with raw_server(server) as port, edge_to(f"http://127.0.0.1:{port}") as edge:
        for _ in range(3):
            await ask(edge, HttpMessage("GET", "/"))
    assert server.connections == 1


async def test_redirects_are_answers() -> None:
    server = Replies(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n")
    async with raw_server(server) as port, edge_to(f"http://127.0.0.1:{port}") as edge:
        answer = await ask(edge, HttpMessage("GET", "/"))
    assert isinstance(answer, HttpAnswer)
    assert answer.status == 302


async def test_nobody_listening_is_not_sent() -> None:
    async with edge_to("http://127.0.0.1:1") as edge:
        answer = await ask(edge, HttpMessage("GET", "/"))
    assert isinstance(answer, Failure)
    assert answer.loss is Loss.NOT_SENT


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Replies(None), "no answer within 0.3 s"),
        (Replies(None, close=True), "RemoteProtocolError"),
        (Replies(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", close=True), "RemoteProtocolError"),
        (Replies(b"what?\r\n\r\n", close=True), "RemoteProtocolError"),
    ],
    ids=["silent", "closes", "half an answer", "nonsense"],
)
async def test_what_fails_after_it_left_may_have_been_carried_out(server: Replies, words: str) -> None:
    async with raw_server(server) as port, edge_to(f"http://127.0.0.1:{port}") as edge:
        answer = await ask(edge, HttpMessage("POST", "/order?signature=SECRET"), 0.3)
    assert isinstance(answer, Failure)
    assert answer.loss is Loss.NO_ANSWER
    assert words in answer.reason
    assert "SECRET" not in answer.reason
    assert server.requests


async def test_a_connection_that_is_not_made_in_time_is_not_sent() -> None:
    async def slow(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    # TLS is spoken to a server that never answers: the connection never comes about
    async with raw_server(slow) as port, edge_to(f"https://127.0.0.1:{port}") as edge:
        answer = await ask(edge, HttpMessage("GET", "/"), 0.3)
    assert answer == Failure(Loss.NOT_SENT, "no answer within 0.3 s")


async def test_a_bad_header_is_told_without_its_value() -> None:
    async with raw_server(Replies()) as port, edge_to(f"http://127.0.0.1:{port}") as edge:
        answer = await ask(edge, HttpMessage("GET", "/", {"X-Key": "SECRET\n"}))
    assert isinstance(answer, Failure)
    assert answer.reason == "LocalProtocolError"


async def test_an_answer_too_large_is_none() -> None:
    server = Replies(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
    settings = HttpSettings(most_bytes=1000)
    async with raw_server(server) as port, edge_to(f"http://127.0.0.1:{port}", http=settings) as edge:
        answer = await ask(edge, HttpMessage("GET", "/"))
    assert answer == Failure(Loss.NO_ANSWER, "an answer of over 1000 bytes")


async def test_an_unknown_base_is_told() -> None:
    async with edge_to() as edge:
        answer = await ask(edge, HttpMessage("GET", "/", base="sapi"))
    assert answer == Failure(Loss.NOT_SENT, "the environment has no URL 'sapi' (it has rest)")


async def test_a_callback_that_raises_disturbs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_answer: Answer) -> None:
        raise RuntimeError("a fault of the callback")

    async with raw_server(Replies()) as port, edge_to(f"http://127.0.0.1:{port}") as edge:
        edge.http(HttpMessage("GET", "/"), 5.0, fail)
        assert isinstance(await ask(edge, HttpMessage("GET", "/")), HttpAnswer)
        await until(lambda: "a fault of the callback" in caplog.text)


async def test_a_proxy_that_is_no_url_is_refused_without_showing_it() -> None:
    async with trio.open_nursery() as nursery:
        settings = EdgeSettings(proxy="ftp://me:SECRET@host")
        with pytest.raises(ValueError, match="the proxy is no http://") as caught:
            TrioEdge(Driver(Clock(), WallTime()), nursery, Endpoints("local", {}, False), settings, Random(1))
    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in repr(settings)
