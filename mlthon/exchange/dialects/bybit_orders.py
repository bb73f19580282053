"""Bybit's order requests: from the body of a create, amend or cancel to a request of a served account, and from a
refusal to Bybit's code and words.

A refused order is refused in the answer to its request, as Bybit does for prices, quantities and money. One that is
post-only and would trade is accepted and then cancelled.

Codes: https://bybit-exchange.github.io/docs/v5/error.
"""

from collections.abc import Callable
from typing import Any, Final

from attrs import Factory, frozen

from mlthon.basics.defs import TIF, GtwRejectCode, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.basics.mldecimal import MLDecimal
from mlthon.basics.money import UNIT, parse
from mlthon.basics.scale import NotOnStep, Scale
from mlthon.engine.faces import NO_ASK
from mlthon.exchange.dialects.bybit_rows import MOST_PRICE, price
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.market import ServedMarket
from mlthon.exchange.served.records import NewOrder, Refusal, ServedOrder
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors

ID_LENGTH: Final = 36
MANY_SPOT: Final = 170135

_TIFS: Final = {"GTC": TIF.GTC, "IOC": TIF.IOC, "FOK": TIF.FOK, "PostOnly": TIF.GTC}
UNSUPPORTED: Final = ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice", "bboSideType", "orderIv")
"""Parameters that change what an order does and that are not served: refused instead of left out."""

_REFUSALS: Final[dict[GtwRejectCode, tuple[int, int, str]]] = {
    GtwRejectCode.InvalidPrice: (110003, 170132, "Order price exceeds the allowable range."),
    GtwRejectCode.PriceNotOnTick: (errors.PARAMETER, 170134, "Order price has too many decimals."),
    GtwRejectCode.InvalidQty: (errors.PARAMETER, 170130, "Qty invalid"),
    GtwRejectCode.QtyNotOnLot: (errors.PARAMETER, 170137, "Order quantity has too many decimals."),
    GtwRejectCode.QtyBelowMinimum: (errors.PARAMETER, 170136, "The number of contracts is below the minimum."),
    GtwRejectCode.QtyAboveMaximum: (errors.PARAMETER, MANY_SPOT, "The number of contracts exceeds maximum limit."),
    GtwRejectCode.NotionalBelowMinimum: (110094, 170140, "Order does not meet minimum order value."),
    GtwRejectCode.ReduceOnlyWouldIncrease: (
        110017,
        errors.PARAMETER,
        "current position is zero, cannot fix reduce-only order qty",
    ),
    GtwRejectCode.StopWouldTrigger: (110092, 170194, "expect the trigger price on the other side of the last price"),
    GtwRejectCode.NoMarket: (110063, 170151, "There is nobody to trade with."),
    GtwRejectCode.InsufficientBalance: (110007, 170131, "ab not enough for new order"),
    GtwRejectCode.InsufficientMargin: (110007, 170131, "ab not enough for new order"),
    GtwRejectCode.UnknownOrder: (110001, 170213, "order not exists or too late to cancel"),
    GtwRejectCode.OrderNotOpen: (110001, 170213, "order not exists or too late to cancel"),
    GtwRejectCode.GtwNotReady: (10016, 10016, "Internal server error: trading is halted."),
    GtwRejectCode.InvalidRequest: (errors.PARAMETER, errors.PARAMETER, "params error"),
    GtwRejectCode.UnsupportedOrder: (errors.PARAMETER, 170115, "params error"),
}
"""What the embedded exchange refuses -> code of derivatives, code of spot, words."""


class BybitError(Exception):
    """A request that is answered by a code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@frozen
class Reply:
    """What a request about orders is answered: `code` 0 for a success, whose `result` goes out. `extra`: what a batch
    says of each of its parts (`retExtInfo`)."""

    code: int
    message: str
    result: dict[str, Any]
    extra: dict[str, Any] = Factory(dict)


Answer = Callable[[Reply], None]


def refusal(instrument: Instrument, code: GtwRejectCode, reason: str) -> BybitError:
    """A refusal of the embedded exchange in Bybit's code; its own words go along behind Bybit's."""
    derivative, spot, words = _REFUSALS.get(code, (errors.PARAMETER, errors.PARAMETER, "params error"))
    return BybitError(spot if tables.category(instrument) == tables.SPOT else derivative, f"{words} ({reason})")


def market_of(served: ServedExchange, body: dict[str, Any]) -> ServedMarket:
    """The market of a request's category and symbol. Raises `BybitError`."""
    wanted = category_of(body)
    symbol = _text(body, "symbol")
    if not symbol:
        raise BybitError(errors.PARAMETER, "params error: symbol missing")
    market = served.market(symbol, lambda instrument: tables.category(instrument) == wanted)
    if market is None:
        code = 170121 if wanted == tables.SPOT else errors.PARAMETER
        raise BybitError(code, f"params error: symbol invalid {symbol}")
    return market


