"""The exchange's own switch."""

import pytest

from mlthon.basics.defs import GtwStatus, OrderStatus
from mlthon.venue.codec import BadMessage
from mlthon.venue.facts import Reply
from mlthon.venue.live_gateway import GatewaySettings
from mlthon.venue.wire import Failure, Loss

from .scripted import BTC, ETH, Rig

READY = GtwStatus.ReadyToTrade
GONE = OrderStatus.Cancelled


def test_the_dead_mans_switch_is_armed_repeatedly_and_disarmed_at_the_end():
    rig = Rig(GatewaySettings(dead_man_s=30.0), has_dead_man=True)
    assert rig.count("arm") == 1
    rig.wait(25)
    assert rig.count("arm") == 3
    rig.gateway.stop()
    rig.wait(60)
    assert [target for target in rig.edge.targets() if target.startswith("arm")] == ["arm 30"] * 3 + ["arm 0"]
    assert Rig(has_dead_man=True).count("arm") == 0


def test_each_instrument_that_is_traded_is_armed_when_its_first_order_leaves():
    rig = Rig(GatewaySettings(dead_man_s=30.0), has_dead_man=True, arms_each=True)
    assert rig.count("arm") == 0
    rig.send("a")
    rig.send("b", instrument=ETH)
    rig.send("c")
    btc, eth = f"arm {BTC.name} 30", f"arm {ETH.name} 30"
    assert rig.count(btc) == 2
    assert rig.count(eth) == 1
    rig.wait(10)
    assert rig.count(eth) == 2


def test_where_orders_are_left_open_the_switch_stays_armed(caplog):
    rig = Rig(GatewaySettings(dead_man_s=30.0), has_dead_man=True)
    rig.send("a")
    rig.wait(1)
    rig.gateway.stop()
    rig.wait(60)
    assert rig.count("arm 0") == 0
    assert "1 orders are open: the exchange's dead man's switch is left armed" in caplog.text


def test_orders_that_are_to_stay_are_not_left_to_the_switch():
    rig = Rig(GatewaySettings(dead_man_s=30.0, orders_stay=True), has_dead_man=True)
    rig.send("a")
    rig.wait(1)
    rig.gateway.stop()
    assert rig.count("arm 0") == 1


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (Reply(reason="no such switch"), "no such switch"),
        (Failure(Loss.NO_ANSWER, "timed out"), "timed out"),
        (BadMessage("no JSON"), "HTTP 200: no JSON"),
    ],
)
def test_a_switch_that_cannot_be_set_is_an_error(caplog, said, told):
    rig = Rig(GatewaySettings(dead_man_s=30.0), start=False, has_dead_man=True)
    rig.says["arm"] = said
    rig.begin()
    assert f"arm failed: {told}" in caplog.text
