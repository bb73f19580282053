"""Who may send when: priorities, windows, what the exchange says, bounds."""

from typing import Any

import pytest

from mlthon.engine.clock import SECOND, Clock
from mlthon.venue.rate_rules import RateRule, Usage
from mlthon.venue.throttle import RateLimited, Throttle
from mlthon.venue.wire import Failure, Frame, HttpMessage, Loss, Priority, Request

from .scripted import START, ScriptedEdge

CANCEL, RESOLVE, ORDER, QUESTION = Priority


class Rig:
    def __init__(self, *rules: RateRule) -> None:
        self.clock = Clock(START)
        self.edge = ScriptedEdge(self.clock)
        self.edge.codec_bodies = []
        self.edge.exchange = lambda target: "fine"
        self.usages: list[Usage] = []
        self.told: list[tuple[int, int]] = []
        self.answers: dict[str, Any] = {}
        self.throttle = Throttle(
            self.clock, self.edge, rules, lambda request, answer: self.usages, lambda *args: self.told.append(args)
        )

    def send(self, name: str, weight: int = 1, priority: Priority = QUESTION, rule: str = "r") -> Any:
        request = Request(
            name, lambda ms: HttpMessage("GET", f"{name}@{ms}"), ((rule, weight),) if rule else (), priority, 5.0
        )
        return self.throttle.send(request, lambda answer: self.answers.update({name: answer}))

    def frame(self, name: str, key: str) -> Any:
        request = Request(name, lambda ms: Frame("trade", name, key), (), ORDER, 5.0)
        return self.throttle.send(request, lambda answer: self.answers.update({name: answer}))

    def wait(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + round(seconds * SECOND))

    def left(self) -> list[tuple[float, str]]:
        return [((ts - START) / SECOND, target.split("@")[0]) for ts, target in self.edge.sent]


def test_cancels_go_before_orders_and_orders_before_questions():
    rig = Rig(RateRule("r", 1, 0.2))
    for name, priority in (("q1", QUESTION), ("q2", QUESTION), ("o1", ORDER), ("c1", CANCEL), ("o2", ORDER)):
        rig.send(name, priority=priority)
    rig.wait(2)
    assert [name for _, name in rig.left()] == ["q1", "c1", "o1", "o2", "q2"]


def test_a_rolling_window_counts_each_request_for_its_interval():
    rig = Rig(RateRule("r", 2, 1.0))
    rig.send("a")
    rig.wait(0.6)
    for name in "bcd":
        rig.send(name)
    rig.wait(5)
    assert rig.left() == [(0, "a"), (0.6, "b"), (1.0, "c"), (1.6, "d")]


def test_a_fixed_window_starts_anew_at_multiples_of_the_exchanges_clock():
    rig = Rig(RateRule("r", 2, 10.0, rolling=False))
    rig.throttle.offset = 3 * SECOND
    for name in "abc":
        rig.send(name)
    rig.wait(20)
    assert rig.left() == [(0, "a"), (0, "b"), (7, "c")]
    assert rig.edge.sent[2][1] == f"c@{(START + 10 * SECOND) // 1_000_000}"


def test_one_rule_that_is_used_up_does_not_hold_up_another():
    rig = Rig(RateRule("r", 1, 5.0), RateRule("s", 1, 5.0))
    rig.send("a")
    rig.send("b")
    rig.send("c", rule="s")
    assert [name for _, name in rig.left()] == ["a", "c"]


def test_a_small_request_does_not_overtake_a_big_one():
    rig = Rig(RateRule("r", 3, 1.0))
    rig.send("a", 2)
    rig.send("big", 3)
    rig.send("small", 1)
    rig.wait(3)
    assert rig.left() == [(0, "a"), (1, "big"), (2, "small")]


