"""Bybit v5 over a served exchange: the checks of REST requests (`/v5/...`), their routes, and orders.

Requests are checked as Bybit does, in its order: key (10003), time within the receive window (10002), signature over
the raw query or body (10004), the rate of the account on the path (10006). What is wrong is answered with HTTP 200 and
a `retCode`. Create, amend, cancel and cancel-all answer when the exchange has taken or refused the request, with ids
alone: what becomes of the order is told on the private stream.

The public calls are in `bybit_market`, questions about an account in `bybit_account`, the making of orders in
`bybit_orders`, batches of them in `bybit_batch`, the disconnection protection in `bybit_dcp`, the public, private and
trade websockets in `bybit_sockets`.

Sources: https://bybit-exchange.github.io/docs/v5/intro and the pages of each path; recorded answers and requests of
pybit and ccxt.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import msgspec

from mlthon.basics.defs import Exchange
from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.dialects import bybit_account, bybit_market
from mlthon.exchange.dialects.bybit_batch import BATCHES
from mlthon.exchange.dialects.bybit_dcp import Protection
from mlthon.exchange.dialects.bybit_orders import OPERATIONS, BybitError, Reply
from mlthon.exchange.dialects.bybit_params import Params, body_of, limit_headers
from mlthon.exchange.dialects.bybit_rows import Row
from mlthon.exchange.dialects.bybit_sockets import connect
from mlthon.exchange.dialects.bybit_streams import Channel
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.contract import Respond, ServerRequest, ServerResponse, ServerSocket, SocketHandler
from mlthon.exchange.served.exchange import ApiKey, IdStyle, ServedExchange
from mlthon.exchange.served.limits import Use, Windows, hmac_hex, same, within
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors

encode: Final = msgspec.json.Encoder().encode
JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
LONGEST_WINDOW_MS: Final = 60_000
TOO_MANY: Final = "Too many visits. Exceeded the API Rate Limit."
SWITCH_LIMIT: Final = 5
"""How often in a second the disconnection protection may be set (from memory; the page of it does not say)."""
CARRIED_OUT: Final = {**OPERATIONS, **BATCHES}
"""The requests about orders, by path."""


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
        self.protection = Protection(served.clock)
        self._banned: dict[str, int] = {}

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
        if request.method == "GET" and path in bybit_market.CALLS:
            respond(self._response(0, "OK", bybit_market.CALLS[path](self.served, request.params)))
        elif request.method == "GET" and path in bybit_account.CALLS:
            key = self.authenticate(request)
            use = self._use(key, path, tables.READ_LIMITS.get(path, 50))
            result = bybit_account.CALLS[path](self.served, key, request.params)
            respond(self._response(0, "OK", result, use=use))
        elif request.method == "POST" and path in CARRIED_OUT:
            self._operate(request, respond)
        elif request.method == "POST" and path == tables.SWITCH:
            self._set_protection(request, respond)
        elif request.method == "GET" and path == tables.SWITCH_INFO:
            key = self.authenticate(request)
            respond(self._response(0, "success", self.protection.infos(key.account)))
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

    def _set_protection(self, request: ServerRequest, respond: Respond) -> None:
        key = self.authenticate(request)
        use = self._use(key, tables.SWITCH, SWITCH_LIMIT)
        if not use.allowed:
            respond(self._response(errors.TOO_MANY, TOO_MANY, {}, use=use))
            return
        self.protection.set_window(self._trader(key), body_of(request))
        respond(self._response(0, "success", {}, use=use))

    def _operate(self, request: ServerRequest, respond: Respond) -> None:
        key = self.authenticate(request)
        body = body_of(request)
        use = self.order_use(key, request.path, body)
        if not use.allowed:
            respond(self._response(errors.TOO_MANY, TOO_MANY, {}, use=use))
            return

        def answer(reply: Reply) -> None:
            respond(self._response(reply.code, reply.message, reply.result, reply.extra, use))

        self.operate(request.path, key, body, answer)

    def operate(self, path: str, key: ApiKey, body: dict[str, Any], answer: Callable[[Reply], None]) -> None:
        """Carry out a request about orders that was checked; always answered."""
        try:
            CARRIED_OUT[path](self.served, self._trader(key), body, answer)
        except BybitError as error:
            answer(Reply(error.code, error.message, {}))

    def _trader(self, key: ApiKey) -> ServedAccount:
        """The account of a key that may trade. Raises `BybitError`."""
        if key.read_only:
            raise BybitError(errors.PERMISSION, "Permission denied, please check your API key permissions.")
        return key.account
