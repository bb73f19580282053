"""TLS without its I/O: bytes go in and come out, as with the websocket protocol above it.

`trio.SSLStream` takes several turns of the event loop to send a message, because it sends by itself and has to keep
senders apart. Here encrypting is an ordinary call, so an order's bytes can leave in the call that sends it, and all
records of a read are opened at once.

Certificates and host names are verified as the context says (`client_context`). A context must not allow renegotiation,
or sending would have to wait for it.
"""

import ssl
from typing import Final

import trio

READ_BYTES: Final = 65_536


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A context that verifies certificates and host names by the system's own certificates, and those of `ca_file`
    beside them. Raises OSError for a file that cannot be read."""
    context = ssl.create_default_context()
    context.options |= ssl.OP_NO_RENEGOTIATION
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


class Tls:
    """The client's side of a TLS connection; `secure` makes it. `over`: the other side says that no more will come."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "over")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self.over = False
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self, data: bytes = b"") -> bool:
        """Go on with the handshake, after `data` has come; whether it is complete. Raises ssl.SSLError."""
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    @property
    def has_to_say(self) -> bool:
        """Whether TLS itself has something to send: an answer to a change of keys."""
        return self._outgoing.pending > 0

    def encrypt(self, data: bytes) -> bytes:
        """What has to be sent for `data` to arrive, and what TLS itself has to say. Raises ssl.SSLError."""
        if data:
            self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        """What the records that are whole with `data` hold. Raises ssl.SSLError."""
        self._incoming.write(data)
        opened = []
        while True:
            try:
                part = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                break
            if not part:
                self.over = True
                break
            opened.append(part)
        return b"".join(opened)


async def secure(stream: trio.abc.Stream, context: ssl.SSLContext, host: str) -> Tls:
    """Shake hands over the stream. Raises ssl.SSLError, ConnectionError and what the stream raises."""
    tls = Tls(context, host)
    data = b""
    while not tls.shake_hands(data):
        await stream.send_all(tls.encrypt(b""))
        data = bytes(await stream.receive_some(READ_BYTES))
        if not data:
            raise ConnectionError("cut off by the other side during the TLS handshake")
    last = tls.encrypt(b"")
    if last:
        await stream.send_all(last)
    return tls


async def read(stream: trio.abc.Stream, tls: Tls | None) -> bytes:
    """The next bytes that come, in the clear; empty at the end. Raises ssl.SSLError and what the stream raises."""
    while True:
        data = bytes(await stream.receive_some(READ_BYTES))
        if not data or tls is None:
            return data
        opened = tls.decrypt(data)
        if opened or tls.over:
            return opened


def cause(error: BaseException) -> str:
    """The innermost reason in words: trio says only that a stream is broken, or that no attempt succeeded, and the HTTP
    library nothing at all; what that came from says why."""
    while not isinstance(error, ssl.SSLError):
        inner = error.__cause__ or (None if str(error) else error.__context__)
        if inner is None:
            break
        error = inner
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(cause(each) for each in error.exceptions)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
