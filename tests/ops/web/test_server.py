"""The web server on real sockets: streams, what hostile connections do, and the end."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trustme
from h2.connection import H2Connection
from h2.events import ResponseReceived
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.trio.client import ClientConnection, connect

from mlthon.errors import UserError
from mlthon.ops.web import edge, server
from mlthon.ops.web.server import run
from tests.ops.web.kit import API_KEY, SECRET, Site

pytestmark = pytest.mark.trio

LONG_S = 10.0


@asynccontextmanager
async def served(site: Site) -> AsyncIterator[str]:
    """The site on a port of its own; its address."""
    over = trio.Event()
    began = trio.Event()
    urls: list[str] = []

    def started(url: str) -> None:
        urls.append(url)
        began.set()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, site.server, site.settings, site.store, over, started)
            await began.wait()
            yield urls[0]
            over.set()


def stream_url(base: str, key: str = API_KEY) -> str:
    return f"{base.replace('http', 'ws', 1)}/stream?token={key}"


def raw(base: str) -> socket.socket:
    port = int(base.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setblocking(False)
    return connection


async def heard(client: ClientConnection) -> str | bytes:
    with trio.fail_after(LONG_S):
        return await client.recv()


async def ending(client: ClientConnection) -> ConnectionClosed:
    """Hear a client out; how its connection ended."""
    while True:
        try:
            await heard(client)
        except ConnectionClosed as closed:
            return closed


async def settled(site: Site, clients: int) -> None:
    """Wait until so many clients of the stream are there."""
    with trio.fail_after(LONG_S):
        while site.server.streams.clients != clients:
            await trio.sleep(0.01)


async def test_every_client_of_the_stream_gets_what_bots_publish(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with served(site) as base, connect(stream_url(base)) as one:
        header = {"Authorization": f"Bearer {API_KEY}"}
        async with connect(stream_url(base, ""), additional_headers=header) as two:
            await settled(site, 2)
            site.engine.publish("test", {"hello": "world"})
            assert await heard(one) == '{"type":"test","data":{"hello":"world"}}'
            await one.send("what clients send is not read")
            site.engine.publish("status", [1, None, "€"])
            assert [await heard(two), await heard(two)] == [
                '{"type":"test","data":{"hello":"world"}}',
                '{"type":"status","data":[1,null,"€"]}',
            ]
        await settled(site, 1)
        site.engine.publish("after", 1)
        assert [await heard(one) for _ in range(2)][1] == '{"type":"after","data":1}'


@pytest.mark.parametrize("key", ["wrong", "", API_KEY[:-1], "%00%ff"])
async def test_a_bad_key_is_refused_before_the_websocket_is_accepted(tmp_path: Path, key: str) -> None:
    site = Site(tmp_path)
    async with served(site) as base:
        with pytest.raises(InvalidStatus, match="403"):
            async with connect(stream_url(base, key)):
                pass
    assert site.rejected() == [("stream", "", 401, "the API key is wrong")]


async def test_there_are_only_so_many_clients(tmp_path: Path) -> None:
    site = Site(tmp_path, streams=1)
    async with served(site) as base, connect(stream_url(base)):
        await settled(site, 1)
        with pytest.raises(InvalidStatus):
            async with connect(stream_url(base)):
                pass


async def test_a_client_that_does_not_read_is_closed_and_told_what_it_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STUCK_S", 1.0)
    site = Site(tmp_path, backlog=50)
    async with (
        served(site) as base,
        connect(stream_url(base), max_queue=1, compression=None) as slow,
        connect(stream_url(base)) as quick,
    ):
        await settled(site, 2)
        for number in range(2000):
            site.engine.publish("n", [number, "x" * 4000])
            assert str(await heard(quick)).startswith(f'{{"type":"n","data":[{number},')
        await settled(site, 1)
        assert site.server.streams.lost >= 50
        last = await ending(slow)
        assert last.rcvd is None or last.rcvd.reason.startswith("too slow: ")


async def test_what_was_lost_on_the_way_from_the_engine_closes_the_clients(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with served(site) as base, connect(stream_url(base)) as client:
        await settled(site, 1)
        site.engine.publish("before", 1)
        assert await heard(client) == '{"type":"before","data":1}'
        site.engine.published += 3
        site.engine.publish("after", 1)
        closed = await ending(client)
    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (1008, "too slow: 3 messages lost")


async def test_the_end_of_the_run_closes_the_streams(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with trio.open_nursery() as nursery:
        codes: list[int] = []

        async def listen(base: str, ready: trio.Event) -> None:
            async with connect(stream_url(base)) as client:
                ready.set()
                closed = await ending(client)
                codes.append(closed.rcvd.code if closed.rcvd else 0)

        async with served(site) as base:
            ready = trio.Event()
            nursery.start_soon(listen, base, ready)
            await ready.wait()
            await settled(site, 1)
    assert codes == [1001]


async def test_slow_requests_do_not_keep_others_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads that dribble in, bodies that never end, and connections that say nothing."""
    monkeypatch.setattr(server, "HEAD_S", 1.0)
    site = Site(tmp_path)
    async with served(site) as base:
        stuck = [raw(base) for _ in range(100)]
        for number, connection in enumerate(stuck):
            connection.send(
                [b"", b"GET /health HTT", b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na"][number % 3]
            )
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{base}/health")).status_code == 200
        with trio.fail_after(LONG_S):
            for number, connection in enumerate(stuck):
                if number % 3 == 1:
                    await trio.lowlevel.wait_readable(connection)
                    assert connection.recv(1000) == b""  # the head never came: closed
        for connection in stuck:
            connection.close()


async def test_a_body_that_never_comes_is_answered_408(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "BODY_S", 0.3)
    site = Site(tmp_path)
    async with served(site) as base:
        connection = raw(base)
        connection.send(
            f"POST /trading/bot/{SECRET}/cancel_order HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na".encode()
        )
        with trio.fail_after(LONG_S):
            await trio.lowlevel.wait_readable(connection)
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
        connection.close()
    assert site.engine.actions == []


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00" + bytes(200),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(5000)) + b"\r\n",
        b"POST /trading-signal/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /trading-signal/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /trading-signal/webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
        b"\x00" * 1000,
    ],
)
async def test_what_is_no_request_harms_nobody(tmp_path: Path, sent: bytes) -> None:
    site = Site(tmp_path)
    async with served(site) as base:
        connection = raw(base)
        with suppress(OSError):
            connection.send(sent)
        await trio.sleep(0.1)
        connection.close()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{base}/health")).status_code == 200
    assert site.engine.actions == []


