"""Messages cut out of reads, against the library's own frames, however the reads fall."""

from random import Random

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from mlthon.live.sockets import Lost, WebSocket

pytestmark = pytest.mark.trio


class Reads(trio.abc.Stream):
    """A stream that gives prepared reads and keeps what is sent."""

    def __init__(self, reads: list[bytes]) -> None:
        self.reads = reads
        self.sent = b""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.reads.pop(0) if self.reads else b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def socket_of(reads: list[bytes], most_bytes: int = 10**6) -> tuple[WebSocket, Reads]:
    stream = Reads(reads)
    protocol = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=most_bytes)
    return WebSocket(stream, protocol, b"", lambda: 7, most_bytes), stream


async def all_of(socket: WebSocket) -> tuple[list[bytes], str]:
    """Everything that comes, and why it ended."""
    messages: list[bytes] = []
    while True:
        try:
            messages += await socket.receive()
        except Lost as error:
            return messages, str(error)


def frame(opcode: Opcode, data: bytes, *, fin: bool = True, mask: bool = False) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=mask)


def history(rng: Random) -> tuple[list[bytes], bytes]:
    """Messages, and the bytes in which they come: of all lengths, some in fragments, pings between."""
    messages, data = [], b""
    for _ in range(rng.randrange(1, 30)):
        message = rng.randbytes(rng.choice([0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000]))
        messages.append(message)
        opcode = rng.choice([Opcode.TEXT, Opcode.BINARY])
        if rng.random() < 0.3:
            cut = rng.randrange(len(message) + 1)
            data += frame(opcode, message[:cut], fin=False)
            data += frame(Opcode.PING, b"between") if rng.random() < 0.5 else b""
            data += frame(Opcode.CONT, message[cut:])
        else:
            data += frame(opcode, message)
        data += frame(Opcode.PING, b"") if rng.random() < 0.2 else b""
    return messages, data


@pytest.mark.parametrize("seed", range(40))
async def test_messages_do_not_depend_on_how_the_reads_fall(seed: int) -> None:
    rng = Random(seed)
    messages, data = history(rng)
    sizes = rng.choice([[1, 2, 3], [1, 100, 1000], [65_536], [10**7]])
    reads, at = [], 0
    while at < len(data):
        size = rng.choice(sizes) if at < 2000 or min(sizes) > 100 else 5000
        reads.append(data[at : at + size])
        at += size
    socket, _ = socket_of(reads)
    seen, why = await all_of(socket)
    assert seen == messages
    assert why == "cut off by the other side"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (frame(Opcode.CONT, b"no beginning"), "unexpected continuation frame"),
        (frame(Opcode.TEXT, b"begun", fin=False) + frame(Opcode.TEXT, b"and another"), "expected a continuation"),
        (b"\x81\x86\x01\x02\x03\x04lcphdf", "incorrect masking"),
        (b"\xc1\x01x", "reserved bits"),
        (b"\x83\x01x", "invalid opcode"),
        (frame(Opcode.TEXT, b"x" * 2000), "exceeds limit"),
        (frame(Opcode.CLOSE, b"\x0f\xa3bye"), "closed by the other side: 4003 bye"),
    ],
)
async def test_what_ends_a_connection_comes_after_the_messages_before_it(bad: bytes, words: str) -> None:
    good = frame(Opcode.TEXT, b"one") + frame(Opcode.TEXT, b"two")
    socket, _ = socket_of([good + bad + good], most_bytes=1000)
    messages, why = await all_of(socket)
    assert messages == [b"one", b"two"]
    assert words in why


def by_the_library(data: bytes, most_bytes: int) -> tuple[list[bytes], bool]:
    """The messages that the library's protocol alone makes of the bytes, and whether it is over then."""
    protocol = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=most_bytes)
    protocol.receive_data(data)
    messages, parts = [], b""
    for event in protocol.events_received():
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            parts += bytes(event.data)
            if event.fin:
                messages.append(parts)
                parts = b""
    return messages, protocol.state is not State.OPEN


