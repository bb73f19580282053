"""A websocket client: the protocol of the library websockets, without its I/O, on a trio stream.

All messages of a read come out at once: no checkpoint lies between two of them, which is where the time of ordinary
clients goes. And what nearly every frame is, a whole message neither compressed nor very long, is cut out of the read
right here; every other frame (control frames, fragments, compressed and very long ones, wrong ones) goes to the
library's protocol, which answers pings, watches limits and rules, and says why a connection is over.

Sending never waits. A message goes to the kernel in the very call that sends it, for a turn of the event loop between
an order and its bytes costs more than all the rest of the way. What the kernel does not take at once, what the protocol
answers by itself, and everything where the connection is no TCP socket (a proxy spoken to by TLS) is queued and leaves
by the task `send_queued`.

Certificates are always verified. A proxy is taken from the settings or from the environment (`wss_proxy`, `all_proxy`,
`https_proxy`, ... and `no_proxy`, as usual): HTTP CONNECT, with or without TLS, or SOCKS 5.

What ends a connection is raised as `Lost`; its text never holds the URL, which may carry a signature.
"""

import os
import ssl
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Final

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State
from websockets.proxy import get_proxy, parse_proxy
from websockets.trio.client import connect_http_proxy
from websockets.uri import WebSocketURI, parse_uri

from mlthon.live.socks import connect_socks
from mlthon.live.tls import Tls, cause, read, secure

MOST_BYTES: Final = 16 * 1024 * 1024
"""The largest message taken."""
SEND_LIMIT_S: Final = 10.0
"""So long may the other side take nothing of what is sent; then the connection is lost."""

WHOLE_MESSAGES: Final = b"\x81\x82"
"""The first byte of a frame that is a whole message: FIN, no reserved bits, the opcode of text or of binary data
(RFC 6455, section 5.2)."""
LENGTH_16: Final = 126
LENGTH_64: Final = 127
"""What the second byte says if the length stands in the next two, or eight, bytes."""
LONG_MESSAGES: Final = tuple(first << 8 | LENGTH_16 for first in WHOLE_MESSAGES)
"""The first two bytes of a whole message whose length stands in the next two."""
LEAST_HEAD: Final = 4
head_at: Final = Struct(">HH").unpack_from
"""The first two and the next two bytes of a frame, as numbers: one call is cheaper than four bytes read one by one."""
MOST_CUT: Final = 0xFFFF
"""Longer frames go to the protocol, which need not see them whole."""
ALL: Final = 1 << 62
HEAD_END: Final = b"\r\n\r\n"

BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Lost(Exception):
    """A connection could not be opened, or is over. The text says why, without secrets."""


