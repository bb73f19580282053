"""Binance's side of its protocol: spot (`/api/v3`, `/ws-api/v3`) and USD-M futures (`/fapi`), on a served exchange.

What it does as the exchange does (sources in the `mlthon.protocols.binance_*` modules):

- parameters may stand in the query or a form body; the signature covers both as sent; timestamp and recvWindow are
  enforced (-1021), keys (-2014, -2015) and signatures (-1022) too; weights and order counts are told in headers;
- a spot order's answer carries its fills; a crossing post-only order is refused (-2010 on spot, -5022 on USD-M), and
  what an IOC or FOK did not get EXPIRES;
- spot has no listen keys any more (410): user data comes over the websocket API; USD-M still has them;
- conditional orders of USD-M are algo orders, with ids and events of their own.

Streams are in `binance_streams`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Final

import msgspec

from mlthon.basics.defs import TIF, Exchange, GtwRejectCode, OrderStatus, OrderType
from mlthon.basics.money import UNIT, parse
from mlthon.engine.clock import MS, SECOND, Handle
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.dialects import binance_rows as rows
from mlthon.exchange.dialects.binance_fault import Fault, ReplaceFault
from mlthon.exchange.dialects.binance_streams import StreamSocket
from mlthon.exchange.dialects.binance_ws_api import WsApiSocket
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.contract import (
    Respond,
    ServerRequest,
    ServerResponse,
    ServerSocket,
    SocketHandler,
    Unserved,
)
from mlthon.exchange.served.exchange import ApiKey, IdStyle, ServedExchange
from mlthon.exchange.served.limits import Windows, same
from mlthon.exchange.served.market import ServedMarket
from mlthon.exchange.served.records import NewOrder, Refusal, ServedOrder
from mlthon.protocols import binance_account as wire
from mlthon.protocols import binance_rules as rules
from mlthon.protocols import binance_signing as signing

Params = Mapping[str, str]
Send = Callable[[Any], None]

LISTEN_KEY_MINUTES: Final = 60
MOST_ROWS: Final = 1000
USUAL_ROWS: Final = 500
DEFAULT_WEIGHT: Final = 1
INTERVALS_S: Final = {name: seconds for seconds, name in wire.INTERVALS.items() if seconds >= 60}
WEEK_OFFSET: Final = 4 * 86_400 * SECOND
"""Weeks begin on Monday, and 1970 on a Thursday."""


def missing(name: str) -> Fault:
    """A parameter that is needed and not there."""
    return Fault(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def malformed(name: str) -> Fault:
    return Fault(-1100, f"Illegal characters found in parameter '{name}'; legal range is a decimal number.")


INVALID_SYMBOL: Final = (-1121, "Invalid symbol.")
UNKNOWN_ORDER: Final = (-2011, "Unknown order sent.")
NO_SUCH_ORDER: Final = (-2013, "Order does not exist.")

_COMMON: Final = {
    GtwRejectCode.OrderNotOpen: UNKNOWN_ORDER,
    GtwRejectCode.UnknownOrder: UNKNOWN_ORDER,
    GtwRejectCode.GtwNotReady: (-1008, "Server is currently overloaded with other requests. Please try again later."),
}
_SPOT_FAULTS: Final = _COMMON | {
    GtwRejectCode.PostOnlyWouldTake: (-2010, "Order would immediately match and take."),
    GtwRejectCode.InsufficientBalance: (-2010, "Account has insufficient balance for requested action."),
    GtwRejectCode.StopWouldTrigger: (-2010, "Stop price would trigger immediately."),
    GtwRejectCode.PriceNotOnTick: (-1013, "Filter failure: PRICE_FILTER"),
    GtwRejectCode.InvalidPrice: (-1013, "Filter failure: PRICE_FILTER"),
    GtwRejectCode.QtyNotOnLot: (-1013, "Filter failure: LOT_SIZE"),
    GtwRejectCode.QtyBelowMinimum: (-1013, "Filter failure: LOT_SIZE"),
    GtwRejectCode.QtyAboveMaximum: (-1013, "Filter failure: LOT_SIZE"),
    GtwRejectCode.InvalidQty: (-1013, "Invalid quantity."),
    GtwRejectCode.NotionalBelowMinimum: (-1013, "Filter failure: NOTIONAL"),
}
_USDM_FAULTS: Final = _COMMON | {
    GtwRejectCode.PostOnlyWouldTake: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
    GtwRejectCode.InsufficientMargin: (-2019, "Margin is insufficient."),
    GtwRejectCode.ReduceOnlyWouldIncrease: (-2022, "ReduceOnly Order is rejected."),
    GtwRejectCode.StopWouldTrigger: (-2021, "Order would immediately trigger."),
    GtwRejectCode.PriceNotOnTick: (-4014, "Price not increased by tick size."),
    GtwRejectCode.InvalidPrice: (-4001, "Price less than 0."),
    GtwRejectCode.QtyNotOnLot: (-1111, "Precision is over the maximum defined for this asset."),
    GtwRejectCode.QtyBelowMinimum: (-4004, "Quantity less than min quantity."),
    GtwRejectCode.QtyAboveMaximum: (-4005, "Quantity greater than max quantity."),
    GtwRejectCode.InvalidQty: (-4003, "Quantity less than or equal to zero."),
    GtwRejectCode.NotionalBelowMinimum: (
        -4164,
        "Order's notional must be no smaller than 5 (unless you choose reduce only).",
    ),
}
_EXPIRED: Final = (GtwRejectCode.FokNotFillable, GtwRejectCode.NoMarket)
"""What the embedded exchange refuses and Binance takes and lets expire."""

_CALLS: Final = {
    (each.exchange, each.method, each.path): each
    for group in (rules.Spot, rules.Usdm)
    for each in vars(group).values()
    if isinstance(each, rules.Call)
}

Handler = Callable[["BinanceDialect", ApiKey | None, Params, Send], None]


class BinanceDialect:
    """What spot and USD-M have in common."""

    name: ClassVar[str]
    exchange: Exchange
    ids: ClassVar[IdStyle] = IdStyle.NUMBER
    instruments: ClassVar[tuple[str, ...]] = ("BTCUSDT", "ETHUSDT")
    sockets: ClassVar[dict[str, str]]
    routes: ClassVar[Mapping[tuple[str, str], tuple[Handler, str]]]
    """(method, path) -> handler, and how far a key is needed: `public`, `keyed`, `signed`."""
    faults: ClassVar[Mapping[GtwRejectCode, tuple[int, str]]]
    usdm: ClassVar[bool]

    def __init__(self, served: ServedExchange) -> None:
        self.served = served
        self.clock = served.clock
        self.listen_keys: dict[str, tuple[ServedAccount, int]] = {}
        self._windows = Windows()
        self._countdowns: dict[tuple[str, str], Handle] = {}
        self._ids = 0

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def http(self, request: ServerRequest, respond: Respond) -> None:
        headers = {"content-type": "application/json;charset=UTF-8"}

        def answer(status: int, body: Any) -> None:
            respond(ServerResponse(status, msgspec.json.encode(body), headers))

        def send(body: Any) -> None:
            if isinstance(body, Fault):
                answer(body.status, body.body())
            else:
                answer(200, body)

        try:
            found = self.routes.get((request.method, request.path))
            if found is None:
                raise Fault(-1000, f"There is no {request.method} {request.path}.", 404)
            handler, needs = found
            self._count(request, headers)
            params = parameters(request)
            handler(self, self._key(request, params, needs), params, send)
        except Fault as fault:
            send(fault)

    def busy(self, request: ServerRequest) -> ServerResponse:
        body = {"code": -1003, "msg": "Too many requests; current limit of IP is exceeded."}
        return ServerResponse(429, msgspec.json.encode(body), {"retry-after": "1", "content-type": "application/json"})

    def _count(self, request: ServerRequest, headers: dict[str, str]) -> None:
        """Count a request, tell the counts, refuse what is too much."""
        call = _CALLS.get((self.exchange, request.method, request.path))
        weight = DEFAULT_WEIGHT if call is None else call.weight
        key = request.headers.get(signing.KEY_HEADER.lower(), "")
        spelled = {name: header for header, name in rules.USAGE_HEADERS.items()}
        for rule, limit, seconds in rules.LIMITS[self.exchange]:
            counts = rule == rules.WEIGHT or (call is not None and call.order)
            if not counts:
                continue
            who = request.client if rule == rules.WEIGHT else key
            use = self._windows.use(
                who, rule, limit, seconds * SECOND, self.clock.now, weight if rule == rules.WEIGHT else 1
            )
            headers[spelled[rule]] = str(use.limit - use.remaining)
            if not use.allowed:
                headers["retry-after"] = str(max(1, (use.reset_ts - self.clock.now) // SECOND))
                raise Fault(-1003, "Too many requests; current limit of IP is exceeded.", 429)

    def _key(self, request: ServerRequest, params: Params, needs: str) -> ApiKey | None:
        if needs == "public":
            return None
        name = request.headers.get(signing.KEY_HEADER.lower(), "")
        if not name:
            raise Fault(-2014, "API-key format invalid.", 401)
        key = self.served.keys.get(name)
        if key is None:
            raise Fault(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        if needs == "signed":
            text = _unsigned(request)
            self.check(key, text, params)
        return key

    def check(self, key: ApiKey, text: str, params: Params) -> None:
        """Whether a signed text is in time and truly signed. Raises Fault."""
        stamp, window = params.get(signing.TIMESTAMP, ""), params.get(signing.RECV_WINDOW) or ""
        if not stamp.isdigit() or len(stamp) > 16:
            raise missing(signing.TIMESTAMP)
        if window and not window.replace(".", "", 1).isdigit():
            raise malformed(signing.RECV_WINDOW)
        allowed = float(window) if window else signing.DEFAULT_RECV_WINDOW_MS
        if allowed > signing.MAX_RECV_WINDOW_MS:
            raise Fault(-1131, "recvWindow must be less than 60000.")
        now = self.clock.now // MS
        if int(stamp) >= now + signing.MAX_AHEAD_MS:
            raise Fault(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now - int(stamp) > allowed:
            raise Fault(-1021, "Timestamp for this request is outside of the recvWindow.")
        if not same(params.get(signing.SIGNATURE, ""), signing.hmac_signature(key.secret, text)):
            raise Fault(-1022, "Signature for this request is not valid.")

    # -- websockets --------------------------------------------------------------------------------------------------

    def connect(self, socket: ServerSocket) -> SocketHandler:
        path = socket.path
        if path.startswith(("/ws-api", "/ws-fapi")):
            return WsApiSocket(self, socket)
        for prefix in ("", "/public", "/market", "/private"):
            if path.startswith((f"{prefix}/ws", f"{prefix}/stream")):
                return StreamSocket(self, socket, combined=path.startswith(f"{prefix}/stream"))
        socket.close(1008, "no such stream path")
        return Unserved()

    def listener(self, listen_key: str) -> ServedAccount | None:
        """The account of a listen key that has not expired."""
        found = self.listen_keys.get(listen_key)
        return found[0] if found is not None and found[1] > self.clock.now else None

    # -- what requests name ------------------------------------------------------------------------------------------

    def market(self, params: Params) -> ServedMarket:
        """The market of `symbol`. Raises Fault."""
        if not params.get("symbol"):
            raise missing("symbol")
        found = self.served.market(params["symbol"])
        if found is None:
            raise Fault(*INVALID_SYMBOL)
        return found

    def markets(self, params: Params) -> list[ServedMarket]:
        """The market of `symbol`, all without one."""
        return [self.market(params)] if params.get("symbol") else list(self.served.markets.values())

    def named(
        self, account: ServedAccount, params: Params, names: tuple[str, str], code: tuple[int, str]
    ) -> ServedOrder:
        """The order that an id or a client id names. Raises Fault."""
        by_id, by_client = params.get(names[0]), params.get(names[1])
        if not by_id and not by_client:
            raise Fault(-1102, f"Param '{names[1]}' or '{names[0]}' must be sent, but both were empty/null!")
        found = account.find(by_id or "", by_client or "")
        if found is None or ("symbol" in params and found.instrument.symbol != params["symbol"]):
            raise Fault(*code)
        return found

    def client_id(self) -> str:
        """An id for who sends none."""
        self._ids += 1
        return self.served.styled("client", self._ids).replace("-", "")[:22].rjust(1, "0") + f"l{self._ids}"

    def refused(self, refusal: Refusal) -> Fault:
        """The error for what the embedded exchange refused."""
        code, message = self.faults.get(refusal.code, (-2010 if not self.usdm else -1000, refusal.reason))
        return Fault(code, message)

    def count_down(self, account: ServedAccount, market: ServedMarket, timeout_ms: int) -> None:
        """Cancel the symbol's orders in that time unless told anew before; 0 stops it."""
        key = (account.name, market.instrument.symbol)
        before = self._countdowns.pop(key, None)
        if before is not None:
            before.cancel()
        if timeout_ms:
            self._countdowns[key] = self.clock.schedule(
                self.clock.now + timeout_ms * MS,
                lambda: account.cancel_many(account.open_orders(market.instrument)) and None,
            )

    # -- orders, for HTTP and the websocket API ----------------------------------------------------------------------

    def place(self, account: ServedAccount, params: Params, done: Callable[[ServedOrder], None]) -> None:
        """Send the order that the parameters ask for. Raises Fault."""
        account.place(self._new_order(account, params), done)

    def _new_order(self, account: ServedAccount, params: Params) -> NewOrder:
        market = self.market(params)
        instrument = market.instrument
        side = wire.SIGNS.get(params.get("side", ""))
        if side is None:
            raise missing("side") if not params.get("side") else Fault(-1117, "Invalid side.")
        spelled = params.get("type", "")
        table = wire.USDM_TYPES if self.usdm else wire.SPOT_TYPES
        order_type = wire.TYPE_OF.get(spelled)
        if order_type is None or spelled not in {*table.values(), *(() if self.usdm else ("LIMIT_MAKER",))}:
            raise Fault(-1116, "Invalid orderType.")
        priced = order_type in (OrderType.Limit, OrderType.StopLimit)
        given_tif = params.get("timeInForce", "")
        if priced and spelled != "LIMIT_MAKER" and not given_tif:
            raise missing("timeInForce")
        if given_tif and (given_tif not in wire.TIF_OF or (given_tif == "GTX" and not self.usdm)):
            raise Fault(-1115, "Invalid timeInForce.")
        client_id = params.get("newClientOrderId") or params.get("clientAlgoId") or self.client_id()
        if len(client_id) > 36:
            raise Fault(-1105, "Parameter 'newClientOrderId' was too long.")
        before = account.by_client(client_id)
        if before is not None and before.is_open:
            raise Fault(-4116, "ClientOrderId is duplicated.") if self.usdm else Fault(-2010, "Duplicate order sent.")
        waits = order_type in wire.STOP_TYPES
        closing = params.get("closePosition", "").lower() == "true"
        qty = self._quantity(market, params, side, closing)
        price = _steps(params, "price", instrument.price_scale.step_units, self.faults[GtwRejectCode.PriceNotOnTick])
        stop_name = "triggerPrice" if "triggerPrice" in params else "stopPrice"
        stop = _steps(params, stop_name, instrument.price_scale.step_units, self.faults[GtwRejectCode.PriceNotOnTick])
        if priced and not price:
            raise missing("price")
        if waits and not stop:
            raise missing(stop_name)
        return NewOrder(
            instrument=instrument,
            side=side,
            qty=qty,
            price=price or 0 if priced else 0,
            order_type=order_type,
            tif=wire.TIF_OF[given_tif] if given_tif else TIF.IOC if order_type is OrderType.Market else TIF.GTC,
            post_only=spelled == wire.LIMIT_MAKER or given_tif == wire.POST_ONLY_TIF,
            reduce_only=params.get("reduceOnly", "").lower() == "true" or closing,
            close_position=closing,
            stop_price=stop if waits else None,
            client_id=client_id,
            extra={"type": spelled},
        )

    def _quantity(self, market: ServedMarket, params: Params, side: int, closing: bool) -> int:
        lot = market.instrument.qty_scale.step_units
        qty = _steps(params, "quantity", lot, self.faults[GtwRejectCode.QtyNotOnLot])
        if qty:
            return qty
        if closing:
            return 0
        spend = _units(params, "quoteOrderQty")
        if spend is None or self.usdm:
            raise missing("quantity")
        bid, _, ask, _ = market.touch
        ticks = ask if side > 0 else bid
        if ticks in (NO_BID, NO_ASK):
            raise self.refused(Refusal(GtwRejectCode.NoMarket, "there is no market"))
        return spend // market.contract.unit_value(ticks)

    def cancel(self, account: ServedAccount, order: ServedOrder, done: Callable[[Refusal | None], None]) -> None:
        """Cancel an order, telling how it went."""
        account.cancel(order, lambda _, refusal: done(refusal))


