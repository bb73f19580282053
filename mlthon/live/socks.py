"""A TCP connection through a SOCKS 5 proxy: the protocol of the library socksio on a trio stream.

Names are resolved by the proxy, whether its URL says `socks5` or `socks5h`.
"""

from typing import Final

import socksio
import trio
from socksio.socks5 import (
    SOCKS5AuthMethod,
    SOCKS5AuthMethodsRequest,
    SOCKS5AuthReply,
    SOCKS5Command,
    SOCKS5CommandRequest,
    SOCKS5Connection,
    SOCKS5Reply,
    SOCKS5ReplyCode,
    SOCKS5UsernamePasswordReply,
    SOCKS5UsernamePasswordRequest,
)
from websockets.proxy import Proxy

GREETING_LENGTH: Final = 2
"""Of the answers to the first request and to name and password."""
ADDRESS_LENGTHS: Final = {1: 4, 4: 16}
"""Bytes of an address by its type; type 3, a name, says its length itself (RFC 1928, section 5)."""


async def connect_socks(proxy: Proxy, host: str, port: int) -> trio.abc.Stream:
    """A stream to `host` through the proxy. Raises OSError."""
    if not proxy.scheme.startswith("socks5"):
        raise OSError(f"a proxy of the kind {proxy.scheme} is not supported: use socks5 or http")
    stream = await trio.open_tcp_stream(proxy.host, proxy.port)
    try:
        await _negotiate(stream, proxy, host, port)
    except socksio.SOCKSError as error:
        await trio.aclose_forcefully(stream)
        raise OSError(f"the SOCKS proxy answered with nonsense: {error}") from error
    except BaseException:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        raise
    return stream


async def _negotiate(stream: trio.abc.Stream, proxy: Proxy, host: str, port: int) -> None:
    connection = SOCKS5Connection()
    with_name = proxy.username is not None
    method = SOCKS5AuthMethod.USERNAME_PASSWORD if with_name else SOCKS5AuthMethod.NO_AUTH_REQUIRED
    connection.send(SOCKS5AuthMethodsRequest([method]))
    await stream.send_all(connection.data_to_send())
    chosen = connection.receive_data(await _exactly(stream, GREETING_LENGTH))
    if not isinstance(chosen, SOCKS5AuthReply) or chosen.method != method:
        wanted = "a name and a password" if not with_name else "another way to log in"
        raise OSError(f"the SOCKS proxy wants {wanted}")
    if proxy.username is not None:
        connection.send(SOCKS5UsernamePasswordRequest(proxy.username.encode(), (proxy.password or "").encode()))
        await stream.send_all(connection.data_to_send())
        answer = connection.receive_data(await _exactly(stream, GREETING_LENGTH))
        if not (isinstance(answer, SOCKS5UsernamePasswordReply) and answer.success):
            raise OSError("the SOCKS proxy refused the name and password")
    connection.send(SOCKS5CommandRequest.from_address(SOCKS5Command.CONNECT, (host, port)))
    await stream.send_all(connection.data_to_send())
    reply = connection.receive_data(await _reply(stream))
    if not isinstance(reply, SOCKS5Reply):
        raise OSError("the SOCKS proxy answered with nonsense")
    if reply.reply_code != SOCKS5ReplyCode.SUCCEEDED:
        raise OSError(f"the SOCKS proxy could not connect: {reply.reply_code.name.replace('_', ' ').lower()}")


async def _reply(stream: trio.abc.Stream) -> bytes:
    """The answer to the command, whole: its length depends on the kind of address in it."""
    head = await _exactly(stream, 4)
    kind = head[3]
    if kind in ADDRESS_LENGTHS:
        return head + await _exactly(stream, ADDRESS_LENGTHS[kind] + 2)
    length = await _exactly(stream, 1)
    return head + length + await _exactly(stream, length[0] + 2)


async def _exactly(stream: trio.abc.Stream, count: int) -> bytes:
    """So many bytes, and none beyond them: what follows belongs to the tunnel."""
    data = b""
    while len(data) < count:
        more = await stream.receive_some(count - len(data))
        if not more:
            raise OSError("the SOCKS proxy closed the connection")
        data += more
    return data