class WebSocket:
    """An open connection; `connect` makes it. One task receives, one runs `send_queued`.

    `recv_ts`: when the latest read came (ns, by `now`).
    """

    __slots__ = (
        "_fault",
        "_fragments",
        "_most_cut",
        "_now",
        "_over",
        "_owed",
        "_protocol",
        "_ready",
        "_sending",
        "_stream",
        "_tail",
        "_tls",
        "_unsent",
        "_wake",
        "_write",
        "recv_ts",
    )

    def __init__(
        self,
        stream: trio.abc.Stream,
        protocol: ClientProtocol,
        early: bytes,
        now: Callable[[], int],
        most_bytes: int = MOST_BYTES,
        tls: Tls | None = None,
    ) -> None:
        self.recv_ts = now()
        self._stream = stream
        self._tls = tls
        self._protocol = protocol
        self._now = now
        self._wake = trio.Event()
        self._sending = trio.Lock()
        self._write = direct_write(stream)
        self._unsent = b""
        """What the kernel has not taken of a message."""
        self._fault: ssl.SSLError | None = None
        """Why nothing more can be sent."""
        self._fragments: list[bytes] = []
        self._over = ""
        self._most_cut = min(MOST_CUT, most_bytes)
        self._tail = b""
        """The beginning of a frame whose rest has not come."""
        self._owed = 0
        """How much the protocol is still to get of the frame that it is in."""
        self._ready = self._take(early)

    async def receive(self) -> list[bytes]:
        """The messages of the next read that has not only control frames, or none if it had only those. Raises
        `Lost`."""
        if self._ready:
            ready, self._ready = self._ready, []
            return ready
        if self._over:
            raise Lost(self._over)
        try:
            data = await read(self._stream, self._tls)
        except BROKEN as error:
            raise Lost(f"broken: {cause(error)}") from error
        self.recv_ts = self._now()
        if not data:
            # the beginning of a frame may break the rules already
            self._hand_over(self._tail, 0, len(self._tail), [])
            self._tail = b""
            self._protocol.receive_eof()
            raise Lost(self._over or "cut off by the other side")
        if self._tls is not None and self._tls.has_to_say:
            self._wake.set()
        return self._take(data)

    def send_text(self, text: str) -> bool:
        """Send a message, or queue it; False if the connection is closing."""
        if self._protocol.state is not State.OPEN:
            return False
        self._protocol.send_text(text.encode())
        if self._write is None or self._unsent or self._sending.locked():
            self._wake.set()
        else:
            self._send_at_once(self._write)
        return True

    def ping(self) -> None:
        """Queue a ping frame."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._wake.set()

    async def send_queued(self) -> None:
        """Send what is queued, as it is queued, until cancelled. Raises `Lost`."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            await self._flush()

    async def close(self, limit_s: float) -> None:
        """Close it as the protocol wants, within the time limit, and the socket in any case."""
        with trio.move_on_after(limit_s, shield=True):
            try:
                if self._protocol.state is State.OPEN:
                    self._protocol.send_close(1000)
                await self._flush()
                self._protocol.receive_data(self._tail)
                self._tail = b""
                while self._protocol.close_rcvd is None and self._protocol.parser_exc is None:
                    data = await read(self._stream, self._tls)
                    if not data:
                        break
                    self._protocol.receive_data(data)
                    self._protocol.events_received()
            except (Lost, *BROKEN):
                # it is gone already, which is all that is wanted
                await trio.lowlevel.checkpoint()
        await self.abandon()

    async def abandon(self) -> None:
        """Close the socket at once."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)

    def _leaving(self) -> bytes:
        """What is to be sent now. Raises ssl.SSLError."""
        # an empty one among them asks for a half-close: the socket is closed soon after, whole
        data = b"".join(self._protocol.data_to_send())
        return data if self._tls is None else self._tls.encrypt(data)

    def _send_at_once(self, write: Callable[[bytes], int]) -> None:
        try:
            data = self._leaving()
        except ssl.SSLError as error:
            # the task says so
            self._fault = error
            self._wake.set()
            return
        try:
            taken = write(data)
        except OSError:
            # there is no room, or the connection is gone: the task waits, or finds out and says so
            taken = 0
        if taken < len(data):
            self._unsent = data[taken:]
            self._wake.set()

    async def _flush(self) -> None:
        async with self._sending:
            try:
                if self._fault is not None:
                    raise self._fault
                data = self._unsent + self._leaving()
                self._unsent = b""
                if not data:
                    return
                with trio.fail_after(SEND_LIMIT_S):
                    await self._stream.send_all(data)
            except trio.TooSlowError as error:
                raise Lost(f"the other side took nothing for {SEND_LIMIT_S:g} s") from error
            except BROKEN as error:
                raise Lost(f"broken: {cause(error)}") from error

    def _take(self, data: bytes) -> list[bytes]:
        """The messages that are whole with this read."""
        messages: list[bytes] = []
        at = 0
        if self._owed:
            at = self._hand_over(data, 0, self._owed, messages)
        elif self._tail:
            data, self._tail = self._tail + data, b""
        size = len(data)
        while size - at >= 2 and not self._over:
            if not self._fragments:
                at = cut_messages(data, at, self._most_cut, messages)
            if at + 2 > size:
                break
            # a frame that is not whole, or none that can be cut out here
            length = data[at + 1]
            start = at + 2
            if length == LENGTH_16:
                start = at + 4
                length = data[at + 2] << 8 | data[at + 3] if size >= start else ALL
            elif length == LENGTH_64:
                start = at + 10
                length = int.from_bytes(data[at + 2 : start], "big") if size >= start else ALL
            elif length > LENGTH_64:
                # masked, which a server's frames must not be: the protocol ends the connection for it
                length = ALL
                size = max(size, start)
            if start > size:
                break
            if data[at] in WHOLE_MESSAGES and length <= self._most_cut and not self._fragments:
                # the rest of it comes with the next read
                break
            at = self._hand_over(data, at, start + length - at, messages)
        self._tail = data[at:]
        return messages

    def _hand_over(self, data: bytes, at: int, length: int, messages: list[bytes]) -> int:
        """Let the protocol have a frame of this length, as far as it has come; where it ends in `data`."""
        part = data[at : at + length]
        self._owed = length - len(part)
        protocol = self._protocol
        protocol.receive_data(part)
        self._collect(protocol.events_received(), messages)
        if protocol.writes:
            self._wake.set()
        if protocol.state is not State.OPEN and not self._over:
            self._over = _ending(protocol)
        return at + len(part)

    def _collect(self, events: list[Event], messages: list[bytes]) -> None:
        """The whole messages among the protocol's frames; fragments are kept until their message is whole."""
        for frame in events:
            if not isinstance(frame, Frame) or frame.opcode > Opcode.BINARY:
                continue
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                messages.append(b"".join(self._fragments))
                self._fragments.clear()


