"""BitMEX: the codec of one account (`mlthon.venue.codec.Codec`).

Orders go over REST; one private line, `/realtime` with the login by `authKeyExpires`, tells of them. It is ready when
the partials of all five tables have come, because changes before a table's partial mean nothing. Updates carry only
what changed, so the last full row of each order, position and balance is kept while the line lives, until the order is
over; a partial starts the table anew. An update of an order that was never told of means that something was missed:
the line is interrupted and connected anew.

Requests are valid until `api-expires`, whole seconds: `validity_s` after they were signed at most. A 503 "overloaded"
means that the request did not reach the engine: it is refused, with the pause that the exchange asks for; every other
5xx leaves it unknown. A crossing post-only order is accepted and comes back cancelled.

Options: `validity_s` (whole seconds, 5 unless told) and `trigger`: the price that triggers stops: `last` (unless told,
as in the embedded exchange), `mark` or `index`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Raw

from gateways._bitmex_questions import BAD, Questions, encode, reason_of, retry_after, whole
from mlthon.basics import money
from mlthon.basics.defs import TIF, Exchange, GtwRejectCode, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import SECOND
from mlthon.engine.tracker import TrackedOrder
from mlthon.order.state import TERMINAL
from mlthon.protocols import bitmex as spelling
from mlthon.protocols import bitmex_messages as wire
from mlthon.venue.codec import BadMessage, Credentials, Endpoints, Question, Unsupported
from mlthon.venue.facts import (
    Fact,
    LineInterrupted,
    LineReady,
    LineRefused,
    OrderFact,
    Reply,
)
from mlthon.venue.rate_rules import RESERVE, RateRule, Usage
from mlthon.venue.wire import ORDER_TIMEOUT_S, HttpAnswer, Line, Priority, Request

EXCHANGES: Final = (Exchange.BitMEX,)
LINE: Final = "private"
PING_EVERY_S: Final = 5.0
SILENT_LINE_S: Final = 20.0

VALIDITY_S: Final = 5
OPTIONS: Final = ("trigger", "validity_s")

NEW, MODIFY, CANCEL, CANCEL_ALL, DEAD_MAN = "new order", "modify order", "cancel order", "cancel all", "dead man"
ENDED_KEPT: Final = 1000
"""Of so many ended orders late updates are ignored, not taken for a gap."""


class BitmexCodec(Questions):
    """See the module and `mlthon.venue.codec.Codec`."""

    exchange = Exchange.BitMEX
    has_dead_man = True

    def __init__(
        self,
        account: str,
        instruments: Iterable[Instrument],
        endpoints: Endpoints,
        credentials: Credentials | None,
        options: Mapping[str, Any],
    ) -> None:
        """Raises ValueError for options it has not, and for instruments whose quantities it cannot write."""
        self.account = account
        limits = spelling.UNKEYED_LIMITS if credentials is None else spelling.KEYED_LIMITS
        self.rules: Sequence[RateRule] = tuple(RateRule(*limit, reserve=RESERVE) for limit in limits)
        validity, self._trigger = _options(options)
        super().__init__(instruments, credentials, validity)
        self.validity_s = float(validity)
        self._endpoints = endpoints
        self._tables: dict[str, dict[str, dict[str, Raw]]] = {}
        self._ended: dict[str, None] = {}
        self._ready = False

    # -- lines -------------------------------------------------------------------------------------------------------

    def lines(self) -> Question[Sequence[Line]]:
        yield from ()
        self._keys()
        url = self._endpoints.urls[LINE]
        return [
            Line(
                LINE,
                lambda now_ms: url,
                ping=lambda: spelling.PING,
                ping_every_s=PING_EVERY_S,
                silence_s=SILENT_LINE_S,
            )
        ]

    def line_opened(self, name: str, now_ms: int) -> Iterable[str]:
        self._tables.clear()
        self._ended.clear()
        self._ready = False
        keys = self._keys()
        expires = self._expires(now_ms)
        login = {"op": "authKeyExpires", "args": [keys.key, expires, spelling.sign_realtime(keys.secret, expires)]}
        return [encode(login).decode()]

    def line_message(self, name: str, data: bytes, recv_ts: int) -> Iterable[Fact | str]:
        if data == spelling.PONG:
            return []
        try:
            head = wire.decode_head(data)
            if head.table:
                return self._table(name, head, data)
            return self._answer(name, head)
        except BAD as error:
            raise BadMessage(str(error)) from error

    def keep_alive(self) -> Question[None] | None:
        return None

    def _answer(self, name: str, head: wire.Head) -> list[Fact | str]:
        operation = "" if head.request is None else head.request.op
        if head.error:
            return [LineRefused(line=name, reason=f"{operation}: {head.error}", final=spelling.is_final(head.error))]
        if head.success and operation == "authKeyExpires":
            return [encode({"op": "subscribe", "args": list(spelling.PRIVATE_TABLES)}).decode()]
        if head.info or head.success is not None:
            return []
        raise ValueError("neither a table's change nor an answer")

    def _table(self, name: str, head: wire.Head, data: bytes) -> list[Fact | str]:
        table = head.table
        if table not in spelling.PRIVATE_TABLES:
            return []
        partial = head.action == spelling.PARTIAL
        if head.action not in (spelling.PARTIAL, spelling.INSERT, spelling.UPDATE, spelling.DELETE):
            raise ValueError(f"{head.action!r} is no action of a table")
        if partial:
            self._tables[table] = {}
        elif table not in self._tables:
            return []
        facts: list[Fact | str] = []
        for row in wire.decode_table(data).data:
            fact = self._row(name, table, head.action, row)
            if fact is not None:
                facts.append(fact)
        if not self._ready and len(self._tables) == len(spelling.PRIVATE_TABLES):
            self._ready = True
            facts.append(LineReady(line=name))
        return facts

    def _row(self, name: str, table: str, action: str, row: dict[str, Raw]) -> Fact | None:
        if table == spelling.EXECUTION:
            return self._rows.execution(wire.decode_execution(encode(row))) if action != spelling.DELETE else None
        key = _key(table, row)
        rows = self._tables[table]
        if action == spelling.DELETE:
            rows.pop(key, None)
            return None
        if action == spelling.UPDATE and table == spelling.ORDER and key not in rows:
            if key in self._ended:
                return None
            return LineInterrupted(line=name, reason=f"an update of order {key}, which was never told of")
        # The bytes of a row belong to its message: a copy lets the message go.
        merged = {**rows.get(key, {}), **{field: Raw(bytes(value)) for field, value in row.items()}}
        rows[key] = merged
        body = encode(merged)
        if table == spelling.ORDER:
            return self._order(key, wire.decode_order(body))
        if table == spelling.POSITION:
            return self._rows.position(wire.decode_position(body))
        if table == spelling.MARGIN:
            return self._rows.margin(wire.decode_margin(body))
        # A margin currency's row in `margin` says more.
        wallet = wire.decode_wallet(body)
        return None if key in self._tables.get(spelling.MARGIN, {}) else self._rows.wallet(wallet)

    def _order(self, key: str, row: wire.OrderRow) -> OrderFact | None:
        fact = self._rows.order(row)
        if spelling.STATUSES.get(row.ord_status) in TERMINAL:
            del self._tables[spelling.ORDER][key]
            self._ended[key] = None
            if len(self._ended) > ENDED_KEPT:
                del self._ended[next(iter(self._ended))]
        return fact

    # -- requests about orders ---------------------------------------------------------------------------------------

    def new_order(self, order: TrackedOrder) -> Request:
        instrument = order.instrument
        tick = instrument.price_scale.step_units
        order_type = spelling.ORDER_TYPES.get(order.order_type)
        if order_type is None:
            raise Unsupported(f"BitMEX has no orders of the type {order.order_type.name}")
        body: dict[str, Any] = {"symbol": instrument.symbol, "side": spelling.SIDE_NAMES[order.side]}
        if not order.close_position:
            body["orderQty"] = _number(order.qty * spelling.lot_size(instrument))
        body["ordType"] = order_type
        if order_type in spelling.PRICED_TYPES:
            body["price"] = _number(order.price * tick)
        if order_type in spelling.TRIGGERED_TYPES:
            if order.stop_price is None:
                raise Unsupported(f"an order of the type {order.order_type.name} needs a stop price")
            body["stopPx"] = _number(order.stop_price * tick)
        if order.tif in spelling.TIFS and order.tif is not TIF.GTC and order.order_type is not OrderType.Market:
            body["timeInForce"] = spelling.TIFS[order.tif]
        if instructions := self._instructions(order, order_type):
            body["execInst"] = instructions
        body["clOrdID"] = order.wire_id
        return self._send(NEW, "POST", "/order", body)

    def _instructions(self, order: TrackedOrder, order_type: str) -> str:
        parts = []
        if order.exec_instr.post_only:
            if order_type not in spelling.PRICED_TYPES:
                raise Unsupported("only orders with a price can be post-only on BitMEX")
            parts.append(spelling.POST_ONLY)
        if order.close_position:
            parts.append(spelling.CLOSE)
        elif order.exec_instr.reduce_only:
            parts.append(spelling.REDUCE_ONLY)
        if order_type in spelling.TRIGGERED_TYPES:
            parts.append(self._trigger)
        return ",".join(parts)

    def modify_order(self, order: TrackedOrder, price: int | None, qty: int | None) -> Request:
        """`orderQty` is the whole order's, what has traded included; the clOrdID stays."""
        body: dict[str, Any] = {"origClOrdID": order.wire_id} if order.wire_id else {"orderID": order.exchange_id}
        if qty is not None:
            body["orderQty"] = _number(qty * spelling.lot_size(order.instrument))
        if price is not None:
            if spelling.ORDER_TYPES.get(order.order_type) not in spelling.PRICED_TYPES:
                raise Unsupported(f"an order of the type {order.order_type.name} has no price to change")
            body["price"] = _number(price * order.instrument.price_scale.step_units)
        return self._send(MODIFY, "PUT", "/order", body)

    def cancel_order(self, order: TrackedOrder) -> Request:
        body = {"clOrdID": order.wire_id} if order.wire_id else {"orderID": order.exchange_id}
        return self._send(CANCEL, "DELETE", "/order", body, Priority.CANCEL)

    def cancel_all(self, instrument: Instrument) -> Sequence[Request]:
        return [self._send(CANCEL_ALL, "DELETE", "/order/all", {"symbol": instrument.symbol}, Priority.CANCEL)]

    def arm_dead_man(self, timeout_s: float, instruments: Sequence[Instrument]) -> Sequence[Request]:
        """POST /order/cancelAllAfter, in milliseconds; one switch for the account."""
        body = {"timeout": round(timeout_s * 1000)}
        return [self._send(DEAD_MAN, "POST", "/order/cancelAllAfter", body, Priority.CANCEL)]

    def reply(self, request: Request, answer: HttpAnswer) -> Reply:
        try:
            if answer.status != 200:
                return _refusal(request, answer)
            if request.name == DEAD_MAN:
                return Reply(accepted=True)
            if request.name == CANCEL_ALL:
                facts = [self._rows.order(row) for row in wire.decode_orders(answer.body)]
                return Reply(accepted=True, facts=tuple(fact for fact in facts if fact is not None))
            if request.name == CANCEL:
                return self._cancelled(answer)
            row = wire.decode_order(answer.body)
            fact = self._rows.order(row)
        except BAD as error:
            raise BadMessage(str(error)) from error
        if row.ord_status == "Rejected":
            reason = row.ord_rej_reason or row.text or "rejected"
            return Reply(exchange_id=row.order_id, code=spelling.reject_code(reason), reason=reason)
        return Reply(accepted=True, exchange_id=row.order_id, facts=() if fact is None else (fact,))

    def _cancelled(self, answer: HttpAnswer) -> Reply:
        """DELETE /order answers with a list, each row with its own `error`."""
        rows = wire.decode_orders(answer.body)
        if not rows:
            return Reply(code=GtwRejectCode.UnknownOrder, reason=spelling.NOT_FOUND, missing=True)
        row = rows[0]
        if row.error:
            missing = spelling.is_missing(row.error)
            code = GtwRejectCode.OrderNotOpen if missing else spelling.reject_code(row.error)
            return Reply(exchange_id=row.order_id, code=code, reason=row.error, missing=missing)
        fact = self._rows.order(row)
        return Reply(accepted=True, exchange_id=row.order_id, facts=() if fact is None else (fact,))

    # -- rate limits -------------------------------------------------------------------------------------------------

    def usage(self, request: Request, answer: HttpAnswer) -> Iterable[Usage]:
        headers = answer.headers
        found = []
        limit, remaining = whole(headers, spelling.LIMIT_HEADER), whole(headers, spelling.REMAINING_HEADER)
        reset = whole(headers, spelling.RESET_HEADER)
        if limit is not None and remaining is not None:
            reset_ts = None if reset is None else reset * SECOND
            found.append(Usage(spelling.MINUTE, used=max(0, limit - remaining), limit=limit, reset_ts=reset_ts))
        left = whole(headers, spelling.REMAINING_1S_HEADER)
        if left is not None:
            most = whole(headers, spelling.LIMIT_1S_HEADER) or self.rules[1].limit
            found.append(Usage(spelling.BURST, used=max(0, most - left), limit=most))
        pause = retry_after(answer)
        if answer.status == 429 and pause is not None:
            until = answer.recv_ts + round(pause * SECOND)
            found += [Usage(rule, banned_until=until) for rule, _ in request.costs]
        return found

    # -- sending -----------------------------------------------------------------------------------------------------

    def _send(
        self, name: str, verb: str, path: str, body: Mapping[str, Any], priority: Priority = Priority.ORDER
    ) -> Request:
        self._keys()
        target = f"{spelling.API}{path}"
        content = encode(body)
        costs = ((spelling.MINUTE, 1),) if name == DEAD_MAN else ((spelling.MINUTE, 1), (spelling.BURST, 1))
        return Request(
            name, lambda now_ms: self._message(verb, target, content, now_ms), costs, priority, ORDER_TIMEOUT_S
        )


