"""The child process of a bot's backtest: prepares itself, builds the run, plays it, tells how it went.

Started by `mlthon.cli.bot_run` as `python -S -c BOOT`, where `BOOT` calls `main` before anything else is imported.
"""

import sys

from mlthon.link.simulated.prepare import first, second


def main(pipe: int, paths: list[str]) -> None:
    """Run the job on standard input and tell the parent by the file descriptor `pipe`; never returns. `paths` are those
    of the parent's interpreter."""
    first(paths)
    from mlthon.link.simulated.play import play

    status = play(pipe, sys.stdin.read(), second)
    sys.stdout.flush()
    sys.stderr.flush()
    import os

    # threads of the bot still hang in the middle of what they did: they are left there, as when a machine is switched
    # off, instead of being unwound by Python's own end
    os._exit(status)
