"""BitMEX's side of its protocol, `/api/v1` and `/realtime`, on a served exchange: HTTP, its checks, logins.

Requests are signed by `api-expires`; an expired or wrongly signed one is refused with 401 and the exchange's text
(sources in `mlthon.protocols.bitmex`). A websocket may log in by headers, by query or by `authKeyExpires`
(`bitmex_realtime`). The calls: `bitmex_market`, `bitmex_account`, `bitmex_orders`; how their parameters are read:
`bitmex_request`; the rows that they answer with: `bitmex_rows`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

import msgspec

from mlthon.basics.defs import Exchange
from mlthon.engine.clock import MS, SECOND, Handle
from mlthon.exchange.dialects import bitmex_account, bitmex_market, bitmex_orders
from mlthon.exchange.dialects.bitmex_realtime import Realtime
from mlthon.exchange.dialects.bitmex_request import Fault, Params, Route, Routes, columns, parameters
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.contract import Respond, ServerRequest, ServerResponse, ServerSocket, SocketHandler
from mlthon.exchange.served.exchange import ApiKey, IdStyle, ServedExchange
from mlthon.exchange.served.limits import Windows, hmac_hex, same
from mlthon.exchange.served.market import ServedMarket
from mlthon.protocols import bitmex as wire


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
            params = parameters(request)
            shown = params if request.method == "GET" else {}
            route.handle(self, key, params, partial(_guarded, send, fail, shown))
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


def _guarded(send: Callable[..., None], fail: Callable[[Fault], None], shown: Params, body: Any) -> None:
    """Answer with a body, of rows the columns that are wanted, or with a Fault that came to light later."""
    if isinstance(body, Fault):
        fail(body)
        return
    try:
        send(columns(body, shown) if isinstance(body, list) else body)
    except Fault as fault:
        fail(fault)


_ROUTES: Final[Routes] = {
    (method, wire.API + path): route
    for (method, path), route in {**bitmex_market.ROUTES, **bitmex_account.ROUTES, **bitmex_orders.ROUTES}.items()
}