@pytest.mark.parametrize("known", [True, False])
async def test_http_2_without_tls_is_no_way_around_a_proxy(tmp_path: Path, known: bool) -> None:
    """A proxy that passes `Upgrade: h2c` on sees nothing of what follows, a forged `X-Forwarded-For` for one."""
    site = Site(tmp_path, trusted_proxies=["127.0.0.1"])
    path = f"/trading/bot/{SECRET}/balances"
    wire = H2Connection()
    async with served(site) as base:
        connection = trio.SocketStream(trio.socket.from_stdlib_socket(raw(base)))
        if known:
            wire.initiate_connection()
            stream = 1
            forged = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "x")]
            wire.send_headers(stream, [*forged, ("x-forwarded-for", "8.8.8.8")], end_stream=True)
            await connection.send_all(wire.data_to_send())
        else:
            settings = wire.initiate_upgrade_connection() or b""
            head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            await connection.send_all(head.encode() + b"HTTP2-Settings: " + settings + b"\r\n\r\n")
            said = b""
            while b"\r\n\r\n" not in said:
                said += await connection.receive_some(4096)
            wire.receive_data(said.partition(b"\r\n\r\n")[2])
            await connection.send_all(wire.data_to_send())
        statuses: list[str] = []
        with trio.fail_after(LONG_S):
            while not statuses:
                for event in wire.receive_data(await connection.receive_some(4096)):
                    if isinstance(event, ResponseReceived):
                        statuses += [value.decode() for name, value in event.headers if name == b":status"]
        await connection.aclose()
    assert statuses == ["505"]
    assert site.engine.actions == []


async def test_a_chunked_body_without_end_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000
            await trio.sleep(0)

    async with served(site) as base, httpx.AsyncClient() as client:
        with trio.fail_after(LONG_S):
            try:
                answer = await client.post(f"{base}/trading-signal/webhook", content=endless())
                assert answer.status_code == 413
            except httpx.TransportError:  # it was cut off while it was still sending
                pass
    assert site.rejected()[0][2] == 413


async def test_with_a_certificate_it_speaks_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(chain))
    issued.private_key_pem.write_to_path(str(key))
    site = Site(tmp_path, certificate=str(chain), private_key=str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with served(site) as base, httpx.AsyncClient(verify=context) as client:
        assert base.startswith("https://")
        assert (await client.get(f"{base}/health")).json() == {"engine": "lives"}


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        site = Site(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(UserError, match="cannot listen on"):
            await run(site.server, site.settings, site.store, trio.Event(), lambda _: None)


async def test_curl_and_requests_work_as_documented(tmp_path: Path) -> None:
    """`curl -X POST -d ... -d ...`, as the documentation of bots' webhooks has it."""
    site = Site(tmp_path)
    async with served(site) as base:
        command = ["curl", "-s", "-X", "POST", "-d", "venue=BitMEX", "-d", "order_id=ORDER_ID"]
        done = await trio.run_process([*command, f"{base}/trading/bot/{SECRET}/cancel_order"], capture_stdout=True)
    assert done.stdout == b'{"data":{"venue":"BitMEX","order_id":"ORDER_ID"}}'


async def test_no_secret_is_logged_by_anybody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    site = Site(tmp_path)
    async with served(site) as base:
        for path in (f"/trading/bot/{SECRET}/balances", f"/nowhere/{SECRET}", f"/metrics?token={API_KEY}"):
            done = await trio.run_process(["curl", "-s", f"{base}{path}"], capture_stdout=True)
            assert done.returncode == 0
        connection = raw(base)
        connection.send(f"GET /{SECRET} HTTP/9\r\n\r\n".encode())
        await trio.sleep(0.1)
        connection.close()
    said: list[Any] = [(each.name, each.getMessage()) for each in caplog.records]
    assert any(name == "mlthon.ops.web.access" for name, _ in said)
    assert not any(SECRET in text or API_KEY in text for _, text in said)
