"""Positions beside the executions that are known."""

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.engine.clock import SECOND
from mlthon.venue.facts import PositionFact
from mlthon.venue.live_gateway import GatewaySettings
from mlthon.venue.position_check import PositionCheck

from .scripted import BTC, ETH, START, Rig, fill, order_fact


def facts(**held: int) -> list[PositionFact]:
    return [PositionFact(instrument={"btc": BTC, "eth": ETH}[name], position=lots) for name, lots in held.items()]


def test_what_was_held_at_the_start_and_the_executions_since_must_make_the_position():
    check = PositionCheck()
    assert check.compare(facts(btc=5), check.changes) == []
    check.execution(BTC, -7, 1)
    assert check.compare(facts(btc=-2), check.changes) == []
    assert check.compare(facts(btc=-3), check.changes) == []
    assert check.doubted == {BTC}
    (told,) = check.compare(facts(btc=-3), check.changes)
    assert told.startswith(f"{BTC.name}: the exchange says the account holds -0.003, but")
    assert told.endswith("make -0.002")
    assert check.compare(facts(btc=-3), check.changes) == []
    assert check.doubted == set()


def test_an_execution_that_was_missing_for_one_comparison_is_no_difference():
    check = PositionCheck()
    check.compare([], check.changes)
    check.execution(BTC, 5, 1)
    assert check.compare(facts(btc=5), check.changes) == []
    assert check.compare(facts(btc=3), check.changes) == []
    check.execution(BTC, -2, 2)
    assert check.compare(facts(btc=3), check.changes) == []
    assert check.doubted == set()
    check.execution(BTC, 1, 3)
    assert check.compare(facts(btc=3), check.changes) == []
    assert len(check.compare(facts(btc=3), check.changes)) == 1


def test_what_was_held_at_the_start_is_taken_anew_while_nothing_fits_it():
    check = PositionCheck()
    check.execution(BTC, 4, 1)
    assert check.compare(facts(btc=2), check.changes) == []  # the execution of -2 was lost on the way
    check.execution(BTC, -2, 2)
    assert check.compare(facts(btc=2), check.changes) == []
    assert check.compare(facts(btc=2), check.changes) == []
    check.compare(facts(btc=0), check.changes)
    assert len(check.compare(facts(btc=0), check.changes)) == 1


def test_a_position_that_is_not_listed_is_flat():
    check = PositionCheck()
    assert check.compare([], check.changes) == []
    check.execution(ETH, 3, 1)
    assert check.compare(facts(eth=3), check.changes) == []
    check.compare([], check.changes)
    assert len(check.compare([], check.changes)) == 1


@pytest.mark.parametrize("position", [0, 1, 3])
def test_any_sum_since_the_question_may_be_the_right_one(position):
    check = PositionCheck()
    check.compare([], check.changes)
    asked = check.changes
    check.execution(BTC, 1, 10)
    check.execution(BTC, 2, 20)
    assert check.compare(facts(btc=position), asked) == []


def test_a_sum_that_never_was_is_wrong_though_much_moved():
    check = PositionCheck()
    check.compare([], check.changes)
    asked = check.changes
    check.execution(BTC, 1, 10)
    check.execution(BTC, 2, 20)
    assert check.compare(facts(btc=2), asked) == []
    assert check.doubted == {BTC}
    assert len(check.compare(facts(btc=2), asked)) == 1
    assert len(check.compare(facts(btc=1), check.changes)) == 0


def test_what_moves_during_the_first_look_is_settled_by_the_next():
    check = PositionCheck()
    check.execution(BTC, 1, 10)
    assert check.compare(facts(btc=8), 0) == []
    assert check.compare(facts(btc=8), check.changes) == []
    assert check.compare(facts(btc=8), check.changes) == []
    assert check.compare(facts(btc=9), check.changes) == []
    assert len(check.compare(facts(btc=9), check.changes)) == 1


def test_changes_are_found_by_their_time():
    check = PositionCheck()
    for ts in (10, 20, 30):
        check.execution(BTC, 1, ts)
    assert [check.since(ts) for ts in (0, 10, 11, 30, 31)] == [0, 0, 1, 2, 3]


def test_balances_of_a_spot_market_are_no_positions():
    check = PositionCheck()
    check.compare([], check.changes)
    check.execution(resolve(Exchange.Bybit, "byt:spot:btc-usdt"), 5, 1)
    assert check.compare([], check.changes) == []


def audited(caplog: pytest.LogCaptureFixture, *positions: int) -> Rig:
    rig = Rig(GatewaySettings(audit_s=10.0), start=False)
    rig.says["positions"] = [facts(btc=each) for each in positions]
    rig.begin()
    rig.send("a", qty=10)
    rig.wait(3)
    rig.edge.tells(fill("e1", 4, ts=START + 5 * SECOND))
    rig.says["open_orders"] = [[order_fact("a", filled=4, qty=10)]]
    caplog.clear()
    rig.wait(26)
    return rig


def test_a_check_of_the_account_finds_a_position_that_the_fills_do_not_make(caplog):
    rig = audited(caplog, 2, 6, 7)
    assert rig.gateway.position_differences == 1
    assert "Bybit main: byt:perp:btc-usdt: the exchange says the account holds 0.007" in caplog.text


def test_a_position_that_the_fills_make_is_not_worth_a_word(caplog):
    assert audited(caplog, 2, 6, 6).gateway.position_differences == 0
    assert caplog.text == ""


def test_an_exchange_without_positions_is_not_checked(caplog):
    rig = Rig(GatewaySettings(audit_s=10.0), unsupported={"positions"})
    rig.send("a", qty=10)
    rig.edge.tells(fill("e1", 10))
    rig.wait(25)
    assert rig.gateway.position_differences == 0
