"""The edge's lines against real sockets: what comes, what goes, and what is done when a connection fails."""

import logging
import ssl
from pathlib import Path

import pytest
import trio
import trustme
from websockets.trio.server import ServerConnection

from mlthon.engine.clock import MS, SECOND
from mlthon.live.backoff import BackoffSettings
from mlthon.live.edge import RENEWED
from mlthon.venue.wire import Answer, Failure, HttpMessage, Loss
from tests.live.servers import User, edge_to, line, raw_server, until, websocket_server

pytestmark = pytest.mark.trio


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def wait(socket: ServerConnection) -> None:
    await trio.sleep_forever()


async def test_messages_go_and_come_whole() -> None:
    user = User()
    async with websocket_server(echo) as port, edge_to() as edge:
        user.then["opened"] = lambda name: edge.send(name, "hello")
        edge.open_line(line(port), user)
        await until(lambda: user.messages)
        assert user.messages == [b"hello"]
        assert edge.send("line", "again")
        await until(lambda: len(user.messages) == 2)
        assert user.opened == 1
        assert user.closed == []


async def test_url_and_headers_are_made_at_each_connect_with_the_exchanges_time() -> None:
    user, seen, asked = User(), [], []

    async def handler(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append((socket.request.path, socket.request.headers["X-Time"]))

    async with websocket_server(handler) as port, edge_to() as edge:
        edge.offset = 10**9 * SECOND

        def url(now_ms: int) -> str:
            asked.append(now_ms)
            return f"ws://127.0.0.1:{port}/at?{now_ms}"

        wanted = line(port)
        edge.open_line(type(wanted)("line", url, headers=lambda now_ms: {"X-Time": str(now_ms)}), user)
        await until(lambda: len(seen) == 2)
    assert seen[:2] == [(f"/at?{now}", str(now)) for now in asked[:2]]
    assert asked[0] > edge._driver.wall.now() // MS + 10**11
    assert asked[1] > asked[0]


async def test_a_lost_connection_is_made_anew_and_its_user_told_each_time() -> None:
    user, connections = User(), []

    async def handler(socket: ServerConnection) -> None:
        connections.append(socket)
        await socket.send(f"{len(connections)}")
        if len(connections) < 3:
            await socket.stream.aclose()
        await trio.sleep_forever()

    async with websocket_server(handler) as port, edge_to() as edge:
        edge.open_line(line(port), user)
        await until(lambda: len(user.messages) == 3)
        assert user.messages == [b"1", b"2", b"3"]
        assert user.opened == 3
        assert len(user.closed) == 2


async def test_a_close_by_the_exchange_is_told_with_its_reason() -> None:
    user = User()

    async def handler(socket: ServerConnection) -> None:
        await socket.send("last")
        await socket.aclose(4003, "maintenance")

    async with websocket_server(handler) as port, edge_to() as edge:
        edge.open_line(line(port), user)
        await until(lambda: user.closed)
    assert user.messages[0] == b"last"
    assert user.closed[0] == "closed by the other side: 4003 maintenance"


async def test_a_server_that_closes_at_once_is_tried_again_with_pauses() -> None:
    user = User()

    async def slam(stream: trio.SocketStream) -> None:
        await stream.aclose()

    async with raw_server(slam) as port, edge_to() as edge:
        edge.open_line(line(port), user)
        await until(lambda: len(user.closed) >= 3)
    assert user.opened == 0
    assert all(reason.startswith(f"127.0.0.1:{port}: ") for reason in user.closed)


async def test_nobody_listening_is_a_failed_attempt() -> None:
    user = User()
    async with edge_to() as edge:
        edge.open_line(line(1), user)
        await until(lambda: user.closed)
    assert "refused" in user.closed[0].lower()


async def test_a_refusal_is_told_by_its_status_and_without_the_url() -> None:
    user = User()

    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        await stream.aclose()

    async with raw_server(refuse) as port, edge_to() as edge:
        secret = type(line(port))("line", lambda _ms: f"ws://127.0.0.1:{port}/?signature=SECRET")
        edge.open_line(secret, user)
        await until(lambda: user.closed)
    assert user.closed[0] == f"127.0.0.1:{port}: refused with HTTP 401"


async def test_silence_ends_a_connection() -> None:
    user = User()

    async def deaf(socket: ServerConnection) -> None:
        # no pong: what comes is not even read
        socket.pause_reading()
        await trio.sleep_forever()

    async with websocket_server(deaf, ping_interval=None) as port, edge_to() as edge:
        edge.open_line(line(port, ping_every_s=0.05, silence_s=0.2), user)
        await until(lambda: user.closed)
    assert user.closed[0] == "silent for 0.2 s"


async def test_answers_to_pings_keep_a_quiet_connection() -> None:
    user = User()
    async with websocket_server(wait, ping_interval=None) as port, edge_to() as edge:
        edge.open_line(line(port, ping_every_s=0.05, silence_s=1.0), user)
        await trio.sleep(2.5)
    assert user.opened == 1
    assert user.closed == []


async def test_an_exchanges_own_ping_is_a_message() -> None:
    user, pings = User(), []

    async def handler(socket: ServerConnection) -> None:
        while True:
            pings.append(await socket.recv())

    async with websocket_server(handler) as port, edge_to() as edge:
        edge.open_line(line(port, ping=lambda: '{"op":"ping"}', ping_every_s=0.02), user)
        await until(lambda: len(pings) >= 2)
    assert set(pings) == {'{"op":"ping"}'}


async def test_pings_of_the_exchange_are_answered() -> None:
    user, answered = User(), []

    async def handler(socket: ServerConnection) -> None:
        for _ in range(3):
            await (await socket.ping()).wait()
            answered.append(True)
        await trio.sleep_forever()

    async with websocket_server(handler) as port, edge_to() as edge:
        edge.open_line(line(port), user)
        await until(lambda: len(answered) == 3)
    assert user.messages == []


async def test_fragments_become_one_message() -> None:
    user = User()

    async def handler(socket: ServerConnection) -> None:
        await socket.send(iter(["one ", "two ", "three"]))
        await socket.send(b"four")
        await trio.sleep_forever()

    async with websocket_server(handler) as port, edge_to() as edge:
        edge.open_line(line(port), user)
        await until(lambda: len(user.messages) == 2)
    assert user.messages == [b"one two three", b"four"]


@pytest.mark.parametrize("parts", [["x" * 2000], ["x" * 600] * 3], ids=["one frame", "fragments"])
async def test_a_message_over_the_limit_ends_the_connection(parts: list[str]) -> None:
    user = User()

    async def handler(socket: ServerConnection) -> None:
        await socket.send("small")
        await socket.send(iter(parts) if len(parts) > 1 else parts[0])
        await trio.sleep_forever()

    async with websocket_server(handler) as port, edge_to(most_message_bytes=1000) as edge:
        edge.open_line(line(port), user)
        await until(lambda: user.closed)
    assert user.messages[0] == b"small"
    assert "1000" in user.closed[0]


async def test_compression_where_it_is_wanted() -> None:
    user, offered = User(), []

    async def handler(socket: ServerConnection) -> None:
        assert socket.request is not None
        offered.append(socket.request.headers.get("Sec-WebSocket-Extensions"))
        await socket.send("y" * 5000)
        await trio.sleep_forever()

    async with websocket_server(handler) as port:
        for deflate in (False, True):
            async with edge_to(deflate=deflate) as edge:
                count = len(user.messages)
                edge.open_line(line(port), user)
                await until(lambda count=count: len(user.messages) > count)
    assert user.messages == [b"y" * 5000] * 2
    assert offered[0] is None
    assert "permessage-deflate" in (offered[1] or "")


async def test_a_line_is_renewed_before_it_is_too_old() -> None:
    user, codes = User(), []

    async def handler(socket: ServerConnection) -> None:
        async for _ in socket:
            pass
        codes.append(socket.close_code)

    async with websocket_server(handler) as port, edge_to() as edge:
        edge.open_line(line(port, max_age_s=0.1), user)
        await until(lambda: user.opened == 2)
        await until(lambda: codes)
    assert user.closed[0] == RENEWED
    assert codes[0] == 1000


async def test_a_restarted_line_delivers_nothing_more_of_the_old_connection() -> None:
    user, connections = User(), []

    async def handler(socket: ServerConnection) -> None:
        connections.append(socket)
        for number in range(50):
            await socket.send(f"{len(connections)}.{number}")
        await trio.sleep_forever()

    async with websocket_server(handler) as port, edge_to() as edge:

        def cut(name: str, data: bytes) -> None:
            if data == b"1.3":
                edge.restart_line(name, "book out of step")
                assert not edge.send(name, "too late")

        user.then["message"] = cut
        edge.open_line(line(port), user)
        await until(lambda: b"2.49" in user.messages)
    assert user.messages[:5] == [b"1.0", b"1.1", b"1.2", b"1.3", b"2.0"]
    assert user.closed[0] == "book out of step"


async def test_the_pause_grows_while_the_user_itself_ends_each_connection() -> None:
    user, times = User(), []

    async def handler(socket: ServerConnection) -> None:
        times.append(trio.current_time())
        await trio.sleep_forever()

    growing = BackoffSettings(first_s=0.02, factor=3.0, most_s=5.0, stable_s=0.0, cut_off_s=60.0)
    async with websocket_server(handler) as port, edge_to(backoff=growing) as edge:
        user.then["opened"] = lambda name: edge.restart_line(name, "never ready")
        edge.open_line(line(port), user)
        await until(lambda: len(times) > 4)
    assert times[4] - times[3] > 0.27


async def test_a_closed_line_is_silent_and_its_name_free() -> None:
    user, other = User(), User()

    async def handler(socket: ServerConnection) -> None:
        while True:
            await socket.send("tick")
            await trio.sleep(0.001)

    async with websocket_server(handler) as port, edge_to() as edge:
        user.then["message"] = lambda name, _data: edge.close_line(name)
        edge.open_line(line(port), user)
        await until(lambda: user.messages)
        edge.open_line(line(port), other)
        await until(lambda: len(other.messages) > 3)
        with pytest.raises(ValueError, match="line line is open already"):
            edge.open_line(line(port), user)
    assert len(user.messages) == 1
    assert user.closed == []


async def test_a_user_that_raises_has_its_own_line_restarted_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    bad, good = User(), User()

    def fail(_name: str, _data: bytes) -> None:
        raise RuntimeError("a fault of the handler")

    async def ticks(socket: ServerConnection) -> None:
        for number in range(100):
            await socket.send(str(number))
            await trio.sleep(0.002)
        await trio.sleep_forever()

    with caplog.at_level(logging.ERROR):
        async with websocket_server(ticks) as port, edge_to() as edge:
            bad.then["message"] = fail
            bad.then["closed"] = lambda _name, _reason: 1 / 0
            edge.open_line(line(port, "bad"), bad)
            edge.open_line(line(port, "good"), good)
            await until(lambda: len(good.messages) == 100 and len(bad.closed) >= 2)
    assert bad.closed[:2] == ["its user raised"] * 2
    assert good.opened == 1
    assert "a fault of the handler" in caplog.text
    assert "division by zero" in caplog.text


async def test_the_clock_is_the_time_of_receipt_and_queued_calls_come_between() -> None:
    user, order = User(), []

    async def handler(socket: ServerConnection) -> None:
        for number in range(3):
            await socket.send(str(number))
        await trio.sleep_forever()

    async with websocket_server(handler) as port, edge_to() as edge:
        clock = edge._driver.clock

        def heard(_name: str, data: bytes) -> None:
            assert clock.now == user.times[-1]
            order.append(data)
            clock.call_soon(order.append, b"after " + data)
            clock.call_at(clock.now + 20 * MS, order.append, b"later than " + data)

        user.then["message"] = heard
        edge.open_line(line(port), user)
        await until(lambda: len(order) == 9)
    assert order[:6] == [b"0", b"after 0", b"1", b"after 1", b"2", b"after 2"]
    assert order[6:] == [b"later than 0", b"later than 1", b"later than 2"]
    assert user.times == sorted(user.times)


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @staticmethod
    def server(authority: trustme.CA, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    async def test_a_trusted_certificate(self, authority: trustme.CA, tmp_path: Path) -> None:
        user, file = User(), tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(file))
        async with (
            websocket_server(echo, ssl=self.server(authority, "localhost")) as port,
            edge_to(ca_file=str(file)) as edge,
        ):
            user.then["opened"] = lambda name: edge.send(name, "over TLS")
            edge.open_line(line(port, scheme="wss", host="localhost"), user)
            await until(lambda: user.messages)
        assert user.messages == [b"over TLS"]

    async def test_an_unknown_authority_is_refused(self, authority: trustme.CA) -> None:
        user, answers = User(), list[Answer]()
        async with (
            websocket_server(echo, ssl=self.server(authority, "localhost")) as port,
            edge_to(f"https://localhost:{port}") as edge,
        ):
            edge.open_line(line(port, scheme="wss", host="localhost"), user)
            edge.http(HttpMessage("GET", "/"), 5.0, answers.append)
            await until(lambda: user.closed and answers)
        assert user.opened == 0
        (answer,) = answers
        assert isinstance(answer, Failure)
        assert answer.loss is Loss.NOT_SENT
        assert "ConnectError: its certificate is not to be trusted: " in answer.reason
        assert "certificate is not to be trusted" in user.closed[0]

    async def test_a_certificate_of_another_host_is_refused(self, authority: trustme.CA, tmp_path: Path) -> None:
        user, file = User(), tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(file))
        async with (
            websocket_server(echo, ssl=self.server(authority, "elsewhere.example")) as port,
            edge_to(ca_file=str(file)) as edge,
        ):
            edge.open_line(line(port, scheme="wss", host="localhost"), user)
            await until(lambda: user.closed)
        assert user.opened == 0
        assert "certificate is not to be trusted" in user.closed[0]
