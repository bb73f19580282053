"""BitMEX's side of its protocol: `/api/v1` and `/realtime`, on a served exchange.

What it does as the exchange did (sources in `mlthon.protocols.bitmex`):

- a crossing post-only order, an IOC's rest and a reduce-only order without a position are accepted and then cancelled,
  with the reason in `text`; answers to POST and PUT /order carry the order as it stands once the exchange has answered;
- bodies are JSON or forms, parameters may stand in the query; ids may be one text or a list;
- DELETE /order answers with rows, one an order, with `error` in those that could not be cancelled;
- a websocket may log in by headers, by query or by `authKeyExpires`, and subscribe by query or by operation; every
  subscription begins with a partial, an empty one too; `ping` is answered `pong`.

Requests are signed by `api-expires`; an expired or wrongly signed one is refused with 401 and the exchange's text.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, Final

import msgspec
from attrs import frozen

from mlthon.basics.defs import TIF, Exchange, GtwRejectCode, InstrumentType, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import parse
from mlthon.engine.clock import MS, SECOND, Handle
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.dialects.bitmex_realtime import Realtime
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.contract import Respond, ServerRequest, ServerResponse, ServerSocket, SocketHandler
from mlthon.exchange.served.exchange import ApiKey, IdStyle, ServedExchange
from mlthon.exchange.served.limits import Windows, hmac_hex, same
from mlthon.exchange.served.market import ServedMarket
from mlthon.exchange.served.records import NewOrder, Refusal, ServedOrder
from mlthon.protocols import bitmex as wire

Params = dict[str, Any]
Send = Callable[[Any], None]

BINS_NS: Final = {"1m": 60 * SECOND, "5m": 300 * SECOND, "1h": 3600 * SECOND, "1d": 86_400 * SECOND}
MOST_ROWS: Final = 1000
USUAL_ROWS: Final = 100
HISTORY_MINUTES: Final = 1500

_REFUSALS: Final = {
    GtwRejectCode.InsufficientMargin: wire.INSUFFICIENT.format(required=0),
    GtwRejectCode.InsufficientBalance: wire.INSUFFICIENT.format(required=0),
    GtwRejectCode.PriceNotOnTick: "Invalid price tickSize",
    GtwRejectCode.InvalidPrice: "Invalid price",
    GtwRejectCode.QtyNotOnLot: "Invalid orderQty: must be a multiple of lotSize",
    GtwRejectCode.QtyBelowMinimum: "Invalid orderQty",
    GtwRejectCode.QtyAboveMaximum: "Invalid orderQty: exceeds maxOrderQty",
    GtwRejectCode.InvalidQty: "Invalid orderQty",
    GtwRejectCode.StopWouldTrigger: "Order would immediately trigger",
    GtwRejectCode.GtwNotReady: wire.OVERLOADED,
}
"""Why the embedded exchange refused -> the exchange's words."""

_ENDED_AT_ONCE: Final = {
    GtwRejectCode.PostOnlyWouldTake: "Canceled: Order had execInst of ParticipateDoNotInitiate",
    GtwRejectCode.ReduceOnlyWouldIncrease: "Canceled: Order had execInst of ReduceOnly",
    GtwRejectCode.FokNotFillable: "Canceled: Order had timeInForce of FillOrKill",
    GtwRejectCode.NoMarket: "Canceled: Order had ordType of Market",
}
"""What the embedded exchange refuses and this one accepts and cancels."""


class Fault(Exception):
    """A request that is answered with an error."""

    def __init__(self, message: str, status: int = 400, name: str = "HTTPError") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.error_name = name


@frozen
class Route:
    """What answers a path: `handle(dialect, key, params, send)`; `keyed`: whether a key is needed; `orders`: whether it
    counts against the limit of order requests."""

    handle: "Callable[[BitmexDialect, ApiKey | None, Params, Send], None]"
    keyed: bool = False
    orders: bool = False


