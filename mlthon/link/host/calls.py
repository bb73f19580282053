"""The exchange calls of `Link`, one function each: their arguments checked, then carried out by the venue or its desk.

A function takes the call (`Asked`) and its venue and answers the call, now or later; what is wrong with the arguments
is raised as `BadCall` (or `BadValue`) and answered as an `api_error`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from mlthon.basics.catalogue import instruments as catalogue_of
from mlthon.basics.defs import GtwRejectCode
from mlthon.engine.candles import Candle
from mlthon.engine.clock import MS
from mlthon.engine.tracker import TrackedOrder
from mlthon.errors import near
from mlthon.link.candles import OPENS_AT_CLOSE
from mlthon.link.contract import BARS, LEVELS, Call
from mlthon.link.host import payloads
from mlthon.link.host.asked import Asked
from mlthon.link.host.cancels import Gone, Waiting
from mlthon.link.host.listing import BadValue, Listing
from mlthon.link.host.sources import by_symbol
from mlthon.link.host.venue import VenueStrategy
from mlthon.link.levels import LENGTHS, offset_of

ROWS: Final = 1000
"""How many candles `fetch_candles` gives."""
_SIDES: Final = {"buy": 1, "sell": -1}


class BadCall(ValueError):
    """What is wrong with a call's arguments."""


def no_such_venue(call: Call, venues: Collection[str]) -> str:
    """What is told of a call whose venue there is not."""
    if call.name == "history":
        return f"no venue of {call.arguments.get('src')!r}"
    name = call.arguments.get("venue")
    if name is None:
        return f"{call.name}: no venue given; there are {', '.join(venues)}"
    guess = near(name, venues) if isinstance(name, str) else ""
    return f"The venue {name!r} does not exist{guess or ':'} there are {', '.join(venues)}"


def carry_out(asked: Asked, venue: VenueStrategy) -> None:
    """Answer a call, now or later."""
    call = CALLS.get(asked.name)
    if call is None:
        asked.bad(f"there is no call {asked.name!r}{near(asked.name, CALLS)}")
        return
    if not venue.session.running:
        asked.failed(GtwRejectCode.StrategyStopped, f"{asked.name}: the bot is stopped")
        return
    try:
        call(asked, venue)
    except (BadCall, BadValue) as error:
        asked.bad(f"{asked.name}: {error}" if isinstance(error, BadCall) else str(error))


# -- arguments ---------------------------------------------------------------------------------------------------------


def _needed(asked: Asked, name: str) -> Any:
    value = asked.arguments.get(name)
    if value is None:
        raise BadCall(f"the argument {name} is missing")
    return value


def _listing(asked: Asked, venue: VenueStrategy) -> Listing:
    sym = _needed(asked, "sym")
    found = venue.listings.get(sym) if isinstance(sym, str) else None
    if found is None:
        if sym in by_symbol(catalogue_of(venue.exchange)):
            raise BadValue(f"The symbol {sym!r} is not in this run: subscribe to {venue.src}:{sym}")
        guess = near(sym, venue.listings) if isinstance(sym, str) else ""
        raise BadValue(f"The symbol {sym!r} does not exist{guess}")
    return found


def _side(asked: Asked) -> int:
    side = _needed(asked, "side")
    found = _SIDES.get(side.lower()) if isinstance(side, str) else None
    if found is None:
        raise BadCall(f"the side must be Buy or Sell, not {side!r}")
    return found


def _order(asked: Asked, venue: VenueStrategy) -> TrackedOrder:
    order_id = _needed(asked, "order_id")
    found = venue.order(str(order_id))
    if found is None or not found.is_open:
        raise BadCall(f"the order {order_id!r} is not open on {venue.name}, or is not this bot's")
    return found


def _level(asked: Asked) -> str:
    level = asked.arguments.get("level") or "1m"
    if not isinstance(level, str) or level not in LENGTHS:
        guess = near(level, LEVELS) if isinstance(level, str) else ""
        raise BadCall(f"{level!r} is no candle level{guess}: use one of {', '.join(LEVELS)}")
    return level


def _whole(asked: Asked, name: str) -> int | None:
    value = asked.arguments.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise BadCall(f"{name} must be a whole number, not {value!r}") from None


def _waiting(asked: Asked, done: Callable[[Any], None] | None = None) -> Waiting:
    return Waiting(done or asked.done, asked.failed)


# -- candles -----------------------------------------------------------------------------------------------------------


def _fetch_candles(asked: Asked, venue: VenueStrategy) -> None:
    since = _whole(asked, "since")
    if since is not None and since < 0:
        raise BadCall(f"since must be milliseconds since 1970, not {since}")
    _candles(asked, venue, ROWS, since, free=False)


def _history(asked: Asked, venue: VenueStrategy) -> None:
    count = _whole(asked, "count")
    _candles(asked, venue, BARS if count is None else max(1, count), None, free=True)