def parameters(request: ServerRequest) -> dict[str, str]:
    """Query and form body together."""
    return {**request.params, **request.form}


def _unsigned(request: ServerRequest) -> str:
    """What the signature covers: query and body as sent, without the signature."""
    body = request.body.decode(errors="replace")
    parts = [_without_signature(request.query), _without_signature(body)]
    return "".join(parts)


def _without_signature(text: str) -> str:
    if "signature=" not in text:
        return text
    return "&".join(each for each in text.split("&") if not each.startswith("signature="))


def _units(params: Params, name: str) -> int | None:
    """An optional decimal number in 10^-18. Raises Fault."""
    given = params.get(name)
    if given is None or given == "":
        return None
    try:
        units = parse(given)
    except (ValueError, ArithmeticError):
        raise malformed(name) from None
    if units < 0:
        raise malformed(name)
    return units


def _steps(params: Params, name: str, step: int, fault: tuple[int, str]) -> int | None:
    units = _units(params, name)
    if units is None:
        return None
    steps, rest = divmod(units, step)
    if rest:
        raise Fault(*fault)
    return steps


def whole(params: Params, name: str, usual: int | None, most: int = 1 << 62) -> int:
    """An optional whole number. Raises Fault."""
    given = params.get(name, "")
    if not given:
        if usual is None:
            raise missing(name)
        return usual
    if not given.lstrip("-").isdigit() or len(given) > 19:
        raise malformed(name)
    if int(given) < 0:
        raise malformed(name)
    return min(int(given), most)


