"""The guard process from outside: what it is told, how a run starts it, how anybody has it cancel.

What it is to do (`GuardSpec`, keys included) goes as the first line to its standard input, never in its arguments or
environment; `ready` is its answer, and the engine's commands follow as a line each. `mlthon.live.guard` is the process.
"""

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from mlthon.errors import UserError

log = logging.getLogger("mlthon.guard")

MODULE: Final = "mlthon.live.guard"
READY: Final = "ready"
START_S: Final = 20.0
"""How long a guard may take to be ready."""


class GuardedAccount(Struct, kw_only=True, forbid_unknown_fields=True):
    """An account, and how to reach its exchange. `module`: of the gateway, where it is not the installed one.
    `options`: the codec's; requests have to go over HTTP. `offset_ms`: the exchange's clock less this machine's, as it
    was when the run started."""

    exchange: str
    account: str
    environment: str
    urls: dict[str, str]
    real_money: bool
    key: str = ""
    secret: str = ""
    kind: str = "hmac"
    passphrase: str = ""
    options: dict[str, Any] = {}
    module: str = ""
    offset_ms: int = 0

    def __repr__(self) -> str:
        return f"<guarded account {self.account} on {self.exchange}>"


class GuardSpec(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a guard watches."""

    journal: str
    heartbeat: str
    log: str
    timeout_s: float
    accounts: list[GuardedAccount]
    request_timeout_s: float = 5.0


class Pipe:
    """Lines on a descriptor, without waiting for them longer than asked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.closed = False

    def lines(self, wait_s: float) -> list[str]:
        """The lines that are there; where none are, it is waited for the first bytes."""
        if self.closed:
            time.sleep(wait_s)
            return []
        self._read(wait_s)
        *lines, self._rest = self._rest.split(b"\n")
        return [each.decode() for each in lines]

    def first(self, wait_s: float) -> str:
        """The first line; the others stay for `lines`."""
        until = time.monotonic() + wait_s
        while b"\n" not in self._rest and not self.closed and (left := until - time.monotonic()) > 0:
            self._read(left)
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def _read(self, wait_s: float) -> None:
        ready, _, _ = select.select([self._descriptor], [], [], wait_s)
        if ready:
            content = os.read(self._descriptor, 1 << 16)
            self.closed = not content
            self._rest += content


class GuardProcess:
    """The engine's end of a guard, which begins to watch a little later (`ready`, `started`). Raises OSError where no
    process can be had."""

    def __init__(self, spec: GuardSpec, environment: Mapping[str, str] | None = None) -> None:
        self.log = spec.log
        self._ready = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=None if environment is None else dict(environment),
        )
        stdout = self._process.stdout
        if stdout is None:  # for the type: there is one, as it was asked for
            raise OSError("the guard has no output")
        self._said = Pipe(stdout.fileno())
        self._tell(json.dumps(msgspec.to_builtins(spec)))

    def started(self) -> "GuardProcess":
        """Wait until it watches. Raises `UserError` where it does not come to that."""
        self._ready = self._said.first(START_S) == READY
        if self._ready:
            return self
        self._process.kill()
        self._process.wait()
        self._let_go()
        raise UserError(
            "the guard process does not start",
            f"See {self.log} and what it said above; without a guard set live.guard = false.",
        )

    @property
    def ready(self) -> bool:
        """Whether it lives and watches."""
        if not self._ready and self.alive:
            self._ready = READY in self._said.lines(0.0)
        return self._ready and self.alive

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def cancel(self) -> None:
        """Have it cancel every open order now."""
        self._tell("cancel")

    def drop(self) -> None:
        """It is dead: have done with it."""
        self._wait(0.0, self._process.kill)

    def finish(self) -> None:
        """The run ends and leaves orders open: have them cancelled, however long it takes. Nobody waits for that."""
        self._tell("finish")
        self._let_go()

    def _let_go(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what a dead guard was not told any more
                    pipe.close()

    def goodbye(self, timeout_s: float = 5.0) -> int:
        """The run ends in order: nothing is cancelled. Returns its exit status."""
        self._tell("bye")
        return self._wait(timeout_s, self._process.kill)

    def _wait(self, timeout_s: float, or_else: Callable[[], None]) -> int:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            or_else()
            return self._process.wait()
        finally:
            self._let_go()

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin is None:
            return
        try:
            stdin.write(line.encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            log.error("the guard process (id %d) is gone", self._process.pid)


def fire_guard(pid_file: Path) -> int:
    """Have the guard process whose id stands in the file cancel every open order of its run now, whether or not the
    engine lives; gives the id. Raises `UserError` where there is no such guard."""
    try:
        pid = int(pid_file.read_text("ascii"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if MODULE.encode() not in command.split(b"\0"):
            raise ProcessLookupError  # the id is another process's by now
        os.kill(pid, signal.SIGUSR1)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        raise UserError(f"{pid_file}: no guard process lives", "Cancel the orders at the exchange.") from None
    except OSError as error:
        raise UserError(f"{pid_file}: the guard cannot be told: {error.strerror}") from None
    return pid
