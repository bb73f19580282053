"""Binance's own calls about orders, of spot and USD-M: see `mlthon.link.host.native`.

    POST   order                             LIMIT, MARKET, LIMIT_MAKER (spot), stops (STOP_MARKET, STOP_LOSS, ...)
    PUT    order (USD-M)                     by orderId or origClientOrderId: price, quantity
    DELETE order                             by orderId (whoever sent it) or origClientOrderId
    DELETE openOrders / allOpenOrders        all of a symbol, spot and USD-M

Prices and quantities are the exchange's own, as texts or numbers. What a call of Binance's takes and this does not
(quoteOrderQty, icebergs, batches, order lists, hedge mode) is refused, never dropped. Answers are the exchange's rows
with what is known here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mlthon.basics.defs import TIF, Exchange, ExecInstructions, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, Clock
from mlthon.engine.tracker import TrackedOrder
from mlthon.exchange.dialects.bitmex_request import Fault, Params, is_set, ticks_of
from mlthon.link.host.cancels import Gone, Waiting
from mlthon.link.host.desk import Done, Failed
from mlthon.link.host.native import Change, NativeOrders, lots_of, only, price_text, qty_text
from mlthon.link.host.venue import VenueStrategy
from mlthon.protocols import binance_account as wire

_SENT_BY_US: Final = frozenset({"recvWindow", "timestamp", "newOrderRespType"})
_NEW: Final = _SENT_BY_US | {
    "symbol",
    "side",
    "positionSide",
    "type",
    "timeInForce",
    "quantity",
    "price",
    "stopPrice",
    "newClientOrderId",
    "reduceOnly",
    "closePosition",
}
_NAMED: Final = _SENT_BY_US | {"symbol", "orderId", "origClientOrderId"}
_TYPES: Final[Mapping[Exchange, Mapping[str, OrderType]]] = {
    Exchange.Binance: {
        **{name: kind for kind, name in wire.SPOT_TYPES.items()},
        wire.LIMIT_MAKER: OrderType.Limit,
    },
    Exchange.BinanceUsdm: {name: kind for kind, name in wire.USDM_TYPES.items()},
}
_TIFS: Final = {"GTC": TIF.GTC, "IOC": TIF.IOC, "FOK": TIF.FOK, wire.POST_ONLY_TIF: TIF.GTC}
_PRICED: Final = (OrderType.Limit, OrderType.StopLimit)
_STOPS: Final = (OrderType.Stop, OrderType.StopLimit, OrderType.TakeProfit)
_STATUSES: Final = {
    OrderStatus.PartiallyFilled: "PARTIALLY_FILLED",
    OrderStatus.Filled: "FILLED",
    OrderStatus.Cancelled: "CANCELED",
    OrderStatus.Rejected: "REJECTED",
}
_ABOUT_ORDERS: Final = ("order", "algoOrder", "openOrders", "algoOpenOrders", "allOpenOrders", "batchOrders", "sor")
_OTHERS: Final = ("countdownCancelAll", "orderList", "openOrderList")
_HARMLESS: Final = ("order/test", "sor/order/test")


class BinanceOrders(NativeOrders):
    """The calls of an account on Binance spot or USD-M."""

    client_ids = frozenset({"clientOrderId", "origClientOrderId", "newClientOrderId"})
    roots = ("api/v3/", "fapi/v1/", "v3/", "v1/")

    def __init__(self, clock: Clock, instruments: Sequence[Instrument], position: Callable[[Instrument], int]) -> None:
        super().__init__(clock, instruments, position)
        calls: dict[tuple[str, str], Change] = {("POST", "order"): self._new, ("DELETE", "order"): self._cancel}
        if self._is_spot:
            calls["DELETE", "openOrders"] = self._cancel_all
        else:
            calls["PUT", "order"] = self._amend
            calls["DELETE", "allOpenOrders"] = self._cancel_all
        self.calls: Mapping[tuple[str, str], Change] = calls

    @property
    def _is_spot(self) -> bool:
        return any(each.exchange is Exchange.Binance for each in self._instruments)

    def is_about_orders(self, method: str, path: str) -> bool:
        return method != "GET" and path not in _HARMLESS and path.split("/")[0] in _ABOUT_ORDERS + _OTHERS

    def _new(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        only(params, _NEW)
        if params.get("positionSide") not in (None, "BOTH"):
            raise Fault("positionSide: hedge mode is not supported")
        instrument = self.instrument(params)
        listing = self.listing(venue, instrument)
        side = wire.SIGNS.get(str(params.get("side")))
        if side is None:
            raise Fault("side must be BUY or SELL")
        known = _TYPES[Exchange.Binance if self._is_spot else Exchange.BinanceUsdm]
        named = str(params.get("type"))
        order_type = known.get(named)
        if order_type is None:
            raise Fault(f"type must be one of {', '.join(known)}")
        tif = str(params.get("timeInForce") or "GTC")
        if tif not in _TIFS:
            raise Fault(f"timeInForce must be one of {', '.join(_TIFS)}")
        price = ticks_of(instrument, params, "price") if order_type in _PRICED else None
        stop = ticks_of(instrument, params, "stopPrice") if order_type in _STOPS else None
        lots = lots_of(instrument, params, "quantity")
        close = is_set(params, "closePosition")
        for name, missing in (
            ("price", price is None and order_type in _PRICED),
            ("stopPrice", stop is None and order_type in _STOPS),
            ("quantity", not lots and not close),
        ):
            if missing:
                raise Fault(f"{name} is required")
        post_only = named == wire.LIMIT_MAKER or tif == wire.POST_ONLY_TIF
        client_id = venue.send(
            listing,
            side,
            0 if close else lots or 0,
            price,
            Waiting(lambda answer: done(self._new_row(venue, client_id, answer)), failed),
            order_type=order_type,
            exec_instr=ExecInstructions(post_only + 2 * is_set(params, "reduceOnly")),
            tif=_TIFS[tif],
            stop_ticks=stop,
            close=close,
        )
        self.name(venue, client_id, params.get("newClientOrderId"))

    def _amend(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        only(params, _NAMED | {"side", "quantity", "price"})
        order = self.own(venue, params.get("orderId"), params.get("origClientOrderId"))
        price, lots = ticks_of(order.instrument, params, "price"), lots_of(order.instrument, params, "quantity")
        if price is None and not lots:
            raise Fault("at least one of price and quantity is needed")
        venue.amend(order, price, lots, Waiting(lambda _: done(self.row(order)), failed))

    def _cancel(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        only(params, _NAMED | {"newClientOrderId"})
        order_id = params.get("orderId")
        if not order_id:
            order_id = self.own(venue, None, params.get("origClientOrderId")).exchange_id
        venue.cancel_one(str(order_id), Waiting(lambda gone: done(self._gone(gone[0])), failed))

    def _cancel_all(self, venue: VenueStrategy, params: Params, done: Done[Any], failed: Failed) -> None:
        only(params, _SENT_BY_US | {"symbol"})
        listing = self.listing(venue, self.instrument(params))

        def told(gone: Sequence[Gone]) -> None:
            if self._is_spot:
                done([self._gone(each) for each in gone])
            else:
                done({"code": 200, "msg": "The operation of cancel all open order is done."})

        venue.cancel_account(listing, Waiting(told, failed))

    # -- answers -----------------------------------------------------------------------------------------------------

    def row(self, order: TrackedOrder) -> dict[str, Any]:
        """An order as it stands."""
        instrument = order.instrument
        kinds = wire.SPOT_TYPES if self._is_spot else wire.USDM_TYPES
        when = "transactTime" if self._is_spot else "updateTime"
        post_only = order.exec_instr.post_only
        return {
            "symbol": instrument.symbol,
            "orderId": _number(order.exchange_id),
            "clientOrderId": self.shown(order),
            when: self._clock.now // MS,
            "price": price_text(instrument, order.price),
            "stopPrice": price_text(instrument, order.stop_price),
            "origQty": qty_text(instrument, order.qty),
            "executedQty": qty_text(instrument, order.filled),
            "status": _STATUSES.get(order.state, "NEW"),
            "timeInForce": wire.POST_ONLY_TIF if post_only and not self._is_spot else wire.TIFS.get(order.tif, "GTC"),
            "type": wire.LIMIT_MAKER if post_only and self._is_spot else kinds[order.order_type],
            "side": wire.SIDES[order.side],
        }

    def _new_row(self, venue: VenueStrategy, client_id: str, answer: Mapping[str, Any]) -> dict[str, Any]:
        order = venue.session.orders.get(client_id)
        if order is None:
            return {"orderId": _number(answer["order_id"])}
        return self.row(order)

    def _gone(self, gone: Gone) -> dict[str, Any]:
        order = gone.order
        if isinstance(order, TrackedOrder):
            return self.row(order)
        instrument = order.instrument
        return {
            "symbol": instrument.symbol,
            "orderId": _number(order.order_id),
            "price": price_text(instrument, order.price),
            "origQty": qty_text(instrument, order.qty),
            "executedQty": qty_text(instrument, order.qty - order.leaves),
            "status": "CANCELED",
            "side": wire.SIDES[order.side],
        }


def _number(order_id: str) -> int | str:
    """Ids are numbers at Binance; those of orders that wait for a trigger are not, here."""
    return int(order_id) if order_id.isdigit() else order_id
