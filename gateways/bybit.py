"""Bybit v5: spot, linear and inverse of one unified account.

Orders go over REST or, with `orders = "websocket"`, over the trade websocket; either answers with an acknowledgement
alone, and what became of the order comes on the private line. A client order id is Bybit's `orderLinkId`.

Options: `orders` (`rest`, the default, or `websocket`), `recv_window_ms` (5000).

The dead man's switch is Bybit's "disconnect cancel all": an account manager there has to have switched it on, it counts
from the loss of the private line, not from the last request, and it cannot be disarmed
(https://bybit-exchange.github.io/docs/v5/order/dcp).
On spot, cancel-all leaves orders alone that wait for their trigger: the call takes one kind at a time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateways import _bybit_facts as facts
from gateways import _bybit_spelling as spelling
from gateways._bybit_questions import IP_RULE, Questions, http_refusal
from mlthon.basics.defs import Exchange, GtwRejectCode
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors
from mlthon.protocols import bybit_private as wire
from mlthon.venue.codec import BadMessage, Credentials, Endpoints, Question
from mlthon.venue.facts import Fact, LineInterrupted, LineReady, LineRefused, Reply, spot_position
from mlthon.venue.rate_rules import RESERVE, RateRule, Usage
from mlthon.venue.wire import ORDER_TIMEOUT_S, Frame, HttpAnswer, HttpMessage, Line, Priority, Request

EXCHANGES: Final = (Exchange.Bybit,)
PRIVATE: Final = "private"
TRADE: Final = "trade"
RESTARTING: Final = 10019
SWITCH: Final = "dead man's switch"
OPTIONS: Final = frozenset({"orders", "recv_window_ms"})
BAD: Final = (msgspec.MsgspecError, ValueError)


def _rules() -> tuple[RateRule, ...]:
    limit, interval_s = tables.IP_LIMIT
    found = [RateRule(IP_RULE, limit, interval_s, reserve=RESERVE)]
    for path in (tables.CREATE, tables.AMEND, tables.CANCEL, tables.CANCEL_ALL):
        found += [RateRule(_rule(path, category), most, 1.0) for category, most in tables.ORDER_LIMITS.items()]
    found += [RateRule(path, most, 1.0) for path, most in tables.READ_LIMITS.items()]
    return tuple(found)


def _rule(path: str, category: str) -> str:
    return f"{path} {category}"


RULES: Final = _rules()


def environments(exchange: Exchange) -> Mapping[str, Endpoints]:
    if exchange not in EXCHANGES:
        raise ValueError(f"{exchange.name} is not {EXCHANGES[0].name}")
    return {name: Endpoints(name, urls, name in tables.REAL_MONEY) for name, urls in tables.ENVIRONMENTS.items()}


def codec(
    exchange: Exchange,
    account: str,
    instruments: Iterable[Instrument],
    endpoints: Endpoints,
    credentials: Credentials | None,
    options: Mapping[str, Any],
) -> "BybitCodec":
    """See `mlthon.venue.codec.GatewayModule`."""
    if exchange not in EXCHANGES:
        raise ValueError(f"{exchange.name} is not {EXCHANGES[0].name}")
    return BybitCodec(account, instruments, endpoints, credentials, options)


class BybitCodec(Questions):
    """One account. See `mlthon.venue.codec.Codec`."""

    def __init__(
        self,
        account: str,
        instruments: Iterable[Instrument],
        endpoints: Endpoints,
        credentials: Credentials | None,
        options: Mapping[str, Any],
    ) -> None:
        unknown = sorted(set(options) - OPTIONS)
        if unknown:
            raise ValueError(f"Bybit has no setting {unknown[0]!r}, only {', '.join(sorted(OPTIONS))}")
        orders = options.get("orders", "rest")
        if orders not in ("rest", "websocket"):
            raise ValueError(f"orders must be 'rest' or 'websocket', not {orders!r}")
        if orders == "websocket" and TRADE not in endpoints.urls:
            raise ValueError(f"{endpoints.environment} has no trade websocket: set orders = 'rest'")
        window = options.get("recv_window_ms", tables.RECV_WINDOW_MS)
        if isinstance(window, bool) or not isinstance(window, int) or not 0 < window <= 60_000:
            raise ValueError(f"recv_window_ms must be a whole number from 1 to 60000, not {window!r}")
        super().__init__(instruments, credentials, window)
        self.exchange = Exchange.Bybit
        self.account = account
        self.rules: Sequence[RateRule] = RULES
        self.validity_s = window / 1000
        self.has_dead_man = True
        self._switches: set[str] = set()
        """The products whose switch has been set on the private line as it is now."""
        self._over_websocket = orders == "websocket"
        self._urls = endpoints.urls
        self._frames = 0

    # -- lines -------------------------------------------------------------------------------------------------------

    def lines(self) -> Question[Sequence[Line]]:
        self._signer()
        names = (PRIVATE, TRADE) if self._over_websocket else (PRIVATE,)
        return [self._line(name) for name in names]
        yield  # nothing has to be asked

    def _line(self, name: str) -> Line:
        url = self._urls[name]
        return Line(name, lambda _now_ms: url, ping=lambda: tables.PING, ping_every_s=tables.PING_EVERY_S)

    def line_opened(self, name: str, now_ms: int) -> Iterable[str]:
        if name == PRIVATE:
            self._switches.clear()
        expires = now_ms + tables.AUTH_VALID_MS
        signature = self._signer()(tables.websocket_prehash(expires))
        return [wire.encode({"op": "auth", "args": [self._key, expires, signature]})]

    def line_message(self, name: str, data: bytes, _recv_ts: int) -> Iterable[Fact | str]:
        try:
            envelope = wire.decode_envelope(data)
            if envelope.topic:
                return self._topic(envelope.topic, data)
            if envelope.op in ("auth", "subscribe"):
                return self._login(name, envelope)
            if envelope.op in ("pong", "ping"):
                return []
            if envelope.ret_code is not None and envelope.op.startswith("order."):
                return self._frame_reply(name, envelope)
            if envelope.success is False:
                return [LineRefused(line=name, reason=self._words(envelope.ret_msg) or "refused without a reason")]
        except BAD as error:
            raise BadMessage(str(error)) from error
        raise BadMessage("neither a topic nor an answer that is known")

    def _topic(self, topic: str, data: bytes) -> list[Fact | str]:
        kind = topic.partition(".")[0]
        found: list[Fact | None]
        if kind == "order":
            found = [facts.order_fact(row, self._known) for row in wire.decode_orders(data).data]
        elif kind == "execution":
            found = [facts.execution_fact(row, self._known) for row in wire.decode_executions(data).data]
        elif kind == "position":
            found = [facts.position_fact(row, self._known) for row in wire.decode_positions(data).data]
        elif kind == "wallet":
            message = wire.decode_wallets(data)
            ts = message.creation_time * MS
            wallets = {coin.coin: facts.wallet_fact(coin, ts) for row in message.data for coin in row.coin}
            based = [each for each in self._spots if each.base_currency in wallets]
            found = [*wallets.values(), *(spot_position(each, wallets[each.base_currency or ""]) for each in based)]
        else:
            raise BadMessage(f"topic {topic!r} was not asked for")
        return [fact for fact in found if fact is not None]

    def _login(self, name: str, answer: wire.Envelope) -> list[Fact | str]:
        good = answer.success if answer.success is not None else answer.ret_code == errors.OK
        reason = self._words(answer.ret_msg or answer.trade_msg) or "refused without a reason"
        if answer.subscription_id == SWITCH:
            if not good:
                raise BadMessage(f"the dead man's switch is not set: {reason}")
            return []
        if not good:
            # A login that came too late may succeed the next time; a wrong key will not.
            late = "expire" in reason.lower() or "timestamp" in reason.lower()
            final = not late if answer.ret_code is None else answer.ret_code in errors.FINAL
            return [LineRefused(line=name, reason=f"{answer.op}: {reason}", final=final)]
        if answer.op == "auth" and name == PRIVATE:
            return [wire.encode({"op": "subscribe", "args": list(tables.PRIVATE_TOPICS)})]
        return [LineReady(line=name)]

    def _frame_reply(self, name: str, answer: wire.Envelope) -> list[Fact | str]:
        code = answer.ret_code or 0
        identity = wire.decode_identity(answer.data) if code == errors.OK else None
        reply = _reply(code, self._words(answer.trade_msg), identity, answer.req_id)
        if code == RESTARTING:
            return [reply, LineInterrupted(line=name, reason=answer.trade_msg)]
        return [reply]

    def keep_alive(self) -> Question[None] | None:
        return None

    # -- requests about orders ---------------------------------------------------------------------------------------

    def new_order(self, order: TrackedOrder) -> Request:
        return self._order_request("new order", tables.CREATE, spelling.create(order), Priority.ORDER)

    def modify_order(self, order: TrackedOrder, price: int | None, qty: int | None) -> Request:
        return self._order_request("modify order", tables.AMEND, spelling.amend(order, price, qty), Priority.ORDER)

    def cancel_order(self, order: TrackedOrder) -> Request:
        return self._order_request("cancel order", tables.CANCEL, spelling.cancel(order), Priority.CANCEL)

    def cancel_all(self, instrument: Instrument) -> Sequence[Request]:
        body = spelling.named(instrument)
        return [self._order_request("cancel all orders", tables.CANCEL_ALL, body, Priority.CANCEL)]

    def _order_request(self, name: str, path: str, body: spelling.Body, priority: Priority) -> Request:
        rule = (_rule(path, body["category"]), 1)
        op = tables.TRADE_OPS.get(path) if self._over_websocket else None
        if op is not None:
            self._frames += 1
            # Unique on the line, and over a restart: the exchange refuses an id that it has seen.
            named = body.get("orderLinkId") or body["orderId"]
            key = f"{op[6:]}-{named}-{self._frames}"
            return Request(name, self._frame(key, op, body), (rule,), priority, ORDER_TIMEOUT_S)
        return Request(name, self._post(path, body), ((IP_RULE, 1), rule), priority, ORDER_TIMEOUT_S)

    def _post(self, path: str, body: Mapping[str, Any]) -> Callable[[int], HttpMessage]:
        sign, text = self._signer(), wire.encode(body)

        def build(now_ms: int) -> HttpMessage:
            headers = tables.signed_headers(sign, self._key, now_ms, self._window, text)
            headers["Content-Type"] = "application/json"
            return HttpMessage("POST", path, headers, text.encode())

        return build

    def _frame(self, key: str, op: str, body: spelling.Body) -> Callable[[int], Frame]:
        def build(now_ms: int) -> Frame:
            header = {tables.TIMESTAMP_HEADER: str(now_ms), tables.RECV_WINDOW_HEADER: str(self._window)}
            return Frame(TRADE, wire.encode({"reqId": key, "header": header, "op": op, "args": [body]}), key)

        return build

    def reply(self, _request: Request, answer: HttpAnswer) -> Reply:
        refused = http_refusal(answer)
        if refused is not None:
            return refused
        try:
            said = wire.decode_answer(answer.body)
            identity = wire.decode_identity(said.result) if said.ret_code == errors.OK else None
        except BAD as error:
            raise BadMessage(str(error)) from error
        return _reply(said.ret_code, self._words(said.ret_msg), identity)

    def arm_dead_man(self, timeout_s: float, instruments: Sequence[Instrument]) -> Sequence[Request]:
        """Disconnection protection: the exchange cancels a product's orders when every private line that subscribes to
        the product's topic has been gone for the time window. So it is set once for each line, not again and again,
        and it cannot be disarmed; the account's manager at Bybit has to have switched it on.
        https://bybit-exchange.github.io/docs/v5/order/dcp and .../v5/websocket/private/dcp"""
        new = [each for each in tables.SWITCHES if each in {tables.switch_of(i) for i in instruments} - self._switches]
        if not timeout_s or not new:
            return []
        self._switches.update(new)
        window = min(max(round(timeout_s), tables.SHORTEST_SWITCH_S), tables.LONGEST_SWITCH_S)
        found = [self._switch({"product": each, "timeWindow": window}) for each in new]
        topics = [tables.SWITCHES[each] for each in new]
        text = wire.encode({"req_id": SWITCH, "op": "subscribe", "args": topics})
        found.append(Request(SWITCH, lambda _now_ms: Frame(PRIVATE, text), (), Priority.CANCEL, ORDER_TIMEOUT_S))
        return found

    def _switch(self, body: Mapping[str, Any]) -> Request:
        return Request(SWITCH, self._post(tables.SWITCH, body), ((IP_RULE, 1),), Priority.CANCEL, ORDER_TIMEOUT_S)

    # -- rate limits -------------------------------------------------------------------------------------------------

    def usage(self, request: Request, answer: HttpAnswer) -> Iterable[Usage]:
        if answer.status == 403:
            banned = answer.recv_ts + round(tables.IP_BAN_S * SECOND)
            return [Usage(IP_RULE, banned_until=banned)]
        limit = _header(answer, tables.LIMIT_HEADER)
        remaining = _header(answer, tables.REMAINING_HEADER)
        rule = request.costs[-1][0] if request.costs else IP_RULE
        if limit is None or remaining is None or rule == IP_RULE:
            return []
        reset = _header(answer, tables.RESET_HEADER)
        return [Usage(rule, max(0, limit - remaining), limit, None if reset is None else reset * MS)]


def _header(answer: HttpAnswer, name: str) -> int | None:
    text = answer.headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _reply(code: int, message: str, identity: wire.Identity | None, key: str = "") -> Reply:
    """What a code says of a request about orders."""
    if code == errors.OK:
        return Reply(key=key, accepted=True, exchange_id=identity.order_id if identity else "")
    return Reply(
        key=key,
        code=GtwRejectCode.GtwNotReady if code == RESTARTING else errors.reject_code(code),
        reason=f"{message} (code {code})",
        unknown=code in errors.UNKNOWN,
        missing=code in errors.MISSING,
        limited=code in errors.LIMITED,
    )
