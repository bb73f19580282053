"""Who is at the other end of a Unix socket, as the kernel says."""

import os
import pwd
import socket
import struct
from typing import Final, TypeAlias

import trio
from attrs import frozen

_CREDENTIALS: Final = struct.Struct("3i")
"""Linux's `struct ucred` (unix(7), SO_PEERCRED): process, user and group."""

AnySocket: TypeAlias = socket.socket | trio.socket.SocketType


@frozen
class Peer:
    """A process and its user. `str` is how the audit log names it: `anna[4711]`."""

    pid: int
    uid: int

    def __str__(self) -> str:
        try:
            user = pwd.getpwuid(self.uid).pw_name
        except KeyError:
            user = f"uid {self.uid}"
        return f"{user}[{self.pid}]"

    @property
    def is_me(self) -> bool:
        """Whether it is a process of this program's own user."""
        return self.uid == os.getuid()


def peer_of(connection: AnySocket) -> Peer:
    """The process that made (or accepted) the connection. Raises OSError."""
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid, uid)
