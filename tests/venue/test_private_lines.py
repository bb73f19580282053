"""Lines that come, go, are refused, or never become ready."""

from mlthon.basics.defs import GtwStatus, OrderStatus
from mlthon.venue.facts import LineInterrupted, LineReady, LineRefused
from mlthon.venue.live_gateway import GatewaySettings

from .scripted import Rig

READY = GtwStatus.ReadyToTrade
GONE = OrderStatus.Cancelled


def test_all_lines_must_be_ready():
    rig = Rig(start=False, lines=("orders", "wallet"))
    rig.gateway.start()
    rig.wait(1)
    rig.edge.opens("orders")
    rig.edge.tells(LineReady(line="orders"), name="orders")
    rig.wait(60)
    assert rig.count("open_orders") == 0
    rig.edge.opens("wallet")
    rig.edge.tells(LineReady(line="wallet"), name="wallet")
    rig.wait(1)
    assert rig.gateway.status() == (READY, "")


def test_a_line_refused_for_good_is_not_tried_again():
    rig = Rig()
    rig.edge.tells(LineRefused(line="private", reason="invalid key", final=True))
    rig.wait(3600)
    assert rig.gateway.status() == (
        GtwStatus.Maintenance,
        "the exchange refuses the line private: invalid key",
    )
    assert rig.edge.lines == {}
    assert rig.count("lines") == 1


def test_a_line_refused_for_now_or_interrupted_is_asked_for_anew():
    rig = Rig()
    rig.edge.tells(LineRefused(line="private", reason="busy"))
    rig.wait(0.5)
    assert rig.count("lines") == 1
    rig.wait(1)
    assert rig.count("lines") == 2
    rig.edge.opens()
    rig.edge.tells(LineInterrupted(line="private", reason="listen key expired"))
    rig.wait(0.1)
    assert rig.count("lines") == 3
    rig.edge.opens()
    rig.edge.tells(LineReady(line="private"))
    rig.wait(1)
    assert rig.gateway.status() == (READY, "")


def test_a_line_that_cannot_be_opened_is_asked_for_anew():
    rig = Rig()
    for _ in range(4):
        rig.edge.loses(reason="HTTP 404")
    rig.wait(2)
    assert rig.count("lines") == 2


def test_a_line_that_opens_and_does_not_become_ready_is_connected_anew():
    rig = Rig(GatewaySettings(line_ready_s=4.0), start=False)
    rig.gateway.start()
    rig.wait(1)
    rig.edge.opens()
    rig.wait(3.9)
    assert ("restart", "private") not in rig.edge.log
    rig.wait(0.2)
    assert rig.edge.log[-1] == ("restart", "private")
    assert "went unanswered" in rig.edge.reasons[-1]
    rig.edge.loses(reason=rig.edge.reasons[-1])
    assert "not ready 4 s after it opened" in rig.gateway.status()[1]
    rig.edge.opens()
    rig.edge.tells(LineReady(line="private"))
    rig.wait(60)
    assert rig.gateway.status() == (READY, "")
    assert rig.edge.log.count(("restart", "private")) == 1


def test_a_line_that_never_becomes_ready_is_asked_for_anew_in_the_end():
    rig = Rig(GatewaySettings(line_ready_s=4.0), start=False)
    rig.gateway.start()
    rig.wait(1)
    for _ in range(4):
        rig.edge.opens()
        rig.wait(4.1)
        rig.edge.loses(reason="not ready")
    assert ("close", "private") in rig.edge.log
    rig.wait(5)
    assert rig.count("lines") == 2
    assert rig.edge.log[-1] == ("open", "private")


def test_a_line_lost_before_its_time_is_over_is_not_cut_off_again():
    rig = Rig(GatewaySettings(line_ready_s=4.0), start=False)
    rig.gateway.start()
    rig.wait(1)
    rig.edge.opens()
    rig.wait(3)
    rig.edge.loses()
    rig.wait(10)
    assert ("restart", "private") not in rig.edge.log