def test_an_order_that_would_wait_too_long_is_refused_later_and_a_cancel_waits():
    rig = Rig(RateRule("r", 1, 3.0))
    rig.send("a")
    rig.send("order", priority=ORDER)
    rig.send("cancel", priority=CANCEL)
    assert rig.answers == {}
    rig.wait(0)
    assert isinstance(rig.answers["order"], RateLimited)
    assert rig.answers["order"].loss is Loss.NOT_SENT
    assert "3.0 s" in rig.answers["order"].reason
    rig.wait(5)
    assert rig.left() == [(0, "a"), (3, "cancel")]


def test_an_order_held_up_by_a_cancel_is_refused_as_soon_as_it_is_too_late():
    rig = Rig(RateRule("r", 1, 0.9))
    rig.send("a")
    rig.send("order", priority=ORDER)
    rig.send("cancel", priority=CANCEL)
    rig.wait(0.89)
    assert "order" not in rig.answers
    rig.wait(0.02)
    assert isinstance(rig.answers["order"], RateLimited)


def test_an_order_behind_a_cancel_that_waits_for_another_rule_is_refused_at_its_bound():
    rig = Rig(RateRule("r", 10, 0.5), RateRule("s", 1, 5.0))
    rig.send("b", rule="s")
    both = Request("cancel", lambda ms: HttpMessage("GET", "cancel"), (("r", 1), ("s", 1)), CANCEL, 5.0)
    rig.throttle.send(both, lambda answer: None)
    rig.send("order", priority=ORDER)
    rig.wait(0.99)
    assert "order" not in rig.answers
    rig.wait(0.02)
    assert isinstance(rig.answers["order"], RateLimited)
    rig.wait(5)
    assert rig.left()[1] == (5, "cancel")


def test_what_weighs_more_than_the_limit_never_goes():
    rig = Rig(RateRule("r", 2, 1.0))
    rig.send("a", 3)
    rig.wait(0)
    assert "for ever" in rig.answers["a"].reason


def test_the_exchanges_count_raises_ours_and_its_limit_counts():
    rig = Rig(RateRule("r", 10, 10.0))
    rig.usages = [Usage("r", used=4, limit=5)]
    rig.send("a")
    rig.wait(1)
    rig.usages = []
    rig.send("b")
    rig.send("c")
    rig.wait(1)
    assert [name for _, name in rig.left()] == ["a", "b"]


def test_the_count_of_a_window_that_is_past_is_ignored():
    rig = Rig(RateRule("r", 2, 10.0, rolling=False))
    rig.edge.trip = 2 * SECOND
    rig.wait(9)
    rig.usages = [Usage("r", used=2)]
    rig.send("a")
    rig.wait(3)
    rig.send("b")
    assert rig.left() == [(9, "a"), (12, "b")]


@pytest.mark.parametrize(
    ("answer", "rule", "free"),
    [
        ((429, {"retry-after": "4"}, ""), "r", 4.01),
        ((429, {}, ""), "r", 1.01),
        ((429, {"retry-after": "4"}, ""), "s", 0.02),
        ((418, {"retry-after": "7"}, ""), "s", 7.01),
        ((418, {"retry-after": "soon"}, ""), "s", 120.01),
    ],
)
def test_too_many_requests_and_bans_are_obeyed(answer, rule, free):
    rig = Rig(RateRule("r", 100, 1.0), RateRule("s", 100, 1.0))
    rig.edge.exchange = lambda target: answer if target.startswith("a") else "fine"
    rig.send("a")
    rig.wait(0.02)
    rig.send("c", priority=CANCEL, rule=rule)
    rig.wait(200)
    assert rig.left()[1][0] == pytest.approx(free)
    assert (100, START + round(free * SECOND)) in rig.told or free < 1 or rule == "s"


def test_a_ban_with_an_end_is_obeyed():
    rig = Rig(RateRule("r", 100, 1.0))
    rig.usages = [Usage("r", banned_until=START + 30 * SECOND)]
    rig.send("a")
    rig.wait(1)
    rig.usages = []
    rig.send("b", priority=CANCEL)
    rig.wait(60)
    assert rig.left()[1] == (30, "b")


