"""What `--faults` means: a schedule written in short, or a TOML file with a table of them.

    KIND=WHEN[:WHAT][@PATH], several with commas between them
    disconnect=18s,delay=5%:200ms-2s,timeout-after-accept=1%@/v5/order,error=1%:503,halt=2m:5s

WHEN is a share (`1%`) or how often (`18s`, `10s-30s`: drawn between the two). WHAT is the delay (`200ms`, `200ms-2s`),
the HTTP status of `error`, or how long a `halt` lasts. In a file the same stands in a table, one kind a line; several
schedules of a kind are a list:

    seed = 7
    [faults]
    disconnect = "18s"
    delay = ["5%:200ms-2s", "1%:10s@/v5/order"]
"""

import tomllib
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from mlthon.config import parse_duration
from mlthon.errors import UserError, near
from mlthon.exchange.served.fault_schedule import KINDS, Rule

HINT: Final = (
    "Write KIND=WHEN[:WHAT][@PATH], for instance disconnect=18s,delay=5%:200ms-2s,error=1%:503@/v5/order.\n"
    f"Kinds: {', '.join(KINDS)}."
)
_WITH_TIME: Final = ("delay", "push-delay", "halt")


@frozen
class FaultPlan:
    """The schedules, and the seed that a file gave with them."""

    rules: tuple[Rule, ...] = ()
    seed: int | None = None


def read_faults(text: str | None) -> FaultPlan:
    """The schedules of `--faults`; none for None. Raises `UserError`."""
    if text is None:
        return FaultPlan()
    if text.endswith(".toml"):
        return _of_file(Path(text))
    return FaultPlan(tuple(_rule(part.strip(), "--faults") for part in text.split(",")))


def _of_file(file: Path) -> FaultPlan:
    where = f"--faults {file}"
    try:
        content = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{where}: {error}") from None
    strange = sorted(set(content) - {"seed", "faults"})
    if strange:
        raise UserError(f"{where}: {strange[0]}: it has seed, a table [faults], and nothing else")
    seed = content.get("seed")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
        raise UserError(f"{where}: seed: {seed!r} is no whole number from 0 on")
    table = content.get("faults")
    if not isinstance(table, dict) or not table:
        raise UserError(f"{where}: no [faults] table", 'Write [faults], then for instance disconnect = "18s".')
    return FaultPlan(tuple(rule for kind, value in table.items() for rule in _of_line(kind, value, where)), seed)


def _of_line(kind: str, value: Any, where: str) -> list[Rule]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, str) for each in values):
        raise UserError(f"{where}: {kind}: {value!r} is neither text nor a list of texts", HINT)
    return [_rule(f"{kind}={each}", where) for each in values]


def _rule(text: str, where: str) -> Rule:
    """One `KIND=WHEN[:WHAT][@PATH]`."""
    kind, equals, rest = text.partition("=")
    kind = kind.strip()
    if kind not in KINDS:
        raise UserError(f"{where}: there is no fault {kind!r}{near(kind, KINDS)}", HINT)
    rest, at, path = rest.partition("@")
    when, colon, what = rest.partition(":")
    try:
        if not equals or not when.strip():
            raise ValueError("it does not say when")
        rule = _when(kind, when.strip(), path.strip() if at else "/", text)
        return _what(rule, what.strip()) if colon else rule
    except ValueError as error:
        raise UserError(f"{where}: {text}: {error}", HINT) from None


def _when(kind: str, when: str, path: str, text: str) -> Rule:
    if not when.endswith("%"):
        return Rule(kind, every=_span(when), path=path, text=text)
    try:
        share = float(when[:-1]) / 100
    except ValueError:
        raise ValueError(f"{when!r} is no share; write it like 1% or 0.5%") from None
    return Rule(kind, share=share, path=path, text=text)


def _what(rule: Rule, what: str) -> Rule:
    if rule.kind in _WITH_TIME:
        return evolve(rule, lasts=_span(what))
    if rule.kind != "error":
        raise ValueError(f"{rule.kind} has nothing after a colon")
    if not (what.isascii() and what.isdecimal() and 400 <= int(what) <= 599):
        raise ValueError(f"{what!r} is no HTTP status from 400 to 599")
    return evolve(rule, status=int(what))


def _span(text: str) -> tuple[int, int]:
    """`2s`, or `1s-2s`, in ns."""
    first, dash, last = text.partition("-")
    low = parse_duration(first)
    return low, parse_duration(last) if dash else low
