"""An exchange in a script: a codec whose language is Python objects, an edge in memory under the engine's clock, and a
recorder of order events. Requests are named (`new m0-1`); what is to come back is set by name or given by hand."""

import json
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, GtwStatus, OrderStatus, OrderType
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.engine.tracker import TrackedOrder
from mlthon.venue.codec import BadMessage, NoAnswer, Refused, Unsupported
from mlthon.venue.facts import AccountFact, ExecutionFact, FundingFact, LineReady, OrderFact, Reply
from mlthon.venue.live_gateway import GatewaySettings, LiveGateway
from mlthon.venue.rate_rules import RateRule, Usage
from mlthon.venue.wire import Failure, Frame, HttpAnswer, HttpMessage, Line, Loss, Priority, Request

BTC = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
ETH = resolve(Exchange.Bybit, "byt:perp:eth-usdt")
START = 1_735_689_600_000 * MS
SILENCE = object()
"""What comes back of a request that is never answered."""
TRIP = 10 * MS
"""How long an HTTP answer takes, there and back."""


def tracked(wire_id: str = "a", side: int = 1, price: int = 1000, qty: int = 10, **more: Any) -> TrackedOrder:
    order = TrackedOrder(
        wire_id,
        wire_id,
        more.get("session"),
        "main",
        more.get("instrument", BTC),
        side,
        more.get("order_type", OrderType.Limit),
        TIF.GTC,
        ExecInstructions.Unset,
        price,
        qty,
        None,
        False,
        more.get("created_ts", START),
    )
    order.state = more.get("state", OrderStatus.PendingNew)
    order.exchange_id = more.get("exchange_id", "")
    order.filled = more.get("filled", 0)
    return order


def order_fact(wire_id: str = "a", status: OrderStatus = OrderStatus.New, **more: Any) -> OrderFact:
    values = {"exchange_id": f"X-{wire_id}", "instrument": BTC, "side": 1, "price": 1000, "qty": 10, **more}
    return OrderFact(wire_id=wire_id, status=status, **values)


def fill(exec_id: str, qty: int = 1, wire_id: str = "a", **more: Any) -> ExecutionFact:
    values = {
        "exchange_id": f"X-{wire_id}",
        "instrument": BTC,
        "side": 1,
        "price": 1000,
        "fee": 1,
        "fee_coin": "USDT",
        "maker": True,
        "ts": START + SECOND,
        **more,
    }
    return ExecutionFact(exec_id=exec_id, wire_id=wire_id, qty=qty, **values)


class Events:
    """Writes order events down as tuples."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args: self.calls.append((name, *args))

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    def of(self, *names: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] in names]

    def take(self) -> list[tuple[Any, ...]]:
        calls, self.calls = self.calls, []
        return calls


class ScriptedEdge:
    """Hands HTTP requests to `exchange(target)`, which gives what comes back: an object for the codec, a `Failure`, a
    (status, headers, object), or SILENCE for a timeout. Lines are opened by `open`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent: list[tuple[int, str]] = []
        self.frames: list[tuple[str, str]] = []
        self.lines: dict[str, tuple[Line, Any]] = {}
        self.open_lines: set[str] = set()
        self.log: list[tuple[str, str]] = []
        self.reasons: list[str] = []
        """Why lines were cut off."""
        self.exchange: Callable[[str], Any] = lambda target: SILENCE
        self.trip = TRIP

    def open_line(self, line: Line, user: Any) -> None:
        self.lines[line.name] = line, user
        self.log.append(("open", line.name))

    def close_line(self, name: str) -> None:
        self.lines.pop(name, None)
        self.open_lines.discard(name)
        self.log.append(("close", name))

    def restart_line(self, name: str, reason: str) -> None:
        self.log.append(("restart", name))
        self.reasons.append(reason)

    def send(self, name: str, text: str) -> bool:
        if name not in self.open_lines:
            return False
        self.frames.append((name, text))
        return True

    def http(self, message: HttpMessage, timeout_s: float, answered: Callable[[Any], None]) -> None:
        now = self.clock.now
        self.sent.append((now, message.target))
        told = self.exchange(message.target)
        if told is SILENCE:
            failure = Failure(Loss.NO_ANSWER, "timed out")
            self.clock.call_at(now + round(timeout_s * SECOND), answered, failure)
        elif isinstance(told, Failure):
            self.clock.call_at(now + self.trip, answered, told)
        else:
            status, headers, body = told if isinstance(told, tuple) else (200, {}, told)
            self.codec_bodies.append(body)
            number = str(len(self.codec_bodies) - 1).encode()
            answer = HttpAnswer(status, headers, number, now, now + self.trip)
            self.clock.call_at(now + self.trip, answered, answer)

    codec_bodies: list[Any]

    def targets(self) -> list[str]:
        return [target for _, target in self.sent]

    # what the exchange does to lines

    def opens(self, name: str = "private") -> None:
        self.open_lines.add(name)
        self.lines[name][1].line_opened(name)

    def loses(self, name: str = "private", reason: str = "reset") -> None:
        self.open_lines.discard(name)
        self.lines[name][1].line_closed(name, reason)

    def tells(self, *facts: Any, name: str = "private") -> None:
        """A message with these facts; a str is one that the codec cannot read."""
        for fact in facts:
            self.codec_bodies.append(fact)
            data = str(len(self.codec_bodies) - 1).encode() if not isinstance(fact, str) else fact.encode()
            self.lines[name][1].line_message(name, data, self.clock.now)


