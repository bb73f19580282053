"""Bybit's own calls about orders: see `mlthon.link.host.native`.

    POST order/create       limit and market orders, conditional ones of derivatives
    POST order/amend        by orderId or orderLinkId: price, qty
    POST order/cancel       by orderId (whoever sent it) or orderLinkId
    POST order/cancel-all   all of a symbol, or of a category's symbols that the venue has

Prices and quantities are the exchange's own, as texts or numbers. What a call of Bybit's takes and this does not (take
profit and stop loss of an order, batches, hedge mode) is refused, never dropped. Answers bear Bybit's envelope.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mlthon.basics.defs import TIF, ExecInstructions, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, Clock
from mlthon.engine.tracker import TrackedOrder
from mlthon.exchange.dialects.bitmex_request import Fault, Params, is_set, ticks_of
from mlthon.link.host.cancels import Gone, Waiting
from mlthon.link.host.desk import Done, Failed
from mlthon.link.host.native import Change, NativeOrders, lots_of, only
from mlthon.link.host.venue import VenueStrategy
from mlthon.protocols import bybit as tables

_NAMED: Final = frozenset({"category", "symbol", "positionIdx", "orderFilter"})
_CREATE: Final = _NAMED | {
    "side",
    "orderType",
    "qty",
    "price",
    "timeInForce",
    "orderLinkId",
    "reduceOnly",
    "closeOnTrigger",
    "triggerPrice",
    "triggerDirection",
    "marketUnit",
    "isLeverage",
}
_AMEND: Final = _NAMED | {"orderId", "orderLinkId", "qty", "price"}
_CANCEL: Final = _NAMED | {"orderId", "orderLinkId"}
_CANCEL_ALL: Final = _NAMED | {"baseCoin", "settleCoin"}
_TIFS: Final = {tables.GTC: TIF.GTC, tables.IOC: TIF.IOC, tables.FOK: TIF.FOK, tables.POST_ONLY: TIF.GTC}


class BybitOrders(NativeOrders):
    """The calls of an account on Bybit."""

    client_ids = frozenset({"orderLinkId"})
    roots = ("v5/",)

    def __init__(self, clock: Clock, instruments: Sequence[Instrument], position: Callable[[Instrument], int]) -> None:
        super().__init__(clock, instruments, position)
        self.calls: Mapping[tuple[str, str], Change] = {
            ("POST", "order/create"): self._create,
            ("POST", "order/amend"): self._amend,
            ("POST", "order/cancel"): self._cancel,
            ("POST", "order/cancel-all"): self._cancel_all,
        }

    def is_about_orders(self, method: str, path: str) -> bool:
        return method != "GET" and path.split("/")[0] in ("order", "spread")

    def instrument(self, params: Params) -> Instrument:
        """A symbol is one of a category."""
        category, symbol = params.get("category"), params.get("symbol")
        if category not in tables.CATEGORIES:
            raise Fault(f"category must be one of {', '.join(tables.CATEGORIES)}, not {category!r}")
        if params.get("positionIdx") not in (None, 0, "0"):
            raise Fault("positionIdx: hedge mode is not supported")
        for each in self._instruments:
            if (tables.category(each), each.symbol) == (category, symbol):
                return each
        raise Fault(f"{category} has no symbol {symbol!r} in this run")

    def _create(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        only(params, _CREATE)
        instrument = self.instrument(params)
        listing = self.listing(venue, instrument)
        side = tables.SIDES.get(str(params.get("side")))
        if side is None:
            raise Fault("side must be Buy or Sell")
        if params.get("orderType") not in ("Limit", "Market"):
            raise Fault("orderType must be Limit or Market")
        limit = params["orderType"] == "Limit"
        price = ticks_of(instrument, params, "price") if limit else None
        if limit and price is None:
            raise Fault("price is required")
        tif = params.get("timeInForce") or (tables.GTC if limit else tables.IOC)
        if tif not in _TIFS:
            raise Fault(f"timeInForce must be one of {', '.join(_TIFS)}")
        order_type, stop = self._kind(instrument, params, side, limit=limit)
        lots = lots_of(instrument, params, "qty")
        if lots is None:
            raise Fault("qty is required")
        reduce_only = is_set(params, "reduceOnly")
        close = not lots and reduce_only and is_set(params, "closeOnTrigger")
        if not lots and not close:
            raise Fault("qty must be more than 0; 0 with reduceOnly and closeOnTrigger closes the position")
        client_id = venue.send(
            listing,
            side,
            lots,
            price,
            Waiting(lambda answer: done(self._named_one(venue, params, answer["order_id"])), failed),
            order_type=order_type,
            exec_instr=ExecInstructions((tif == tables.POST_ONLY) + 2 * reduce_only),
            tif=_TIFS[tif] if limit else TIF.GTC,
            stop_ticks=stop,
            close=close,
        )
        self.name(venue, client_id, params.get("orderLinkId"))

    def _kind(self, instrument: Instrument, params: Params, side: int, *, limit: bool) -> tuple[OrderType, int | None]:
        """The type of an order and its trigger price. Raises Fault."""
        spot = tables.category(instrument) == tables.SPOT
        if spot and not limit and side > 0 and params.get("marketUnit") != tables.BASE_UNIT:
            raise Fault(
                f"a market buy of spot is in the quote coin unless marketUnit is {tables.BASE_UNIT}, "
                "and only the base coin is supported here"
            )
        if is_set(params, "isLeverage"):
            raise Fault("isLeverage: margin on spot is not supported here")
        stop = ticks_of(instrument, params, "triggerPrice")
        if stop is None:
            return OrderType.Limit if limit else OrderType.Market, None
        direction = str(params.get("triggerDirection"))
        if spot or direction not in (str(tables.RISING), str(tables.FALLING)):
            raise Fault("triggerPrice needs a triggerDirection (1 rising, 2 falling), and a derivative")
        with_the_market = (direction == str(tables.RISING)) == (side > 0)
        if limit and not with_the_market:
            raise Fault("a limit order that waits for a better price is not supported: send the limit order itself")
        if limit:
            return OrderType.StopLimit, stop
        return OrderType.Stop if with_the_market else OrderType.TakeProfit, stop

    def _amend(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        only(params, _AMEND)
        order = self.own(venue, params.get("orderId"), params.get("orderLinkId"))
        price, lots = ticks_of(order.instrument, params, "price"), lots_of(order.instrument, params, "qty")
        if price is None and not lots:
            raise Fault("at least one of price and qty is needed")
        venue.amend(order, price, lots, Waiting(lambda _: done(self._one(order)), failed))

    def _cancel(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        only(params, _CANCEL)
        order_id = params.get("orderId")
        if not order_id:
            order_id = self.own(venue, None, params.get("orderLinkId")).exchange_id

        def told(gone: Sequence[Gone]) -> None:
            done(self._answer(self._id(gone[0])))

        venue.cancel_one(str(order_id), Waiting(told, failed))

    def _cancel_all(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        only(params, _CANCEL_ALL)
        if not params.get("symbol"):
            raise Fault("symbol is required here: all of a symbol are cancelled at a time")
        listing = self.listing(venue, self.instrument(params))

        def told(gone: Sequence[Gone]) -> None:
            done(self._answer({"list": [self._id(each) for each in gone], "success": "1"}))

        venue.cancel_account(listing, Waiting(told, failed))

    # -- answers -----------------------------------------------------------------------------------------------------

    def _named_one(self, venue: VenueStrategy, params: Params, order_id: str) -> dict[str, Any]:
        order = venue.order(order_id)
        if order is not None:
            return self._one(order)
        return self._answer({"orderId": order_id, "orderLinkId": params.get("orderLinkId") or ""})

    def _one(self, order: TrackedOrder) -> dict[str, Any]:
        return self._answer({"orderId": order.exchange_id, "orderLinkId": self.shown(order)})

    def _id(self, gone: Gone) -> dict[str, Any]:
        order = gone.order
        if isinstance(order, TrackedOrder):
            return {"orderId": order.exchange_id, "orderLinkId": self.shown(order)}
        return {"orderId": order.order_id, "orderLinkId": ""}

    def _answer(self, result: Mapping[str, Any]) -> dict[str, Any]:
        return {"retCode": 0, "retMsg": "OK", "result": dict(result), "retExtInfo": {}, "time": self._clock.now // MS}
