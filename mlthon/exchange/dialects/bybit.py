"""Bybit v5 over a served exchange: REST (`/v5/...`) and the public, private and trade websockets (`bybit_sockets`).

Requests are checked as Bybit does, in its order: key (10003), time within the receive window (10002), signature over
the raw query or body (10004), the rate of the account on the path (10006). What is wrong is answered with HTTP 200 and
a `retCode`. Create, amend, cancel and cancel-all answer when the exchange has taken or refused the request, with ids
alone: what becomes of the order is told on the private stream.

Sources: https://bybit-exchange.github.io/docs/v5/intro and the pages of each path; recorded answers and requests of
pybit and ccxt.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from mlthon.basics.defs import Exchange
from mlthon.basics.money import to_str
from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.dialects.bybit_orders import (
    OPERATIONS,
    BybitError,
    Reply,
    category_of,
    create,
    market_of,
)
from mlthon.exchange.dialects.bybit_rows import (
    Row,
    execution_row,
    hidden,
    instrument_row,
    money,
    order_row,
    position_row,
    price,
    qty,
    ticker_row,
    wallet_row,
)
from mlthon.exchange.dialects.bybit_sockets import connect
from mlthon.exchange.dialects.bybit_streams import INTERVALS, Channel, offset_of, trade_id
from mlthon.exchange.served.contract import Respond, ServerRequest, ServerResponse, ServerSocket, SocketHandler
from mlthon.exchange.served.exchange import ApiKey, IdStyle, ServedExchange
from mlthon.exchange.served.limits import Use, Windows, hmac_hex, same, within
from mlthon.exchange.served.records import ServedOrder
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors

encode: Final = msgspec.json.Encoder().encode
JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
LONGEST_WINDOW_MS: Final = 60_000
TOO_MANY: Final = "Too many visits. Exceeded the API Rate Limit."

Params = Mapping[str, Any]


def envelope(code: int, message: str, result: Any, now_ms: int, extra: Any = None) -> Row:
    """What every REST answer looks like."""
    return {"retCode": code, "retMsg": message, "result": result, "retExtInfo": extra or {}, "time": now_ms}


class BybitDialect:
    """Bybit over one served exchange. See the module text."""

    name: ClassVar[str] = "bybit"
    exchange: ClassVar[Exchange] = Exchange.Bybit
    ids: ClassVar[IdStyle] = IdStyle.UUID
    instruments: ClassVar[tuple[str, ...]] = ("byt:perp:btc-usdt", "byt:spot:btc-usdt", "byt:perp:btc-usd")
    sockets: ClassVar[dict[str, str]] = {
        "public": "/v5/public/{spot,linear,inverse}",
        "private": "/v5/private",
        "trade": "/v5/trade",
    }

    def __init__(self, served: ServedExchange) -> None:
        self.served = served
        self.clock = served.clock
        self.windows = Windows()
        self.connections = 0
        self.channels: dict[tuple[str, str], Channel] = {}
        """The public topics that somebody listens to, by category and topic."""
        self._banned: dict[str, int] = {}
        self._public: dict[str, Callable[[Params], Any]] = {
            tables.TIME: self._time,
            tables.INSTRUMENTS: self._instruments,
            tables.KLINE: self._kline,
            tables.ORDERBOOK: self._orderbook,
            tables.RECENT_TRADES: self._recent_trades,
            tables.TICKERS: self._tickers,
            tables.FUNDING_HISTORY: self._funding_history,
        }
        self._private: dict[str, Callable[[ApiKey, Params], Any]] = {
            tables.OPEN_ORDERS: self._open_orders,
            tables.ORDER_HISTORY: self._order_history,
            tables.EXECUTIONS: self._executions,
            tables.POSITIONS: self._positions,
            tables.WALLET: self._wallet,
            tables.ACCOUNT_INFO: self._account_info,
            tables.FEE_RATE: self._fee_rate,
            tables.QUERY_API: self._query_api,
            "/v5/asset/coin/query-info": self._coin_info,
        }

    @property
    def now_ms(self) -> int:
        """The exchange's time."""
        return self.clock.now // MS

    def busy(self, request: ServerRequest) -> ServerResponse:
        """What a request that is one too many is answered: HTTP 200 and `retCode` 10006."""
        return self._response(errors.TOO_MANY, TOO_MANY, {})

    def connect(self, socket: ServerSocket) -> SocketHandler:
        self.connections += 1
        return connect(self, socket)

    # -- checks ------------------------------------------------------------------------------------------------------

    def http(self, request: ServerRequest, respond: Respond) -> None:
        if request.client and not self._address_allowed(request.client):
            text = encode({"retCode": 10018, "retMsg": "Access too frequent. Please try again in 10 minutes."})
            respond(ServerResponse(403, text, JSON))
            return
        try:
            self._route(request, respond)
        except BybitError as error:
            respond(self._response(error.code, error.message, {}))

    def _address_allowed(self, client: str) -> bool:
        now = self.clock.now
        if self._banned.get(client, 0) > now:
            return False
        most, seconds = tables.IP_LIMIT
        if self.windows.use(client, "address", most, round(seconds * SECOND), now).allowed:
            return True
        self._banned[client] = now + round(tables.IP_BAN_S * SECOND)
        return False

    def _route(self, request: ServerRequest, respond: Respond) -> None:
        path = request.path
        if request.method == "GET" and path in self._public:
            respond(self._response(0, "OK", self._public[path](request.params)))
        elif request.method == "GET" and path in self._private:
            key = self.authenticate(request)
            use = self._use(key, path, tables.READ_LIMITS.get(path, 50))
            respond(self._response(0, "OK", self._private[path](key, request.params), use=use))
        elif request.method == "POST" and path in OPERATIONS:
            self._operate(request, respond)
        elif request.method == "POST" and path == tables.CREATE_BATCH:
            self._create_batch(request, respond)
        elif request.method == "POST" and path in ("/v5/position/set-leverage", "/v5/position/switch-mode"):
            raise BybitError(
                errors.PARAMETER, "this local exchange has one leverage and one-way positions: they cannot be set"
            )
        else:
            respond(ServerResponse(404, b"", {"Content-Type": "text/plain"}))

    def authenticate(self, request: ServerRequest) -> ApiKey:
        """Whose request it is. Raises `BybitError`."""
        headers = request.headers
        key = self.key_of(headers.get("x-bapi-api-key", ""))
        stamp = headers.get("x-bapi-timestamp", "")
        window = headers.get("x-bapi-recv-window", str(tables.RECV_WINDOW_MS))
        self.check_time(stamp, window)
        payload = request.query if request.method == "GET" else request.body.decode("utf-8", "replace")
        right = hmac_hex(key.secret, tables.prehash(stamp, key.key, window, payload))
        if not same(headers.get("x-bapi-sign", ""), right):
            raise BybitError(errors.SIGNATURE, f"error sign! origin_string[{stamp}{key.key}{window}{payload}]")
        return key

    def key_of(self, name: str) -> ApiKey:
        """The key of this name. Raises `BybitError`."""
        key = self.served.keys.get(name)
        if key is None:
            raise BybitError(errors.KEY, "API key is invalid.")
        return key

    def check_time(self, stamp: str, window: str) -> None:
        """Refuse what comes too late or too early. Raises `BybitError`."""
        try:
            sent, width = int(stamp), int(window)
        except ValueError:
            raise BybitError(errors.PARAMETER, "params error: timestamp or recv_window is no number") from None
        if width <= 0 or width > LONGEST_WINDOW_MS:
            raise BybitError(errors.PARAMETER, "params error: recv_window out of range")
        now = self.now_ms
        if not within(now, sent, width):
            raise BybitError(
                errors.TIMESTAMP,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{sent}],server_timestamp[{now}],recv_window[{width}]",
            )

    def _use(self, key: ApiKey, rule: str, limit: int) -> Use:
        return self.windows.use(key.account.name, rule, limit, SECOND, self.clock.now)

    def order_use(self, key: ApiKey, path: str, body: Params) -> Use:
        """Count a request about orders. REST and websocket share the count."""
        limits = tables.CANCEL_ALL_LIMITS if path == tables.CANCEL_ALL else tables.ORDER_LIMITS
        wanted = str(body.get("category", ""))
        return self._use(key, f"{path} {wanted}", limits.get(wanted, 10))

    def _response(
        self, code: int, message: str, result: Any, extra: Any = None, use: Use | None = None
    ) -> ServerResponse:
        headers = {**JSON, **limit_headers(use, self.now_ms)} if use is not None else JSON
        return ServerResponse(200, encode(envelope(code, message, result, self.now_ms, extra)), headers)

    # -- orders ------------------------------------------------------------------------------------------------------

    def _operate(self, request: ServerRequest, respond: Respond) -> None:
        key = self.authenticate(request)
        body = body_of(request)
        use = self.order_use(key, request.path, body)
        if not use.allowed:
            respond(self._response(errors.TOO_MANY, TOO_MANY, {}, use=use))
            return

        def answer(reply: Reply) -> None:
            respond(self._response(reply.code, reply.message, reply.result, use=use))

        self.operate(request.path, key, body, answer)

    def operate(self, path: str, key: ApiKey, body: dict[str, Any], answer: Callable[[Reply], None]) -> None:
        """Carry out a request about orders that was checked; always answered."""
        try:
            if key.read_only:
                raise BybitError(errors.PERMISSION, "Permission denied, please check your API key permissions.")
            OPERATIONS[path](self.served, key.account, body, answer)
        except BybitError as error:
            answer(Reply(error.code, error.message, {}))

    def _create_batch(self, request: ServerRequest, respond: Respond) -> None:
        key = self.authenticate(request)
        body = body_of(request)
        wanted = category_of(body)
        orders = body.get("request")
        if not isinstance(orders, list) or not 0 < len(orders) <= 20:
            raise BybitError(errors.PARAMETER, "params error: request must hold 1 to 20 orders")
        use = self.order_use(key, request.path, body)
        if not use.allowed:
            raise BybitError(errors.TOO_MANY, TOO_MANY)
        replies: list[Reply | None] = [None] * len(orders)

        def taker(place: int) -> Callable[[Reply], None]:
            def take(reply: Reply) -> None:
                replies[place] = reply
                if all(each is not None for each in replies):
                    respond(self._batch_response(wanted, orders, [each for each in replies if each is not None], use))

            return take

        for place, each in enumerate(orders):
            take = taker(place)
            try:
                create(self.served, key.account, {**each, "category": wanted}, take)
            except BybitError as error:
                take(Reply(error.code, error.message, {}))

    def _batch_response(self, wanted: str, orders: list[Row], replies: list[Reply], use: Use) -> ServerResponse:
        rows = [
            {
                "category": wanted,
                "symbol": order.get("symbol", ""),
                "orderId": reply.result.get("orderId", ""),
                "orderLinkId": order.get("orderLinkId", ""),
                "createAt": str(self.now_ms) if reply.code == 0 else "",
            }
            for order, reply in zip(orders, replies, strict=True)
        ]
        codes = [{"code": reply.code, "msg": reply.message} for reply in replies]
        return self._response(0, "OK", {"list": rows}, {"list": codes}, use)

    # -- market data -------------------------------------------------------------------------------------------------

    def _time(self, params: Params) -> Row:
        return {"timeSecond": str(self.clock.now // SECOND), "timeNano": str(self.clock.now)}

    def _instruments(self, params: Params) -> Row:
        wanted = str(params.get("category", ""))
        if wanted == "option":
            return {"category": wanted, "list": [], "nextPageCursor": ""}
        category_of(dict(params))
        rows = [
            instrument_row(instrument)
            for instrument in self.served.markets
            if tables.category(instrument) == wanted
            and params.get("symbol", instrument.symbol) == instrument.symbol
            and params.get("baseCoin", instrument.base_currency) == instrument.base_currency
            and params.get("status", "Trading") == "Trading"
        ]
        return {"category": wanted, "list": rows, "nextPageCursor": ""}

    def _kline(self, params: Params) -> Row:
        market = market_of(self.served, {"category": tables.LINEAR, **params})
        interval = str(params.get("interval", ""))
        if interval not in INTERVALS:
            raise BybitError(errors.PARAMETER, "Invalid period!")
        candles = market.candles(
            INTERVALS[interval],
            number(params, "limit", 200, 1000),
            moment(params, "start"),
            moment(params, "end"),
            offset_of(interval),
        )
        instrument = market.instrument
        rows = [
            [
                str(each.start // MS),
                *(price(instrument, ticks) for ticks in (each.open, each.high, each.low, each.close)),
                qty(instrument, each.qty),
                money(each.value),
            ]
            for each in reversed(candles)
        ]
        return {"symbol": instrument.symbol, "category": tables.category(instrument), "list": rows}

    def _orderbook(self, params: Params) -> Row:
        market = market_of(self.served, dict(params))
        instrument = market.instrument
        spot = tables.category(instrument) == tables.SPOT
        limit = number(params, "limit", 1 if spot else 25, 1000)
        sides = (
            [[price(instrument, each), qty(instrument, lots)] for each, lots in market.levels(side, limit)]
            for side in (1, -1)
        )
        bids, asks = sides
        now = self.now_ms
        return {
            "s": instrument.symbol,
            "b": bids,
            "a": asks,
            "ts": now,
            "u": market.seq,
            "seq": market.seq,
            "cts": now,
        }

    def _recent_trades(self, params: Params) -> Row:
        market = market_of(self.served, dict(params))
        instrument = market.instrument
        limit = number(params, "limit", 60 if tables.category(instrument) == tables.SPOT else 500, 1000)
        rows = [
            {
                "execId": trade_id(self.served, market, each),
                "symbol": instrument.symbol,
                "price": price(instrument, each.price),
                "size": qty(instrument, each.qty),
                "side": tables.SIDE_NAMES[each.side or 1],
                "time": str(each.ts // MS),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(each.number),
            }
            for each in list(market.trades)[-limit:][::-1]
        ]
        return {"category": tables.category(instrument), "list": rows}

    def _tickers(self, params: Params) -> Row:
        wanted = str(params.get("category", ""))
        if wanted == "option":
            return {"category": wanted, "list": []}
        category_of(dict(params))
        if params.get("symbol"):
            market_of(self.served, dict(params))
        rows = [
            ticker_row(market, stream=False)
            for instrument, market in self.served.markets.items()
            if tables.category(instrument) == wanted and params.get("symbol", instrument.symbol) == instrument.symbol
        ]
        return {"category": wanted, "list": rows}

    def _funding_history(self, params: Params) -> Row:
        market = market_of(self.served, dict(params))
        funding = market.funding
        if funding is None:
            raise BybitError(errors.PARAMETER, "params error: the symbol has no funding")
        rate, due, interval = funding
        limit = number(params, "limit", 200, 200)
        start, end = moment(params, "startTime"), moment(params, "endTime")
        times = (due - (place + 1) * interval for place in range(limit))
        rows = [
            {
                "symbol": market.instrument.symbol,
                "fundingRate": to_str(rate),
                "fundingRateTimestamp": str(ts // MS),
            }
            for ts in times
            if (start is None or ts >= start) and (end is None or ts <= end)
        ]
        return {"category": tables.category(market.instrument), "list": rows}

    # -- the account -------------------------------------------------------------------------------------------------

    def _chosen(self, orders: Iterable[ServedOrder], params: Params) -> list[ServedOrder]:
        """The orders that a query's parameters leave, newest first."""
        wanted = category_of(dict(params))
        return [
            order
            for order in sorted(orders, key=lambda each: each.number, reverse=True)
            if tables.category(order.instrument) == wanted
            and not hidden(order)
            and params.get("symbol", order.instrument.symbol) == order.instrument.symbol
            and params.get("baseCoin", order.instrument.base_currency) == order.instrument.base_currency
            and params.get("settleCoin", order.instrument.settle_currency) == order.instrument.settle_currency
            and params.get("orderId", order.order_id) == order.order_id
            and params.get("orderLinkId", order.client_id) == order.client_id
        ]

    def _open_orders(self, key: ApiKey, params: Params) -> Row:
        """Open orders; asked for by id, also one of the last 500 that are over."""
        account = key.account
        wanted = category_of(dict(params))
        named = params.get("orderId") or params.get("orderLinkId")
        if wanted == tables.LINEAR and not (named or any(params.get(n) for n in ("symbol", "baseCoin", "settleCoin"))):
            raise BybitError(errors.PARAMETER, "Missing some parameters that must be filled in, symbol or settleCoin")
        orders = list(account.open_orders())
        if named or str(params.get("openOnly", "0")) == "1":
            orders.extend(list(account.history)[-500:])
        return self._page(wanted, [order_row(each, stream=False) for each in self._chosen(orders, params)], params)

    def _order_history(self, key: ApiKey, params: Params) -> Row:
        account = key.account
        chosen = self._chosen([*account.history, *account.open_orders()], params)
        start, end = moment(params, "startTime"), moment(params, "endTime")
        rows = [
            order_row(each, stream=False)
            for each in chosen
            if (start is None or each.created_ts >= start) and (end is None or each.created_ts <= end)
        ]
        return self._page(category_of(dict(params)), rows, params)

    def _executions(self, key: ApiKey, params: Params) -> Row:
        wanted = category_of(dict(params))
        start, end = moment(params, "startTime"), moment(params, "endTime")
        rows = [
            execution_row(each, self.served.markets[each.order.instrument], stream=False)
            for each in reversed(key.account.executions)
            if tables.category(each.order.instrument) == wanted
            and params.get("symbol", each.order.instrument.symbol) == each.order.instrument.symbol
            and params.get("orderId", each.order.order_id) == each.order.order_id
            and params.get("orderLinkId", each.order.client_id) == each.order.client_id
            and (start is None or each.ts // MS >= start // MS)
            and (end is None or each.ts // MS <= end // MS)
        ]
        return self._page(wanted, rows, params)

    def _page(self, wanted: str, rows: list[Row], params: Params) -> Row:
        """One page of rows; the cursor says where the next one begins."""
        limit = number(params, "limit", 50, 200)
        try:
            first = int(params.get("cursor") or 0)
        except ValueError:
            raise BybitError(errors.PARAMETER, "params error: cursor invalid") from None
        cursor = str(first + limit) if first + limit < len(rows) else ""
        return {"nextPageCursor": cursor, "category": wanted, "list": rows[first : first + limit]}

    def _positions(self, key: ApiKey, params: Params) -> Row:
        """The position of a symbol, flat or not; without a symbol those that are not flat."""
        wanted = category_of(dict(params))
        symbol = params.get("symbol")
        if wanted == tables.SPOT:
            raise BybitError(errors.PARAMETER, "Illegal category")
        if symbol:
            market = market_of(self.served, dict(params))
            rows = [position_row(key.account, market.instrument, stream=False)]
        else:
            if wanted == tables.LINEAR and not params.get("settleCoin"):
                raise BybitError(
                    errors.PARAMETER, "Missing some parameters that must be filled in, symbol or settleCoin"
                )
            rows = [
                position_row(key.account, instrument, stream=False)
                for instrument in self.served.markets
                if tables.category(instrument) == wanted
                and params.get("settleCoin", instrument.settle_currency) == instrument.settle_currency
                and key.account.position(instrument).lots
            ]
        return self._page(wanted, rows, params)

    def _wallet(self, key: ApiKey, params: Params) -> Row:
        if params.get("accountType") != "UNIFIED":
            raise BybitError(errors.PARAMETER, "accountType only support UNIFIED.")
        wanted = str(params.get("coin", ""))
        coins = wanted.split(",") if wanted else key.account.coins()
        return {"list": [wallet_row(key.account, coins)]}

    def _account_info(self, key: ApiKey, params: Params) -> Row:
        return {
            "marginMode": "REGULAR_MARGIN",
            "updatedTime": str(self.now_ms),
            "unifiedMarginStatus": 5,
            "dcpStatus": "OFF",
            "timeWindow": 10,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def _fee_rate(self, key: ApiKey, params: Params) -> Row:
        wanted = category_of(dict(params))
        rows = [
            {
                "symbol": instrument.symbol,
                "takerFeeRate": to_str(market.market.taker_fee),
                "makerFeeRate": to_str(market.market.maker_fee),
            }
            for instrument, market in self.served.markets.items()
            if tables.category(instrument) == wanted and params.get("symbol", instrument.symbol) == instrument.symbol
        ]
        return {"list": rows}

    def _query_api(self, key: ApiKey, params: Params) -> Row:
        trading = not key.read_only
        return {
            "id": str(key.account.number),
            "note": key.account.name,
            "apiKey": key.key,
            "readOnly": int(key.read_only),
            "secret": "",
            "permissions": {
                "ContractTrade": ["Order", "Position"] if trading else [],
                "Spot": ["SpotTrade"] if trading else [],
                "Wallet": [],
                "Options": [],
                "Derivatives": ["DerivativesTrade"] if trading else [],
                "CopyTrading": [],
                "BlockTrade": [],
                "Exchange": [],
                "NFT": [],
                "Affiliate": [],
                "Earn": [],
            },
            "ips": ["*"],
            "type": 1,
            "deadlineDay": -2,
            "expiredAt": "1970-01-01T00:00:00Z",
            "createdAt": "2025-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": 1_000_000 + key.account.number,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        }

    def _coin_info(self, key: ApiKey, params: Params) -> Row:
        """Coins without chains: nothing can be deposited or withdrawn here."""
        rows = [
            {"name": coin, "coin": coin, "remainAmount": "0", "chains": []}
            for coin in key.account.coins()
            if params.get("coin", coin) == coin
        ]
        return {"rows": rows}


def limit_headers(use: Use, now_ms: int) -> dict[str, str]:
    """The rate headers of an answer. While requests are left the reset time is now.
    https://bybit-exchange.github.io/docs/v5/rate-limit"""
    return {
        "X-Bapi-Limit": str(use.limit),
        "X-Bapi-Limit-Status": str(use.remaining),
        "X-Bapi-Limit-Reset-Timestamp": str(now_ms if use.allowed and use.remaining else use.reset_ts // MS),
    }


def body_of(request: ServerRequest) -> dict[str, Any]:
    """The JSON object of a body. Raises `BybitError`."""
    try:
        body = msgspec.json.decode(request.body)
    except msgspec.DecodeError:
        body = None
    if not isinstance(body, dict):
        raise BybitError(errors.PARAMETER, "params error: the body is no JSON object")
    return body


def number(params: Params, name: str, usual: int, most: int) -> int:
    """A whole number from 1 to `most`; what is more counts as `most`. Raises `BybitError`."""
    try:
        value = int(params.get(name) or usual)
    except ValueError:
        raise BybitError(errors.PARAMETER, f"params error: {name} is no number") from None
    return max(1, min(value, most))


def moment(params: Params, name: str) -> int | None:
    """A time in ms, as ns. Raises `BybitError`."""
    text = params.get(name)
    if not text:
        return None
    try:
        return int(text) * MS
    except ValueError:
        raise BybitError(errors.PARAMETER, f"params error: {name} is no time") from None