class ScriptedCodec:
    """Says `<what> <wire id>`; bodies are numbers of objects in `bodies`."""

    exchange = Exchange.Bybit
    account = "main"

    def __init__(self, **settings: Any) -> None:
        self.rules: Sequence[RateRule] = settings.get("rules", ())
        self.validity_s: float = settings.get("validity_s", 5.0)
        self.has_dead_man: bool = settings.get("has_dead_man", False)
        self.line_names: tuple[str, ...] = settings.get("lines", ("private",))
        self.arms_each: bool = settings.get("arms_each", False)
        self.over_line: bool = settings.get("over_line", False)
        self.costs: dict[str, tuple[tuple[str, int], ...]] = settings.get("costs", {})
        self.unsupported: set[str] = set(settings.get("unsupported", ()))
        self.keeps_alive: bool = settings.get("keeps_alive", False)
        self.usages: list[Usage] = []
        self.bodies: list[Any] = []
        self.keys = 0

    def _request(self, what: str, detail: object = "", priority: Priority = Priority.QUESTION) -> Request:
        if what in self.unsupported:
            raise Unsupported(f"no {what} here")
        target = f"{what} {detail}".strip()
        self.keys += 1
        key = f"k{self.keys}"

        def build(now_ms: int) -> HttpMessage | Frame:
            if self.over_line and priority is not Priority.QUESTION:
                return Frame("private", json.dumps([key, target, now_ms]), key)
            return HttpMessage("GET", target)

        timeout = 10.0 if priority is Priority.QUESTION else 5.0
        return Request(what, build, self.costs.get(what, ()), priority, timeout)

    def _body(self, answer: HttpAnswer) -> Any:
        body = self.bodies[int(answer.body)]
        if isinstance(body, Exception):
            raise body
        return body

    def _ask(self, what: str, detail: object = "") -> Generator[Request, HttpAnswer, Any]:
        answer = yield self._request(what, detail)
        return self._body(answer)

    def lines(self) -> Any:
        yield from self._ask("lines")
        return [Line(name, lambda now: "wss://x") for name in self.line_names]

    def line_opened(self, name: str, now_ms: int) -> Iterable[str]:
        return (f"login {name} {now_ms}",)

    def line_message(self, name: str, data: bytes, recv_ts: int) -> Iterable[Any]:
        if not data.isdigit():
            raise BadMessage(f"no number: {len(data)} bytes")
        told = self.bodies[int(data)]
        yield from told if isinstance(told, list) else [told]

    def keep_alive(self) -> Any:
        return self._ask("keep_alive") if self.keeps_alive else None

    def new_order(self, order: TrackedOrder) -> Request:
        return self._request("new", order.wire_id, Priority.ORDER)

    def modify_order(self, order: TrackedOrder, price: int | None, qty: int | None) -> Request:
        return self._request("modify", order.wire_id, Priority.ORDER)

    def cancel_order(self, order: TrackedOrder) -> Request:
        return self._request("cancel", order.wire_id, Priority.CANCEL)

    def cancel_all(self, instrument: Any) -> Sequence[Request]:
        return [self._request("cancel_all", instrument.name, Priority.CANCEL)]

    def reply(self, request: Request, answer: HttpAnswer) -> Reply:
        body = self._body(answer)
        assert isinstance(body, Reply), body
        return body

    def arm_dead_man(self, timeout_s: float, instruments: Sequence[Any]) -> Sequence[Request]:
        if not self.arms_each:
            return [self._request("arm", f"{timeout_s:g}", Priority.CANCEL)]
        return [self._request("arm", f"{each.name} {timeout_s:g}", Priority.CANCEL) for each in instruments]

    def server_time(self) -> Any:
        return self._ask("time")

    def instruments(self) -> Any:
        return self._ask("instruments")

    def account_info(self) -> Any:
        return self._ask("account")

    def open_orders(self, instrument: Any) -> Any:
        return self._ask("open_orders")

    def order_status(self, order: TrackedOrder) -> Any:
        return self._ask("order_status", order.wire_id)

    def executions(self, since: int, instrument: Any) -> Any:
        return self._ask("executions", since)

    def positions(self, instrument: Any) -> Any:
        return self._ask("positions")

    def wallet(self) -> Any:
        return self._ask("wallet")

    def funding(self, instrument: Any) -> Any:
        return self._ask("funding")

    def candles(self, instrument: Any, interval_s: int, start: int, end: int) -> Any:
        return self._ask("candles")

    def usage(self, request: Request, answer: HttpAnswer) -> Iterable[Usage]:
        usages, self.usages = self.usages, []
        return usages


