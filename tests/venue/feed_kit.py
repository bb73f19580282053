"""A live feed on an edge without sockets, of Binance: what tests of it share."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from feedhandlers import binance
from mlthon.api.istrat_env import MDSub
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.rows import Kind
from mlthon.engine.clock import SECOND, Clock
from mlthon.venue.live_feed import LiveFeed
from mlthon.venue.wire import Answered, HttpAnswer, HttpMessage, Line, LineUser
from tests.venue.receivers import Seen

BTC = resolve(Exchange.BinanceUsdm, "BTCUSDT")
ETH = resolve(Exchange.BinanceUsdm, "ETHUSDT")
START = 1_700_000_000 * SECOND


class FakeEdge:
    """An edge that keeps what is asked of it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lines: dict[str, tuple[Line, LineUser]] = {}
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.at: list[int] = []
        self.asked: list[tuple[HttpMessage, Answered]] = []
        self.restarted: list[tuple[str, str]] = []

    def open_line(self, line: Line, user: LineUser) -> None:
        assert line.name not in self.lines
        self.lines[line.name] = (line, user)

    def close_line(self, name: str) -> None:
        del self.lines[name]

    def restart_line(self, name: str, reason: str) -> None:
        self.restarted.append((name, reason))

    def send(self, name: str, text: str) -> bool:
        self.sent.append((name, json.loads(text)))
        self.at.append(self.clock.now)
        return True

    def http(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        self.asked.append((message, answered))

    def said(self) -> list[tuple[str, tuple[str, ...]]]:
        """(method, topics) sent since the last call."""
        sent, self.sent = self.sent, []
        return [(message["method"], tuple(message["params"])) for _, message in sent]


class FakeStatuses:
    """What strategies want, and what they are told."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] | None = None
        self.subs: dict[Instrument, set[MDSub]] = {}
        self.told: list[tuple[str, str, frozenset[str]]] = []

    def wanted(self) -> dict[Instrument, set[MDSub]]:
        return self.subs

    def disconnect(self, detail: str, instruments: Iterable[Instrument] | None = None) -> None:
        self.told.append(("gone", detail, frozenset(each.symbol for each in instruments or ())))

    def reconnect(self, detail: str, instruments: Iterable[Instrument] | None = None) -> None:
        self.told.append(("back", detail, frozenset(each.symbol for each in instruments or ())))


class Module:
    """Binance's module with something else in its place."""

    def __init__(self, **other: Any) -> None:
        self._other = other

    def __getattr__(self, name: str) -> Any:
        return self._other[name] if name in self._other else getattr(binance, name)


class Rig:
    """A feed of two instruments, its edge and its clock."""

    def __init__(self, module: Any = binance) -> None:
        self.clock = Clock(START)
        self.edge = FakeEdge(self.clock)
        self.statuses = FakeStatuses()
        self.seen = {BTC: Seen(), ETH: Seen()}
        endpoints = binance.environments(Exchange.BinanceUsdm)["main"]
        self.feed = LiveFeed(Exchange.BinanceUsdm, module, endpoints, self.edge, self.clock, self.statuses, self.seen)
        self.update_id = 100

    def started(self, wanted: dict[Instrument, set[Kind]]) -> "Rig":
        self.feed.start()
        self.feed.want("test", wanted)
        self.run(0)
        return self

    def run(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + round(seconds * SECOND))

    def names(self) -> list[str]:
        return list(self.edge.lines)

    def user(self, name: str = "") -> LineUser:
        return self.edge.lines[name or self.names()[0]][1]

    def open(self, name: str = "") -> None:
        self.user(name).line_opened(name or self.names()[0])
        self.run(0)

    def lose(self, name: str = "", reason: str = "cut off") -> None:
        self.user(name).line_closed(name or self.names()[0], reason)
        self.run(0)

    def say(self, stream: str, name: str = "", **data: Any) -> None:
        message = json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()
        self.user(name).line_message(name or self.names()[0], message, self.clock.now)

    def quote(self, name: str = "") -> None:
        self.say("btcusdt@bookTicker", name, s="BTCUSDT", u=1, b="100.0", B="1", a="100.1", A="1", T=1)

    def diff(self, skip: int = 0, name: str = "") -> None:
        """A change of BTC's book; `skip`: as if so many before it had been lost."""
        before = self.update_id + skip
        self.update_id = before + 10
        self.say(
            "btcusdt@depth@100ms", name, s="BTCUSDT", E=1, T=1, U=before + 1, u=before + 10, pu=before,
            b=[["100.0", "2"]], a=[["100.5", "3"]],
        )  # fmt: skip

    def answer(self, last_id: int | None = None, answer: Any = None) -> None:
        """Answer the oldest question for a snapshot."""
        _, answered = self.edge.asked.pop(0)
        body: dict[str, Any] = {"lastUpdateId": self.update_id - 5 if last_id is None else last_id, "T": 1}
        body |= {"bids": [["100.0", "1"]], "asks": [["100.4", "1"]]}
        answered(answer or HttpAnswer(200, {}, json.dumps(body).encode(), 0, self.clock.now))


def wanting(*kinds: Kind) -> Rig:
    return Rig().started({BTC: set(kinds)})