def category_of(body: dict[str, Any]) -> str:
    """The category of a request. Raises `BybitError`."""
    wanted = _text(body, "category")
    if wanted not in tables.CATEGORIES:
        raise BybitError(errors.PARAMETER, "Illegal category" if wanted else "params error: category missing")
    return wanted


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return "" if value is None else str(value)


def steps(scale: Scale[Any], text: str, name: str) -> int:
    """A price or quantity in steps. Raises `BybitError` for what is no number or not on a step."""
    try:
        return scale.steps(MLDecimal(text))
    except NotOnStep:
        raise BybitError(errors.PARAMETER, f"params error: {name} {text} is not a multiple of {scale.step}") from None
    except (ValueError, TypeError):
        raise BybitError(errors.PARAMETER, f"params error: {name} {text!r} is no number") from None


def ticks_of(instrument: Instrument, text: str, name: str) -> int:
    """A price in ticks. Raises `BybitError`, also for one above what instruments-info says."""
    ticks = steps(instrument.price_scale, text, name)
    if ticks * instrument.price_scale.step_units > parse(MOST_PRICE):
        raise refusal(instrument, GtwRejectCode.InvalidPrice, f"{name} {text} is above {MOST_PRICE}")
    return ticks


# -- create ------------------------------------------------------------------------------------------------------------


def create(served: ServedExchange, account: ServedAccount, body: dict[str, Any], answer: Answer) -> None:
    """Place an order; answered when the exchange has accepted or refused it. Raises `BybitError`."""
    market = market_of(served, body)
    new = new_order(market, body)
    if new.client_id and account.by_client(new.client_id) is not None:
        spot = tables.category(market.instrument) == tables.SPOT
        code = errors.SPOT_DUPLICATE_LINK_ID if spot else errors.DUPLICATE_LINK_ID
        raise BybitError(code, "OrderLinkedID is duplicate")

    def done(order: ServedOrder) -> None:
        if order.status is OrderStatus.Rejected and order.reject_code is not GtwRejectCode.PostOnlyWouldTake:
            error = refusal(order.instrument, order.reject_code, order.reason)
            answer(Reply(error.code, error.message, {}))
        else:
            answer(Reply(0, "OK", ids(order)))

    account.place(new, done)


def ids(order: ServedOrder) -> dict[str, Any]:
    """The whole result of a request about an order."""
    return {"orderId": order.order_id, "orderLinkId": order.client_id}


def new_order(market: ServedMarket, body: dict[str, Any]) -> NewOrder:
    """The order that a body asks for. Raises `BybitError`."""
    instrument = market.instrument
    side = tables.SIDES.get(_text(body, "side"))
    if side is None:
        raise BybitError(errors.PARAMETER, "params error: side invalid")
    kind = _text(body, "orderType")
    if kind not in ("Limit", "Market"):
        raise BybitError(errors.PARAMETER, "params error: orderType invalid")
    given_tif = _text(body, "timeInForce") or ("GTC" if kind == "Limit" else "IOC")
    tif = _TIFS.get(given_tif)
    if tif is None:
        raise BybitError(errors.PARAMETER, "params error: timeInForce invalid")
    for name in UNSUPPORTED:
        if _text(body, name) not in ("", "0"):
            raise BybitError(errors.PARAMETER, f"params error: {name} is not served by this local exchange")
    if _text(body, "positionIdx") not in ("", "0"):
        raise BybitError(errors.PARAMETER, "position idx not match position mode")
    client_id = _text(body, "orderLinkId")
    if len(client_id) > ID_LENGTH:
        raise BybitError(errors.PARAMETER, "params error: orderLinkId is longer than 36 characters")
    limit = kind == "Limit"
    extra: dict[str, Any] = {}
    if market.last_price is not None:
        extra["last"] = price(instrument, market.last_price)
    order_type, stop = _conditional(market, side, limit, body)
    return NewOrder(
        instrument=instrument,
        side=side,
        qty=_quantity(market, side, limit, body, extra),
        price=ticks_of(instrument, _text(body, "price"), "price") if limit else 0,
        order_type=order_type,
        tif=tif if limit else TIF.GTC,
        post_only=limit and given_tif == "PostOnly",
        reduce_only=body.get("reduceOnly") in (True, "true"),
        stop_price=stop,
        client_id=client_id,
        extra=extra,
    )


def _quantity(market: ServedMarket, side: int, limit: bool, body: dict[str, Any], extra: dict[str, Any]) -> int:
    """The lots of an order. A market buy on spot names what to spend, unless `marketUnit` says otherwise."""
    instrument = market.instrument
    text = _text(body, "qty")
    unit = _text(body, "marketUnit")
    spot = tables.category(instrument) == tables.SPOT
    in_quote = spot and not limit and (unit == "quoteCoin" or (not unit and side > 0))
    if not in_quote:
        return steps(instrument.qty_scale, text, "qty")
    try:
        amount = parse(text)
    except ValueError:
        raise BybitError(errors.PARAMETER, f"params error: qty {text!r} is no number") from None
    bid, _, ask, _ = market.touch
    at = ask if side > 0 else bid
    if at == NO_ASK or at <= 0:
        raise refusal(instrument, GtwRejectCode.NoMarket, "the other side of the book is empty")
    extra["qty"] = text
    return amount * UNIT // (at * instrument.price_scale.step_units) // instrument.qty_scale.step_units