def cut_messages(data: bytes, at: int, most_cut: int, messages: list[bytes]) -> int:
    """Append the payloads of the frames that are whole messages, from `at` up to the first frame that is none, has more
    than `most_cut` bytes or has not come whole; where that begins."""
    size = len(data)
    append, last = messages.append, size - LEAST_HEAD
    while at <= last:
        head, length = head_at(data, at)
        if head in LONG_MESSAGES:
            start = at + 4
        elif head & 0xFF < LENGTH_16 and head >> 8 in WHOLE_MESSAGES:
            start = at + 2
            length = head & 0xFF
        else:
            return at
        end = start + length
        if end > size or length > most_cut:
            return at
        append(data[start:end])
        at = end
    # what is left is too little to be read in that way, but it may hold messages of no or of one byte
    while size - at >= 2 and data[at] in WHOLE_MESSAGES and data[at + 1] <= min(size - at - 2, most_cut):
        end = at + 2 + data[at + 1]
        append(data[at + 2 : end])
        at = end
    return at


def direct_write(stream: trio.abc.Stream) -> Callable[[bytes], int] | None:
    """What gives bytes to the kernel without waiting and says how many it took, or raises OSError; None where they do
    not go there as they are, or the system has no such call for sockets."""
    if not isinstance(stream, trio.SocketStream) or os.name != "posix":
        return None
    socket = stream.socket
    # the number is asked for each time: it is -1 once the socket is closed, when another may have got the old one
    return lambda data: os.write(socket.fileno(), data)


async def connect(
    url: str,
    headers: Mapping[str, str],
    *,
    tls: ssl.SSLContext,
    now: Callable[[], int],
    proxy: str | None = None,
    deflate: bool = False,
    most_bytes: int = MOST_BYTES,
    limit_s: float = 10.0,
) -> WebSocket:
    """Open a connection. `proxy`: its URL, "" for none, None for what the environment says. Raises `Lost`."""
    try:
        uri = parse_uri(url)
    except InvalidURI as error:
        raise Lost("its URL is no ws:// or wss:// URL") from error
    try:
        with trio.fail_after(limit_s):
            stream = await _open_tcp(uri, tls, get_proxy(uri) if proxy is None else proxy)
            try:
                secured = await secure(stream, tls, uri.host) if uri.secure else None
                return await _shake_hands(stream, secured, uri, headers, deflate, most_bytes, now)
            except BaseException:
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(stream)
                raise
    except trio.TooSlowError as error:
        raise Lost(f"{uri.host}:{uri.port}: no connection within {limit_s:g} s") from error
    except InvalidStatus as error:
        raise Lost(f"{uri.host}:{uri.port}: refused with HTTP {error.response.status_code}") from error
    except InvalidProxy as error:
        raise Lost("the address of the proxy is no http://, https:// or socks5:// URL with a host") from error
    except (InvalidHandshake, *BROKEN) as error:
        raise Lost(f"{uri.host}:{uri.port}: {cause(error)}") from error


async def _open_tcp(uri: WebSocketURI, tls: ssl.SSLContext, proxy: str | None) -> trio.abc.Stream:
    if not proxy:
        return await trio.open_tcp_stream(uri.host, uri.port)
    by = parse_proxy(proxy)
    if by.scheme.startswith("socks"):
        return await connect_socks(by, uri.host, uri.port)
    return await connect_http_proxy(by, uri, ssl=tls if by.scheme == "https" else None)


async def _shake_hands(
    stream: trio.abc.Stream,
    tls: Tls | None,
    uri: WebSocketURI,
    headers: Mapping[str, str],
    deflate: bool,
    most_bytes: int,
    now: Callable[[], int],
) -> WebSocket:
    protocol = ClientProtocol(
        uri, extensions=[ClientPerMessageDeflateFactory()] if deflate else None, max_size=most_bytes
    )
    request = protocol.connect()
    for name, value in headers.items():
        request.headers[name] = value
    protocol.send_request(request)
    asked = b"".join(protocol.data_to_send())
    await stream.send_all(asked if tls is None else tls.encrypt(asked))
    head, early = b"", b""
    while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
        data = await read(stream, tls)
        if not data:
            protocol.receive_eof()
            break
        # what follows the answer is frames: they must not reach the protocol, which could stop in the midst of one
        head += data
        end = head.find(HEAD_END)
        if end >= 0:
            early = head[end + len(HEAD_END) :]
            data = data[: len(data) - len(early)]
        protocol.receive_data(data)
    protocol.events_received()
    if protocol.handshake_exc is not None:
        raise protocol.handshake_exc
    return WebSocket(stream, protocol, early, now, most_bytes, tls)


def _ending(protocol: ClientProtocol) -> str:
    """Why a connection is over: what the other side said, or what was wrong with what it sent."""
    if protocol.close_rcvd is not None:
        said = protocol.close_rcvd
        return f"closed by the other side: {said.code} {said.reason}".rstrip()
    if protocol.parser_exc is not None:
        return f"what came is no websocket message that is taken here: {protocol.parser_exc}"
    return "closed"
