"""Bybit's websockets: what clients say on the public, private and trade sockets, and what they are told.

`req_id` (`reqId` on the trade socket) comes back in every answer. Frames that are no JSON, unknown operations and
unknown topics are answered with `success: false`, and the socket stays open.
https://bybit-exchange.github.io/docs/v5/ws/connect, .../v5/websocket/trade/guideline
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS
from mlthon.exchange.dialects.bybit_orders import BybitError, Reply
from mlthon.exchange.dialects.bybit_params import limit_headers
from mlthon.exchange.dialects.bybit_rows import Row, execution_row, hidden, order_row, position_row, wallet_row
from mlthon.exchange.dialects.bybit_streams import Channel, open_channel
from mlthon.exchange.served.contract import DeafSocket, ServerSocket, SocketHandler, Unserved
from mlthon.exchange.served.exchange import ApiKey
from mlthon.exchange.served.limits import Use, hmac_hex, same
from mlthon.exchange.served.records import ServedExecution, ServedOrder
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors

if TYPE_CHECKING:
    from mlthon.exchange.dialects.bybit import BybitDialect

encode: Final = msgspec.json.Encoder().encode
PATHS: Final = {op: path for path, op in tables.TRADE_OPS.items()}
LOGIN_TEXT: Final = "GET/realtime"
FAILED: Final = (10016, "Internal server error")
"""A failure inside the exchange. https://bybit-exchange.github.io/docs/v5/error#ws-oe-general-code"""


def connect(dialect: "BybitDialect", socket: ServerSocket) -> SocketHandler:
    """The handler of a socket, by its path."""
    path = socket.path.rstrip("/")
    if path.startswith(tables.PUBLIC_PATH) and path.removeprefix(tables.PUBLIC_PATH) in tables.CATEGORIES:
        return PublicSocket(dialect, socket, path.removeprefix(tables.PUBLIC_PATH))
    if path == tables.PRIVATE_PATH:
        return PrivateSocket(dialect, socket)
    if path == tables.TRADE_PATH:
        return TradeSocket(dialect, socket)
    socket.close(1008, f"there is no websocket at {path}")
    return Unserved()


def _object(data: str | bytes) -> Row | None:
    """The JSON object of a message; None if it is none."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


class _Socket(ABC):
    """What the three have in common. `id`: the connection's, in every answer."""

    def __init__(self, dialect: "BybitDialect", socket: ServerSocket) -> None:
        self.dialect = dialect
        self.socket = socket
        self.id = f"local-{dialect.connections}"
        self.key: ApiKey | None = None

    def message(self, data: str | bytes) -> None:
        request = _object(data)
        if request is None or not isinstance(request.get("op"), str):
            self.send(self.refused("", {}, "Request not authorized or malformed"))
            return
        self.take(request["op"], request)

    @abstractmethod
    def take(self, op: str, request: Row) -> None:
        """Carry out a request, or answer why not."""

    def send(self, message: Row) -> None:
        self.socket.send(encode(message).decode())

    def refused(self, op: str, request: Row, reason: str) -> Row:
        return self.answer(op, request, False, reason)

    def answer(self, op: str, request: Row, success: bool, text: str) -> Row:
        return {"success": success, "ret_msg": text, "conn_id": self.id, "req_id": request.get("req_id", ""), "op": op}

    def topics(self, request: Row) -> list[str]:
        args = request.get("args")
        return [str(each) for each in args] if isinstance(args, list) else []

    def login(self, request: Row) -> str:
        """Log in; why not, if not."""
        args = request.get("args")
        if not isinstance(args, list) or len(args) != 3:
            return "Params Error"
        name, expires, signature = (str(each) for each in args)
        try:
            key = self.dialect.key_of(name)
            until = int(expires)
        except (BybitError, ValueError):
            return "Invalid ApiKey." if self.dialect.served.keys.get(name) is None else "Params Error"
        if until <= self.dialect.now_ms:
            return "Request expired."
        if not same(signature, hmac_hex(key.secret, LOGIN_TEXT + expires)):
            return "Signature verification failed."
        self.key = key
        return ""