def _options(options: Mapping[str, Any]) -> tuple[int, str]:
    for name in options:
        if name not in OPTIONS:
            raise ValueError(f"BitMEX has no option {name!r}; there are: {', '.join(OPTIONS)}")
    validity = options.get("validity_s", VALIDITY_S)
    if isinstance(validity, bool) or not isinstance(validity, int) or not 1 <= validity <= 60:
        raise ValueError(f"validity_s must be whole seconds from 1 to 60, not {validity!r}")
    trigger = options.get("trigger", "last")
    if trigger not in spelling.TRIGGERS:
        raise ValueError(f"trigger must be one of {', '.join(spelling.TRIGGERS)}, not {trigger!r}")
    return validity, spelling.TRIGGERS[trigger]


def _number(units: int) -> Raw:
    """A number in 10^-18 as an exact JSON number."""
    return Raw(money.to_str(units).encode())


_KEYS: Final[Mapping[str, str]] = {
    spelling.ORDER: "orderID",
    spelling.POSITION: "symbol",
    spelling.MARGIN: "currency",
    spelling.WALLET: "currency",
}


def _key(table: str, row: Mapping[str, Raw]) -> str:
    """What tells a row from the others of its table. Raises ValueError where it is missing."""
    name = _KEYS[table]
    if name not in row:
        raise ValueError(f"a row of {table} without {name}")
    return bytes(row[name]).decode().strip('"')


