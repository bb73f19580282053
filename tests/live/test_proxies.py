"""Lines and requests through proxies: HTTP CONNECT and SOCKS 5, from the settings and from the environment."""

import base64
from collections.abc import Callable

import pytest
import trio
from websockets.proxy import parse_proxy
from websockets.trio.server import ServerConnection

from mlthon.live.socks import connect_socks
from mlthon.venue.wire import Answer, Failure, HttpAnswer, HttpMessage, Loss
from tests.live.servers import User, edge_to, line, raw_server, until, websocket_server

pytestmark = pytest.mark.trio


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    try:
        async for data in source:
            await sink.send_all(data)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def join(client: trio.SocketStream, port: int) -> None:
    server = await trio.open_tcp_stream("127.0.0.1", port)
    async with server, trio.open_nursery() as nursery:
        nursery.start_soon(pump, client, server)
        nursery.start_soon(pump, server, client)


async def exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive_some(count - len(data))
    return data


class ConnectProxy:
    """Speaks HTTP CONNECT."""

    def __init__(self, wants: str = "", status: str = "200 OK") -> None:
        self.asked: list[str] = []
        self._wants = wants
        self._status = status

    async def __call__(self, stream: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        first, *headers = head.decode().split("\r\n")
        self.asked.append(first)
        login = base64.b64encode(self._wants.encode()).decode()
        if self._wants and f"Proxy-Authorization: Basic {login}" not in headers:
            self._status = "407 Proxy Authentication Required"
        await stream.send_all(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
        if self._status.startswith("200"):
            await join(stream, int(first.split()[1].rpartition(":")[2]))


class SocksProxy:
    """Speaks SOCKS 5 (RFC 1928, RFC 1929); its last answer comes byte by byte, which httpx cannot read."""

    def __init__(self, login: tuple[bytes, bytes] | None = None, reply: int = 0, *, bytewise: bool = True) -> None:
        self.asked: list[tuple[bytes, int]] = []
        self._login = login
        self._reply = reply
        self._bytewise = bytewise

    async def __call__(self, stream: trio.SocketStream) -> None:
        _, count = await exactly(stream, 2)
        offered = await exactly(stream, count)
        method = 2 if self._login else 0
        await stream.send_all(bytes([5, method if method in offered else 255]))
        if method not in offered:
            return
        if self._login:
            _, length = await exactly(stream, 2)
            name = await exactly(stream, length)
            secret = await exactly(stream, (await exactly(stream, 1))[0])
            good = (name, secret) == self._login
            await stream.send_all(bytes([1, 0 if good else 1]))
            if not good:
                return
        _, _, _, kind = await exactly(stream, 4)
        length = 4 if kind == 1 else (await exactly(stream, 1))[0]
        host = await exactly(stream, length)
        port = int.from_bytes(await exactly(stream, 2), "big")
        self.asked.append((host, port))
        answer = bytes([5, self._reply, 0, 3, 3]) + b"any" + b"\0\0"
        for part in [bytes([byte]) for byte in answer] if self._bytewise else [answer]:
            await stream.send_all(part)
        if not self._reply:
            await join(stream, port)


async def talk(proxy: str | None, *, host: str = "127.0.0.1") -> User:
    """Open a line through the proxy; its user, who has an echo of what it said or knows why not."""
    user = User()
    async with websocket_server(echo) as port, edge_to(proxy=proxy) as edge:
        user.then["opened"] = lambda name: edge.send(name, "through")
        edge.open_line(line(port, host=host), user)
        await until(lambda: user.messages or user.closed)
    return user


async def test_a_line_through_http_connect() -> None:
    proxy = ConnectProxy("me:s e/cret")
    async with raw_server(proxy) as port:
        user = await talk(f"http://me:s%20e%2Fcret@127.0.0.1:{port}")
    assert user.messages == [b"through"]
    assert proxy.asked[0].startswith("CONNECT 127.0.0.1:")


async def test_a_line_through_socks() -> None:
    proxy = SocksProxy((b"me", b"secret"))
    async with raw_server(proxy) as port:
        user = await talk(f"socks5://me:secret@127.0.0.1:{port}", host="localhost")
    assert user.messages == [b"through"]
    assert proxy.asked[0][0] == b"localhost"


async def test_a_line_through_socks_to_an_address_without_login() -> None:
    proxy = SocksProxy()
    async with raw_server(proxy) as port:
        user = await talk(f"socks5h://127.0.0.1:{port}")
    assert user.messages == [b"through"]
    assert proxy.asked[0][0] == bytes([127, 0, 0, 1])


async def test_the_environment_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ws_proxy", "all_proxy", "http_proxy", "https_proxy", "socks_proxy", "no_proxy", "wss_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    proxy = ConnectProxy()
    async with raw_server(proxy) as port:
        monkeypatch.setenv("ws_proxy", f"http://127.0.0.1:{port}")
        assert (await talk(None)).messages == [b"through"]
        assert len(proxy.asked) == 1
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await talk(None)).messages == [b"through"]
        assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    ("proxy", "url", "words"),
    [
        (ConnectProxy("me:other"), "http://me:SECRET@127.0.0.1:{}", "407"),
        (ConnectProxy(status="502 Bad Gateway"), "http://127.0.0.1:{}", "502"),
        (SocksProxy((b"me", b"other")), "socks5://me:SECRET@127.0.0.1:{}", "refused the name and password"),
        (SocksProxy((b"me", b"other")), "socks5://127.0.0.1:{}", "wants a name and a password"),
        (SocksProxy(reply=5), "socks5://127.0.0.1:{}", "could not connect: connection refused"),
    ],
)
async def test_what_a_proxy_refuses_is_told_without_secrets(proxy: Callable[..., object], url: str, words: str) -> None:
    async with raw_server(proxy) as port:  # type: ignore[arg-type]
        user = await talk(url.format(port))
    assert user.opened == 0
    assert words in user.closed[0]
    assert "SECRET" not in user.closed[0]


@pytest.mark.parametrize("cut", [b"", b"\x05", b"\x04\x00", b"\x05\x00\x05\x00\x00\x03"])
async def test_a_socks_proxy_that_talks_nonsense_or_hangs_up(cut: bytes) -> None:
    async def nonsense(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(cut or b"\0")
        await stream.aclose()

    async with raw_server(nonsense) as port:
        user = await talk(f"socks5://127.0.0.1:{port}")
    assert user.opened == 0
    assert user.closed


async def test_older_kinds_of_socks_are_refused() -> None:
    with pytest.raises(OSError, match="the kind socks4a is not supported"):
        await connect_socks(parse_proxy("socks4a://127.0.0.1:1"), "localhost", 1)


@pytest.mark.parametrize(("bytewise", "kind"), [(False, HttpAnswer), (True, Failure)], ids=["whole", "in pieces"])
async def test_a_request_through_socks(bytewise: bool, kind: type[Answer]) -> None:
    proxy, answers = SocksProxy(bytewise=bytewise), list[Answer]()

    async def server(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with (
        raw_server(server) as port,
        raw_server(proxy) as by,
        edge_to(f"http://127.0.0.1:{port}", proxy=f"socks5://127.0.0.1:{by}") as edge,
    ):
        edge.http(HttpMessage("GET", "/"), 5.0, answers.append)
        await until(lambda: answers)
    assert isinstance(answers[0], kind)
    assert proxy.asked[0][1] == port
    if isinstance(answers[0], Failure):
        assert answers[0].loss is Loss.NOT_SENT
