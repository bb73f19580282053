"""Schedules of faults: shares, times, halts, pushes; the same for the same seed."""

from collections import Counter
from collections.abc import Mapping

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.exchange.served.contract import ServerRequest, ServerResponse, ServerSocket, SocketHandler, Unserved
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.fault_schedule import FaultSchedule, Rule
from mlthon.exchange.served.faults import FaultyDialect

START = 1_735_689_600 * SECOND


class Echo:
    """A dialect that answers everything, and keeps the socket that it was given."""

    name = "echo"
    exchange = Exchange.Bybit

    def __init__(self) -> None:
        self.carried_out = 0
        self.socket: ServerSocket | None = None

    def http(self, request: ServerRequest, respond: object) -> None:
        self.carried_out += 1
        respond(ServerResponse(200))  # type: ignore[operator]

    def connect(self, socket: ServerSocket) -> SocketHandler:
        self.socket = socket
        return Unserved()

    def busy(self, request: ServerRequest) -> ServerResponse:
        return ServerResponse(429)


class Ear:
    """A client's websocket: what came, and when."""

    path, query = "/v5/public/linear", ""
    headers: Mapping[str, str] = {}

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.heard: list[tuple[int, str]] = []

    def send(self, text: str) -> None:
        self.heard.append((self.clock.now - START, text))

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.heard.append((self.clock.now - START, f"closed {code}"))


class Rig:
    def __init__(self, *rules: Rule, seed: int = 1) -> None:
        self.clock = Clock(START)
        self.echo = Echo()
        self.faulty = FaultyDialect(self.echo, self.clock)
        self.served = ServedExchange(Exchange.Bybit, [resolve(Exchange.Bybit, "byt:perp:btc-usdt")], self.clock)
        self.cuts: list[int] = []
        self.schedule = FaultSchedule(rules, self.faulty, self.served, self.cut, seed)

    def cut(self) -> int:
        self.cuts.append(self.clock.now - START)
        return 2

    def ask(self, count: int, path: str = "/v5/order/create") -> list[int]:
        found: list[int] = []
        for _ in range(count):
            self.faulty.http(ServerRequest("POST", path), lambda response: found.append(response.status))
        return found

    def after(self, seconds: float) -> None:
        self.clock.run_until(START + round(seconds * SECOND))


def test_a_share_of_the_requests_of_a_path_fails() -> None:
    rig = Rig(Rule("error", share=0.1, status=503, path="/v5/order"), Rule("limit", share=0.1))
    counts = Counter(rig.ask(2000))
    assert sum(counts.values()) == 2000
    assert 150 < counts[503] < 250
    assert 130 < counts[429] < 230  # of the nine tenths that the first rule let through
    assert 503 not in rig.ask(500, "/v5/market/time")
    assert len(rig.faulty.struck) == 100
    assert rig.faulty.struck[0].text.startswith(("error 503: POST /v5/order/create", "limit: POST"))


def test_the_same_seed_strikes_the_same() -> None:
    def strikes(seed: int) -> list[tuple[int, str]]:
        rules = (Rule("delay", share=0.2, lasts=(MS, SECOND)), Rule("disconnect", every=(SECOND, 9 * SECOND)))
        rig = Rig(*rules, seed=seed)
        for second in range(30):
            rig.after(second)
            rig.ask(3)
        return [(strike.ts, strike.text) for strike in rig.faulty.struck]

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)


def test_a_duplicate_arrives_twice_and_is_answered_once() -> None:
    rig = Rig(Rule("duplicate", share=1.0))
    assert rig.ask(3) == [200] * 3
    assert rig.echo.carried_out == 6


def test_every_so_often() -> None:
    rig = Rig(Rule("disconnect", every=(18 * SECOND,) * 2), Rule("error", every=(5 * SECOND,) * 2))
    rig.after(60)
    assert rig.cuts == [18 * SECOND, 36 * SECOND, 54 * SECOND]
    assert rig.faulty.struck[0].text == "disconnect: 2 websockets closed"
    # those that met no request did not pile up
    assert rig.ask(2) == [500, 200]
    rig.after(65)
    assert rig.ask(2) == [500, 200]


def test_halts_end_by_themselves_and_leave_the_halts_of_others() -> None:
    rig = Rig(Rule("halt", every=(10 * SECOND,) * 2, lasts=(2 * SECOND,) * 2))
    rig.after(11)
    assert rig.served.halted
    rig.after(12.5)
    assert not rig.served.halted
    rig.served.halt("maintenance")
    rig.after(35)
    assert str(rig.served.halted) == "maintenance"


def test_pushes_are_lost_doubled_and_held_back_in_order() -> None:
    rig = Rig(
        Rule("push-drop", share=0.2),
        Rule("push-duplicate", share=0.2),
        Rule("push-delay", share=0.05, lasts=(SECOND,) * 2),
    )
    ear = Ear(rig.clock)
    rig.faulty.connect(ear)
    assert rig.echo.socket is not None
    assert (rig.echo.socket.path, rig.echo.socket.query, rig.echo.socket.headers) == (ear.path, "", {})
    for number in range(300):
        rig.after(number / 10)
        rig.echo.socket.send(str(number))
    rig.after(60)
    times = Counter(text for _, text in ear.heard)
    assert 30 < 300 - len(times) < 90
    assert 30 < sum(1 for count in times.values() if count == 2) < 90
    order = [int(text) for _, text in ear.heard]
    assert order == sorted(order)
    late = [at - int(text) * SECOND // 10 for at, text in ear.heard]
    assert max(late) == SECOND
    rig.echo.socket.close(1001)
    assert ear.heard[-1][1] == "closed 1001"


def test_sockets_are_left_alone_without_push_rules() -> None:
    rig = Rig(Rule("drop", share=0.5))
    ear = Ear(rig.clock)
    rig.faulty.connect(ear)
    assert rig.echo.socket is ear


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "boom", "share": 0.1},
        {"kind": "drop"},
        {"kind": "halt", "share": 0.5},
        {"kind": "push-drop", "every": (SECOND, SECOND)},
        {"kind": "disconnect", "every": (2 * SECOND, SECOND)},
        {"kind": "delay", "share": 0.1, "lasts": (0, 0)},
        {"kind": "drop", "share": 0.1, "path": "v5"},
    ],
)
def test_rules_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"fault|share|strikes|every|how long|path"):
        Rule(**wrong)  # type: ignore[arg-type]