def _refusal(request: Request, answer: HttpAnswer) -> Reply:
    reason = reason_of(answer)
    status = answer.status
    if status == 429:
        return Reply(code=GtwRejectCode.RateLimited, reason=reason, limited=True, retry_after_s=retry_after(answer))
    if status == 503 and "overloaded" in reason.lower():
        return Reply(code=spelling.reject_code(reason), reason=reason, retry_after_s=retry_after(answer))
    if status >= 500:
        return Reply(reason=reason, unknown=True)
    if not 400 <= status < 500:
        raise ValueError(f"{request.name} was answered with status {status}")
    if request.name in (MODIFY, CANCEL) and spelling.is_missing(reason):
        return Reply(code=GtwRejectCode.UnknownOrder, reason=reason, missing=True)
    return Reply(code=spelling.reject_code(reason), reason=reason)


def environments(exchange: Exchange) -> Mapping[str, Endpoints]:
    """`main` and `testnet` as they were: the exchange closed on 2026-09-23, and nothing answers there any more. They
    are kept for their paths: `environments(exchange)["main"].at("http://127.0.0.1:8080")` is a local exchange."""
    return {name: Endpoints(name, urls, name in spelling.REAL_MONEY) for name, urls in spelling.ENVIRONMENTS.items()}


def codec(
    exchange: Exchange,
    account: str,
    instruments: Iterable[Instrument],
    endpoints: Endpoints,
    credentials: Credentials | None,
    options: Mapping[str, Any],
) -> BitmexCodec:
    """Raises ValueError for another exchange, and as `BitmexCodec`."""
    if exchange is not Exchange.BitMEX:
        raise ValueError(f"{exchange.name} is not BitMEX")
    return BitmexCodec(account, instruments, endpoints, credentials, options)
