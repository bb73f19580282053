"""An exchange's own calls about orders, made by bots: carried out by the engine, answered as by the exchange.

What changes orders goes the way of every other order of the venue, past risk limits, journal and guard; so such a call
is never passed on as it is. A `NativeOrders` knows how one exchange spells them: which calls there are (`calls`), and
which of its paths are about orders at all, because those that it does not know are refused. All else is passed on.

A bot may give its orders client ids of its own. Over the wire goes another id, and whatever the exchange answers shows
the bot's (`as_given`), as what the bot asks for by its ids is asked for by the others (`as_sent`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from mlthon.basics.instrument import Instrument
from mlthon.basics.money import to_str
from mlthon.engine.clock import Clock
from mlthon.engine.tracker import TrackedOrder
from mlthon.exchange.dialects.bitmex_request import Fault, Params, units_of
from mlthon.link.host.desk import Done, Failed
from mlthon.link.host.listing import Listing
from mlthon.link.host.venue import VenueStrategy

Change = Callable[[VenueStrategy, Params, Done[Any], Failed], None]
"""Carries a call out; raises Fault for parameters that are wrong."""


KEPT: Final = 20_000
"""So many client ids of bots are remembered: more than orders are."""


class NativeOrders(ABC):
    """See the module. `position`: the lots that the account holds. `client_ids`: by which names the exchange has client
    ids in its parameters and answers; `roots`: what a path may begin with and need not."""

    client_ids: ClassVar[frozenset[str]]
    roots: ClassVar[tuple[str, ...]]

    def __init__(self, clock: Clock, instruments: Sequence[Instrument], position: Callable[[Instrument], int]) -> None:
        self._clock = clock
        self._instruments = instruments
        self._position = position
        self._given: dict[str, str] = {}
        """The bot's own client id by wire id."""
        self._wire_ids: dict[str, str] = {}
        self.calls: Mapping[tuple[str, str], Change] = {}

    @abstractmethod
    def is_about_orders(self, method: str, path: str) -> bool:
        """Whether a call may send, change or cancel orders."""

    def change(self, method: str, path: str) -> Change | None:
        """What carries a call about orders out; None for one about something else. Raises Fault for one that there is
        not here."""
        for root in self.roots:
            path = path.removeprefix(root)
        found = self.calls.get((method, path))
        if found is None and self.is_about_orders(method, path):
            known = ", ".join(" ".join(each) for each in self.calls)
            raise Fault(f"{method} {path}: orders are sent and changed by {known} alone, so that limits hold")
        return found

    # -- client ids --------------------------------------------------------------------------------------------------

    def name(self, venue: VenueStrategy, client_id: str, given: Any) -> None:
        """The bot calls the order so that the venue has sent under its own client id."""
        order = venue.session.orders.get(client_id)
        if given and order is not None:
            self._given[order.wire_id] = str(given)
            self._wire_ids[str(given)] = order.wire_id
            for names in (self._given, self._wire_ids):
                if len(names) > KEPT:
                    del names[next(iter(names))]

    def shown(self, order: TrackedOrder) -> str:
        """The client id of an order as the bot knows it."""
        return self._given.get(order.wire_id, order.wire_id)

    def as_given(self, answer: Any) -> Any:
        """What an exchange answered with the client ids that the bot gave."""
        return self._named(answer, self._given) if self._given else answer

    def as_sent(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What a bot asks for with the client ids that went over the wire."""
        found: dict[str, Any] = self._named(dict(params), self._wire_ids) if self._wire_ids else dict(params)
        return found

    def _named(self, value: Any, names: Mapping[str, str]) -> Any:
        if isinstance(value, list):
            return [self._named(each, names) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: names.get(each, each) if key in self.client_ids and isinstance(each, str) else self._named(each, names)
            for key, each in value.items()
        }

    # -- what calls name ---------------------------------------------------------------------------------------------

    def instrument(self, params: Params) -> Instrument:
        """The instrument of a call. Raises Fault."""
        symbol = params.get("symbol")
        found = next((each for each in self._instruments if each.symbol == symbol), None)
        if found is None:
            raise Fault(f"Invalid symbol {symbol!r}" if symbol else "symbol is required")
        return found

    def listing(self, venue: VenueStrategy, instrument: Instrument) -> Listing:
        """The symbol that an instrument is to the venue's bot. Raises Fault."""
        found = venue.listing_of(instrument)
        if found is None:
            raise Fault(f"{instrument.symbol} is no symbol of {venue.name}")
        return found

    def own(self, venue: VenueStrategy, order_id: Any, client_id: Any) -> TrackedOrder:
        """The venue's open order of the exchange's id, or else of the bot's. Raises Fault."""
        for order in venue.open_orders():
            if (order_id and order.exchange_id == str(order_id)) or (client_id and self.shown(order) == str(client_id)):
                return order
        raise Fault(f"there is no open order {order_id or client_id!r} of this bot")


def only(params: Params, known: frozenset[str]) -> None:
    """Refuse what would be ignored. Raises Fault."""
    unknown = sorted(set(params) - known)
    if unknown:
        raise Fault(f"{unknown[0]} is not supported here; supported are {', '.join(sorted(known))}")


def lots_of(instrument: Instrument, params: Params, name: str) -> int | None:
    """An optional quantity in the instrument's own unit. Raises Fault."""
    units = units_of(params, name)
    if units is None:
        return None
    lots, rest = divmod(units, instrument.qty_scale.step_units)
    if rest or lots < 0:
        raise Fault(f"{name}: {params[name]} is no multiple of the lot size {to_str(instrument.qty_scale.step_units)}")
    return lots


def price_text(instrument: Instrument, ticks: int | None) -> str:
    """A price as exchanges write it; 0 where there is none."""
    return to_str((ticks or 0) * instrument.price_scale.step_units)


def qty_text(instrument: Instrument, lots: int) -> str:
    """A quantity as exchanges write it."""
    return to_str(lots * instrument.qty_scale.step_units)
