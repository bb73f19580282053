"""The values of options: durations and times."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from mlthon.errors import UserError

_UNITS_NS: Final = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
LATEST_NS: Final = (1 << 62) - 1
LONGEST_NS: Final = 36_500 * _UNITS_NS["d"]


def duration_ns(text: str, option: str) -> int:
    """`90s`, `15m`, `1.5h`, `1d12h` in ns. Raises `UserError` that names the option."""
    plain = text.strip().lower()
    parts = _PART.findall(plain)
    total = sum(int(Decimal(number) * _UNITS_NS[unit]) for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != plain or not parts:
        raise UserError(f"{option} {text}: not a duration", "Write it like 90s, 15m, 1h, 2d or 1h30m.")
    if not 0 < total <= LONGEST_NS:
        raise UserError(f"{option} {text}: {'too long' if total else 'too short'}", "From 1ms to 36500d will do.")
    return total


def time_ns(text: str, option: str) -> int:
    """An ISO 8601 time in ns since 1970; UTC where it says nothing else. Raises `UserError` that names the option."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UserError(
            f"{option} {text}: not a time", "Write it like 2024-07-18, 2024-07-18T00:05 or 2024-07-18T00:05:30Z."
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    nanoseconds = ((since.days * 86_400 + since.seconds) * 10**6 + since.microseconds) * 1000
    if not 0 <= nanoseconds <= LATEST_NS:
        raise UserError(f"{option} {text}: out of range", "Times from 1970 to 2116 can be given.")
    return nanoseconds
