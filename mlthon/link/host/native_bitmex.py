"""BitMEX's own calls about orders: see `mlthon.link.host.native`.

    POST   order                 any type, `execInst` lists, `Close`
    PUT    order                 by orderID or origClOrdID: price, orderQty; stopPx is refused
    DELETE order, order/all      by orderID or clOrdID (one or a list); all of a symbol or of the account

An order that ends at once (a crossing post-only one, reduce-only without a position) is answered as cancelled, with the
reason in `text`, as by the exchange. Rows are those of the local exchange (`mlthon.exchange.dialects.bitmex_rows`),
with what is known of a bot's orders here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mlthon.basics.defs import TIF, ExecInstructions, GtwRejectCode, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import Clock
from mlthon.engine.tracker import TrackedOrder
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.dialects.bitmex_orders import ENDED_AT_ONCE
from mlthon.exchange.dialects.bitmex_request import Fault, Params, filter_of, listed, lots_of, ticks_of
from mlthon.link.host.cancels import Gone, Waiting
from mlthon.link.host.desk import Done, Failed
from mlthon.link.host.native import Change, NativeOrders
from mlthon.link.host.payloads import STATUSES, exec_inst
from mlthon.link.host.venue import VenueStrategy
from mlthon.protocols import bitmex as wire

_TYPES: Final = {
    (False, False): OrderType.Market,
    (True, False): OrderType.Limit,
    (False, True): OrderType.Stop,
    (True, True): OrderType.StopLimit,
}
"""(has a price, has a stop price) -> the type of an order that names none."""


_IGNORED: Final = ("displayQty", "pegOffsetValue", "pegPriceType", "contingencyType", "clOrdLinkID")
"""What of a new order cannot be carried out, and must not be dropped without a word."""


class BitmexOrders(NativeOrders):
    """The calls of an account on BitMEX, embedded or live."""

    client_ids = frozenset({"clOrdID", "origClOrdID"})
    roots = ("api/v1/",)

    def __init__(self, clock: Clock, instruments: Sequence[Instrument], position: Callable[[Instrument], int]) -> None:
        super().__init__(clock, instruments, position)
        self.calls: Mapping[tuple[str, str], Change] = {
            ("POST", "order"): self._new,
            ("PUT", "order"): self._amend,
            ("DELETE", "order"): self._cancel,
            ("DELETE", "order/all"): self._cancel_all,
        }

    def is_about_orders(self, method: str, path: str) -> bool:
        return method != "GET" and path.split("/")[0] == "order"

    def symbol(self, instrument: Instrument) -> str:
        """What BitMEX calls an instrument."""
        return instrument.symbol

    def contracts(self, instrument: Instrument, lots: int) -> Any:
        """Lots as BitMEX counts them."""
        return rows.contracts(instrument, lots)

    def lots(self, instrument: Instrument, params: Params, name: str) -> int | None:
        """An optional quantity, without its sign. Raises Fault."""
        return lots_of(instrument, params, name)

    def row(self, order: TrackedOrder) -> rows.Row:
        """An order as it stands."""
        instrument = order.instrument
        return {
            "orderID": order.exchange_id,
            "clOrdID": self.shown(order),
            "clOrdLinkID": "",
            "account": 1,
            "symbol": self.symbol(instrument),
            "side": wire.SIDE_NAMES[order.side],
            "orderQty": self.contracts(instrument, order.qty),
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
            "leavesQty": self.contracts(instrument, order.leaves),
            "cumQty": self.contracts(instrument, order.filled),
            "avgPx": None,
            "text": "Submitted via API.",
            "transactTime": wire.timestamp(order.created_ts),
            "timestamp": wire.timestamp(self._clock.now),
        }

    # -- orders ------------------------------------------------------------------------------------------------------

    def own(self, venue: VenueStrategy, order_id: Any, client_id: Any) -> TrackedOrder:
        try:
            return super().own(venue, order_id, client_id)
        except Fault as fault:
            # bots look for the exchange's own words
            raise Fault(f"Invalid orderID: {fault.message}", 404) from None

    def _new(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        instrument = self.instrument(params)
        listing = self.listing(venue, instrument)
        for each in _IGNORED:
            if params.get(each):
                raise Fault(f"{each} is not supported here")
        price, stop = ticks_of(instrument, params, "price"), ticks_of(instrument, params, "stopPx")
        words = [each.strip() for each in str(params.get("execInst") or "").split(",") if each.strip()]
        closing = wire.CLOSE in words
        lots = self.lots(instrument, params, "orderQty")
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
            done(self.row(order) | {"ordStatus": "Canceled", "text": f"{text}\nSubmitted via API."})

        client_id = venue.send(
            listing,
            self._side(instrument, params, closing=closing),
            lots or 0,
            None if order_type in (OrderType.Market, OrderType.Stop, OrderType.TakeProfit) else price,
            Waiting(lambda answer: done(self._new_row(venue, answer)), refused),
            order_type=order_type,
            exec_instr=ExecInstructions((wire.POST_ONLY in words) + 2 * (wire.REDUCE_ONLY in words or closing)),
            tif=wire.TIFS_READ.get(str(params.get("timeInForce") or "GoodTillCancel"), TIF.GTC),
            stop_ticks=stop,
            close=closing and not lots,
        )
        self.name(venue, client_id, params.get("clOrdID"))

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

    def _new_row(self, venue: VenueStrategy, answer: Mapping[str, Any]) -> rows.Row:
        order = venue.order(answer["order_id"])
        if order is None:
            return dict(answer)
        return self.row(order) | {"avgPx": answer["order_price"] if order.filled else None}

    def _amend(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        order = self.own(venue, params.get("orderID"), params.get("origClOrdID") or params.get("clOrdID"))
        if params.get("stopPx") is not None:
            raise Fault("stopPx cannot be amended here: cancel the order and send another")
        lots, price = self.lots(order.instrument, params, "orderQty"), ticks_of(order.instrument, params, "price")
        left = self.lots(order.instrument, params, "leavesQty")
        if left is not None:
            lots = order.filled + left
        if lots is None and price is None:
            raise Fault("Invalid amend: one of orderQty, leavesQty, price is needed")
        venue.amend(order, price, lots, Waiting(lambda _: done(self.row(order)), failed))

    def _cancel(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        """Those of the bot's by any of their ids; one of somebody else by the exchange's."""
        ids, names = listed(params.get("orderID")), listed(params.get("clOrdID"))
        own = {each.exchange_id for each in venue.open_orders()}
        if len(ids) == 1 and not names and ids[0] not in own:
            venue.cancel_one(ids[0], self._shown(done, failed))
            return
        found = [self.own(venue, each, None) for each in ids] + [self.own(venue, None, each) for each in names]
        if not found:
            raise Fault("orderID or clOrdID is required")
        venue.cancel(dict.fromkeys(found), self._shown(done, failed), strict=False)

    def _cancel_all(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        listing = self.listing(venue, self.instrument(params)) if params.get("symbol") else None
        side = wire.SIDES.get(str(filter_of(params).get("side")))
        venue.cancel_account(listing, self._shown(done, failed), side)

    def _shown(self, done: Done[Any], failed: Failed) -> Waiting:
        def told(gone: Sequence[Gone]) -> None:
            done([self._gone(each) for each in gone])

        return Waiting(told, failed)

    def _gone(self, gone: Gone) -> rows.Row:
        """The row of a cancelled order, of one that nobody here sent as far as it is known."""
        order = gone.order
        if isinstance(order, TrackedOrder):
            return self.row(order)
        instrument = order.instrument
        return {
            "orderID": order.order_id,
            "symbol": self.symbol(instrument),
            "side": wire.SIDE_NAMES[order.side],
            "orderQty": self.contracts(instrument, order.qty),
            "price": rows.price(instrument, order.price) if order.price else None,
            "ordType": wire.ORDER_TYPES[order.order_type],
            "ordStatus": "Canceled",
            "leavesQty": 0,
            "timestamp": wire.timestamp(gone.ts),
        }
