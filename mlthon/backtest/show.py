"""How figures are shown to a person: times, amounts, shares and columns of text."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from mlthon.basics.money import to_str


def show_time(ns: int) -> str:
    """`2024-07-18 00:05:30`, UTC."""
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def show_span(ns: int) -> str:
    """`1h 05m`, `12m 30s`, `4.2s`; never more than it is, as times are not."""
    if ns < 60 * 10**9:
        return f"{ns // 10**8 / 10:.1f}s"
    minutes, rest = divmod(ns // 10**9, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02}h"
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"


def show_money(units: int, places: int = 4, sign: bool = False) -> str:
    """An amount rounded for reading, with thousands apart. Where rounding would leave nothing of it, its first four
    digits are kept."""
    value = Decimal(to_str(units))
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    if value and not rounded:
        rounded = value.quantize(Decimal(1).scaleb(value.adjusted() - 3), ROUND_HALF_EVEN)
    return f"{rounded + 0:{'+' if sign and units else ''},f}"


def show_exact(units: int | None) -> str:
    """A price or a quantity as it is; a dash for none."""
    return "-" if units is None else to_str(units)


def show_share(value: float | None, places: int = 2, sign: bool = False) -> str:
    """A fraction in percent; a dash for none."""
    return "-" if value is None else f"{value * 100:{'+' if sign else ''}.{places}f} %"


def show_rate(per_s: float) -> str:
    """Events a second: `950/s`, `38 k/s`, `1.24 M/s`."""
    if per_s >= 1e6:
        return f"{per_s / 1e6:.2f} M/s"
    return f"{per_s / 1e3:.0f} k/s" if per_s >= 1e4 else f"{per_s:.0f}/s"


def show_count(number: int, what: str) -> str:
    """`1 fill`, `1,200 fills`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def columns(rows: Sequence[Sequence[str]], left: int = 1, gap: str = "  ") -> list[str]:
    """Rows of cells as lines of text: the first `left` columns flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        gap.join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