def test_steps_of_usage_are_told_once_each_and_again_after_they_have_passed():
    rig = Rig(RateRule("r", 10, 10.0))
    for number in range(10):
        rig.send(f"a{number}")
    rig.wait(1)
    assert [percent for percent, _ in rig.told] == [50, 90, 100]
    assert rig.told[0][1] == START + 10 * SECOND
    rig.wait(20)
    for number in range(5):
        rig.send(f"b{number}")
    rig.wait(1)
    assert [percent for percent, _ in rig.told] == [50, 90, 100, 50]


def test_frames_are_answered_by_key_time_out_and_die_with_their_line():
    rig = Rig()
    rig.frame("closed", "k0")
    rig.edge.open_lines.add("trade")
    ticket = rig.frame("a", "k1")
    rig.frame("b", "k2")
    rig.wait(1)
    assert rig.answers == {"closed": Failure(Loss.NOT_SENT, "the line trade is not open")}
    assert rig.throttle.take("trade", "k1") is ticket
    assert rig.throttle.take("trade", "k1") is None
    rig.wait(5)
    assert rig.answers["b"] == Failure(Loss.NO_ANSWER, "no answer in 5 s")
    rig.frame("c", "k3")
    rig.throttle.line_lost("trade", "reset")
    rig.wait(0)
    assert rig.answers["c"] == Failure(Loss.NO_ANSWER, "the line trade was lost: reset")
    assert "a" not in rig.answers
    rig.wait(60)
    assert len(rig.answers) == 3


def test_a_rule_that_is_not_declared_is_a_mistake():
    with pytest.raises(ValueError, match="'nothing'"):
        Rig().send("a", rule="nothing")


def test_part_of_a_rule_is_kept_for_cancels_and_what_resolves_orders():
    rig = Rig(RateRule("r", 8, 60.0, reserve=0.25))
    for number in range(8):
        rig.send(f"o{number}", priority=ORDER)
    rig.send("question")
    assert [name for _, name in rig.left()] == [f"o{number}" for number in range(6)]
    rig.send("status", priority=RESOLVE)
    rig.send("cancel", priority=CANCEL)
    assert [name for _, name in rig.left()][6:] == ["status", "cancel"]
    rig.wait(2)
    assert {name for name, answer in rig.answers.items() if isinstance(answer, RateLimited)} == {"o6", "o7"}


def test_the_reserve_of_a_fixed_window_comes_back_with_it_and_follows_the_limit_that_is_told():
    rig = Rig(RateRule("r", 100, 10.0, rolling=False, reserve=0.5))
    rig.usages = [Usage("r", 1, 4)]
    rig.send("first", priority=ORDER)
    rig.wait(0.1)
    for name in ("second", "third"):
        rig.send(name)
    rig.wait(11)
    assert [name for _, name in rig.left()] == ["first", "second", "third"]
    assert rig.left()[2][0] == 10.0


def test_what_is_heavier_than_all_but_the_reserve_may_use_it():
    rig = Rig(RateRule("r", 10, 60.0, reserve=0.5))
    rig.send("heavy", weight=8)
    assert [name for _, name in rig.left()] == ["heavy"]


def test_a_small_rule_keeps_at_least_one():
    rig = Rig(RateRule("r", 2, 60.0, reserve=0.25))
    rig.send("a", priority=ORDER)
    rig.send("b", priority=ORDER)
    rig.send("c", priority=CANCEL)
    assert [name for _, name in rig.left()] == ["a", "c"]


def test_the_allowance_is_that_of_the_rule_closest_to_its_end():
    rig = Rig(RateRule("r", 10, 2.0), RateRule("s", 100, 60.0))
    assert rig.throttle.allowance() == (10, START)
    for number in range(4):
        rig.send(f"r{number}")
    for number in range(20):
        rig.send(f"s{number}", rule="s")
    assert rig.throttle.allowance() == (6, START + 2 * SECOND)
    rig.wait(2.5)
    assert rig.throttle.allowance() == (80, START + 60 * SECOND)