def unchecked(opcode: int, size: int, fin: bool, mask: bool) -> bytes:
    """A frame that may break the rules."""
    head = bytes([fin << 7 | opcode])
    if size < 126:
        head += bytes([mask << 7 | size])
    elif size < 65_536:
        head += bytes([mask << 7 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([mask << 7 | 127]) + size.to_bytes(8, "big")
    return head + bytes(4 * mask) + b"x" * size


FRAMES = st.builds(
    unchecked,
    st.sampled_from([1, 1, 1, 1, 2, 0, 8, 9, 10]),
    st.sampled_from([0, 1, 2, 3, 124, 125, 126, 127, 900, 70_000]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([False] * 9 + [True]),
)


@example([b"\x03~"], [1], 500)
@given(
    st.lists(st.one_of(FRAMES, FRAMES, FRAMES, st.binary(max_size=6)), max_size=12),
    st.lists(st.integers(1, 40), min_size=1, max_size=10),
    st.sampled_from([500, 10**6]),
)
@settings(max_examples=200, deadline=None)
async def test_any_bytes_mean_what_they_mean_to_the_library(frames: list[bytes], cuts: list[int], most: int) -> None:
    data, at = b"".join(frames), 0
    reads: list[bytes] = []
    while at < len(data):
        # small reads at first, then one with the rest
        size = cuts[len(reads)] if len(reads) < len(cuts) else len(data)
        reads.append(data[at : at + size])
        at += size
    messages, over = by_the_library(data, most)
    socket, _ = socket_of(reads, most)
    seen, why = await all_of(socket)
    assert seen == messages
    assert (why != "cut off by the other side") == over


async def test_a_ping_between_is_answered() -> None:
    socket, stream = socket_of([frame(Opcode.TEXT, b"a") + frame(Opcode.PING, b"are you there")])
    assert await socket.receive() == [b"a"]
    with trio.move_on_after(0.05):
        await socket.send_queued()
    assert stream.sent[0] == 0x8A
    assert len(stream.sent) == 2 + 4 + len(b"are you there")


async def pair() -> tuple[WebSocket, trio.SocketStream]:
    """A client on a real connection, and its other end."""
    near, far = trio.socket.socketpair()
    protocol = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN)
    return WebSocket(trio.SocketStream(near), protocol, b"", lambda: 7), trio.SocketStream(far)


def texts_of(data: bytes) -> list[bytes]:
    """The texts that a client's frames carry, by the library's own protocol."""
    server = ServerProtocol(state=State.OPEN)
    server.receive_data(data)
    return [bytes(event.data) for event in server.events_received() if isinstance(event, Frame)]


async def test_on_a_plain_connection_a_message_leaves_in_the_call_that_sends_it() -> None:
    socket, far = await pair()
    assert socket.send_text("an order")
    assert socket.send_text("a cancel")
    with trio.fail_after(1):
        assert texts_of(bytes(await far.receive_some())) == [b"an order", b"a cancel"]
    await socket.abandon()
    await far.aclose()


async def test_what_the_kernel_does_not_take_follows_in_order() -> None:
    socket, far = await pair()
    sent = [f"{number} {'x' * 50_000}" for number in range(60)]
    for text in sent:
        assert socket.send_text(text)
    data = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(socket.send_queued)
        with trio.fail_after(5):
            while len(data) < 60 * 50_000 or texts_of(data) != [text.encode() for text in sent]:
                data += await far.receive_some()
        nursery.cancel_scope.cancel()
    await socket.abandon()
    await far.aclose()


async def test_that_the_other_side_is_gone_is_found_out_by_the_task_that_sends() -> None:
    socket, far = await pair()
    await far.aclose()
    assert socket.send_text("to nobody")
    assert socket.send_text("nor this")
    with trio.fail_after(1), pytest.raises(Lost, match="broken"):
        await socket.send_queued()
    await socket.abandon()
