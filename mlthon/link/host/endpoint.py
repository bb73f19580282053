"""`call_endpoint` on the embedded BitMEX: the exchange's own calls that real bots make, in its own JSON.

    GET    instrument            by symbol or by pages (`count`, `start`), of chosen `columns`; the index `XBT` too
    GET    trade/bucketed        candles; their timestamp is their end
    GET    position              `filter` by symbol
    GET    order                 the venue's orders; `filter` such as {"open": true}
    POST   order                 any type, `execInst` lists, `Close`
    PUT    order                 by orderID or origClOrdID: price, orderQty, stopPx is refused
    DELETE order, order/all      by orderID or clOrdID (one or a list); all of a symbol

An order that ends at once (a crossing post-only one, reduce-only without a position) is answered as cancelled, with the
reason in `text`, as by the exchange. Rows are those of the local exchange (`mlthon.exchange.dialects.bitmex_rows`),
with what is known of a bot's orders here. Orders go the way of every other order of the venue.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Final

from mlthon.basics.defs import TIF, ExecInstructions, GtwRejectCode, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import Clock
from mlthon.engine.tracker import TrackedOrder
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.dialects.bitmex_market import BINS_NS, instrument_rows
from mlthon.exchange.dialects.bitmex_orders import ENDED_AT_ONCE
from mlthon.exchange.dialects.bitmex_request import (
    Fault,
    Params,
    columns,
    filter_of,
    is_set,
    listed,
    lots_of,
    page,
    ticks_of,
)
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.gateway import EmbeddedGateway
from mlthon.exchange.served.market import PublicTrade, ServedMarket
from mlthon.link.host.desk import Done, Failed, HeldPosition, held_position
from mlthon.link.host.payloads import STATUSES, exec_inst
from mlthon.link.host.venue import VenueStrategy, Waiting
from mlthon.protocols import bitmex as wire

if TYPE_CHECKING:
    from mlthon.link.host.market import Markets

NEWEST: Final = 1001
"""How many candles are looked through."""
_TYPES: Final = {
    (False, False): OrderType.Market,
    (True, False): OrderType.Limit,
    (False, True): OrderType.Stop,
    (True, True): OrderType.StopLimit,
}
"""(has a price, has a stop price) -> the type of an order that names none."""


class BitmexOrders:
    """The calls that change orders, on an embedded or a live account: what they send goes the way of all orders, past
    risk limits and journal. `position`: the lots that the account holds."""

    def __init__(self, clock: Clock, instruments: Sequence[Instrument], position: Callable[[Instrument], int]) -> None:
        self._clock = clock
        self._instruments = instruments
        self._position = position
        self._client_ids: dict[str, str] = {}
        """The bot's own clOrdID by wire id."""
        self.calls: dict[tuple[str, str], Callable[[VenueStrategy, Params, Done[Any], Failed], None]] = {
            ("POST", "order"): self._new,
            ("PUT", "order"): self._amend,
            ("DELETE", "order"): self._cancel,
            ("DELETE", "order/all"): self._cancel_all,
        }
        """(method, path) -> what carries it out; it raises Fault for parameters that are wrong."""

    def as_given(self, answer: Any) -> Any:
        """An exchange's rows with the clOrdIDs that the bot gave instead of those that went over the wire."""
        if isinstance(answer, list):
            return [self.as_given(each) for each in answer]
        if isinstance(answer, dict) and answer.get("clOrdID") in self._client_ids:
            return answer | {"clOrdID": self._client_ids[answer["clOrdID"]]}
        return answer

    def instrument(self, params: Params) -> Instrument:
        """The instrument of a call. Raises Fault."""
        symbol = params.get("symbol")
        found = next((each for each in self._instruments if each.symbol == symbol), None)
        if found is None:
            raise Fault(f"Invalid symbol {symbol!r}" if symbol else "symbol is required")
        return found

    def row(self, order: TrackedOrder) -> rows.Row:
        """An order as it stands."""
        instrument = order.instrument
        return {
            "orderID": order.exchange_id,
            "clOrdID": self._client_ids.get(order.wire_id, order.wire_id),
            "clOrdLinkID": "",
            "account": 1,
            "symbol": instrument.symbol,
            "side": wire.SIDE_NAMES[order.side],
            "orderQty": rows.contracts(instrument, order.qty),
            "price": rows.price(instrument, order.price) if order.price else None,
            "displayQty": None,
            "stopPx": rows.price(instrument, order.stop_price),
            "pegOffsetValue": None,
            "pegPriceType": "",
            "currency": instrument.quote_currency or "",
            "settlCurrency": rows.currency(instrument.settle_currency or ""),
            "ordType": wire.ORDER_TYPES[order.order_type],
            "timeInForce": wire.TIFS.get(order.tif, "GoodTillCancel"),
            "execInst": exec_inst(order.exec_instr),
            "contingencyType": "",
            "ordStatus": STATUSES.get(order.state, "New"),
            "triggered": "",
            "workingIndicator": order.is_open,
            "ordRejReason": "",
            "leavesQty": rows.contracts(instrument, order.leaves),
            "cumQty": rows.contracts(instrument, order.filled),
            "avgPx": None,
            "text": "Submitted via API.",
            "transactTime": wire.timestamp(order.created_ts),
            "timestamp": wire.timestamp(self._clock.now),
        }

    # -- orders ------------------------------------------------------------------------------------------------------

    def _new(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        instrument = self.instrument(params)
        listing = venue.listing_of(instrument)
        if listing is None:
            raise Fault(f"Invalid symbol {instrument.symbol!r}")
        price, stop = ticks_of(instrument, params, "price"), ticks_of(instrument, params, "stopPx")
        words = [each.strip() for each in str(params.get("execInst") or "").split(",") if each.strip()]
        closing = wire.CLOSE in words
        lots = lots_of(instrument, params, "orderQty")
        if not lots and not closing:
            raise Fault("orderQty is required")
        named = params.get("ordType")
        order_type = wire.ORDER_TYPES_READ.get(str(named)) if named else _TYPES[price is not None, stop is not None]
        if order_type is None:
            raise Fault("Invalid ordType")
        if order_type in (OrderType.Limit, OrderType.StopLimit) and price is None:
            raise Fault("price is required")

        def refused(code: GtwRejectCode, reason: str) -> None:
            order = venue.session.orders.get(client_id)
            text = ENDED_AT_ONCE.get(code)
            if order is None or text is None:
                failed(code, reason)
                return
            if params.get("clOrdID"):
                self._client_ids[order.wire_id] = str(params["clOrdID"])
            done(self.row(order) | {"ordStatus": "Canceled", "text": f"{text}\nSubmitted via API."})

        client_id = venue.send(
            listing,
            self._side(instrument, params, closing=closing),
            lots or 0,
            None if order_type in (OrderType.Market, OrderType.Stop, OrderType.TakeProfit) else price,
            Waiting(lambda answer: done(self._named(venue, params, answer)), refused),
            order_type=order_type,
            exec_instr=ExecInstructions((wire.POST_ONLY in words) + 2 * (wire.REDUCE_ONLY in words or closing)),
            tif=wire.TIFS_READ.get(str(params.get("timeInForce") or "GoodTillCancel"), TIF.GTC),
            stop_ticks=stop,
            close=closing and not lots,
        )

    def _side(self, instrument: Instrument, params: Params, *, closing: bool) -> int:
        """Buy or Sell; without either the sign of the quantity, or for a close what closes the position."""
        named = params.get("side")
        if named:
            side = wire.SIDES.get(str(named))
            if side is None:
                raise Fault("Invalid side")
            return side
        if closing:
            return -1 if self._position(instrument) > 0 else 1
        return -1 if str(params.get("orderQty")).startswith("-") else 1

    def _named(self, venue: VenueStrategy, params: Params, answer: Mapping[str, Any]) -> rows.Row:
        """The row of a new order, under the client id that the bot gave it."""
        order = venue.order(answer["order_id"])
        if order is None:
            return dict(answer)
        if params.get("clOrdID"):
            self._client_ids[order.wire_id] = str(params["clOrdID"])
        return self.row(order) | {"avgPx": answer["order_price"] if order.filled else None}

    def _known(self, venue: VenueStrategy, order_ids: list[str], client_ids: list[str]) -> list[TrackedOrder]:
        """The open orders of these ids. Raises Fault for one that is none."""
        wanted = dict.fromkeys([*order_ids, *client_ids])
        found = []
        for order in venue.open_orders():
            names = {order.exchange_id} | ({self._client_ids.get(order.wire_id, order.wire_id)} & set(client_ids))
            matching = names & set(wanted)
            if matching:
                found.append(order)
                for name in matching:
                    del wanted[name]
        if wanted or not found:
            raise Fault(f"Not Found: no open order {', '.join(wanted) or ''}".strip(), 404)
        return found

    def _amend(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        ids = listed(params.get("orderID"))
        names = listed(params.get("origClOrdID") or params.get("clOrdID"))
        (order, *_) = self._known(venue, ids, names)
        if params.get("stopPx") is not None:
            raise Fault("stopPx cannot be amended here: cancel the order and send another")
        lots, price = lots_of(order.instrument, params, "orderQty"), ticks_of(order.instrument, params, "price")
        left = lots_of(order.instrument, params, "leavesQty")
        if left is not None:
            lots = order.filled + left
        if lots is None and price is None:
            raise Fault("Invalid amend: one of orderQty, leavesQty, price is needed")
        venue.amend(order, price, lots, Waiting(lambda _: done(self.row(order)), failed))

    def _cancel(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        found = self._known(venue, listed(params.get("orderID")), listed(params.get("clOrdID")))
        self._cancel_these(venue, found, done, failed)

    def _cancel_all(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        listing = venue.listing_of(self.instrument(params)) if params.get("symbol") else None
        side = wire.SIDES.get(str(filter_of(params).get("side")))
        found = [each for each in venue.open_orders(listing) if side is None or each.side == side]
        if found:
            self._cancel_these(venue, found, done, failed)
        else:
            nothing: list[rows.Row] = []
            venue.desk.ask(lambda: done(nothing), failed)

    def _cancel_these(self, venue: VenueStrategy, orders: list[TrackedOrder], done: Done[Any], failed: Failed) -> None:
        waiting = Waiting(lambda _: done([self.row(each) for each in orders]), failed)
        venue.cancel(orders, waiting, strict=False)


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
            if method == "GET" and path in self._get:
                self._gateway.enquire(lambda: self._looked(path, venue, given), _either(done, failed), failed)
            elif (method, path) in self._changes.calls:
                self._changes.calls[method, path](venue, given, done, failed)
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
    entry = held.entry if held.lots else None
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