class PublicSocket(_Socket):
    """Market data of one category."""

    def __init__(self, dialect: "BybitDialect", socket: ServerSocket, category: str) -> None:
        super().__init__(dialect, socket)
        self._category = category
        self._topics: dict[str, Channel] = {}

    def take(self, op: str, request: Row) -> None:
        if op == "ping":
            self.send(self.answer("ping", request, True, "pong"))
        elif op == "subscribe":
            self._subscribe(request)
        elif op == "unsubscribe":
            for topic in self.topics(request):
                self._drop(topic)
            self.send(self.answer(op, request, True, ""))
        else:
            self.send(self.refused(op, request, f"Unknown op: {op}"))

    def _subscribe(self, request: Row) -> None:
        topics = self.topics(request)
        if self._category == tables.SPOT and len(topics) > tables.MOST_TOPICS_SPOT:
            self.send(self.refused("subscribe", request, "args size >10"))
            return
        channels = self.dialect.channels
        opened: list[Channel] = []
        for topic in topics:
            place = (self._category, topic)
            channel = channels.get(place)
            if channel is None:
                channel = open_channel(self.dialect.served, self._category, topic)
                if channel is None:
                    self.send(self.refused("subscribe", request, f"error:handler not found,topic:{topic}"))
                    return
                channels[place] = channel
            opened.append(channel)
        # the answer comes before the first data
        self.send(self.answer("subscribe", request, True, ""))
        for channel in opened:
            if channel.topic not in self._topics:
                self._topics[channel.topic] = channel
                channel.subscribe(self, self.socket.send)

    def _drop(self, topic: str) -> None:
        channel = self._topics.pop(topic, None)
        if channel is None:
            return
        channel.unsubscribe(self)
        if not channel.listeners:
            channel.close()
            del self.dialect.channels[self._category, topic]

    def closed(self) -> None:
        for topic in list(self._topics):
            self._drop(topic)