class Rig:
    """A gateway on a scripted exchange. `says`: target or its first word -> what comes back, or a list of what comes
    back in turn (the last stays)."""

    def __init__(self, settings: GatewaySettings | None = None, start: bool = True, **codec: Any) -> None:
        self.clock = Clock(START)
        self.codec = ScriptedCodec(**codec)
        self.edge = ScriptedEdge(self.clock)
        self.edge.codec_bodies = self.codec.bodies
        self.edge.exchange = self.answer
        self.events = Events()
        self.offset = 0
        self.says: dict[str, Any] = {
            "lines": [[]],
            "account": AccountFact(user_id="u1"),
            "open_orders": [[]],
            "executions": [[]],
            "positions": [[]],
            "wallet": [[]],
            "order_status": [NoAnswer("unscripted")],
            "new": Reply(accepted=True),
            "modify": Reply(accepted=True),
            "cancel": Reply(accepted=True),
            "arm": Reply(accepted=True),
            "keep_alive": [[]],
            "funding": FundingFact(instrument=BTC, rate=0.0001, next_ts=START),
        }
        self.gateway = LiveGateway(self.codec, self.edge, self.clock, self.events, settings)
        if start:
            self.begin()

    def begin(self) -> None:
        self.gateway.start()
        self.wait(1.0)
        for name in self.codec.line_names:
            if name in self.edge.lines:
                self.edge.opens(name)
                self.edge.tells(LineReady(line=name), name=name)
        self.wait(1.0)

    def ready(self) -> list[LineReady]:
        """What an exchange tells once a line has been logged in."""
        return [LineReady(line=name) for name in self.codec.line_names]

    def answer(self, target: str) -> Any:
        if target == "time":
            return self.clock.now + self.edge.trip // 2 + self.offset
        said = self.says[target] if target in self.says else self.says[target.split()[0]]
        if isinstance(said, list):
            return said.pop(0) if len(said) > 1 else said[0]
        return said() if callable(said) else said

    def wait(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + round(seconds * SECOND))

    def send(self, wire_id: str = "a", **more: Any) -> TrackedOrder:
        order = tracked(wire_id, created_ts=self.clock.now, **more)
        self.gateway.new_order(order)
        return order

    def count(self, target: str) -> int:
        return sum(each == target or each.split()[0] == target for each in self.edge.targets())


def statuses(rig: Rig) -> list[GtwStatus]:
    """What was told of the gateway's status."""
    return [each[0] for each in rig.events.of("gateway_status")]


__all__ = [
    "BTC",
    "ETH",
    "SILENCE",
    "START",
    "Events",
    "Failure",
    "Loss",
    "Refused",
    "Rig",
    "fill",
    "order_fact",
    "statuses",
    "tracked",
]
