"""Checks of single values that several tables share (validators of attrs), and how durations are written."""

import re
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from mlthon.basics.defs import Exchange
from mlthon.errors import near

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS_NS: Final = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}


def parse_duration(text: str) -> int:
    """`90s`, `15m`, `1.5h`, `1d12h` in ns. Raises ValueError."""
    plain = text.strip().lower()
    parts = _DURATION.findall(plain)
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        raise ValueError(f"{text!r} is no duration; write it like 90s, 15m, 1h, 2d or 1h30m")
    return sum(int(Decimal(number) * _UNITS_NS[unit]) for number, unit in parts)


def duration(_: object, __: object, text: str) -> None:
    parse_duration(text)


def known_zone(_: object, __: object, name: str | None) -> None:
    if name is None:
        return
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone{near(name, available_timezones())}") from None


def known_exchanges(_: object, __: object, names: Any) -> None:
    for name in names or ():
        if name not in Exchange.__members__:
            known = near(name, Exchange.__members__) or f"; there are {', '.join(Exchange.__members__)}"
            raise ValueError(f"{name!r} is no exchange{known}")


def a_url(_: object, __: object, url: str | None) -> None:
    if url is not None and not re.fullmatch(r"https?://[^/\s@?#]+(/[^\s?#]*)?", url):
        raise ValueError(f"{url!r} is no base URL; write it like http://127.0.0.1:8080")


def some_text(_: object, __: object, text: str) -> None:
    if not text.strip():
        raise ValueError("needs a text that says something")
