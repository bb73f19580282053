"""How a BitMEX request is read: what answers its path, whose it is, its parameters, and how it is refused.

Bodies are JSON or forms, and parameters may stand in the query; ids may be one text or a list.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from attrs import frozen

from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT, parse
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.contract import ServerRequest
from mlthon.exchange.served.exchange import ApiKey
from mlthon.protocols import bitmex as wire

if TYPE_CHECKING:
    from mlthon.exchange.dialects.bitmex import BitmexDialect

Params = dict[str, Any]

Send = Callable[[Any], None]

MOST_ROWS: Final = 1000
INSTRUMENTS_PAGE: Final = 500
"""The most rows of a page of instruments (BitMEX's documentation)."""
USUAL_ROWS: Final = 100


class Fault(Exception):
    """A request that is answered with an error."""

    def __init__(self, message: str, status: int = 400, name: str = "HTTPError") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.error_name = name


@frozen
class Route:
    """What answers a path: `handle(dialect, key, params, send)`; `keyed`: whether a key is needed; `orders`: whether it
    counts against the limit of order requests."""

    handle: "Callable[[BitmexDialect, ApiKey | None, Params, Send], None]"
    keyed: bool = False
    orders: bool = False


Routes = Mapping[tuple[str, str], Route]
"""(method, path) -> route."""


def account_of(key: ApiKey | None) -> ServedAccount:
    """The account of a request that needs a key. Raises Fault."""
    if key is None:  # the route says that it needs one, so it was asked for before
        raise Fault("Authorization Required", 401)
    return key.account


def trader(key: ApiKey | None) -> ServedAccount:
    """The same for what a read-only key may not do."""
    if key is not None and key.read_only:
        raise Fault("Access Denied", 403)
    return account_of(key)


# -- parameters --------------------------------------------------------------------------------------------------------


def parameters(request: ServerRequest) -> Params:
    """Query and body together. Raises Fault for a body that cannot be read."""
    found: Params = dict(request.params)
    body = request.body.strip()
    if not body:
        return found
    if body[:1] in b"{[":
        try:
            decoded = msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise Fault("Invalid JSON", 400, "SyntaxError") from None
        if not isinstance(decoded, dict):
            raise Fault("Invalid JSON", 400, "SyntaxError")
        return found | decoded
    return found | request.form


def whole(params: Params, name: str, usual: int, most: int) -> int:
    """An optional whole number; what is more counts as `most`. Raises Fault."""
    try:
        number = int(params.get(name, usual))
    except (TypeError, ValueError):
        raise Fault(f"Invalid {name}") from None
    if not number >= 0:
        raise Fault(f"Invalid {name}")
    return min(number, most)


def is_set(params: Params, name: str) -> bool:
    """A flag."""
    return str(params.get(name, "")).lower() in ("true", "1")


def units_of(params: Params, name: str) -> int | None:
    """An optional number as an exact one in 10^-18. Raises Fault."""
    given = params.get(name)
    if given is None or given == "":
        return None
    try:
        return parse(str(given))
    except (ValueError, ArithmeticError):
        raise Fault(f"Invalid {name}") from None


def ticks_of(instrument: Instrument, params: Params, name: str) -> int | None:
    """An optional price. Raises Fault, also for one above `maxPrice`: among the errors that BitMEX lists
    (https://www.bitmex.com/app/restAPIMessages) only `Invalid price` says it."""
    units = units_of(params, name)
    if units is None:
        return None
    ticks, rest = divmod(units, instrument.price_scale.step_units)
    if rest:
        raise Fault(f"Invalid {name} tickSize")
    if ticks <= 0 or units > rows.MOST_PRICE * UNIT:
        raise Fault(f"Invalid {name}")
    return ticks


def lots_of(instrument: Instrument, params: Params, name: str) -> int | None:
    """An optional quantity, without its sign. Raises Fault."""
    units = units_of(params, name)
    if units is None:
        return None
    lots, rest = divmod(abs(units), wire.lot_size(instrument))
    if rest:
        raise Fault(f"Invalid {name}: must be a multiple of lotSize")
    return lots


def filter_of(params: Params) -> Params:
    """What `filter` asks for. Raises Fault."""
    given = params.get("filter") or {}
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError:
            raise Fault("Invalid filter") from None
    if not isinstance(given, dict):
        raise Fault("Invalid filter")
    return given


def listed(given: Any) -> list[str]:
    """One text, a JSON list as text, or a list."""
    if given is None or given == "":
        return []
    if isinstance(given, str) and given.startswith("["):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError:
            return [str(given)]
    return [str(each) for each in given] if isinstance(given, list) else [str(given)]


# -- what is wanted of many rows ---------------------------------------------------------------------------------------


def page(found: list[rows.Row], params: Params) -> list[rows.Row]:
    """What `start`, `count`, `reverse`, `startTime` and `endTime` leave of rows in order of time."""
    start, end = str(params.get("startTime") or ""), str(params.get("endTime") or "")
    if start or end:
        begin = wire.nanoseconds(_zoned(start)) if start else 0
        until = wire.nanoseconds(_zoned(end)) if end else 1 << 62
        found = [row for row in found if begin <= wire.nanoseconds(row["timestamp"]) <= until]
    if is_set(params, "reverse"):
        found = found[::-1]
    first = whole(params, "start", 0, 1 << 31)
    return found[first : first + whole(params, "count", USUAL_ROWS, MOST_ROWS)]


KEYS: Final = frozenset({"symbol", "timestamp", "orderID", "execID", "account", "currency"})
"""What names a row: there whatever columns are asked for."""


def columns(found: list[rows.Row], params: Params) -> list[rows.Row]:
    """Rows of the wanted `columns`, and what names them. Raises Fault."""
    given = params.get("columns")
    if not given:
        return found
    if isinstance(given, str) and given.startswith("["):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError:
            raise Fault("Invalid columns") from None
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, list):
        raise Fault("Invalid columns")
    wanted = {str(each).strip() for each in names} | KEYS
    return [{key: value for key, value in row.items() if key in wanted} for row in found]


def _zoned(text: str) -> str:
    """A time with its zone, UTC where there is none. Raises Fault."""
    zoned = text if text.endswith("Z") or "+" in text else (text if "T" in text else text + "T00:00:00") + "Z"
    try:
        wire.nanoseconds(zoned)
    except ValueError:
        raise Fault("Invalid startTime or endTime") from None
    return zoned
