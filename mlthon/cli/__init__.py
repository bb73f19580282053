"""The command line: `python -m mlthon STRATEGY …`, `… data import`, `… data info`, `… instruments`.

What follows `mlthon` is a strategy unless it is the word `data` or `instruments` (a strategy of that name is run as a
file: `data.py`). What a program reads goes to standard output, everything for a person's eyes that is no result (logs,
progress, errors) to standard error. Exit statuses: 0 when all went well, 2 for what the user can mend, 130 when Ctrl-C
ended it, 1 for a fault of this program.
"""

import errno
from collections.abc import Sequence

from mlthon.errors import UserError

USER_ERROR = 2
INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` where no arguments are given) and return its exit status."""
    from cyclopts import CycloptsError

    from mlthon.backtest.loader import keep_ours
    from mlthon.cli.app import app
    from mlthon.cli.logs import Console

    console = Console()
    keep_ours()
    try:
        status = app(None if arguments is None else list(arguments))
    except UserError as error:
        console.error(error.message, error.hint)
        return USER_ERROR
    except CycloptsError as error:
        console.error(*_told(error))
        return USER_ERROR
    except BrokenPipeError:
        console.abandon()
        return USER_ERROR
    except OSError as error:
        if error.errno not in FULL:
            raise
        console.error(f"{error.filename or 'the output'}: {error.strerror}", "Make room, or write elsewhere.")
        console.abandon()
        return USER_ERROR
    except KeyboardInterrupt:
        console.error("interrupted")
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def _told(error: Exception) -> tuple[str, str]:
    """The message for a command line that cannot be understood, and where help is."""
    from cyclopts import UnusedCliTokensError

    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        message = f"too many arguments: {' '.join(error.unused_tokens)}"
    else:
        message = " ".join(str(error).split())
    return message, "See: python -m mlthon --help"
