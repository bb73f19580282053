"""What Binance spot and USD-M futures have in common on a served exchange: HTTP, its checks, and who answers a socket.

Parameters may stand in the query or a form body; the signature covers both as sent. Timestamp and recvWindow are
enforced (-1021), keys (-2014, -2015) and signatures (-1022) too; weights and order counts are told in headers. What is
refused is a code and a message (`binance_fault`).

The calls: `binance_market` and `binance_orders` those of both, `binance_spot` and `binance_usdm` each one's own and its
dialect. The sockets: `binance_streams` and `binance_ws_api`. The rows of answers and events: `binance_rows`,
`binance_spot_rows`, `binance_usdm_rows`. Sources are named in the `mlthon.protocols.binance_*` modules.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from mlthon.basics.defs import Exchange
from mlthon.engine.clock import MS, SECOND, Handle
from mlthon.exchange.dialects.binance_fault import INVALID_SYMBOL, Fault, Faults, malformed, missing
from mlthon.exchange.dialects.binance_params import Params, parameters, unsigned
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
from mlthon.exchange.served.records import Refusal, ServedOrder
from mlthon.protocols import binance_rules as rules
from mlthon.protocols import binance_signing as signing

Send = Callable[[Any], None]

DEFAULT_WEIGHT: Final = 1

_CALLS: Final = {
    (each.exchange, each.method, each.path): each
    for group in (rules.Spot, rules.Usdm)
    for each in vars(group).values()
    if isinstance(each, rules.Call)
}

Handler = Callable[["BinanceDialect", ApiKey | None, Params, Send], None]
Routes = Mapping[tuple[str, str], tuple[Handler, str]]
"""(method, path) -> handler, and how far a key is needed: `public`, `keyed`, `signed`."""


class BinanceDialect:
    """What spot and USD-M have in common."""

    name: ClassVar[str]
    exchange: Exchange
    ids: ClassVar[IdStyle] = IdStyle.NUMBER
    instruments: ClassVar[tuple[str, ...]] = ("BTCUSDT", "ETHUSDT")
    sockets: ClassVar[dict[str, str]]
    routes: ClassVar[Routes]
    faults: ClassVar[Faults]
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
            self.check(key, unsigned(request), params)
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
