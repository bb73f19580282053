"""BitMEX's own calls where its symbols are traded on another exchange: a bot's `call_endpoint` in BitMEX's JSON.

BitMEX has closed, and bots written for it call `instrument`, `position`, `order` and `trade/bucketed` by its names.
Here they are answered from what the account and the markets of the other exchange tell: symbols, contracts and ticks as
the bot knows them. What only BitMEX knew (its open interest, volumes of a day, funding) is None. Orders go the way of
every other order of the venue; a `Close` is a reduce-only order for what the account holds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mlthon.basics.defs import GtwRejectCode, InstrumentType, Quantification
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.engine.candles import Candle
from mlthon.engine.clock import Clock
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.dialects.bitmex_market import BINS_NS
from mlthon.exchange.dialects.bitmex_request import (
    INSTRUMENTS_PAGE,
    Fault,
    Params,
    columns,
    filter_of,
    is_set,
    page,
)
from mlthon.link.host import payloads
from mlthon.link.host.desk import Done, Failed, HeldPosition, OpenOrder
from mlthon.link.host.listing import BadValue, Listing
from mlthon.link.host.native_bitmex import BitmexOrders
from mlthon.link.host.venue import VenueStrategy
from mlthon.protocols import bitmex as wire

if TYPE_CHECKING:
    from mlthon.link.host.market import Markets

CANDLES: Final = 1000
"""The most candles of an answer."""


class TranslatedOrders(BitmexOrders):
    """BitMEX's calls about orders, in the symbols and contracts of a venue's listings."""

    def __init__(self, clock: Clock, venue: VenueStrategy) -> None:
        super().__init__(clock, [each.instrument for each in venue.listings.values()], venue.desk.lots)
        self._listings = {each.instrument: each for each in venue.listings.values()}

    def instrument(self, params: Params) -> Instrument:
        symbol = params.get("symbol")
        found = next((each.instrument for each in self._listings.values() if each.sym == symbol), None)
        if found is None:
            raise Fault(f"Invalid symbol {symbol!r}" if symbol else "symbol is required")
        return found

    def symbol(self, instrument: Instrument) -> str:
        return self._listings[instrument].sym

    def contracts(self, instrument: Instrument, lots: int) -> Any:
        size = self._listings[instrument].sizes[lots]
        return int(size) if size == int(size) else size

    def lots(self, instrument: Instrument, params: Params, name: str) -> int | None:
        given = params.get(name)
        if given is None or given == "":
            return None
        try:
            return self._listings[instrument].lots(str(given).lstrip("-"))
        except BadValue as error:
            raise Fault(f"Invalid {name}: {error}") from None

    def _new(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        words = str(params.get("execInst") or "")
        if wire.CLOSE not in words or params.get("orderQty"):
            super()._new(venue, params, done, failed)
            return
        instrument = self.instrument(params)

        def told(found: Sequence[HeldPosition]) -> None:
            held = next((each.lots for each in found if each.instrument == instrument), 0)
            if not held:
                failed(GtwRejectCode.InvalidRequest, "Invalid execInst: there is no position to close")
                return
            side = {"side": wire.SIDE_NAMES[-1 if held > 0 else 1]}
            reducing = words.replace(wire.CLOSE, wire.REDUCE_ONLY)
            sized = {"orderQty": self.contracts(instrument, abs(held)), "execInst": reducing}
            try:
                send(venue, side | params | sized, done, failed)
            except Fault as fault:
                failed(GtwRejectCode.InvalidRequest, fault.message)

        send = super()._new
        # what was told last may be from before a fill
        venue.desk.positions(told, failed)


class TranslatedEndpoint:
    """The calls of one venue."""

    def __init__(self, clock: Clock, venue: VenueStrategy, home: Mapping[str, Instrument], markets: "Markets") -> None:
        """`home`: BitMEX's instruments by symbol."""
        self._clock = clock
        self._venue = venue
        self._home = home
        self._markets = markets
        self._orders = TranslatedOrders(clock, venue)
        self._get: dict[str, Callable[[Params, Done[list[rows.Row]], Failed], None]] = {
            "instrument": self._instruments,
            "instrument/active": self._instruments,
            "trade/bucketed": self._bins,
            "position": self._positions,
            "order": self._open_orders,
        }

    def __call__(self, path: str, method: str, params: Mapping[str, Any], done: Done[Any], failed: Failed) -> None:
        """Make a call; see the module."""
        path = path.removeprefix("api/v1/")
        given = dict(params)

        def told(found: list[rows.Row]) -> None:
            _tell(lambda: columns(found, given), done, failed)

        try:
            change = self._orders.change(method, path)
            if change is not None:
                change(self._venue, given, done, failed)
            elif method == "GET" and path in self._get:
                self._get[path](given, told, failed)
            else:
                known = ", ".join(
                    [f"GET {each}" for each in self._get] + [" ".join(each) for each in self._orders.calls]
                )
                raise Fault(f"{method} {path} has no equal on {self._venue.exchange.name}; there are {known}")
        except Fault as fault:
            self._clock.call_soon(failed, GtwRejectCode.InvalidRequest, fault.message)

    # -- the market --------------------------------------------------------------------------------------------------

    def _instruments(self, params: Params, done: Done[list[rows.Row]], failed: Failed) -> None:
        wanted = params.get("symbol") or filter_of(params).get("symbol")
        found = list(self._venue.listings.values())
        if wanted is None:
            told = page([self._instrument(each) for each in found], {"count": INSTRUMENTS_PAGE} | params)
        else:
            told = [self._instrument(each) for each in found if each.sym == wanted]
            coin = str(wanted).removeprefix(".B")
            based = [each for each in found if rows.major(each.instrument.base_currency or "") == coin]
            told = told or [self._instrument(each) | {"symbol": wanted} for each in based[:1]]
        self._venue.desk.ask(lambda: done(told), failed)

    def _instrument(self, listing: Listing) -> rows.Row:
        home, there = self._home[listing.sym], listing.instrument
        tap = self._markets.tap(there)
        bid, _, ask, _ = tap.touch
        best = [None if each in (NO_BID, NO_ASK) else listing.prices[each] for each in (bid, ask)]
        last = None if tap.last is None else listing.prices[tap.last]
        middle = None if None in best else sum(each for each in best if each is not None) / 2
        inverse = home.quantification is Quantification.Inverse
        scale = int(10 ** wire.SCALES.get(home.settle_currency or "", 8))
        multiplier = home.multiplier_units * scale // UNIT
        spot = home.instrument_type is InstrumentType.Spot
        return {
            "symbol": listing.sym,
            "rootSymbol": rows.major(home.base_currency or ""),
            "state": "Open",
            "typ": "IFXXXP" if spot else "FFWCSX",
            "underlying": rows.major(home.base_currency or ""),
            "quoteCurrency": home.quote_currency or "",
            "settlCurrency": "" if spot else rows.currency(home.settle_currency or ""),
            "maxOrderQty": None if there.max_lots is None else listing.sizes[there.max_lots],
            "lotSize": self._orders.contracts(there, 1),
            "tickSize": listing.prices[1],
            "multiplier": -multiplier if inverse else multiplier,
            "isQuanto": not spot and not inverse and home.settle_currency != home.quote_currency,
            "isInverse": inverse,
            "makerFee": None if there.maker_fee is None else float(there.maker_fee),
            "takerFee": None if there.taker_fee is None else float(there.taker_fee),
            "fundingRate": None,
            "fundingTimestamp": None,
            "indicativeFundingRate": None,
            "openInterest": None,
            "volume24h": None,
            "lastPrice": last if last is not None else middle,
            "bidPrice": best[0],
            "midPrice": middle,
            "askPrice": best[1],
            "markPrice": middle if middle is not None else last,
            "timestamp": wire.timestamp(self._clock.now),
        }

    def _bins(self, params: Params, done: Done[list[rows.Row]], failed: Failed) -> None:
        interval = BINS_NS.get(str(params.get("binSize", "1m")))
        if interval is None:
            raise Fault("Invalid binSize")
        listing = self._orders.listing(self._venue, self._orders.instrument(params))

        def told(found: Sequence[Candle]) -> None:
            whole = [each for each in found if each.start + interval <= self._clock.now or is_set(params, "partial")]
            opens = payloads.CandleRows(listing, opens_at_close=True).rows(whole)
            made = [self._bin(listing, candle, row, interval) for candle, row in zip(whole, opens, strict=True)]
            _tell(lambda: page(made[1:], params), done, failed)

        self._venue.desk.candles(listing.instrument, interval, CANDLES + 1, None, told, failed)

    def _bin(self, listing: Listing, candle: Candle, row: payloads.Payload, interval: int) -> rows.Row:
        shown = {name: row[name] for name in ("open", "high", "low", "close", "volume")}
        when = wire.timestamp(candle.start + interval)
        return {"timestamp": when, "symbol": listing.sym} | shown | {"trades": candle.trades}

    # -- the account -------------------------------------------------------------------------------------------------

    def _positions(self, params: Params, done: Done[list[rows.Row]], failed: Failed) -> None:
        wanted = filter_of(params).get("symbol") or params.get("symbol")

        def told(found: Sequence[HeldPosition]) -> None:
            listed = [(self._venue.listing_of(each.instrument), each) for each in found]
            done(
                [
                    self._position(each, held)
                    for each, held in listed
                    if each and not each.spot and wanted in (None, each.sym)
                ]
            )

        self._venue.desk.positions(told, failed)

    def _position(self, listing: Listing, held: HeldPosition) -> rows.Row:
        instrument = listing.instrument
        return {
            "account": 1,
            "symbol": listing.sym,
            "currency": rows.currency(instrument.settle_currency or ""),
            "underlying": rows.major(instrument.base_currency or ""),
            "quoteCurrency": instrument.quote_currency or "",
            "currentQty": self._orders.contracts(instrument, held.lots),
            "isOpen": bool(held.lots),
            "markPrice": held.mark,
            "avgCostPrice": payloads.average_price(held.entry),
            "avgEntryPrice": payloads.average_price(held.entry),
            "liquidationPrice": held.liquidation,
            "timestamp": wire.timestamp(self._clock.now),
        }

    def _open_orders(self, params: Params, done: Done[list[rows.Row]], failed: Failed) -> None:
        """Those of the venue in any state, and those of others on the account that are open."""
        conditions = filter_of(params)
        symbol = params.get("symbol") or conditions.pop("symbol", None)
        wants_open = conditions.pop("open", None)

        def told(found: Sequence[OpenOrder]) -> None:
            own = [each for each in self._venue.session.orders.values() if each is not None and each.exchange_id]
            known = {each.exchange_id for each in own}
            made = [
                self._orders.row(each)
                for each in own
                if self._venue.listing_of(each.instrument) and wants_open in (None, each.is_open)
            ]
            if wants_open in (None, True):
                made += [self._other(each) for each in found if each.order_id not in known]
            wanted = [row for row in made if row and symbol in (None, row["symbol"])]
            meant = [row for row in wanted if all(row.get(key) == value for key, value in conditions.items())]
            _tell(lambda: page(meant, params), done, failed)

        self._venue.desk.open_orders(told, failed)

    def _other(self, order: OpenOrder) -> rows.Row:
        listing = self._venue.listing_of(order.instrument)
        if listing is None:
            return {}
        return {
            "orderID": order.order_id,
            "symbol": listing.sym,
            "side": wire.SIDE_NAMES[order.side],
            "orderQty": self._orders.contracts(order.instrument, order.qty),
            "price": listing.prices[order.price] if order.price else None,
            "ordType": wire.ORDER_TYPES[order.order_type],
            "ordStatus": "PartiallyFilled" if order.leaves < order.qty else "New",
            "leavesQty": self._orders.contracts(order.instrument, order.leaves),
            "timestamp": wire.timestamp(order.ts),
        }


def _tell(make: Callable[[], list[rows.Row]], done: Done[list[rows.Row]], failed: Failed) -> None:
    """Tell the rows that are asked for, or why there are none."""
    try:
        shown = make()
    except Fault as fault:
        failed(GtwRejectCode.InvalidRequest, fault.message)
    else:
        done(shown)
