"""Orders are remembered long after their end, and not for ever."""

import pytest

from mlthon.basics.defs import Exchange, GtwRejectCode, Side
from mlthon.engine import tracker
from mlthon.exchange import account
from tests.backtest.play import BTC, Script, play, still
from tests.engine.rig import Rig


def send(rig: Rig, client_id: int) -> None:
    rig.env.send_new_order(client_id, Exchange.Bybit, BTC, Side.Buy, "100", "0.1")
    rig.wait(2)
    rig.env.send_cancel_order(Exchange.Bybit, BTC, client_id)
    rig.wait(2)


def test_what_ended_long_ago_is_forgotten_but_for_its_client_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "KEPT", 5)
    rig = Rig()
    for client_id in range(8):
        send(rig, client_id)
    assert len(rig.engine.tracker.orders) == 5
    rig.env.fetch_order_status(Exchange.Bybit, BTC, 0)
    rig.env.fetch_order_status(Exchange.Bybit, BTC, 7)
    rig.env.send_new_order(0, Exchange.Bybit, BTC, Side.Buy, "100", "0.1")
    rig.wait(2)
    ((_, code, detail, _),) = rig.strategy.of("on_request_reject")
    assert (code, detail) == (GtwRejectCode.UnknownOrder, "no order with client id 0: it ended long ago")
    assert [each[2] for each in rig.strategy.of("on_order_status")] == ["7"]
    assert rig.strategy.of("on_new_order_reject")[0][2] is GtwRejectCode.DuplicateClientId


def test_an_open_order_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "KEPT", 5)
    rig = Rig()
    rig.env.send_new_order(99, Exchange.Bybit, BTC, Side.Buy, "100", "0.1")
    for client_id in range(8):
        send(rig, client_id)
    rig.env.send_cancel_order(Exchange.Bybit, BTC, 99)
    rig.wait(2)
    assert rig.strategy.of("on_order_cancelled")[-1][1] == "99"


def test_the_exchange_forgets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "KEPT", 3)

    def order(number: int, price: str) -> object:
        return lambda script: script.env.send_new_order(number, Exchange.Bybit, BTC, Side.Buy, price, "0.1")

    script = Script({100 * number: order(number, "100.1" if number % 2 else "0.1") for number in range(1, 9)})
    played = play(script, still(2000, every=100))
    kept = played.run.assembly.exchanges[Exchange.Bybit].account("main").orders
    assert len(kept) == 3
    assert len(script.of("on_order_execution")) == 4
    assert len(script.of("on_new_order_reject")) == 4
