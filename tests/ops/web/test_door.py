"""The door on real sockets: whoever sends nothing, or little, loses his place to whoever sends a request."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
import trustme
from hypercorn.events import Event, RawData
from hypercorn.protocol.h11 import H11Protocol
from websockets.trio.client import connect

from mlthon.ops.web import edge, server
from mlthon.ops.web.door import Door, DoorLimits
from mlthon.ops.web.server import run
from tests.ops.web.kit import API_KEY, SECRET, Site

pytestmark = pytest.mark.trio

LONG_S = 10.0
WHOLE = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALF_HEAD = b"GET /health HTT"
HALF_BODY = f"POST /trading/bot/{SECRET}/cancel_order HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na".encode()


@asynccontextmanager
async def served(site: Site) -> AsyncIterator[int]:
    """The site on a port of its own."""
    over, began = trio.Event(), trio.Event()
    ports: list[int] = []

    def started(url: str) -> None:
        ports.append(int(url.rpartition(":")[2]))
        began.set()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, site.server, site.settings, site.store, over, started)
            await began.wait()
            yield ports[0]
            over.set()


def bounded(site: Site, **limits: float) -> Door:
    """Give the site's door these limits."""
    site.server.door.limits = DoorLimits(**limits)  # type: ignore[arg-type]
    return site.server.door


def raw(port: int, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
    connection.sendall(sent)
    connection.setblocking(False)
    return connection


async def said(connection: socket.socket) -> bytes:
    """What comes next; empty when it is closed."""
    with trio.fail_after(LONG_S):
        await trio.lowlevel.wait_readable(connection)
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


async def until(condition: object) -> None:
    with trio.fail_after(LONG_S):
        while not condition():  # type: ignore[operator]
            await trio.sleep(0.005)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing", marks=pytest.mark.slow),
        pytest.param(HALF_HEAD, id="half a head"),
        pytest.param(HALF_BODY, id="a body"),
        pytest.param(WHOLE, id="idle", marks=pytest.mark.slow),
    ],
)
async def test_hundreds_of_connections_that_send_nothing_keep_nobody_out(tmp_path: Path, sent: bytes) -> None:
    site = Site(tmp_path, address_rate=1e6)
    door = bounded(site, most=50)
    stuck = []
    async with served(site) as port:
        for number in range(300):
            stuck.append(raw(port, sent))
            if not number % 50:
                await until(lambda: door.connections <= 50)
                answer = await said(raw(port, WHOLE))
                assert answer.startswith(b"HTTP/1.1 200")
        assert door.connections <= 50
        assert door.cut > 200
        assert door.turned_away == 0
        for each in stuck:
            each.close()
        await until(lambda: door.connections == 0)


async def test_one_address_has_only_so_many_and_others_do_not_feel_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # this machine's own addresses have no limit: here they stand for those of others
    monkeypatch.setattr(Door, "_sender", lambda _, stream: str(stream.socket.getpeername()[0]))
    site = Site(tmp_path)
    door = bounded(site, most=100, most_one=5)
    async with served(site) as port:
        other = raw(port, b"", "127.0.0.9")
        await until(lambda: door.connections == 1)
        many = [raw(port, HALF_HEAD, "127.0.0.8") for _ in range(40)]
        await until(lambda: door.cut == 35)
        assert door.connections == 6
        assert [await said(each) for each in many[:35]] == [b""] * 35
        other.sendall(WHOLE)
        assert (await said(other)).startswith(b"HTTP/1.1 200")
        for each in (*many, other):
            each.close()


async def test_clients_of_the_stream_are_never_cut_and_who_finds_no_place_is_told(tmp_path: Path) -> None:
    site = Site(tmp_path)
    door = bounded(site, most=2)
    async with served(site) as port:
        url = f"ws://127.0.0.1:{port}/stream?token={API_KEY}"
        async with connect(url) as one, connect(url):
            await until(lambda: door.connections == 2 and door.waiting == 0)
            late = raw(port, WHOLE)
            told = await said(late)
            assert told.startswith(b"HTTP/1.1 503")
            assert b"too many connections" in told
            late.close()
            assert door.turned_away == 1
            site.engine.publish("still", "here")
            assert await one.recv() == '{"type":"still","data":"here"}'


