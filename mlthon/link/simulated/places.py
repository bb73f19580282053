"""Where in a bot something happens: the innermost line that is neither Python's own nor ours."""

import os
import sys
from types import FrameType
from typing import Final

OURS: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
STDLIB: Final = os.path.dirname(os.__file__) + os.sep
INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def is_ours(file: str) -> bool:
    """Whether a file is this package's."""
    return file.startswith(OURS)


def is_foreign(file: str) -> bool:
    """Whether a file is the bot's: neither ours, nor Python's, nor an installed library's."""
    return not (
        file.startswith((OURS, STDLIB, "<frozen")) or any(each in file for each in INSTALLED) or file == "<string>"
    )


def place(frame: FrameType | None) -> str:
    """`bot.py:12 in on_start`: the innermost line of the bot in a stack; the innermost at all if none is the bot's."""
    innermost = frame
    while frame is not None and not is_foreign(frame.f_code.co_filename):
        frame = frame.f_back
    found = frame or innermost
    if found is None:
        return "somewhere"
    file = found.f_code.co_filename
    shown = os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file
    name = found.f_code.co_name
    return f"{shown}:{found.f_lineno}" + ("" if name == "<module>" else f" in {name}")


def now_at() -> str:
    """The place of whoever calls."""
    return place(sys._getframe(1))
