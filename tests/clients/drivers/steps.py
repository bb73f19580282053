"""What every driver uses: steps that are told one by one as lines of JSON on standard output.

A driver runs in its client's own environment, so this is the standard library alone. `check` runs a step and tells
whether it went well; a step that fails does not stop the ones after it. `told` waits for something that arrives by
itself. `finish` gives the exit status.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

failed = 0


def tell(step: str, ok: bool, detail: str = "") -> None:
    """Tell how a step went."""
    global failed
    failed += not ok
    print(json.dumps({"step": step, "ok": ok, "detail": detail[:400]}), flush=True)


def check(step: str, run: Callable[[], Any]) -> Any:
    """Run a step: it fails if it raises, or returns None or False. What it returned comes back."""
    try:
        found = run()
    except Exception as error:  # noqa: BLE001 - told, whatever it is
        traceback.print_exc(file=sys.stderr)
        tell(step, False, f"{type(error).__name__}: {error}")
        return None
    tell(step, found is not None and found is not False, "" if found is True else repr(found))
    return found


async def acheck(step: str, run: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    """The same for a coroutine function."""
    import asyncio

    try:
        found = await asyncio.wait_for(run(), timeout_s)
    except Exception as error:  # noqa: BLE001 - told, whatever it is
        traceback.print_exc(file=sys.stderr)
        tell(step, False, f"{type(error).__name__}: {error}")
        return None
    tell(step, found is not None and found is not False, "" if found is True else repr(found))
    return found


def refused(step: str, run: Callable[[], Any], *kinds: type[BaseException]) -> None:
    """A step that has to be refused with one of these exceptions."""
    try:
        found = run()
    except kinds as error:
        tell(step, True, f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - told, whatever it is
        traceback.print_exc(file=sys.stderr)
        tell(step, False, f"wrong kind of refusal: {type(error).__name__}: {error}")
    else:
        tell(step, False, f"not refused: {found!r}")


async def arefused(step: str, run: Callable[[], Any], *kinds: type[BaseException]) -> None:
    """The same for a coroutine function."""
    try:
        found = await run()
    except kinds as error:
        tell(step, True, f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - told, whatever it is
        traceback.print_exc(file=sys.stderr)
        tell(step, False, f"wrong kind of refusal: {type(error).__name__}: {error}")
    else:
        tell(step, False, f"not refused: {found!r}")


def told(step: str, arrived: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    """Wait until `arrived()` is true."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = arrived()
        if found:
            tell(step, True, repr(found))
            return found
        time.sleep(0.05)
    tell(step, False, f"nothing within {timeout_s:g} s")
    return None


def finish() -> None:
    """End the driver: 0 if every step went well."""
    sys.stdout.flush()
    import os

    os._exit(1 if failed else 0)
