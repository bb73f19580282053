"""The values of options: durations and times."""

from datetime import UTC, datetime
from typing import Final

from mlthon.config import parse_duration
from mlthon.errors import UserError

LATEST_NS: Final = (1 << 62) - 1
LONGEST_NS: Final = 36_500 * 86_400 * 10**9


def duration_ns(text: str, option: str) -> int:
    """`90s`, `15m`, `1.5h`, `1d12h` in ns. Raises `UserError` that names the option."""
    try:
        total = parse_duration(text)
    except ValueError:
        raise UserError(f"{option} {text}: not a duration", "Write it like 90s, 15m, 1h, 2d or 1h30m.") from None
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
