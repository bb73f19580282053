"""The other end of W5: a websocket server of its own process that sends prepared messages as fast as they are taken.

It needs the standard library alone, so that every contender is sent the same, whatever its environment has. It serves
one client: the handshake, one message from it if `wait_for_message` (a subscription), then each line of the file as an
unmasked text frame.
"""

import base64
import hashlib
import multiprocessing
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, section 1.3."""
TEXT: Final = 0x81
SHORT: Final = 126
CHUNK: Final = 65_536
SEND_BYTES: Final = 1 << 18


def frame(message: bytes) -> bytes:
    """A whole, unmasked text message of fewer than 65,536 bytes."""
    size = len(message)
    return (bytes((TEXT, size)) if size < SHORT else struct.pack("!BBH", TEXT, SHORT, size)) + message


def shake_hands(client: socket.socket) -> None:
    """Answer the client's opening request."""
    request = b""
    while b"\r\n\r\n" not in request:
        more = client.recv(CHUNK)
        if not more:
            raise ConnectionError("the client left before it had asked for anything")
        request += more
    found = re.search(rb"(?im)^sec-websocket-key:\s*(\S+)", request)
    if found is None:
        raise ConnectionError("the client did not ask for a websocket")
    accept = base64.b64encode(hashlib.sha1(found[1] + GUID).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def serve(listener: socket.socket, path: Path, wait_for_message: bool) -> None:
    """Send the file to the first client and stay until it leaves."""
    data = b"".join(map(frame, path.read_bytes().splitlines()))
    client, _ = listener.accept()
    with client:
        shake_hands(client)
        if wait_for_message:
            client.recv(CHUNK)
        view = memoryview(data)
        for at in range(0, len(view), SEND_BYTES):
            client.sendall(view[at : at + SEND_BYTES])
        while client.recv(CHUNK):
            pass


@contextmanager
def sending(path: Path, wait_for_message: bool = False) -> Iterator[str]:
    """A process that sends the file; gives the URL of its server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = multiprocessing.get_context("fork").Process(
            target=serve, args=(listener, path, wait_for_message), daemon=True
        )
        process.start()
    try:
        yield f"ws://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.join()
