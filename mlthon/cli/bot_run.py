"""`python -m mlthon bot.py`: a backtest of a bot, seen from the process that the user started.

The bot runs in a child process (`mlthon.link.simulated`); this one has the options, shows how the run is getting on and
prints its result, and imports nothing of the bot. Ctrl-C is meant for this process: the child is a process group of its
own and is asked by a signal to end the run, once; the second time it is killed.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

from mlthon.cli import INTERRUPTED
from mlthon.cli.bot_lines import STOP, WHERE, decode_progress, encode_options
from mlthon.cli.run import Interrupts, Options
from mlthon.cli.view import make_busy, make_view
from mlthon.errors import UserError

BOOT: Final = (
    "import sys, json; paths = json.loads(sys.argv[2]); sys.path += paths; "
    "from mlthon.cli.bot_child import main; main(int(sys.argv[1]), paths)"
)
HASH_SEED: Final = "0"
SILENCE_S: Final = 120.0
"""How long (s) a child may say nothing at all: longer than that it hangs in something that Python cannot interrupt."""
LOOK_S: Final = 0.1
NEWEST: Final = (3, 14)
"""The first Python whose threads are made of other things than the ones that are replaced here."""


def run_bot(options: Options) -> int:
    """Run a bot's backtest as the options say and return the exit status. Raises `UserError`."""
    check(options)
    quiet = options.verbosity < 0
    done = None
    with Interrupts("stopping the bot; Ctrl-C again ends at once") as interrupts, ExitStack() as views:
        child = views.enter_context(Child(options, shared=sys.stderr.isatty() and not quiet, to_stderr=options.json))
        busy = views.enter_context(ExitStack())
        busy.enter_context(make_busy("making ready ...", quiet=quiet))
        view: Any = None
        for line in child.lines(interrupts):
            if "title" in line:
                busy.close()
                _say(line["told"], quiet=quiet)
                view = views.enter_context(make_view(quiet=quiet, title=line["title"]))
            elif "progress" in line and view is not None:
                view.update(decode_progress(line["progress"]))
            elif "error" in line:
                raise UserError(line["error"]["message"], line["error"]["hint"])
            elif "done" in line:
                done = line["done"]
    if done is None:
        raise RuntimeError(f"the bot's process ended with status {child.status} and no result")
    print(done["json"] if options.json else done["summary"], flush=True)
    return INTERRUPTED if done["interrupted"] else 0


def _say(told: list[str], *, quiet: bool) -> None:
    if not quiet:
        for each in told:
            print(each, file=sys.stderr, flush=True)


def check(options: Options) -> None:
    """Raise `UserError` for what cannot be run; what else is wrong the child finds."""
    if sys.version_info >= NEWEST:
        raise UserError(
            f"a backtest of a bot does not run on Python {sys.version_info.major}.{sys.version_info.minor}",
            "Python 3.11, 3.12 and 3.13 will do; on paper and live bots run on any.",
        )
    if options.speed is not None:
        raise UserError("--speed is for --mode paper: a backtest goes as fast as it can")


class Child:
    """The child process. `shared`: its output goes through this process, which draws on the same terminal;
    `to_stderr`: so does what the bot prints, because standard output is for the result."""

    def __init__(self, options: Options, *, shared: bool = False, to_stderr: bool = False) -> None:
        paths = [str(Path(each or ".").resolve()) for each in sys.path]
        read, write = os.pipe()
        out: Any = sys.stderr if to_stderr else None
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", BOOT, str(write), json.dumps(paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if shared else out,
            stderr=subprocess.PIPE if shared else None,
            pass_fds=[write],
            process_group=0,
            env={**os.environ, "PYTHONHASHSEED": HASH_SEED},
            text=True,
        )
        os.close(write)
        self._pipe = read
        self._asked = False
        self._pumps: list[threading.Thread] = []
        if shared:
            self._pump(self._process.stdout, lambda: sys.stderr if to_stderr else sys.stdout)
            self._pump(self._process.stderr, lambda: sys.stderr)
        if self._process.stdin is not None:
            with self._process.stdin as stdin:
                stdin.write(encode_options(options))

    @property
    def status(self) -> int | None:
        """How the process ended."""
        return self._process.returncode

    def lines(self, interrupts: Interrupts) -> Iterator[dict[str, Any]]:
        """What the child tells, until it ends. Raises `UserError` where it hangs."""
        heard = time.monotonic()
        buffered = b""
        while True:
            if interrupts.asked and not self._asked:
                self._asked = True
                self._process.send_signal(signal.Signals[STOP])
            if not select.select([self._pipe], [], [], LOOK_S)[0]:
                if time.monotonic() - heard > SILENCE_S:
                    self._hangs()
                continue
            heard = time.monotonic()
            data = os.read(self._pipe, 1 << 16)
            if not data:
                self._process.wait()
                return
            *whole, buffered = (buffered + data).split(b"\n")
            yield from map(json.loads, whole)

    def _hangs(self) -> None:
        self._process.send_signal(signal.Signals[WHERE])
        time.sleep(LOOK_S)
        raise UserError(
            f"the bot has been in one and the same call for {SILENCE_S:.0f} s, which cannot be interrupted",
            "The stack above says where. Give it a timeout, or leave it out of a backtest.",
        )

    def _pump(self, stream: "IO[str] | None", to: Any) -> None:
        """Pass on a stream of the child's line by line."""
        if stream is None:
            return

        def pump() -> None:
            for line in stream:
                to().write(line)
                to().flush()

        thread = threading.Thread(target=pump, daemon=True)
        thread.start()
        self._pumps.append(thread)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pump in self._pumps:
            pump.join()
        os.close(self._pipe)