def _conditional(market: ServedMarket, side: int, limit: bool, body: dict[str, Any]) -> tuple[OrderType, int | None]:
    """The kind of an order and its trigger price, if it has one."""
    text = _text(body, "triggerPrice")
    plain = OrderType.Limit if limit else OrderType.Market
    spot = tables.category(market.instrument) == tables.SPOT
    if text in ("", "0") or (spot and _text(body, "orderFilter") in ("", "Order")):
        return plain, None
    stop = ticks_of(market.instrument, text, "triggerPrice")
    if spot:
        direction = tables.RISING if stop > (market.last_price or 0) else tables.FALLING
    else:
        given = _text(body, "triggerDirection")
        if given not in (str(tables.RISING), str(tables.FALLING)):
            raise BybitError(errors.PARAMETER, "params error: triggerDirection invalid")
        direction = int(given)
    against = (direction == tables.RISING) == (side > 0)
    if against:
        return OrderType.StopLimit if limit else OrderType.Stop, stop
    if limit:
        raise BybitError(
            errors.PARAMETER,
            "params error: a limit order that waits for a better price is not served by this local exchange",
        )
    return OrderType.TakeProfit, stop


# -- amend and cancel --------------------------------------------------------------------------------------------------


def find(served: ServedExchange, account: ServedAccount, body: dict[str, Any]) -> ServedOrder:
    """The open order that a request names. Raises `BybitError`."""
    market = market_of(served, body)
    order_id, client_id = _text(body, "orderId"), _text(body, "orderLinkId")
    if not order_id and not client_id:
        raise BybitError(errors.PARAMETER, "params error: orderId or orderLinkId is required")
    order = account.find(order_id, client_id)
    if order is None or order.instrument != market.instrument or not order.is_open:
        raise refusal(market.instrument, GtwRejectCode.UnknownOrder, "no open order by that id")
    return order


def amend(served: ServedExchange, account: ServedAccount, body: dict[str, Any], answer: Answer) -> None:
    """Change an order. Raises `BybitError`."""
    order = find(served, account, body)
    instrument = order.instrument
    for name in (*UNSUPPORTED, "triggerPrice"):
        if _text(body, name) not in ("", "0"):
            raise BybitError(errors.PARAMETER, f"params error: amending {name} is not served by this local exchange")
    new_price = _text(body, "price")
    new_qty = _text(body, "qty")
    ticks = ticks_of(instrument, new_price, "price") if new_price not in ("", "0") else None
    lots = steps(instrument.qty_scale, new_qty, "qty") if new_qty not in ("", "0") else None
    if ticks is None and lots is None:
        raise BybitError(errors.PARAMETER, "params error: nothing to amend")
    if ticks in (None, order.price) and lots in (None, order.qty):
        raise BybitError(
            errors.PARAMETER, "The order remains unchanged as the parameters entered match the existing ones."
        )
    account.amend(order, ticks, lots, _answered(answer))


def cancel(served: ServedExchange, account: ServedAccount, body: dict[str, Any], answer: Answer) -> None:
    """Cancel an order. Raises `BybitError`."""
    account.cancel(find(served, account, body), _answered(answer))


def _answered(answer: Answer) -> Callable[[ServedOrder, Refusal | None], None]:
    def done(order: ServedOrder, refused: Refusal | None) -> None:
        if refused is None:
            answer(Reply(0, "OK", ids(order)))
        else:
            error = refusal(order.instrument, refused.code, refused.reason)
            answer(Reply(error.code, error.message, {}))

    return done


def cancel_all(served: ServedExchange, account: ServedAccount, body: dict[str, Any], answer: Answer) -> None:
    """Cancel the orders of a category, by symbol, base coin or settle coin. Raises `BybitError`."""
    wanted = category_of(body)
    symbol, base, settle = _text(body, "symbol"), _text(body, "baseCoin"), _text(body, "settleCoin")
    if symbol:
        market_of(served, body)
    elif wanted != tables.SPOT and not base and not settle:
        raise BybitError(errors.PARAMETER, "params error: symbol, baseCoin or settleCoin is required")
    chosen = [
        order
        for order in account.open_orders()
        if tables.category(order.instrument) == wanted
        and (not symbol or order.instrument.symbol == symbol)
        and (not base or order.instrument.base_currency == base)
        and (not settle or order.instrument.settle_currency == settle)
    ]

    def done(cancelled: list[ServedOrder]) -> None:
        answer(Reply(0, "OK", {"list": [ids(order) for order in cancelled], "success": "1"}))

    account.cancel_many(chosen, done)


OPERATIONS: Final = {
    tables.CREATE: create,
    tables.AMEND: amend,
    tables.CANCEL: cancel,
    tables.CANCEL_ALL: cancel_all,
}
"""REST path -> what carries it out."""