class BitmexDialect:
    """See the module text."""

    name: ClassVar[str] = "bitmex"
    exchange: Exchange = Exchange.BitMEX
    ids: ClassVar[IdStyle] = IdStyle.UUID
    instruments: ClassVar[tuple[str, ...]] = ("XBTUSD", "ETHUSD", "XBTUSDT")
    sockets: ClassVar[dict[str, str]] = {"realtime": wire.REALTIME}

    def __init__(self, served: ServedExchange) -> None:
        self.served = served
        self.clock = served.clock
        self._windows = Windows()
        self._dead_men: dict[str, Handle] = {}

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def http(self, request: ServerRequest, respond: Respond) -> None:
        headers: dict[str, str] = {"content-type": "application/json; charset=utf-8"}

        def send(body: Any, status: int = 200) -> None:
            respond(ServerResponse(status, msgspec.json.encode(body), headers))

        def fail(fault: Fault) -> None:
            if fault.status == 429:
                headers["retry-after"] = "1"
            send({"error": {"message": fault.message, "name": fault.error_name}}, fault.status)

        try:
            route = _ROUTES.get((request.method, request.path.rstrip("/")))
            if route is None:
                raise Fault(wire.NOT_FOUND, 404)
            key = self._key(request)
            if route.keyed and key is None:
                raise Fault("Authorization Required", 401)
            self._count(request, key, route, headers)
            params = _params(request)
            route.handle(self, key, params, partial(_guarded, send, fail))
        except Fault as fault:
            fail(fault)

    def busy(self, request: ServerRequest) -> ServerResponse:
        body = msgspec.json.encode(
            {"error": {"message": wire.RATE_LIMITED.format(seconds=1), "name": "RateLimitError"}}
        )
        return ServerResponse(429, body, {"content-type": "application/json", "retry-after": "1"})

    def _key(self, request: ServerRequest) -> ApiKey | None:
        """Whose request it is; None without a key. Raises Fault for a key, time or signature that is wrong."""
        name = request.headers.get("api-key", "")
        if not name:
            return None
        target = request.path + ("?" + request.query if request.query else "")
        expires = request.headers.get("api-expires", request.headers.get("api-nonce", ""))
        signed = f"{request.method}{target}{expires}".encode() + request.body
        return self.check_key(name, expires, signed, request.headers.get("api-signature", ""))

    def check_key(self, name: str, expires: str, signed: bytes, signature: str) -> ApiKey:
        """The key of this name, if the signature is its and has not expired. Raises Fault."""
        key = self.served.keys.get(name)
        if key is None:
            raise Fault(wire.BAD_KEY, 401)
        now = self.clock.now // SECOND
        if not expires.isdigit() or len(expires) > 15:
            raise Fault("Invalid or missing api-expires.", 401)
        if int(expires) <= now:
            raise Fault(wire.EXPIRED.format(now=now), 401)
        if not same(signature, hmac_hex(key.secret, signed)):
            raise Fault(wire.BAD_SIGNATURE, 401)
        return key

    def _count(self, request: ServerRequest, key: ApiKey | None, route: Route, headers: dict[str, str]) -> None:
        """Count a request against its limits, say so in the headers, and refuse it if it is too much."""
        now = self.clock.now
        who = key.key if key is not None else request.client
        limits = wire.KEYED_LIMITS if key is not None else wire.UNKEYED_LIMITS
        for rule, limit, seconds in limits:
            if rule == wire.BURST and not route.orders:
                continue
            use = self._windows.use(who, rule, limit, round(seconds * SECOND), now)
            if rule == wire.BURST:
                headers[wire.REMAINING_1S_HEADER] = str(use.remaining)
            else:
                headers[wire.LIMIT_HEADER] = str(use.limit)
                headers[wire.REMAINING_HEADER] = str(use.remaining)
                headers[wire.RESET_HEADER] = str(use.reset_ts // SECOND)
            if not use.allowed:
                raise Fault(wire.RATE_LIMITED.format(seconds=1), 429, "RateLimitError")

    # -- websocket ---------------------------------------------------------------------------------------------------

    def connect(self, socket: ServerSocket) -> SocketHandler:
        return Realtime(self, socket, self._socket_key)

    def _socket_key(self, name: str, expires: str, signature: str) -> ServedAccount | str:
        """The account of a websocket login, or why it is refused."""
        try:
            return self.check_key(name, expires, f"GET{wire.REALTIME}{expires}".encode(), signature).account
        except Fault as fault:
            return fault.message

    def trade_id(self, market: ServedMarket, number: int) -> str:
        """The id of a public trade."""
        return self.served.styled(f"trade {market.instrument.symbol}", number)

    # -- what requests name ------------------------------------------------------------------------------------------

    def market(self, params: Params) -> ServedMarket:
        """The market of `symbol`. Raises Fault."""
        found = self.served.market(str(params.get("symbol", "")))
        if found is None:
            raise Fault("Invalid symbol")
        return found

    def markets(self, params: Params) -> list[ServedMarket]:
        """The market of `symbol`, all without one."""
        return [self.market(params)] if params.get("symbol") else list(self.served.markets.values())

    def arm(self, account: ServedAccount, timeout_ms: int) -> int:
        """Cancel everything in `timeout_ms` unless armed anew before; 0 disarms. The time of it (ns)."""
        before = self._dead_men.pop(account.name, None)
        if before is not None:
            before.cancel()
        at = self.clock.now + timeout_ms * MS
        if timeout_ms:
            self._dead_men[account.name] = self.clock.schedule(
                at, lambda: account.cancel_many(account.open_orders()) and None
            )
        return at


def _guarded(send: Callable[..., None], fail: Callable[[Fault], None], body: Any) -> None:
    """Answer with a body, or with a Fault that came to light later."""
    if isinstance(body, Fault):
        fail(body)
    else:
        send(body)


def _params(request: ServerRequest) -> Params:
    """Query and body together. Raises Fault for a body that cannot be read."""
    found: Params = dict(request.params)
    body = request.body.strip()
    if not body:
        return found
    if body[:1] in b"{[":
        try:
            decoded = msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise Fault("Invalid JSON", 400, "SyntaxError") from None
        if not isinstance(decoded, dict):
            raise Fault("Invalid JSON", 400, "SyntaxError")
        return found | decoded
    return found | request.form


def _account(key: ApiKey | None) -> ServedAccount:
    if key is None:  # the route says that it needs one, so it was asked for before
        raise Fault("Authorization Required", 401)
    return key.account


def _trader(key: ApiKey | None) -> ServedAccount:
    if key is not None and key.read_only:
        raise Fault("Access Denied", 403)
    return _account(key)


def _whole(params: Params, name: str, usual: int, most: int) -> int:
    try:
        number = int(params.get(name, usual))
    except (TypeError, ValueError):
        raise Fault(f"Invalid {name}") from None
    if not number >= 0:
        raise Fault(f"Invalid {name}")
    return min(number, most)


def _flag(params: Params, name: str) -> bool:
    return str(params.get(name, "")).lower() in ("true", "1")


def _units(params: Params, name: str) -> int | None:
    """An optional number as an exact one in 10^-18. Raises Fault."""
    given = params.get(name)
    if given is None or given == "":
        return None
    try:
        return parse(str(given))
    except (ValueError, ArithmeticError):
        raise Fault(f"Invalid {name}") from None


def _ticks(instrument: Instrument, params: Params, name: str) -> int | None:
    units = _units(params, name)
    if units is None:
        return None
    ticks, rest = divmod(units, instrument.price_scale.step_units)
    if rest:
        raise Fault(f"Invalid {name} tickSize")
    if ticks <= 0:
        raise Fault(f"Invalid {name}")
    return ticks


def _lots(instrument: Instrument, params: Params, name: str) -> int | None:
    units = _units(params, name)
    if units is None:
        return None
    lots, rest = divmod(abs(units), wire.lot_size(instrument))
    if rest:
        raise Fault(f"Invalid {name}: must be a multiple of lotSize")
    return lots


def _filter(params: Params) -> Params:
    given = params.get("filter") or {}
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError:
            raise Fault("Invalid filter") from None
    if not isinstance(given, dict):
        raise Fault("Invalid filter")
    return given


def _listed(given: Any) -> list[str]:
    """One text, a JSON list as text, or a list."""
    if given is None or given == "":
        return []
    if isinstance(given, str) and given.startswith("["):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError:
            return [str(given)]
    return [str(each) for each in given] if isinstance(given, list) else [str(given)]


def _page(found: list[rows.Row], params: Params) -> list[rows.Row]:
    """What `start`, `count`, `reverse`, `startTime` and `endTime` leave of rows in order of time."""
    start, end = str(params.get("startTime") or ""), str(params.get("endTime") or "")
    if start or end:
        begin = wire.nanoseconds(_zoned(start)) if start else 0
        until = wire.nanoseconds(_zoned(end)) if end else 1 << 62
        found = [row for row in found if begin <= wire.nanoseconds(row["timestamp"]) <= until]
    if _flag(params, "reverse"):
        found = found[::-1]
    first = _whole(params, "start", 0, 1 << 31)
    return found[first : first + _whole(params, "count", USUAL_ROWS, MOST_ROWS)]


def _zoned(text: str) -> str:
    zoned = text if text.endswith("Z") or "+" in text else (text if "T" in text else text + "T00:00:00") + "Z"
    try:
        wire.nanoseconds(zoned)
    except ValueError:
        raise Fault("Invalid startTime or endTime") from None
    return zoned


# -- market data -------------------------------------------------------------------------------------------------------


def _version(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send({"name": "BitMEX API", "version": "2.0.0", "timestamp": dialect.clock.now // MS})


def _instruments(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send([rows.instrument_row(market) for market in dialect.markets(params)])


def _funding(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """Payments made before the start of the served market are not known: none."""
    dialect.markets(params)
    send([])


def _assets(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    coins = {
        coin for market in dialect.served.markets.values() for coin in (market.contract.base, market.contract.coin)
    }
    send(rows.asset_rows(sorted(coins)))


def _book(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    depth = _whole(params, "depth", 25, 1 << 20) or None
    asks = [rows.level_row(market, -1, ticks, lots) for ticks, lots in reversed(market.levels(-1, depth))]
    send(asks + [rows.level_row(market, 1, ticks, lots) for ticks, lots in market.levels(1, depth)])


def _trades(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    found = [
        rows.trade_row(market, trade, dialect.trade_id(market, trade.number))
        for market in dialect.markets(params)
        for trade in market.trades
    ]
    send(_page(sorted(found, key=lambda row: str(row["timestamp"])), params))


def _quotes(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send([rows.quote_row(market) for market in dialect.markets(params)])


def _bins(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    interval = BINS_NS.get(str(params.get("binSize", "1m")))
    if interval is None:
        raise Fault("Invalid binSize")
    market = dialect.market(params)
    candles = market.candles(interval, MOST_ROWS + 1)
    if not _flag(params, "partial"):
        candles = [each for each in candles if each.start + interval <= dialect.clock.now]
    found, opened = [], None
    for candle in candles:
        found.append(rows.bin_row(market, candle, interval, opened))
        opened = candle.close
    send(_page(found, params))


# -- accounts ----------------------------------------------------------------------------------------------------------


def _user(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = _account(key)
    send({"id": account.number, "username": account.name, "email": "", "TFAEnabled": "", "country": ""})


def _keys(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = _account(key)
    mine = [each for each in dialect.served.keys.values() if each.account is account]
    send(
        [
            {"id": each.key, "name": "local", "enabled": True, "userId": account.number, "cidr": "0.0.0.0/0",
             "permissions": [] if each.read_only else ["order"]}
            for each in mine
        ]
    )  # fmt: skip


def _margin(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    _money(rows.margin_row, key, params, send)


def _wallet(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    _money(rows.wallet_row, key, params, send)


def _money(row: Callable[[ServedAccount, str], rows.Row], key: ApiKey | None, params: Params, send: Send) -> None:
    """All currencies as a list, one (XBt without a name) as an object."""
    account = _account(key)
    wanted = str(params.get("currency") or "XBt")
    if wanted == "all":
        send([row(account, coin) for coin in account.coins()])
        return
    coin = wire.CURRENCIES[wanted].name if wanted in wire.CURRENCIES else wanted
    if coin not in account.coins():
        raise Fault("Invalid currency")
    send(row(account, coin))


def _positions(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = _account(key)
    wanted = _filter(params).get("symbol")
    send(
        [
            rows.position_row(account, market)
            for instrument, market in dialect.served.markets.items()
            if instrument in account.ledger.stakes
            and instrument.instrument_type is not InstrumentType.Spot
            and wanted in (None, instrument.symbol)
        ]
    )


def _leverage(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """The served exchange has one leverage for all: the position as it is."""
    send(rows.position_row(_trader(key), dialect.market(params)))


def _executions(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = _account(key)
    symbol = params.get("symbol") or _filter(params).get("symbol")
    order_id = _filter(params).get("orderID")
    found = [
        rows.execution_row(each)
        for each in account.executions
        if symbol in (None, "", each.order.instrument.symbol) and order_id in (None, each.order.order_id)
    ]
    send(_page(found, params))


# -- orders ------------------------------------------------------------------------------------------------------------


def _orders(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = _account(key)
    wanted = _filter(params)
    symbol = params.get("symbol") or wanted.get("symbol")
    account.look_at_stops()
    found = sorted(account.orders.values(), key=lambda order: order.number)
    if wanted.get("open") is True:
        found = [order for order in found if order.is_open]
    for name in ("orderID", "clOrdID"):
        if wanted.get(name):
            ids = _listed(wanted[name])
            found = [each for each in found if (each.order_id if name == "orderID" else each.client_id) in ids]
    send(_page([rows.order_row(order) for order in found if symbol in (None, "", order.instrument.symbol)], params))


def _place(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = _trader(key)
    new = _new_order(dialect, account, params)

    def done(order: ServedOrder) -> None:
        text = _ENDED_AT_ONCE.get(order.reject_code)
        if order.reject_code is GtwRejectCode.Unset:
            send(rows.order_row(order))
        elif text is not None:
            row = rows.order_row(order) | {"ordStatus": "Canceled", "ordRejReason": ""}
            send(row | {"text": f"{text}\n{row['text']}"})
        else:
            send(_refused(Refusal(order.reject_code, order.reason)))

    account.place(new, done)


def _new_order(dialect: BitmexDialect, account: ServedAccount, params: Params) -> NewOrder:
    """A new order from its parameters. Raises Fault."""
    instrument = dialect.market(params).instrument
    client_id = str(params.get("clOrdID") or "")
    if len(client_id) > 36:
        raise Fault("clOrdID is too long: at most 36 characters")
    before = account.by_client(client_id)
    if before is not None and before.is_open:
        raise Fault(wire.DUPLICATE_ID)
    instructions = [each.strip() for each in str(params.get("execInst") or "").split(",") if each.strip()]
    price = _ticks(instrument, params, "price")
    stop = _ticks(instrument, params, "stopPx")
    spelled = str(params.get("ordType") or _type_of(price, stop))
    order_type = wire.ORDER_TYPES_READ.get(spelled)
    if order_type is None:
        raise Fault("Invalid ordType")
    tif = wire.TIFS_READ.get(str(params.get("timeInForce") or "GoodTillCancel"), TIF.GTC)
    closing = wire.CLOSE in instructions
    qty = _lots(instrument, params, "orderQty")
    if qty is None and not closing:
        raise Fault("orderQty is required")
    if qty == 0 or (qty is None and order_type is OrderType.Limit and price is None):
        raise Fault("Invalid orderQty")
    if spelled in wire.PRICED_TYPES and price is None:
        raise Fault("price is required")
    if spelled in wire.TRIGGERED_TYPES and stop is None:
        raise Fault("stopPx is required")
    return NewOrder(
        instrument=instrument,
        side=_side(account, instrument, params, closing),
        qty=qty or 0,
        price=(price or 0) if spelled in wire.PRICED_TYPES else 0,
        order_type=order_type,
        tif=TIF.IOC if order_type is OrderType.Market and tif is TIF.GTC else tif,
        post_only=wire.POST_ONLY in instructions,
        reduce_only=wire.REDUCE_ONLY in instructions or closing,
        close_position=closing and qty is None,
        stop_price=stop if spelled in wire.TRIGGERED_TYPES else None,
        client_id=client_id,
        extra={
            "execInst": ",".join(instructions),
            "ordType": spelled,
            "text": params.get("text"),
            "clOrdLinkID": str(params.get("clOrdLinkID") or ""),
        },
    )


def _type_of(price: int | None, stop: int | None) -> str:
    """The order type where none is given: by what prices there are."""
    if stop is not None:
        return "Stop" if price is None else "StopLimit"
    return "Market" if price is None else "Limit"


def _side(account: ServedAccount, instrument: Instrument, params: Params, closing: bool) -> int:
    """Buy or Sell; without either the sign of the quantity, or for a close what closes the position."""
    spelled = params.get("side")
    if spelled:
        side = wire.SIDES.get(str(spelled))
        if side is None:
            raise Fault("Invalid side")
        return side
    qty = _units(params, "orderQty")
    if qty is None and closing:
        return -1 if account.position(instrument).lots > 0 else 1
    return -1 if qty is not None and qty < 0 else 1


def _amend(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = _trader(key)
    order = _named(account, params.get("orderID"), params.get("origClOrdID") or params.get("clOrdID"))
    if order is None:
        raise Fault("Invalid orderID or origClOrdID" if not params.get("orderID") else "Invalid orderID")
    if not order.is_open:
        raise Fault(wire.INVALID_STATUS)
    instrument = order.instrument
    price = _ticks(instrument, params, "price")
    qty = _lots(instrument, params, "orderQty")
    leaves = _lots(instrument, params, "leavesQty")
    if qty is None and leaves is not None:
        qty = order.filled + leaves
    if params.get("stopPx") is not None:
        raise Fault("Amending stopPx is not supported by this local exchange: cancel the order and send a new one")
    if price is None and qty is None:
        raise Fault("No change to order: give orderQty, leavesQty or price")
    changed = ", ".join(name for name in ("orderQty", "leavesQty", "price") if params.get(name) is not None)

    def done(order: ServedOrder, refusal: Refusal | None) -> None:
        send(rows.order_row(order) if refusal is None else _refused(refusal))

    order.extra["amended"] = changed
    if params.get("origClOrdID") and params.get("clOrdID"):
        account.rename(order, str(params["clOrdID"]))
    account.amend(order, price, qty, done)


def _named(account: ServedAccount, order_id: Any, client_id: Any) -> ServedOrder | None:
    return account.find(str(order_id or ""), str(client_id or ""))


def _cancel(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = _trader(key)
    wanted = [(each, account.find(order_id=each)) for each in _listed(params.get("orderID"))]
    wanted += [(each, account.by_client(each)) for each in _listed(params.get("clOrdID"))]
    if not wanted:
        raise Fault("Must send an orderID or clOrdID")
    known = [order for _, order in wanted if order is not None]
    if not known:
        raise Fault(wire.NOT_FOUND, 404)
    over = [order for order in known if not order.is_open]

    def done(cancelled: list[ServedOrder]) -> None:
        answers = [rows.order_row(order) for order in cancelled]
        late = [order for order in known if order not in cancelled]
        send(answers + [rows.order_row(order) | {"error": _too_late(order)} for order in late])

    account.cancel_many([order for order in known if order not in over], done)


def _too_late(order: ServedOrder) -> str:
    return wire.EXISTING_STATE.format(status=rows.STATUS_NAMES[order.status])


def _cancel_all(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = _trader(key)
    instrument = dialect.market(params).instrument if params.get("symbol") else None
    side = wire.SIDES.get(str(_filter(params).get("side", "")))
    wanted = [order for order in account.open_orders(instrument) if side in (None, order.side)]
    account.cancel_many(wanted, lambda cancelled: send([rows.order_row(order) for order in cancelled]))


def _cancel_after(dialect: BitmexDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = _trader(key)
    timeout = _whole(params, "timeout", -1, 86_400_000)
    at = dialect.arm(account, timeout)
    now = wire.timestamp(dialect.clock.now)
    send({"now": now, "cancelTime": wire.timestamp(at) if timeout else "1970-01-01T00:00:00.000Z"})


def _refused(refusal: Refusal) -> Fault:
    """The answer to a request that the embedded exchange refused."""
    text = _REFUSALS.get(refusal.code)
    if refusal.code is GtwRejectCode.GtwNotReady:
        return Fault(wire.OVERLOADED, 503)
    if refusal.code in (GtwRejectCode.OrderNotOpen, GtwRejectCode.UnknownOrder):
        text = wire.INVALID_STATUS
    return Fault(text or refusal.reason or "Invalid order", 400, "ValidationError" if text is None else "HTTPError")


def _paths(table: Iterable[tuple[str, str, Route]]) -> dict[tuple[str, str], Route]:
    return {(method, wire.API + path): route for method, path, route in table}


_ROUTES: Final = _paths(
    (
        ("GET", "", Route(_version)),
        ("GET", "/instrument", Route(_instruments)),
        ("GET", "/instrument/active", Route(_instruments)),
        ("GET", "/instrument/activeAndIndices", Route(_instruments)),
        ("GET", "/wallet/assets", Route(_assets)),
        ("GET", "/funding", Route(_funding)),
        ("GET", "/orderBook/L2", Route(_book)),
        ("GET", "/trade", Route(_trades)),
        ("GET", "/quote", Route(_quotes)),
        ("GET", "/trade/bucketed", Route(_bins)),
        ("GET", "/user", Route(_user, keyed=True)),
        ("GET", "/apiKey", Route(_keys, keyed=True)),
        ("GET", "/user/margin", Route(_margin, keyed=True)),
        ("GET", "/user/wallet", Route(_wallet, keyed=True)),
        ("GET", "/position", Route(_positions, keyed=True)),
        ("POST", "/position/leverage", Route(_leverage, keyed=True)),
        ("GET", "/execution", Route(_executions, keyed=True)),
        ("GET", "/execution/tradeHistory", Route(_executions, keyed=True)),
        ("GET", "/order", Route(_orders, keyed=True)),
        ("POST", "/order", Route(_place, keyed=True, orders=True)),
        ("PUT", "/order", Route(_amend, keyed=True, orders=True)),
        ("DELETE", "/order", Route(_cancel, keyed=True, orders=True)),
        ("DELETE", "/order/all", Route(_cancel_all, keyed=True, orders=True)),
        ("POST", "/order/cancelAllAfter", Route(_cancel_after, keyed=True, orders=True)),
    )
)