class PrivateSocket(_Socket):
    """One account's orders, executions, positions and wallet. Implements `AccountListener`."""

    def __init__(self, dialect: "BybitDialect", socket: ServerSocket) -> None:
        super().__init__(dialect, socket)
        self._topics: set[str] = set()
        self._messages = 0
        self._listening = False

    def take(self, op: str, request: Row) -> None:
        if op == "ping":
            now = str(self.dialect.now_ms)
            self.send({"req_id": request.get("req_id", ""), "op": "pong", "args": [now], "conn_id": self.id})
        elif op == "auth":
            reason = self.login(request)
            self.send(self.answer("auth", request, not reason, reason))
        elif self.key is None:
            self.send(self.refused(op, request, "Request not authorized"))
        elif op in ("subscribe", "unsubscribe"):
            self._change(op, request)
        else:
            self.send(self.refused(op, request, f"Unknown op: {op}"))

    def _change(self, op: str, request: Row) -> None:
        topics = self.topics(request)
        known = {*tables.PRIVATE_TOPICS, *(f"{t}.{c}" for t in tables.PRIVATE_TOPICS[:3] for c in tables.CATEGORIES)}
        # these have nothing to say here, and clients that ask for them want to be told yes
        known |= {"execution.fast", "greeks", "dcp", *tables.SWITCHES.values()}
        for topic in topics:
            if topic not in known:
                self.send(self.refused(op, request, f"Invalid topic: {topic}"))
                return
        if op == "subscribe":
            self._topics.update(topics)
            if self.key is not None and not self._listening:
                self._listening = True
                self.key.account.listeners.append(self)
        else:
            self._topics.difference_update(topics)
        if self.key is not None:
            protection = self.dialect.protection
            heeded = protection.subscribed if op == "subscribe" else protection.unsubscribed
            for topic in topics:
                heeded(self, self.key.account, topic)
        self.send(self.answer(op, request, True, ""))

    def closed(self) -> None:
        if self.key is not None and self._listening:
            self._listening = False
            self.key.account.listeners.remove(self)
            self.dialect.protection.closed(self, self.key.account)

    def _push(self, topic: str, category: str, rows: list[Row]) -> None:
        for name in (topic, f"{topic}.{category}"):
            if name in self._topics:
                self._messages += 1
                number = f"{self.id}_{topic}_{self._messages}"
                self.send({"id": number, "topic": name, "creationTime": self.dialect.clock.now // MS, "data": rows})

    def order_changed(self, order: ServedOrder) -> None:
        if not hidden(order):
            self._push("order", tables.category(order.instrument), [order_row(order, stream=True)])

    def executed(self, execution: ServedExecution) -> None:
        instrument = execution.order.instrument
        row = execution_row(execution, self.dialect.served.markets[instrument], stream=True)
        self._push("execution", tables.category(instrument), [row])

    def position_changed(self, instrument: Instrument) -> None:
        category = tables.category(instrument)
        if category != tables.SPOT and self.key is not None:
            self._push("position", category, [position_row(self.key.account, instrument, stream=True)])

    def wallet_changed(self, coins: tuple[str, ...]) -> None:
        if self.key is not None:
            self._push("wallet", "", [wallet_row(self.key.account, list(coins))])


class TradeSocket(_Socket):
    """Orders over a websocket. An operation is answered as its REST path would be. Implements `RequestHandler`."""

    def closed(self) -> None:
        """Nothing to stop."""

    def asks(self, data: str | bytes) -> str | None:
        request = _object(data)
        return PATHS.get(str(request.get("op"))) if request is not None else None

    def fail(self, data: str | bytes, status: int | None) -> None:
        request = _object(data) or {}
        code, text = (errors.TOO_MANY, "Too many visits!") if status is None else FAILED
        self._answer(request, str(request.get("op")), Reply(code, text, {}), None)

    def unheard(self) -> SocketHandler:
        twin = TradeSocket(self.dialect, DeafSocket(self.socket))
        twin.key = self.key
        return twin

    def take(self, op: str, request: Row) -> None:
        if op == "ping":
            now = str(self.dialect.now_ms)
            self.send(
                {**self._id(request), "retCode": 0, "retMsg": "OK", "op": "pong", "data": [now], "connId": self.id}
            )
        elif op == "auth":
            reason = self.login(request)
            code = 0 if not reason else errors.SIGNATURE if "ign" in reason else errors.KEY
            self.send({**self._id(request), "retCode": code, "retMsg": reason or "OK", "op": op, "connId": self.id})
        elif self.key is None:
            self._answer(request, op, Reply(errors.NO_AUTHENTICATION, "Request not authorized", {}), None)
        elif op not in PATHS:
            self._answer(request, op, Reply(10404, "op type is not found", {}), None)
        else:
            self._operate(op, request, self.key)

    def _operate(self, op: str, request: Row, key: ApiKey) -> None:
        header, args = request.get("header"), request.get("args")
        header = header if isinstance(header, dict) else {}
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            self._answer(request, op, Reply(errors.PARAMETER, "params error: args must hold one object", {}), None)
            return
        body: dict[str, Any] = args[0]
        try:
            window = str(header.get("X-BAPI-RECV-WINDOW", tables.RECV_WINDOW_MS))
            self.dialect.check_time(str(header.get("X-BAPI-TIMESTAMP", "")), window)
        except BybitError as error:
            self._answer(request, op, Reply(error.code, error.message, {}), None)
            return
        use = self.dialect.order_use(key, PATHS[op], body)
        if not use.allowed:
            self._answer(request, op, Reply(errors.TOO_MANY, "Too many visits!", {}), use)
            return
        self.dialect.operate(PATHS[op], key, body, lambda reply: self._answer(request, op, reply, use))

    def _id(self, request: Row) -> Row:
        return {"reqId": request["reqId"]} if "reqId" in request else {}

    def _answer(self, request: Row, op: str, reply: Reply, use: Use | None) -> None:
        now = self.dialect.now_ms
        header = {"Traceid": "", "Timenow": str(now)}
        if use is not None:
            header = limit_headers(use, now) | header
        self.send(
            {
                **self._id(request),
                "retCode": reply.code,
                "retMsg": reply.message,
                "op": op,
                "data": reply.result,
                "retExtInfo": reply.extra,
                "header": header,
                "connId": self.id,
            }
        )
