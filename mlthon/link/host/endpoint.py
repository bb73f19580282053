"""`call_endpoint` on the embedded BitMEX: the exchange's own calls that real bots make, in its own JSON.

    GET    instrument            by symbol or by pages (`count`, `start`), of chosen `columns`; the index `XBT` too
    GET    trade/bucketed        candles; their timestamp is their end
    GET    position              `filter` by symbol
    GET    order                 the venue's orders; `filter` such as {"open": true}

and the calls that change orders (`mlthon.link.host.native_bitmex`), which go the way of every other order of the venue.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, Final

from mlthon.basics.defs import GtwRejectCode
from mlthon.basics.instrument import Instrument
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.dialects.bitmex_market import BINS_NS, instrument_rows
from mlthon.exchange.dialects.bitmex_request import (
    Fault,
    Params,
    columns,
    filter_of,
    is_set,
    page,
)
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.gateway import EmbeddedGateway
from mlthon.exchange.served.market import PublicTrade, ServedMarket
from mlthon.link.host.desk import Done, Failed, HeldPosition, held_position
from mlthon.link.host.native_bitmex import BitmexOrders
from mlthon.link.host.payloads import average_price
from mlthon.link.host.venue import VenueStrategy
from mlthon.protocols import bitmex as wire

if TYPE_CHECKING:
    from mlthon.link.host.market import Markets

NEWEST: Final = 1001
"""How many candles are looked through."""


class BitmexEndpoint:
    """The calls of one account on the embedded BitMEX."""

    def __init__(self, exchange: EmbeddedExchange, gateway: EmbeddedGateway, markets: "Markets") -> None:
        self._exchange = exchange
        self._gateway = gateway
        self._markets = markets
        self._changes = BitmexOrders(exchange.clock, list(exchange.markets), self._lots)
        self._get: dict[str, Callable[[VenueStrategy, Params], list[rows.Row]]] = {
            "instrument": self._instruments,
            "instrument/active": self._instruments,
            "trade/bucketed": self._bins,
            "position": self._positions,
            "order": self._orders,
        }

    def __call__(
        self,
        venue: VenueStrategy,
        path: str,
        version: str,
        method: str,
        params: Mapping[str, Any],
        done: Done[Any],
        failed: Failed,
    ) -> None:
        """Make a call; see the module."""
        path = path.removeprefix("api/v1/")
        given = dict(params)
        try:
            change = self._changes.change(method, path)
            if method == "GET" and path in self._get:
                self._gateway.enquire(lambda: self._looked(path, venue, given), _either(done, failed), failed)
            elif change is not None:
                change(venue, given, done, failed)
            else:
                known = ", ".join(
                    [f"GET {each}" for each in self._get] + [" ".join(each) for each in self._changes.calls]
                )
                raise Fault(f"Not Found: the embedded BitMEX has no {method} {path}; it has {known}", 404)
        except Fault as fault:
            self._exchange.clock.call_soon(failed, GtwRejectCode.InvalidRequest, fault.message)

    def _looked(self, path: str, venue: VenueStrategy, params: Params) -> "list[rows.Row] | Fault":
        try:
            return columns(self._get[path](venue, params), params)
        except Fault as fault:
            return fault

    # -- the market --------------------------------------------------------------------------------------------------

    def _market(self, instrument: Instrument) -> ServedMarket:
        """The market as a server would show it at this moment."""
        market, tap = self._exchange.market(instrument), self._markets.tap(instrument)
        number = list(self._exchange.markets).index(instrument)
        shown = ServedMarket(market, self._exchange.clock, number, 0, Random(0), tap.candles)
        shown.touch = tap.touch
        if tap.last is not None:
            shown.trades.append(PublicTrade(1, tap.last, 0, 0, self._exchange.clock.now))
        return shown

    def _lots(self, instrument: Instrument) -> int:
        stake = self._gateway.ledger.stakes.get(instrument)
        return 0 if stake is None else stake.position.lots

    def _instruments(self, venue: VenueStrategy, params: Params) -> list[rows.Row]:
        return instrument_rows([self._market(each) for each in self._exchange.markets], params)

    def _bins(self, venue: VenueStrategy, params: Params) -> list[rows.Row]:
        interval = BINS_NS.get(str(params.get("binSize", "1m")))
        if interval is None:
            raise Fault("Invalid binSize")
        market = self._market(self._changes.instrument(params))
        candles = market.candles(interval, NEWEST)
        if not is_set(params, "partial"):
            candles = [each for each in candles if each.start + interval <= self._exchange.clock.now]
        found, opened = [], None
        for candle in candles:
            found.append(rows.bin_row(market, candle, interval, opened))
            opened = candle.close
        return page(found[1:], params)

    # -- the account -------------------------------------------------------------------------------------------------

    def _positions(self, venue: VenueStrategy, params: Params) -> list[rows.Row]:
        wanted = filter_of(params).get("symbol") or params.get("symbol")
        stakes = self._gateway.ledger.stakes.values()
        found = [held_position(each) for each in stakes if not each.contract.spot]
        return [
            _position_row(each, self._exchange.clock.now)
            for each in found
            if wanted is None or each.instrument.symbol == wanted
        ]

    def _orders(self, venue: VenueStrategy, params: Params) -> list[rows.Row]:
        conditions = filter_of(params)
        symbol = params.get("symbol") or conditions.pop("symbol", None)
        wants_open = conditions.pop("open", None)
        known = [each for each in venue.session.orders.values() if each is not None and each.exchange_id]
        found = [
            self._changes.row(each)
            for each in known
            if (symbol is None or each.instrument.symbol == symbol)
            and (wants_open is None or each.is_open == bool(wants_open))
        ]
        return page([row for row in found if all(row.get(key) == value for key, value in conditions.items())], params)


def _either(done: Done[Any], failed: Failed) -> Callable[[Any], None]:
    """Tells rows or a fault."""

    def tell(found: Any) -> None:
        if isinstance(found, Fault):
            failed(GtwRejectCode.InvalidRequest, found.message)
        else:
            done(found)

    return tell


def _position_row(held: HeldPosition, now: int) -> rows.Row:
    instrument = held.instrument
    entry = average_price(held.entry) if held.lots else None
    return {
        "account": 1,
        "symbol": instrument.symbol,
        "currency": rows.currency(instrument.settle_currency or ""),
        "underlying": rows.major(instrument.base_currency or ""),
        "quoteCurrency": instrument.quote_currency or "",
        "crossMargin": True,
        "currentQty": rows.contracts(instrument, held.lots),
        "isOpen": bool(held.lots),
        "markPrice": held.mark,
        "avgCostPrice": entry,
        "avgEntryPrice": entry,
        "breakEvenPrice": entry,
        "liquidationPrice": held.liquidation,
        "currentTimestamp": wire.timestamp(now),
        "timestamp": wire.timestamp(now),
    }
