"""The parameters of Binance's requests, in the query or a form body: decimal text and whole numbers, each checked when
it is read, and what a signature covers."""

from collections.abc import Mapping
from typing import Final, TypeVar

from mlthon.basics.money import parse
from mlthon.engine.clock import MS
from mlthon.exchange.dialects.binance_fault import Fault, malformed, missing
from mlthon.exchange.served.contract import ServerRequest

T = TypeVar("T")
Params = Mapping[str, str]

MOST_ROWS: Final = 1000
USUAL_ROWS: Final = 500


def parameters(request: ServerRequest) -> dict[str, str]:
    """Query and form body together."""
    return {**request.params, **request.form}


def unsigned(request: ServerRequest) -> str:
    """What the signature covers: query and body as sent, without the signature."""
    body = request.body.decode(errors="replace")
    parts = [_without_signature(request.query), _without_signature(body)]
    return "".join(parts)


def _without_signature(text: str) -> str:
    if "signature=" not in text:
        return text
    return "&".join(each for each in text.split("&") if not each.startswith("signature="))


def units_of(params: Params, name: str) -> int | None:
    """An optional decimal number in 10^-18. Raises Fault."""
    given = params.get(name)
    if given is None or given == "":
        return None
    try:
        units = parse(given)
    except (ValueError, ArithmeticError):
        raise malformed(name) from None
    if units < 0:
        raise malformed(name)
    return units


def steps_of(params: Params, name: str, step: int, fault: tuple[int, str]) -> int | None:
    """An optional number in whole steps (of 10^-18). Raises Fault, `fault` for what lies between two steps."""
    units = units_of(params, name)
    if units is None:
        return None
    steps, rest = divmod(units, step)
    if rest:
        raise Fault(*fault)
    return steps


def whole(params: Params, name: str, usual: int | None, most: int = 1 << 62) -> int:
    """An optional whole number. Raises Fault."""
    given = params.get(name, "")
    if not given:
        if usual is None:
            raise missing(name)
        return usual
    if not given.lstrip("-").isdigit() or len(given) > 19:
        raise malformed(name)
    if int(given) < 0:
        raise malformed(name)
    return min(int(given), most)


def span(params: Params) -> tuple[int, int]:
    """From when until when (ns) rows are wanted. Raises Fault."""
    return whole(params, "startTime", 0) * MS, whole(params, "endTime", 1 << 53) * MS


def newest_or_first(params: Params, found: list[T], first: bool) -> list[T]:
    """As many as are wanted of what was found: the first ones where a beginning was given, else the newest."""
    count = whole(params, "limit", USUAL_ROWS, MOST_ROWS)
    return found[:count] if first else found[-count:]
