"""TLS without I/O, against the standard library's server side, however the bytes fall."""

import ssl
from contextlib import suppress
from random import Random

import pytest
import trio
import trustme
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from mlthon.live.sockets import Lost, WebSocket
from mlthon.live.tls import Tls, read, secure

HOST = "exchange.example"
AUTHORITY = trustme.CA()


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


class Server:
    """The other side: its bytes are handed over by the tests."""

    def __init__(self, name: str = HOST) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert(name).configure_cert(context)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def hear(self, data: bytes) -> bytes:
        """Take what the client sent, in the handshake; what is said to it."""
        self.incoming.write(data)
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def say(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self.outgoing.read()

    def opened(self, data: bytes) -> bytes:
        self.incoming.write(data)
        opened = b""
        try:
            while True:
                opened += self.tls.read(65_536)
        except ssl.SSLWantReadError:
            return opened


def pair(name: str = HOST) -> tuple[Tls, Server]:
    client, server = Tls(client_context(), HOST), Server(name)
    heard = b""
    while not client.shake_hands(heard):
        heard = server.hear(client.encrypt(b""))
    rest = server.hear(client.encrypt(b""))
    assert client.decrypt(rest) == b""
    return client, server


@pytest.mark.parametrize("seed", range(20))
def test_what_is_said_arrives_however_it_is_cut(seed: int) -> None:
    rng = Random(seed)
    client, server = pair()
    said = rng.randbytes(rng.choice([1, 1000, 16_384, 100_000]))
    records, heard = b"".join(server.say(said[at : at + 5000]) for at in range(0, len(said), 5000)), b""
    while records:
        size = rng.choice([1, 50, 5000]) if len(records) < 10_000 else 60_000
        heard += client.decrypt(records[:size])
        records = records[size:]
    assert heard == said
    assert not client.over
    assert server.opened(client.encrypt(said)) == said


def test_the_end_is_told_after_what_came_before_it() -> None:
    client, server = pair()
    last = server.say(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        server.tls.unwrap()
    assert client.decrypt(last + server.outgoing.read()) == b"last words"
    assert client.over


def test_records_that_were_tampered_with_are_refused() -> None:
    client, server = pair()
    record = bytearray(server.say(b"an order was filled"))
    record[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        client.decrypt(bytes(record))


def test_another_host_is_refused() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        pair("elsewhere.example")


async def connected() -> tuple[trio.SocketStream, Tls, trio.SocketStream, Server]:
    near, far = (trio.SocketStream(each) for each in trio.socket.socketpair())
    server = Server()

    tls: list[Tls] = []

    async def shake() -> None:
        tls.append(await secure(near, client_context(), HOST))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake)
        for _ in range(2):
            said = server.hear(bytes(await far.receive_some()))
            if said:
                await far.send_all(said)
    return near, tls[0], far, server


@pytest.mark.trio
async def test_a_message_leaves_in_the_call_that_sends_it() -> None:
    near, tls, far, server = await connected()
    socket = WebSocket(near, ClientProtocol(parse_uri("wss://x/"), state=State.OPEN), b"", lambda: 7, tls=tls)
    assert socket.send_text("an order")
    with trio.fail_after(1):
        data = server.opened(bytes(await far.receive_some()))
    protocol = ServerProtocol(state=State.OPEN)
    protocol.receive_data(data)
    (event,) = protocol.events_received()
    assert isinstance(event, Frame)
    assert bytes(event.data) == b"an order"
    await far.send_all(server.say(Frame(event.opcode, b"filled").serialize(mask=False)))
    assert await socket.receive() == [b"filled"]
    await far.aclose()
    with pytest.raises(Lost, match="cut off by the other side"):
        await socket.receive()
    await socket.abandon()


@pytest.mark.trio
async def test_that_nothing_can_be_encrypted_any_more_is_told_by_the_task_that_sends() -> None:
    near, tls, far, server = await connected()
    socket = WebSocket(near, ClientProtocol(parse_uri("wss://x/"), state=State.OPEN), b"", lambda: 7, tls=tls)
    record = bytearray(server.say(b"x"))
    record[-1] ^= 1
    await far.send_all(bytes(record))
    with pytest.raises(Lost, match="broken"):
        await socket.receive()
    assert socket.send_text("too late")
    with trio.fail_after(1), pytest.raises(Lost, match="broken"):
        await socket.send_queued()
    await socket.abandon()
    await far.aclose()


@pytest.mark.trio
async def test_a_handshake_that_is_cut_off_is_an_error() -> None:
    near, far = (trio.SocketStream(each) for each in trio.socket.socketpair())
    await far.send_eof()
    with pytest.raises(ConnectionError, match="TLS handshake"):
        await secure(near, client_context(), HOST)
    assert await read(near, None) == b""
    await near.aclose()
    await far.aclose()