def account_of(key: ApiKey | None) -> ServedAccount:
    """The account of a request that needs a key."""
    if key is None:
        raise Fault(-2014, "API-key format invalid.", 401)
    return key.account


def trader(key: ApiKey | None) -> ServedAccount:
    """The same for what a read-only key may not do."""
    if key is not None and key.read_only:
        raise Fault(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    return account_of(key)


# -- market data, the same on both -------------------------------------------------------------------------------------


def _ping(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send({})


def _time(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send({"serverTime": dialect.clock.now // MS})


def _exchange_info(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send(
        {
            "timezone": "UTC",
            "serverTime": dialect.clock.now // MS,
            "rateLimits": rows.rate_limits(dialect.exchange),
            "exchangeFilters": [],
            "assets": [],
            "symbols": [rows.symbol_row(market) for market in dialect.markets(params)],
        }
    )


def _depth(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    count = whole(params, "limit", 100 if not dialect.usdm else 500, 5000)
    now = dialect.clock.now // MS
    body = {"lastUpdateId": market.seq}
    if dialect.usdm:
        body |= {"E": now, "T": now}
    send(body | {"bids": rows.levels(market, 1, count), "asks": rows.levels(market, -1, count)})


def _public_trades(
    row: Callable[[ServedMarket, Any], rows.Row],
    dialect: BinanceDialect,
    key: ApiKey | None,
    params: Params,
    send: Send,
) -> None:
    market = dialect.market(params)
    count = whole(params, "limit", USUAL_ROWS, MOST_ROWS)
    send([row(market, trade) for trade in list(market.trades)[-count:]])


def _klines(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    name = params.get("interval", "")
    if name not in INTERVALS_S:
        raise Fault(-1120, "Invalid interval.")
    interval = INTERVALS_S[name] * SECOND
    start = whole(params, "startTime", 0) * MS or None
    end = whole(params, "endTime", 0) * MS or None
    count = whole(params, "limit", USUAL_ROWS, 1500)
    if start is not None:
        last = start - start % interval + (count + 1) * interval
        end = last if end is None else min(end, last)
    candles = market.candles(interval, 20_000, start, end, WEEK_OFFSET if name == "1w" else 0)
    chosen = candles[:count] if start is not None else candles[-count:]
    send([rows.kline(market, candle, interval) for candle in chosen])


def _one_or_all(
    row: Callable[[ServedMarket], rows.Row], dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send
) -> None:
    """A row for the symbol, a list without one."""
    found = [row(market) for market in dialect.markets(params)]
    send(found[0] if params.get("symbol") else found)


def _price(market: ServedMarket) -> rows.Row:
    return {"symbol": market.instrument.symbol, "price": rows.price(market.instrument, market.last_price)}


def _no_rows(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """What there is none of here."""
    send([])


# -- orders, the same on both ------------------------------------------------------------------------------------------

ID_NAMES: Final = ("orderId", "origClientOrderId")


def _order_row(dialect: BinanceDialect, order: ServedOrder) -> rows.Row:
    return rows.usdm_order(order) if dialect.usdm else rows.spot_order(order)


def _ordinary(dialect: BinanceDialect, order: ServedOrder) -> bool:
    """Whether it is an order as the ordinary calls know it: an untriggered algo order is not."""
    return not dialect.usdm or order.stop_price is None or order.triggered


def _query(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    order = dialect.named(account_of(key), params, ID_NAMES, NO_SUCH_ORDER)
    if not _ordinary(dialect, order) or order.status is OrderStatus.Rejected:
        raise Fault(*NO_SUCH_ORDER)
    send(_order_row(dialect, order))


def _open_orders(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    instrument = dialect.market(params).instrument if params.get("symbol") else None
    found = account_of(key).open_orders(instrument)
    send([_order_row(dialect, order) for order in found if _ordinary(dialect, order)])


def _all_orders(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    first = whole(params, "orderId", 0)
    start, end = whole(params, "startTime", 0) * MS, whole(params, "endTime", 1 << 53) * MS
    found = sorted(account_of(key).orders.values(), key=lambda order: order.number)
    chosen = [
        _order_row(dialect, order)
        for order in found
        if order.instrument == market.instrument
        and order.number >= first
        and start <= order.created_ts <= end
        and _ordinary(dialect, order)
        and order.status is not OrderStatus.Rejected
    ]
    count = whole(params, "limit", USUAL_ROWS, MOST_ROWS)
    send(chosen[:count] if first or start else chosen[-count:])


def _fills(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    wanted = dialect.market(params).instrument if params.get("symbol") or not dialect.usdm else None
    order_id, first = whole(params, "orderId", 0), whole(params, "fromId", 0)
    start, end = whole(params, "startTime", 0) * MS, whole(params, "endTime", 1 << 53) * MS
    row = rows.usdm_fill if dialect.usdm else rows.spot_fill
    found = [
        row(fill)
        for fill in account_of(key).executions
        if wanted in (None, fill.order.instrument)
        and (not order_id or fill.order.number == order_id)
        and fill.number >= first
        and start <= fill.ts <= end
    ]
    count = whole(params, "limit", USUAL_ROWS, MOST_ROWS)
    send(found[:count] if first or start else found[-count:])


# -- spot --------------------------------------------------------------------------------------------------------------


def spot_answered(dialect: BinanceDialect, params: Params, send: Send, order: ServedOrder) -> None:
    """Answer a new spot order once the exchange has."""
    if order.reject_code is not GtwRejectCode.Unset and order.reject_code not in _EXPIRED:
        send(dialect.refused(Refusal(order.reject_code, order.reason)))
        return
    usual = "FULL" if order.extra["type"] in ("LIMIT", "MARKET") else "ACK"
    row = rows.spot_answer(order, params.get("newOrderRespType") or usual)
    send(row | {"status": "EXPIRED"} if order.reject_code in _EXPIRED and "status" in row else row)


def _spot_place(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    dialect.place(trader(key), params, partial(spot_answered, dialect, params, send))


def _spot_test(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    dialect._new_order(trader(key), params)
    send({})


def _spot_cancel(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = dialect.named(account, params, ID_NAMES, UNKNOWN_ORDER)
    if not order.is_open:
        raise Fault(*UNKNOWN_ORDER)
    cancel_id = order.extra["cancel_id"] = params.get("newClientOrderId") or dialect.client_id()

    def done(refusal: Refusal | None) -> None:
        send(rows.spot_cancelled(order, cancel_id) if refusal is None else dialect.refused(refusal))

    dialect.cancel(account, order, done)


def _spot_cancel_all(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    wanted = list(account.open_orders(dialect.market(params).instrument))
    if not wanted:
        raise Fault(*UNKNOWN_ORDER)
    for order in wanted:
        order.extra["cancel_id"] = dialect.client_id()
    account.cancel_many(
        wanted,
        lambda cancelled: send([rows.spot_cancelled(each, str(each.extra["cancel_id"])) for each in cancelled]),
    )


def _spot_amend(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = dialect.named(account, params, ID_NAMES, NO_SUCH_ORDER)
    instrument = order.instrument
    qty = _steps(params, "newQty", instrument.qty_scale.step_units, dialect.faults[GtwRejectCode.QtyNotOnLot])
    if not order.is_open:
        raise Fault(*NO_SUCH_ORDER)
    if not qty:
        raise missing("newQty")
    if qty >= order.qty or qty <= order.filled:
        raise Fault(-2038, "The requested action would change no state; rejecting.")

    def done(order: ServedOrder, refusal: Refusal | None) -> None:
        if refusal is not None:
            send(dialect.refused(refusal))
            return
        account.rename(order, params.get("newClientOrderId") or dialect.client_id())
        row = rows.spot_order(order)
        send(
            {
                "transactTime": order.updated_ts // MS,
                "executionId": order.number * 10,
                "amendedOrder": {**row, "qty": row["origQty"], "preventedQty": "0", "quoteOrderQty": "0",
                                 "cumulativeQuoteQty": row["cummulativeQuoteQty"]},
            }
        )  # fmt: skip

    account.amend(order, None, qty, done)


def _spot_replace(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """Cancel an order and place a new one."""
    account = trader(key)
    mode = params.get("cancelReplaceMode", "")
    if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
        raise missing("cancelReplaceMode")
    order = dialect.named(account, params, ("cancelOrderId", "cancelOrigClientOrderId"), UNKNOWN_ORDER)
    new = dialect._new_order(account, params)
    cancel_id = order.extra["cancel_id"] = params.get("cancelNewClientOrderId") or dialect.client_id()
    body: dict[str, Any] = {}

    def placed(order: ServedOrder) -> None:
        failed = order.reject_code is not GtwRejectCode.Unset
        body["newOrderResult"] = "FAILURE" if failed else "SUCCESS"
        if failed:
            fault = dialect.refused(Refusal(order.reject_code, order.reason))
            body["newOrderResponse"] = {"code": fault.code, "msg": fault.message}
            send(
                ReplaceFault(
                    -2022 if body["cancelResult"] == "FAILURE" else -2021, "Order cancel-replace failed.", body
                )
            )
        else:
            body["newOrderResponse"] = rows.spot_answer(order, params.get("newOrderRespType") or "FULL")
            send(body)

    def cancelled(_: ServedOrder, refusal: Refusal | None) -> None:
        body["cancelResult"] = "SUCCESS" if refusal is None else "FAILURE"
        if refusal is None:
            body["cancelResponse"] = rows.spot_cancelled(order, cancel_id)
        else:
            fault = dialect.refused(refusal)
            body["cancelResponse"] = {"code": fault.code, "msg": fault.message}
            if mode == "STOP_ON_FAILURE":
                body.update(newOrderResult="NOT_ATTEMPTED", newOrderResponse=None)
                send(ReplaceFault(-2022, "Order cancel-replace failed.", body))
                return
        account.place(new, placed)

    account.cancel(order, cancelled)


def _spot_account(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    maker, taker = (market := next(iter(dialect.served.markets.values()))).market.maker_fee, market.market.taker_fee
    rates = {"maker": rows.rate(maker / UNIT), "taker": rows.rate(taker / UNIT), "buyer": "0", "seller": "0"}
    send(
        {
            "makerCommission": maker * 10_000 // UNIT,
            "takerCommission": taker * 10_000 // UNIT,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": rates,
            "canTrade": key is not None and not key.read_only,
            "canWithdraw": False,
            "canDeposit": False,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": dialect.clock.now // MS,
            "accountType": "SPOT",
            "balances": [rows.spot_balance(account, name) for name in account.coins()],
            "permissions": ["SPOT"],
            "uid": account.number,
        }
    )


def _gone(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    raise Fault(-1000, "This endpoint has been retired: use the websocket API's userDataStream methods.", 410)


# -- USD-M -------------------------------------------------------------------------------------------------------------


def usdm_answered(dialect: BinanceDialect, params: Params, send: Send, order: ServedOrder) -> None:
    """Answer a new USD-M order once the exchange has."""
    if order.reject_code is not GtwRejectCode.Unset and order.reject_code not in _EXPIRED:
        send(dialect.refused(Refusal(order.reject_code, order.reason)))
        return
    row = rows.usdm_order(order)
    if order.reject_code in _EXPIRED:
        row["status"] = "EXPIRED"
    if params.get("newOrderRespType") != "RESULT":
        row |= {"status": "NEW", "executedQty": "0", "cumQty": "0", "cumQuote": "0", "avgPrice": "0.00"}
    send(row)


def _usdm_place(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    if wire.TYPE_OF.get(params.get("type", "")) in wire.STOP_TYPES:
        raise Fault(
            -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        )
    dialect.place(trader(key), params, partial(usdm_answered, dialect, params, send))


def _usdm_amend(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = dialect.named(account, params, ID_NAMES, NO_SUCH_ORDER)
    instrument = order.instrument
    for name in ("side", "quantity", "price"):
        if not params.get(name):
            raise missing(name)
    qty = _steps(params, "quantity", instrument.qty_scale.step_units, dialect.faults[GtwRejectCode.QtyNotOnLot])
    price = _steps(params, "price", instrument.price_scale.step_units, dialect.faults[GtwRejectCode.PriceNotOnTick])
    if not order.is_open:
        raise Fault(*NO_SUCH_ORDER)
    if price == order.price and qty == order.qty:
        raise Fault(-5027, "No need to modify the order.")
    order.extra["amending"] = True

    def done(order: ServedOrder, refusal: Refusal | None) -> None:
        order.extra.pop("amending", None)
        send(rows.usdm_order(order) if refusal is None else dialect.refused(refusal))

    account.amend(order, price, qty, done)


def _usdm_cancel(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = dialect.named(account, params, ID_NAMES, UNKNOWN_ORDER)
    if not order.is_open or not _ordinary(dialect, order):
        raise Fault(*UNKNOWN_ORDER)

    def done(refusal: Refusal | None) -> None:
        send(rows.usdm_order(order) if refusal is None else dialect.refused(refusal))

    dialect.cancel(account, order, done)


def _usdm_cancel_all(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    wanted = [each for each in account.open_orders(dialect.market(params).instrument) if _ordinary(dialect, each)]
    body = {"code": 200, "msg": "The operation of cancel all open order is done."}
    account.cancel_many(wanted, lambda _: send(body))


def _countdown(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    timeout = whole(params, "countdownTime", None, 86_400_000)
    dialect.count_down(trader(key), market, timeout)
    send({"symbol": market.instrument.symbol, "countdownTime": str(timeout)})


ALGO_NAMES: Final = ("algoId", "clientAlgoId")


def _algo_place(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    if params.get("algoType") != "CONDITIONAL":
        raise missing("algoType")
    if wire.TYPE_OF.get(params.get("type", "")) not in wire.STOP_TYPES:
        raise Fault(-1116, "Invalid orderType.")

    def done(order: ServedOrder) -> None:
        if order.reject_code is not GtwRejectCode.Unset:
            send(dialect.refused(Refusal(order.reject_code, order.reason)))
        else:
            send(rows.algo_order(order))

    dialect.place(trader(key), params, done)


def _algo(account: ServedAccount, dialect: BinanceDialect, params: Params, code: tuple[int, str]) -> ServedOrder:
    order = dialect.named(account, params, ALGO_NAMES, code)
    if order.stop_price is None:
        raise Fault(*code)
    return order


def _algo_cancel(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = _algo(account, dialect, params, UNKNOWN_ORDER)
    if not order.is_open or order.triggered:
        raise Fault(*UNKNOWN_ORDER)
    body = {"algoId": order.number, "clientAlgoId": order.client_id, "code": "200", "msg": "success"}
    dialect.cancel(account, order, lambda refusal: send(body if refusal is None else dialect.refused(refusal)))


def _algo_cancel_all(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    wanted = [each for each in account.open_orders(dialect.market(params).instrument) if not _ordinary(dialect, each)]
    body = {"code": 200, "msg": "The operation of cancel all open order is done."}
    account.cancel_many(wanted, lambda _: send(body))


def _algo_query(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send(rows.algo_order(_algo(account_of(key), dialect, params, NO_SUCH_ORDER)))


def _algo_open(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    instrument = dialect.market(params).instrument if params.get("symbol") else None
    found = account_of(key).open_orders(instrument)
    send([rows.algo_order(order) for order in found if not _ordinary(dialect, order)])


def _usdm_balances(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    send([rows.usdm_balance(account, name) for name in account.coins()])


def _usdm_account(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    assets = [rows.usdm_asset(account, name) for name in account.coins()]
    total = {
        shown: next((asset[name] for asset in assets if asset["asset"] == "USDT"), "0")
        for shown, name in _TOTALS.items()
    }
    flags = {"feeTier": 0, "canTrade": True, "canDeposit": False, "canWithdraw": False, "multiAssetsMargin": False}
    positions = [rows.usdm_position(account, market) for market in dialect.served.markets.values()]
    send({**flags, "updateTime": 0, **total, "assets": assets, "positions": positions})


_TOTALS: Final = {
    "totalInitialMargin": "initialMargin",
    "totalMaintMargin": "maintMargin",
    "totalWalletBalance": "walletBalance",
    "totalUnrealizedProfit": "unrealizedProfit",
    "totalMarginBalance": "marginBalance",
    "totalPositionInitialMargin": "positionInitialMargin",
    "totalOpenOrderInitialMargin": "openOrderInitialMargin",
    "totalCrossWalletBalance": "crossWalletBalance",
    "totalCrossUnPnl": "crossUnPnl",
    "availableBalance": "availableBalance",
    "maxWithdrawAmount": "maxWithdrawAmount",
}


def _usdm_positions(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """Symbols with a position or an open order; an asked-for symbol in any case not without either."""
    account = account_of(key)
    send(
        [
            rows.usdm_position(account, market)
            for market in dialect.markets(params)
            if account.position(market.instrument).lots or any(True for _ in account.open_orders(market.instrument))
        ]
    )


def _position_mode(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account_of(key)
    send({"dualSidePosition": False})


def _account_config(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    may = key is not None and not key.read_only
    send({"feeTier": 0, "canTrade": may, "canDeposit": False, "canWithdraw": False, "dualSidePosition": False,
          "updateTime": 0, "multiAssetsMargin": False, "tradeGroupId": -1})  # fmt: skip


def _symbol_config(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    leverage = dialect.served.embedded.margin.leverage // UNIT
    send(
        [
            {"symbol": market.instrument.symbol, "marginType": "CROSSED", "isAutoAddMargin": False,
             "leverage": leverage, "maxNotionalValue": "1000000"}
            for market in dialect.markets(params)
        ]
    )  # fmt: skip


def _commission(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    send(
        {
            "symbol": market.instrument.symbol,
            "makerCommissionRate": rows.rate(market.market.maker_fee / UNIT),
            "takerCommissionRate": rows.rate(market.market.taker_fee / UNIT),
        }
    )


def _brackets(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    margin = dialect.served.embedded.margin
    bracket = {"bracket": 1, "initialLeverage": margin.leverage // UNIT, "notionalCap": 10**12, "notionalFloor": 0,
               "maintMarginRatio": margin.maintenance / UNIT, "cum": 0.0}  # fmt: skip
    found = [{"symbol": market.instrument.symbol, "brackets": [bracket]} for market in dialect.markets(params)]
    send(found)


def _leverage(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """The served exchange has one leverage for all: what it is, whatever is asked."""
    trader(key)
    leverage = dialect.served.embedded.margin.leverage // UNIT
    send({"symbol": dialect.market(params).instrument.symbol, "leverage": leverage, "maxNotionalValue": "1000000"})


def _listen_key(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    name = dialect.served.styled(f"listen key {account.name}", account.number).replace("-", "") * 2
    dialect.listen_keys[name] = (account, dialect.clock.now + LISTEN_KEY_MINUTES * 60 * SECOND)
    send({"listenKey": name})


def _end_listen_key(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    for name in [name for name, (whose, _) in dialect.listen_keys.items() if whose is account]:
        del dialect.listen_keys[name]
    send({})


_SPOT: Final[dict[tuple[str, str], tuple[Handler, str]]] = {
    ("GET", "ping"): (_ping, "public"),
    ("GET", "time"): (_time, "public"),
    ("GET", "exchangeInfo"): (_exchange_info, "public"),
    ("GET", "depth"): (_depth, "public"),
    ("GET", "trades"): (partial(_public_trades, rows.public_trade), "public"),
    ("GET", "aggTrades"): (partial(_public_trades, rows.aggregate_trade), "public"),
    ("GET", "klines"): (_klines, "public"),
    ("GET", "ticker/24hr"): (partial(_one_or_all, rows.ticker), "public"),
    ("GET", "ticker/bookTicker"): (partial(_one_or_all, rows.book_ticker), "public"),
    ("GET", "ticker/price"): (partial(_one_or_all, _price), "public"),
    ("GET", "order"): (_query, "signed"),
    ("GET", "openOrders"): (_open_orders, "signed"),
    ("GET", "allOrders"): (_all_orders, "signed"),
}
"""What both have, by the end of the path."""

_SPOT_ONLY: Final[dict[tuple[str, str], tuple[Handler, str]]] = {
    ("GET", "myTrades"): (_fills, "signed"),
    ("GET", "account"): (_spot_account, "signed"),
    ("POST", "order"): (_spot_place, "signed"),
    ("POST", "order/test"): (_spot_test, "signed"),
    ("DELETE", "order"): (_spot_cancel, "signed"),
    ("DELETE", "openOrders"): (_spot_cancel_all, "signed"),
    ("PUT", "order/amend/keepPriority"): (_spot_amend, "signed"),
    ("POST", "order/cancelReplace"): (_spot_replace, "signed"),
    ("POST", "userDataStream"): (_gone, "public"),
    ("PUT", "userDataStream"): (_gone, "public"),
}

_USDM_ONLY: Final[dict[tuple[str, str], tuple[Handler, str]]] = {
    ("GET", "v1/userTrades"): (_fills, "signed"),
    ("GET", "v1/premiumIndex"): (partial(_one_or_all, rows.premium_index), "public"),
    ("GET", "v1/fundingRate"): (_no_rows, "public"),
    ("GET", "v1/fundingInfo"): (_no_rows, "public"),
    ("POST", "v1/order"): (_usdm_place, "signed"),
    ("PUT", "v1/order"): (_usdm_amend, "signed"),
    ("DELETE", "v1/order"): (_usdm_cancel, "signed"),
    ("DELETE", "v1/allOpenOrders"): (_usdm_cancel_all, "signed"),
    ("POST", "v1/countdownCancelAll"): (_countdown, "signed"),
    ("POST", "v1/algoOrder"): (_algo_place, "signed"),
    ("DELETE", "v1/algoOrder"): (_algo_cancel, "signed"),
    ("DELETE", "v1/algoOpenOrders"): (_algo_cancel_all, "signed"),
    ("GET", "v1/algoOrder"): (_algo_query, "signed"),
    ("GET", "v1/openAlgoOrders"): (_algo_open, "signed"),
    ("GET", "v2/balance"): (_usdm_balances, "signed"),
    ("GET", "v3/balance"): (_usdm_balances, "signed"),
    ("GET", "v2/account"): (_usdm_account, "signed"),
    ("GET", "v3/account"): (_usdm_account, "signed"),
    ("GET", "v2/positionRisk"): (_usdm_positions, "signed"),
    ("GET", "v3/positionRisk"): (_usdm_positions, "signed"),
    ("GET", "v1/positionSide/dual"): (_position_mode, "signed"),
    ("GET", "v1/accountConfig"): (_account_config, "signed"),
    ("GET", "v1/symbolConfig"): (_symbol_config, "signed"),
    ("GET", "v1/commissionRate"): (_commission, "signed"),
    ("GET", "v1/leverageBracket"): (_brackets, "signed"),
    ("POST", "v1/leverage"): (_leverage, "signed"),
    ("POST", "v1/listenKey"): (_listen_key, "keyed"),
    ("PUT", "v1/listenKey"): (_listen_key, "keyed"),
    ("DELETE", "v1/listenKey"): (_end_listen_key, "keyed"),
}


class BinanceSpotDialect(BinanceDialect):
    """Binance spot."""

    name: ClassVar[str] = "binance"
    exchange: Exchange = Exchange.Binance
    sockets: ClassVar[dict[str, str]] = {"streams": "/ws", "combined streams": "/stream", "websocket API": "/ws-api/v3"}
    faults: ClassVar[Mapping[GtwRejectCode, tuple[int, str]]] = _SPOT_FAULTS
    usdm: ClassVar[bool] = False
    routes: ClassVar[Mapping[tuple[str, str], tuple[Handler, str]]] = {
        (method, f"/api/v3/{path}"): found for (method, path), found in {**_SPOT, **_SPOT_ONLY}.items()
    }


class BinanceUsdmDialect(BinanceDialect):
    """Binance USD-M futures."""

    name: ClassVar[str] = "binance-usdm"
    exchange: Exchange = Exchange.BinanceUsdm
    sockets: ClassVar[dict[str, str]] = {"public": "/public/stream", "market": "/market/stream",
                                         "private": "/private/stream"}  # fmt: skip
    faults: ClassVar[Mapping[GtwRejectCode, tuple[int, str]]] = _USDM_FAULTS
    usdm: ClassVar[bool] = True
    routes: ClassVar[Mapping[tuple[str, str], tuple[Handler, str]]] = {
        **{(method, f"/fapi/v1/{path}"): found for (method, path), found in _SPOT.items()},
        **{(method, f"/fapi/{path}"): found for (method, path), found in _USDM_ONLY.items()},
    }
