"""Binance's websocket API: requests over a websocket, and on spot the user data.

A request is `{"id", "method", "params"}`; a signed one carries apiKey, timestamp and signature among its parameters,
sorted by name when they are signed. An answer is `{"id", "status", "result" | "error", "rateLimits"}`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mlthon.exchange.dialects import binance_rows as rows
from mlthon.exchange.dialects.binance_fault import Fault
from mlthon.exchange.dialects.binance_streams import SpotUserStream, UserStream
from mlthon.exchange.served.contract import DeafSocket, ServerSocket, SocketHandler
from mlthon.exchange.served.exchange import ApiKey
from mlthon.protocols import binance_signing as signing

if TYPE_CHECKING:
    from mlthon.exchange.dialects.binance import BinanceDialect

REST_OF: Final = {
    "ping": ("GET", "ping"),
    "time": ("GET", "time"),
    "exchangeInfo": ("GET", "exchangeInfo"),
    "depth": ("GET", "depth"),
    "klines": ("GET", "klines"),
    "ticker.book": ("GET", "ticker/bookTicker"),
    "ticker.price": ("GET", "ticker/price"),
    "trades.recent": ("GET", "trades"),
    "order.place": ("POST", "order"),
    "order.status": ("GET", "order"),
    "order.cancel": ("DELETE", "order"),
    "order.modify": ("PUT", "order"),
    "order.cancelReplace": ("POST", "order/cancelReplace"),
    "order.amend.keepPriority": ("PUT", "order/amend/keepPriority"),
    "openOrders.status": ("GET", "openOrders"),
    "openOrders.cancelAll": ("DELETE", "openOrders"),
    "allOrders": ("GET", "allOrders"),
    "myTrades": ("GET", "myTrades"),
    "account.status": ("GET", "account"),
    "account.balance": ("GET", "balance"),
    "account.position": ("GET", "positionRisk"),
    "algoOrder.place": ("POST", "algoOrder"),
    "algoOrder.cancel": ("DELETE", "algoOrder"),
}
"""Method -> the call of the REST API that does the same."""

FAILED: Final = (-1000, "An unknown error occurred while processing the request.")
TOO_MANY: Final = (-1003, "Too many requests; current limit of IP is exceeded.", 429)


class WsApiSocket:
    """One client's websocket. Implements `RequestHandler`."""

    def __init__(self, dialect: "BinanceDialect", socket: ServerSocket) -> None:
        self._dialect = dialect
        self._socket = socket
        self._user: dict[int, SpotUserStream | UserStream] = {}
        self._subscriptions = 0

    def closed(self) -> None:
        for stream in self._user.values():
            stream.stop()
        self._user.clear()

    def asks(self, data: str | bytes) -> str | None:
        request = _object(data)
        found = None if request is None else self._named(str(request.get("method")))
        return None if found is None else found[1]

    def fail(self, data: str | bytes, status: int | None) -> None:
        fault = Fault(*TOO_MANY) if status is None else Fault(*FAILED, status)
        self._answer((_object(data) or {}).get("id"), fault)

    def unheard(self) -> SocketHandler:
        return WsApiSocket(self._dialect, DeafSocket(self._socket))

    def message(self, data: str | bytes) -> None:
        number: Any = None
        try:
            request = msgspec.json.decode(data)
            if not isinstance(request, dict) or not isinstance(request.get("method"), str):
                raise Fault(-1135, "Invalid request: expected an object with a method.")
            number = request.get("id")
            given = request.get("params") or {}
            if not isinstance(given, dict):
                raise Fault(-1135, "Invalid request: params must be an object.")
            params = {name: _text(value) for name, value in given.items()}
            self._do(request["method"], number, params)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._answer(number, Fault(-1135, "Invalid JSON."))
        except Fault as fault:
            self._answer(number, fault)

    def _do(self, method: str, number: Any, params: Mapping[str, str]) -> None:
        if method == "userDataStream.subscribe.signature":
            self._answer(number, self._subscribe(self._signed(params)))
            return
        if method == "userDataStream.unsubscribe":
            self.closed()
            self._answer(number, {})
            return
        found = self._route(method)
        if found is None:
            raise Fault(-1130, f"Method '{method}' is not supported here.")
        handler, needs = found
        key = self._signed(params) if needs == "signed" else None
        handler(self._dialect, key, params, partial(self._answer, number))

    def _route(self, method: str) -> tuple[Callable[..., None], str] | None:
        """The REST handler of a method: USD-M's newest version of it."""
        named = self._named(method)
        return None if named is None else self._dialect.routes[named]

    def _named(self, method: str) -> tuple[str, str] | None:
        """The REST call of a method."""
        method = method.removeprefix("v2/")
        if method not in REST_OF:
            return None
        verb, path = REST_OF[method]
        prefixes = ("/fapi/v3/", "/fapi/v1/") if self._dialect.usdm else ("/api/v3/",)
        return next(
            ((verb, prefix + path) for prefix in prefixes if (verb, prefix + path) in self._dialect.routes), None
        )

    def _signed(self, params: Mapping[str, str]) -> ApiKey:
        """Whose request it is. Raises Fault."""
        key = self._dialect.served.keys.get(params.get("apiKey", ""))
        if key is None:
            raise Fault(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        self._dialect.check(key, signing.websocket_text(params), params)
        return key

    def _subscribe(self, key: ApiKey) -> rows.Row:
        number = self._subscriptions
        self._subscriptions += 1
        kind = UserStream if self._dialect.usdm else SpotUserStream
        self._user[number] = kind(key.account, partial(self._event, number))
        return {"subscriptionId": number}

    def _event(self, number: int, event: rows.Row) -> None:
        self._send({"subscriptionId": number, "event": event})

    def _answer(self, number: Any, body: Any) -> None:
        limits = [{**each, "count": 1} for each in rows.rate_limits(self._dialect.exchange)]
        if isinstance(body, Fault):
            error = {"code": body.code, "msg": body.message}
            self._send({"id": number, "status": body.status, "error": error, "rateLimits": limits})
        else:
            self._send({"id": number, "status": 200, "result": body, "rateLimits": limits})

    def _send(self, message: Any) -> None:
        self._socket.send(msgspec.json.encode(message).decode())


def _object(data: str | bytes) -> dict[str, Any] | None:
    """The JSON object of a message; None if it is none."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def _text(value: Any) -> str:
    """A parameter as it is signed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