def _candles(asked: Asked, venue: VenueStrategy, count: int, since: int | None, *, free: bool) -> None:
    """Answer with `count` candles. One more is asked for where a candle opens at the close of the one before."""
    listing, level = _listing(asked, venue), _level(asked)
    interval = LENGTHS[level] * MS
    opens_at_close = venue.src in OPENS_AT_CLOSE
    begin = None if since is None else since * MS

    def told(found: Sequence[Candle]) -> None:
        rows = venue.candle_rows(listing, level, opens_at_close=opens_at_close).rows(found)
        asked.done(rows[-count:] if since is None else [row for row in rows if row["time"] >= since][:count])

    venue.desk.candles(
        listing.instrument,
        interval,
        count + opens_at_close,
        None if begin is None else max(0, begin - interval * opens_at_close),
        told,
        asked.failed,
        offset=offset_of(level) * MS,
        free=free,
    )


# -- the account -------------------------------------------------------------------------------------------------------


def _fetch_balances(asked: Asked, venue: VenueStrategy) -> None:
    def told(found: Mapping[str, float]) -> None:
        asked.done([{"asset": coin, "amount": amount} for coin, amount in found.items()])

    venue.desk.balances(told, asked.failed)


def _fetch_open_orders(asked: Asked, venue: VenueStrategy) -> None:
    def told(found: Sequence[Any]) -> None:
        listed = ((venue.listing_of(each.instrument), each) for each in found)
        asked.done([payloads.open_order(listing, each) for listing, each in listed if listing is not None])

    venue.desk.open_orders(told, asked.failed)


def _fetch_positions(asked: Asked, venue: VenueStrategy) -> None:
    def told(found: Sequence[Any]) -> None:
        now, signed = venue.clock.now, venue.signed_positions
        listed = ((venue.listing_of(each.instrument), each) for each in found)
        asked.done(
            # some exchanges tell of coins as of positions
            [
                payloads.position(listing, each, now, signed=signed)
                for listing, each in listed
                if listing and not listing.spot
            ]
        )

    venue.desk.positions(told, asked.failed)


# -- orders ------------------------------------------------------------------------------------------------------------


def _create_limit_order(asked: Asked, venue: VenueStrategy) -> None:
    listing = _listing(asked, venue)
    side, lots = _side(asked), listing.lots(_needed(asked, "size"))
    venue.send(listing, side, lots, listing.ticks(_needed(asked, "price")), _waiting(asked))


def _create_market_order(asked: Asked, venue: VenueStrategy) -> None:
    listing = _listing(asked, venue)
    venue.send(listing, _side(asked), listing.lots(_needed(asked, "size")), None, _waiting(asked))


def _amend_order(asked: Asked, venue: VenueStrategy) -> None:
    size, price = asked.arguments.get("size"), asked.arguments.get("price")
    if size is None and price is None:
        raise BadCall("at least one of price and size is needed")
    order = _order(asked, venue)
    listing = venue.listing_of(order.instrument)
    if listing is None:
        raise BadCall(f"the order {order.exchange_id} is of no symbol of {venue.name}")
    ticks = None if price is None else listing.ticks(price)
    venue.amend(order, ticks, None if size is None else listing.lots(size), _waiting(asked))


def _cancel_order(asked: Asked, venue: VenueStrategy) -> None:
    """One order; without an id all of a symbol, or of the account: whoever sent them."""

    def told(gone: Sequence[Gone]) -> None:
        listed = ((venue.listing_of(each.order.instrument), each) for each in gone)
        asked.done(
            [payloads.cancelled(listing, each.order, each.ts) for listing, each in listed if listing is not None]
        )

    if asked.arguments.get("order_id") is not None:
        venue.cancel_one(str(_needed(asked, "order_id")), _waiting(asked, told))
    else:
        venue.cancel_account(
            None if asked.arguments.get("sym") is None else _listing(asked, venue), _waiting(asked, told)
        )


# -- the exchange's own ------------------------------------------------------------------------------------------------


def _call_endpoint(asked: Asked, venue: VenueStrategy) -> None:
    path = _needed(asked, "path")
    method = str(asked.arguments.get("method") or "GET").upper()
    params = asked.arguments.get("params") or {}
    if not isinstance(path, str) or not isinstance(params, Mapping):
        raise BadCall("path is a text and params a dict")
    version = str(asked.arguments.get("version") or "public")
    if venue.translated is not None:
        venue.translated(path.strip("/"), method, params, asked.done, asked.failed)
    else:
        venue.desk.endpoint(venue, path.strip("/"), version, method, params, asked.done, asked.failed)


CALLS: Final[Mapping[str, Callable[[Asked, VenueStrategy], None]]] = {
    "fetch_candles": _fetch_candles,
    "history": _history,
    "fetch_balances": _fetch_balances,
    "fetch_open_orders": _fetch_open_orders,
    "fetch_positions": _fetch_positions,
    "create_limit_order": _create_limit_order,
    "create_market_order": _create_market_order,
    "amend_order": _amend_order,
    "cancel_order": _cancel_order,
    "call_endpoint": _call_endpoint,
}
"""Name -> what carries it out."""