async def test_a_request_that_is_carried_out_is_not_cut_for_those_who_only_come(tmp_path: Path) -> None:
    """The engine has the order: its sender is to hear of it."""
    site = Site(tmp_path)
    door = bounded(site, most=10)
    go_on = trio.Event()
    asked = site.engine.ask

    async def slowly(*what: object, **more: object) -> object:
        await go_on.wait()
        return await asked(*what, **more)  # type: ignore[arg-type]

    site.engine.ask = slowly  # type: ignore[method-assign,assignment]
    token = site.store.make_token("tv").text.encode()
    body = b'{"action": "buy", "connectorName": "tv", "connectorToken": "%b"}' % token
    async with served(site) as port:
        head = b"POST /trading-signal/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        sender = raw(port, head + body)
        await until(lambda: door.connections == 1 and door.waiting == 0)
        many = [raw(port) for _ in range(100)]
        await until(lambda: door.cut >= 91)
        go_on.set()
        assert (await said(sender)).startswith(b"HTTP/1.1 200")
        for each in (*many, sender):
            each.close()
    assert len(site.engine.actions) == 1


@pytest.mark.parametrize("length", ["", "Content-Length: 0\r\n"])
async def test_a_question_without_a_body_is_served_as_soon_as_it_is_asked(tmp_path: Path, length: str) -> None:
    site = Site(tmp_path)
    door = site.server.door
    site.engine.silent = True
    async with served(site) as port:
        path = f"/trading/bot/{SECRET}/balances"
        asker = raw(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n".encode())
        await until(lambda: site.engine.asked)
        assert (door.connections, door.waiting) == (1, 0)
        asker.close()


async def test_bodies_that_dribble_in_take_no_room_of_requests_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "AT_ONCE", 2)
    monkeypatch.setattr(edge, "AT_ONCE_ONE", 2)
    site = Site(tmp_path)
    async with served(site) as port:
        stuck = [raw(port, HALF_BODY) for _ in range(10)]
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{port}/trading/bot/{SECRET}/cancel_order"
            assert [(await client.post(url, data={"a": "b"})).status_code for _ in range(3)] == [200] * 3
        for each in stuck:
            each.close()


async def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP/2, which is not spoken here, would let a client wait as long as it pings."""
    monkeypatch.setattr(server, "HEAD_S", LONG_S)
    site = Site(tmp_path)
    door = bounded(site, wait_s=0.1)
    async with served(site) as port:
        stuck = raw(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
        await until(lambda: door.connections == 1)
        await until(lambda: door.connections == 0)
        while await said(stuck):
            pass
        stuck.close()


async def test_a_tls_handshake_that_never_comes_holds_a_place_for_a_while_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.3)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(chain))
    issued.private_key_pem.write_to_path(str(key))
    site = Site(tmp_path, certificate=str(chain), private_key=str(key))
    door = bounded(site, most=20)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with served(site) as port:
        stuck = [raw(port, b"\x16\x03" if number % 2 else WHOLE) for number in range(100)]
        async with httpx.AsyncClient(verify=context) as client:
            assert (await client.get(f"https://127.0.0.1:{port}/health")).status_code == 200
        assert door.connections <= 20
        await until(lambda: door.connections == 0)
        for each in stuck:
            each.close()


async def test_a_connection_in_which_the_server_fails_ends_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path)
    whole = H11Protocol.handle

    async def fails(protocol: H11Protocol, event: Event) -> None:
        if isinstance(event, RawData) and event.data == WHOLE:
            raise ValueError(SECRET)
        await whole(protocol, event)

    monkeypatch.setattr(H11Protocol, "handle", fails)
    async with served(site) as port, connect(f"ws://127.0.0.1:{port}/stream?token={API_KEY}") as stream:
        connection = raw(port, WHOLE)
        assert await said(connection) == b""
        connection.close()
        site.engine.publish("still", "here")
        assert await stream.recv() == '{"type":"still","data":"here"}'
        assert site.server.door.failed == 1
    assert "a connection failed (ValueError), and the others go on" in caplog.text
    assert SECRET not in caplog.text


async def test_the_figures_tell_of_connections(tmp_path: Path) -> None:
    site = Site(tmp_path)
    bounded(site, most=3)
    async with served(site) as port:
        stuck = [raw(port) for _ in range(10)]
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        for each in stuck:
            each.close()
    found = {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if not line.startswith("#")}
    assert found["mlthon_web_connections"] == 3
    assert found["mlthon_web_connections_cut_total"] == 8
    assert found["mlthon_web_connections_failed_total"] == 0
