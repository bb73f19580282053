"""The world outside: a bot in a backtest has none unless it is allowed one.

An audit hook sees every connection, name look-up and program start, from Python or from C, and refuses it with an error
that a bot can catch where it would catch a failing network (`OSError`; `requests` makes its `ConnectionError` of it).
With `--allow-network` they go through, in real time: the run waits for them, and may differ from run to run.
"""

import sys
from typing import Any, Final

from mlthon.link.simulated.polling import waits
from mlthon.link.simulated.threads import threads

NETWORK: Final = {
    "socket.connect": "connect to",
    "socket.sendto": "send to",
    "socket.bind": "listen on",
    "socket.getaddrinfo": "look up",
    "socket.gethostbyname": "look up",
    "socket.gethostbyaddr": "look up",
    "socket.getnameinfo": "look up",
}
PROGRAMS: Final = {
    "subprocess.Popen": "start",
    "os.system": "start",
    "os.exec": "start",
    "os.posix_spawn": "start",
    "os.spawn": "start",
    "os.fork": "fork",
    "os.forkpty": "fork",
    "pty.spawn": "start",
}
WATCHED: Final = {**NETWORK, **PROGRAMS}


class NoOutside(ConnectionError):
    """A backtest reaches neither the network nor other programs."""


def install(allowed: bool) -> None:
    """From now on refuse what threads of the bot ask of the world outside, or where `allowed` note it."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in WATCHED and threads.current is not threads.hub:
            if allowed:
                waits.outside = True
            else:
                raise NoOutside(refusal(event, args))

    sys.addaudithook(hook)


def refusal(event: str, args: tuple[Any, ...]) -> str:
    """What the bot is told: what was refused, and what would allow it."""
    return f"a backtest has no network: cannot {WATCHED[event]} {target(event, args)}; allow it with --allow-network"


def target(event: str, args: tuple[Any, ...]) -> str:
    """Whom it was for, in words; of a command only the program, since arguments may hold keys."""
    if event in ("socket.connect", "socket.sendto", "socket.bind"):
        address = args[1]
        return f"{address[0]}:{address[1]}" if isinstance(address, tuple) and len(address) > 1 else str(address)
    if event == "os.system":
        words = _text(args[0]).split()
        return words[0] if words else "a program"
    if not args:
        return "a process"
    return _text(args[0])


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
