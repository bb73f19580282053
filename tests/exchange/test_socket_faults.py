"""Faults strike requests that come over a websocket as they strike those over HTTP."""

import json
from typing import Any

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.exchange.dialects import find
from mlthon.exchange.served.contract import RequestHandler
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.fault_schedule import FaultSchedule, Rule
from mlthon.exchange.served.faults import Fault, FaultyDialect
from mlthon.exchange.served.limits import hmac_hex
from mlthon.protocols import binance_signing
from tests.exchange.dialects.rig import START, Socket

KEY, SECRET = "test-key", "test-secret"
VENUES = {
    "bybit": (Exchange.Bybit, "byt:perp:btc-usdt", "/v5/trade", 650_000),
    "binance": (Exchange.Binance, "bin:spot:btc-usdt", "/ws-api/v3", 6_500_000),
    "binance-usdm": (Exchange.BinanceUsdm, "bnu:perp:btc-usdt", "/ws-fapi/v1", 650_000),
}
PATHS = {"bybit": "/v5/order", "binance": "/api/v3/order", "binance-usdm": "/fapi/v1/order"}


class Rig:
    """A client logged in on the websocket of a served exchange that takes orders."""

    def __init__(self, name: str, *rules: Rule) -> None:
        exchange, instrument, path, mid = VENUES[name]
        self.name = name
        self.clock = Clock(START)
        dialect = find(name)
        self.served = ServedExchange(exchange, [resolve(exchange, instrument)], self.clock, ids=dialect.ids)
        self.account = self.served.add_account("main", [(KEY, SECRET)])
        for each, market in self.served.markets.items():
            self.served.embedded.publish_to(each, market)
            self.served.embedded.market(each).add(1, mid, 10**6)
            self.served.embedded.market(each).add(-1, mid + 1, 10**6)
        self.faulty = FaultyDialect(dialect(self.served), self.clock)
        if rules:
            FaultSchedule(rules, self.faulty, self.served, lambda: 0, seed=1)
        self.socket = Socket(path)
        self.handler = self.faulty.connect(self.socket)
        self.count = 0
        if name == "bybit":
            expires = self.clock.now // MS + 10_000
            args = [KEY, expires, hmac_hex(SECRET, f"GET/realtime{expires}")]
            self.say({"op": "auth", "args": args})
        self.socket.sent.clear()

    def say(self, message: Any) -> None:
        self.handler.message(json.dumps(message))
        self.clock.run_until(self.clock.now + 100 * MS)

    def order(self) -> list[Any]:
        """Send an order that rests; what the client hears of it within a tenth of a second."""
        self.count += 1
        self.socket.sent.clear()
        stamp = self.clock.now // MS
        if self.name == "bybit":
            body = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01"}
            body |= {"price": "60000", "orderLinkId": f"c{self.count}"}
            header = {"X-BAPI-TIMESTAMP": str(stamp)}
            self.say({"reqId": str(self.count), "header": header, "op": "order.create", "args": [body]})
        else:
            params: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
            params |= {"quantity": "0.01", "price": "60000", "newClientOrderId": f"c{self.count}"}
            params |= {"timestamp": stamp, "apiKey": KEY}
            text = binance_signing.websocket_text({name: str(value) for name, value in params.items()})
            params["signature"] = hmac_hex(SECRET, text)
            self.say({"id": str(self.count), "method": "order.place", "params": params})
        return list(self.socket.sent)

    def code(self, answer: Any) -> int:
        """0 for an order that was taken, else the exchange's code."""
        if self.name == "bybit":
            return int(answer["retCode"])
        return 0 if answer["status"] == 200 else int(answer["error"]["code"])

    @property
    def resting(self) -> int:
        return len(list(self.account.open_orders()))


@pytest.fixture(params=VENUES)
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


def test_without_faults_an_order_is_taken(rig: Rig) -> None:
    (answer,) = rig.order()
    assert (rig.code(answer), rig.resting) == (0, 1)


@pytest.mark.parametrize(("kind", "taken"), [("drop", 0), ("timeout-after-accept", 1)])
def test_what_is_never_answered(rig: Rig, kind: str, taken: int) -> None:
    rig.faulty.inject(Fault(kind))
    assert rig.order() == []
    assert rig.resting == taken
    (answer,) = rig.order()
    assert (rig.code(answer), rig.resting) == (0, taken + 1)


def test_a_delay(rig: Rig) -> None:
    rig.faulty.inject(Fault("delay", delay_ms=2000))
    assert rig.order() == []
    assert rig.resting == 0
    rig.clock.run_until(rig.clock.now + 2 * SECOND)
    (answer,) = rig.socket.sent
    assert (rig.code(answer), rig.resting) == (0, 1)


@pytest.mark.parametrize(
    ("fault", "codes"),
    [(Fault("error", status=503), (10016, -1000, -1000)), (Fault("limit"), (10006, -1003, -1003))],
)
def test_what_is_refused_in_the_words_of_the_exchange(rig: Rig, fault: Fault, codes: tuple[int, ...]) -> None:
    rig.faulty.inject(fault)
    (answer,) = rig.order()
    assert (rig.code(answer), rig.resting) == (dict(zip(VENUES, codes, strict=True))[rig.name], 0)
    assert (answer.get("reqId") or answer.get("id")) == "1"
    if rig.name != "bybit":
        assert answer["status"] == (503 if fault.kind == "error" else 429)


def test_a_duplicate_is_answered_once(rig: Rig) -> None:
    rig.faulty.inject(Fault("duplicate"))
    (answer,) = rig.order()
    assert (rig.code(answer), rig.resting) == (0, 1)


@pytest.mark.parametrize("name", VENUES)
def test_a_schedule_strikes_by_the_path_that_does_the_same_over_http(name: str) -> None:
    rig = Rig(name, Rule("drop", share=1.0, path=PATHS[name]), Rule("error", share=1.0, path="/elsewhere"))
    assert rig.order() == []
    assert rig.faulty.struck[-1].text.startswith(f"drop: websocket {PATHS[name]}")


@pytest.mark.parametrize("name", VENUES)
@pytest.mark.parametrize(
    "data", [b"\xff", b'{"op":"\xff"}', "nonsense", "[]", '{"op": 5}', '{"method": "ping-pong"}', '{"op":"ping"}']
)
def test_other_messages_are_left_alone(name: str, data: str | bytes) -> None:
    rig = Rig(name, Rule("drop", share=1.0))
    rig.socket.sent.clear()
    rig.handler.message(data)
    rig.clock.run_until(rig.clock.now + 100 * MS)
    assert rig.socket.sent
    assert not rig.faulty.struck


def test_only_sockets_for_requests_are_wrapped() -> None:
    rig = Rig("bybit")
    assert isinstance(rig.faulty.dialect.connect(Socket("/v5/trade")), RequestHandler)
    assert not isinstance(rig.faulty.dialect.connect(Socket("/v5/private")), RequestHandler)
