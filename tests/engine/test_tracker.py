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


def test_plain_wire_ids_stay_as_they_are() -> None:
    assert tracker.Tracker().next_wire_id() == "m0-1"
    assert tracker.Tracker(12).next_wire_id() == "m12-1"


def test_wire_ids_of_an_installation_are_short_and_known_in_every_run() -> None:
    first, later = tracker.Tracker(1, "ab3f"), tracker.Tracker(36**5, "ab3f")
    ids = [first.next_wire_id(), first.next_wire_id(), later.next_wire_id()]
    assert ids == ["mab3f1-1", "mab3f1-2", "mab3f100000-1"]
    assert all(first.is_ours(each) and later.is_ours(each) and len(each) <= 36 for each in ids)


@pytest.mark.parametrize("wire_id", ["", "mzz991-1", "mab3f-1", "mab3f1-", "mab3f1-1x", "web-mab3f1-1", "m0-1"])
def test_ids_of_others_are_not_ours(wire_id: str) -> None:
    assert not tracker.Tracker(1, "ab3f").is_ours(wire_id)


def test_without_an_installation_only_this_run_is_ours() -> None:
    assert tracker.Tracker(1).is_ours("m1-5")
    assert not tracker.Tracker(1).is_ours("m2-5")


@pytest.mark.parametrize("installation", ["abc", "ABCD", "ab-1", "abcde"])
def test_an_installation_id_that_is_none_is_refused(installation: str) -> None:
    with pytest.raises(ValueError, match="installation id"):
        tracker.Tracker(1, installation)
