"""The process of a bot: `python -m mlthon.link.bot.child SOCKET`, within its `keeper` when the engine starts it.

It connects to the Unix socket of its engine, whose path is all that it is given, waits for `Hello`, and runs the bot in
its main thread. A reader thread takes what comes but for answers of most calls (`lines`). What the bot prints goes to
stderr. SIGINT is left to the engine, which says `Stop`.

When the socket closes the engine has died: the bot gets `on_stop` and some seconds for it, then the process ends, by
the keeper's hand where no thread of it runs any more. It always ends by leaving at once, so that no thread of the bot
can keep it alive; what must be tidied up belongs into `on_stop`. Status 0: stopped; 1: not loaded or constructed, or
its engine died.
"""

import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NoReturn

from mlthon.link import wire
from mlthon.link.bot.keeper import GRACE
from mlthon.link.bot.lines import CHUNK, CallLines, SocketHost
from mlthon.link.bot.logs import HostHandler
from mlthon.link.bot.runtime import BotRuntime
from mlthon.link.contract import Hello, ToBot


class Child:
    """Joins a bot's runtime to a connected socket, and its calls to lines of their own."""

    def __init__(self, line: socket.socket, calls: CallLines | None = None) -> None:
        self._line = line
        self._decoder = wire.to_bot()
        self.host = SocketHost(line)
        hello, self._early = self._hello()
        self.runtime = BotRuntime(hello, self.host, lines=calls)
        self._lost = False

    def _hello(self) -> tuple[Hello, list[Any]]:
        """The first message, and what came in with it."""
        found: list[Any] = []
        while not found:
            data = self._line.recv(CHUNK)
            if not data:
                raise wire.WireError("the engine closed the line before it said Hello")
            found = self._decoder.feed(data)
        if not isinstance(found[0], Hello):
            raise wire.WireError(f"the engine began with {type(found[0]).__name__}, not with Hello")
        return found[0], found[1:]

    def run(self) -> NoReturn:
        """Run the bot in this thread, and end the process when it has ended: its constructor may never return."""
        for target, name in ((self._read, "reader"), (self._end, "end")):
            self.runtime.threads.start_own(target, name)
        self.runtime.run()
        self._end()

    def forked(self) -> None:
        """See `SocketHost.forked`. Exchange calls raise `LinkClosed` there."""
        self.host.forked()
        self.runtime.calls.forked()

    def _end(self) -> NoReturn:
        self.runtime.wait_ended()
        self.host.close()
        _leave(1 if self.host.failed or self._lost else 0)

    def _read(self) -> None:
        reason = "it closed the line"
        # one buffer for all: a new one of this size is mapped and unmapped by the kernel each time
        buffer = memoryview(bytearray(CHUNK))
        try:
            self._take(self._early)
            while size := self._line.recv_into(buffer):
                self._take(self._decoder.feed(buffer[:size]))
        except (OSError, wire.WireError) as error:
            reason = str(error)
        if self.runtime.wait_ended(0):
            return
        self._lost = True
        self.runtime.lose(reason)
        if not self.runtime.wait_ended(GRACE):
            _leave(1)

    def _take(self, items: list[tuple[Any, ...] | ToBot]) -> None:
        """Hand over what has come: market data that follow each other in one go."""
        data: list[Any] = []
        for item in items:
            if isinstance(item, tuple):
                data.append(item)
                continue
            self._flush(data)
            self.runtime.tell(item)
        self._flush(data)

    def _flush(self, data: list[Any]) -> None:
        if data:
            self.runtime.mailbox.put(data)
            data.clear()


def main(path: str) -> NoReturn:
    """Run the bot that the engine at `path` names, and end the process."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            line.connect(path)
            child = Child(line, CallLines(path))
        except (OSError, wire.WireError) as error:
            print(f"no engine at {path}: {error}", file=sys.stderr)
            _leave(1)
        sys.argv = [child.runtime.hello.file]
        threading.excepthook = child.runtime.guard.thread_raised
        os.register_at_fork(after_in_child=child.forked)
        # What libraries warn of belongs into the bot's log.
        logging.getLogger().addHandler(HostHandler(child.host.tell))
        child.run()


def _leave(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed at the other end, or by the bot
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m mlthon.link.bot.child SOCKET (its keeper does)")
    main(sys.argv[1])
