"""An account book must tell the same story however its facts come: shuffled, doubled, late."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlthon.basics.defs import CancelCode, GtwRejectCode, OrderStatus, OrderType
from mlthon.engine.clock import SECOND, Clock
from mlthon.venue.account_book import AccountBook
from mlthon.venue.facts import ExecutionFact, OrderFact

from .scripted import BTC, ETH, START, Events, fill, order_fact, tracked

QTY = 10
NEW, PART, FILLED, CANCELLED = (
    OrderStatus.New,
    OrderStatus.PartiallyFilled,
    OrderStatus.Filled,
    OrderStatus.Cancelled,
)


class Desk:
    """A book with what it says; `fetch` counts the orders whose executions it asked for, and gives `missing`."""

    def __init__(self) -> None:
        self.clock = Clock(START)
        self.events = Events()
        self.fetched: list[str] = []
        self.missing: list[ExecutionFact] = []
        self.book = AccountBook(self.events, self.clock, self.fetch)

    def fetch(self, booked: Any) -> None:
        self.fetched.append(booked.wire_id)
        for fact in self.missing:
            self.clock.call_soon(self.book.execution, fact)

    def sent(self, **more: Any) -> Any:
        return self.book.sent(tracked(**more))

    def take(self, *facts: Any) -> None:
        for fact in facts:
            if isinstance(fact, ExecutionFact):
                self.book.execution(fact)
            else:
                self.book.order(fact)

    def wait(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + round(seconds * SECOND))

    def story(self) -> list[str]:
        return self.events.names()


@pytest.fixture
def desk() -> Desk:
    return Desk()


# -- histories -------------------------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Any], list[ExecutionFact], OrderStatus]:
    """What truly happened to an order: all facts of it in order, its executions, how it ended."""
    parts = draw(st.lists(st.integers(1, 4), max_size=4))
    while sum(parts) > QTY:
        parts.pop()
    if draw(st.booleans()) and sum(parts) < QTY:
        parts.append(QTY - sum(parts))
    dated = draw(st.booleans())
    ts = START
    facts: list[Any] = [order_fact(status=NEW, filled=0, ts=ts)]
    executions = []
    filled = 0
    for number, qty in enumerate(parts):
        ts += 1
        filled += qty
        execution = fill(f"e{number}", qty, ts=ts, cumulative=draw(st.sampled_from([None, filled])))
        executions.append(execution)
        facts.append(execution)
        facts.append(order_fact(status=FILLED if filled == QTY else PART, filled=filled, ts=ts))
    end = FILLED
    if filled < QTY:
        end = CANCELLED
        facts.append(order_fact(status=CANCELLED, filled=filled, ts=ts + 1))
    if not dated:
        # an exchange that does not say when: its facts must at least come in order, so only the end is told
        facts = [fact for fact in facts if isinstance(fact, ExecutionFact) or fact.status in (FILLED, CANCELLED)]
    return facts, executions, end


@settings(max_examples=300, deadline=None)
@given(histories(), st.randoms(use_true_random=False), st.data())
def test_whatever_the_order_of_facts_the_story_is_the_same(history, rng, data):
    facts, executions, end = history
    desk = Desk()
    booked = desk.sent()
    doubled = facts + [fact for fact in facts if rng.random() < 0.5]
    rng.shuffle(doubled)
    for fact in doubled:
        if rng.random() < 0.2:
            desk.book.accepted(booked, "X-a")
        desk.take(fact)
        desk.wait(rng.choice([0.0, 0.0, 0.5]))
        check_prefix(desk)
    desk.missing = executions
    desk.wait(600)
    check_whole(desk, booked, executions, end)


@settings(max_examples=300, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_executions_that_never_came_are_fetched_before_the_end_is_told(history, rng):
    facts, executions, end = history
    desk = Desk()
    desk.missing = executions
    booked = desk.sent()
    heard = [fact for fact in facts[:-1] if rng.random() < 0.5]
    rng.shuffle(heard)
    last = facts[-1]
    desk.take(*heard, last)
    desk.wait(600)
    if isinstance(last, OrderFact):
        check_whole(desk, booked, executions, end)


def check_prefix(desk: Desk) -> None:
    """What must hold at any time: acknowledged first and once, ended once at most, no execution twice."""
    names = desk.story()
    assert names[:1] in ([], ["new_order_ack"])
    assert names.count("new_order_ack") <= 1
    assert names.count("order_cancelled") <= 1
    ids = [each[1] for each in desk.events.of("order_execution")]
    assert len(ids) == len(set(ids))


def check_whole(desk: Desk, booked: Any, executions: list[ExecutionFact], end: OrderStatus) -> None:
    check_prefix(desk)
    told = desk.events.of("order_execution")
    assert sorted(each[1] for each in told) == sorted(each.exec_id for each in executions)
    left = QTY
    for each in told:
        left -= each[3]
        assert each[4] == left
    assert booked.status is end
    assert booked.ended
    assert booked.filled == sum(each.qty for each in executions)
    assert (desk.story()[-1] == "order_cancelled") == (end is CANCELLED)
    assert set(desk.story()) <= {"new_order_ack", "order_execution", "order_cancelled"}


# -- ends ------------------------------------------------------------------------------------------------------------


def test_a_fill_after_the_end_is_told(desk):
    desk.sent()
    desk.take(order_fact(), order_fact(status=CANCELLED))
    desk.take(fill("1", 4), fill("1", 4))
    assert desk.story() == ["new_order_ack", "order_cancelled", "order_execution"]


def test_the_end_waits_for_executions_that_come_in_time(desk):
    desk.sent()
    desk.take(order_fact(status=CANCELLED, filled=4))
    desk.wait(1)
    assert desk.story() == ["new_order_ack"]
    desk.take(fill("1", 4))
    desk.wait(60)
    assert desk.story() == ["new_order_ack", "order_execution", "order_cancelled"]
    assert desk.fetched == []


def test_executions_that_no_one_lists_do_not_hold_the_end_back_for_ever(desk, caplog):
    desk.sent()
    desk.take(order_fact(status=CANCELLED, filled=4))
    desk.wait(600)
    assert desk.story() == ["new_order_ack", "order_cancelled"]
    assert len(desk.fetched) == 6
    assert "executions of only 0" in caplog.text


def test_an_end_is_final(desk):
    desk.sent()
    desk.take(
        order_fact(status=CANCELLED, ts=START), order_fact(ts=START + 5), order_fact(status=CANCELLED, ts=START + 9)
    )
    assert desk.story() == ["new_order_ack", "order_cancelled"]


@pytest.mark.parametrize(
    ("asked", "code", "unsolicited"),
    [
        (True, CancelCode.Unset, False),
        (True, CancelCode.Liquidation, True),
        (False, CancelCode.PostOnlyWouldTake, True),
    ],
)
def test_a_cancellation_is_ours_if_we_asked_and_nothing_else_explains_it(desk, asked, code, unsolicited):
    booked = desk.sent()
    if asked:
        desk.book.changes.cancelling(booked)
    desk.take(order_fact(status=CANCELLED, cancel_code=code, reason="why"))
    assert desk.events.of("order_cancelled")[0][1] is unsolicited


def test_a_cancel_is_acknowledged_once_whether_its_reply_or_its_effect_comes_first(desk):
    booked = desk.sent()
    desk.take(order_fact())
    cancellation = desk.book.changes.cancelling(booked)
    desk.take(order_fact(status=CANCELLED))
    desk.book.changes.cancel_accepted(cancellation)
    assert desk.story() == ["new_order_ack", "cancel_order_ack", "order_cancelled"]


def test_a_refusal_by_the_stream_and_one_after_the_acknowledgement(desk):
    desk.sent()
    desk.take(order_fact(status=OrderStatus.Rejected, reject_code=GtwRejectCode.InvalidPrice, reason="no"))
    assert desk.events.take() == [("new_order_reject", "a", GtwRejectCode.InvalidPrice, "no")]
    booked = desk.sent(wire_id="b")
    desk.book.accepted(booked, "X-b")
    desk.take(order_fact("b", status=OrderStatus.Rejected, reason="no"))
    assert desk.story() == ["new_order_ack", "order_cancelled"]


# -- modifications ---------------------------------------------------------------------------------------------------


def test_a_modification_is_acknowledged_once_by_fact_or_reply(desk):
    booked = desk.sent()
    desk.take(order_fact(ts=START))
    first = desk.book.changes.modifying(booked, 1010, 10)
    desk.take(order_fact(price=1010, ts=START + 1))
    desk.book.changes.amended(first)
    second = desk.book.changes.modifying(booked, None, 7)
    desk.book.changes.amended(second)
    desk.take(order_fact(price=1010, qty=7, ts=START + 2))
    assert desk.events.of("modify_order_ack") == [("a", 1010, None, 10), ("a", None, 7, 7)]


def test_an_order_that_is_found_with_its_modification_is_acknowledged_before_it(desk):
    booked = desk.sent()
    sent_price = booked.price
    desk.book.changes.modifying(booked, 1010, None)
    desk.take(order_fact(price=1010, ts=START + 1))
    assert desk.story() == ["new_order_ack", "modify_order_ack"]
    assert desk.events.of("new_order_ack")[0][2] == sent_price
    assert desk.events.of("modify_order_ack") == [("a", 1010, None, 10)]


def test_a_fact_of_before_the_modification_does_not_undo_it(desk):
    booked = desk.sent()
    desk.take(order_fact(ts=START))
    desk.book.changes.amended(desk.book.changes.modifying(booked, 1010, None))
    desk.take(order_fact(ts=START + 1), fill("1"), order_fact(price=1010, filled=1, status=PART, ts=START + 2))
    assert desk.events.of("modify_order_ack") == [("a", 1010, None, 10)]


def test_a_change_that_nobody_asked_for_is_told(desk):
    desk.sent()
    desk.take(order_fact(ts=START), order_fact(qty=6, ts=START + 1))
    assert desk.events.of("modify_order_ack") == [("a", None, 6, 6)]


def test_a_fill_beyond_the_quantity_proves_the_modification(desk):
    booked = desk.sent()
    desk.take(order_fact(ts=START))
    desk.book.changes.modifying(booked, None, 20)
    desk.take(fill("1", 15))
    assert desk.story() == ["new_order_ack", "modify_order_ack", "order_execution"]
    assert desk.events.of("order_execution")[0][4] == 5


def test_the_price_that_an_exchange_gives_a_market_order_is_none_of_ours(desk):
    desk.sent(order_type=OrderType.Market, price=0)
    desk.take(order_fact(price=1050, ts=START), order_fact(price=1060, ts=START + 1))
    assert [each[2] for each in desk.events.of("new_order_ack")] == [0]
    assert desk.events.of("modify_order_ack") == []


def test_older_facts_change_nothing(desk):
    desk.sent()
    desk.take(order_fact(ts=START + 5), order_fact(qty=6, ts=START + 1))
    assert desk.events.of("modify_order_ack") == []


def test_an_answer_without_a_time_is_older_than_what_the_stream_said_since(desk):
    desk.sent()
    asked = desk.clock.now
    desk.take(order_fact())
    desk.wait(1)
    desk.take(order_fact(qty=6))
    desk.book.order(order_fact(qty=10), asked)
    assert desk.events.of("modify_order_ack") == [("a", None, 6, 6)]
    desk.wait(1)
    desk.book.order(order_fact(qty=5), desk.clock.now)
    assert desk.events.of("modify_order_ack")[1:] == [("a", None, 5, 5)]


# -- unknown, foreign, restored --------------------------------------------------------------------------------------


def test_an_unknown_order_comes_back(desk):
    booked = desk.sent()
    desk.take(order_fact(), fill("1", 3))
    desk.book.unsure(booked, "timeout")
    desk.book.unsure(booked, "again")
    desk.book.resolved(booked)
    desk.book.resolved(booked)
    assert desk.events.of("order_unknown") == [("a", "timeout")]
    assert desk.events.of("order_resolved") == [("a", PART, 7)]


def test_orders_of_others_are_announced_once_and_then_their_fills(desk):
    theirs = order_fact("", exchange_id="77", side=-1, qty=5)
    desk.take(theirs, theirs, fill("1", 2, "", exchange_id="77"), order_fact("", CANCELLED, exchange_id="77"))
    desk.take(fill("2", 3, "", exchange_id="78", reason="liquidation"))
    assert [call[:2] for call in desk.events.calls] == [
        ("foreign_order", "77"),
        ("order_execution", "77"),
        ("foreign_order", "78"),
        ("order_execution", "78"),
    ]
    assert desk.events.of("foreign_order")[1][4] == "liquidation"


def test_whatever_streams_say_of_orders_of_others_is_told_and_of_ours_nothing(desk: Desk) -> None:
    told: list[Any] = []
    desk.book.on_foreign.append(told.append)
    desk.sent()
    theirs = order_fact("", exchange_id="77", qty=5)
    over = order_fact("", CANCELLED, exchange_id="77")
    at_once = order_fact("", FILLED, exchange_id="79")
    desk.take(order_fact(), theirs, over, at_once)
    desk.book.order(order_fact("", exchange_id="80"), asked=START)
    assert told == [theirs, over, at_once]


def test_an_execution_without_our_id_finds_its_order_by_the_exchanges(desk):
    desk.sent()
    desk.take(order_fact(), fill("1", 2, "", exchange_id="X-a"))
    assert desk.events.of("order_execution")[0][0] == "a"


def test_execution_ids_are_unique_within_an_instrument_only(desk):
    desk.sent()
    desk.sent(wire_id="b", instrument=ETH)
    desk.take(fill("1"), fill("1", wire_id="b", instrument=ETH))
    assert len(desk.events.of("order_execution")) == 2


def test_restored_orders_go_on_where_they_were(desk):
    order = tracked(state=PART, filled=4, exchange_id="X-a")
    over = tracked("b", state=CANCELLED, exchange_id="X-b")
    desk.book.restore([order, over], [(BTC.number, "1")])
    desk.take(fill("1", 4), fill("2", 6), fill("3", 1, "b"), order_fact("b", CANCELLED))
    assert [(*each[:2], each[4]) for each in desk.events.of("order_execution")] == [("a", "2", 0), ("b", "3", 9)]
    assert desk.story() == ["order_execution", "order_execution"]


def test_an_order_that_is_filled_has_the_quantity_that_traded(desk: Desk) -> None:
    booked = desk.sent()
    desk.take(order_fact(status=NEW), order_fact(qty=4))
    desk.take(order_fact(status=FILLED, filled=4, qty=QTY, ts=START + 1), fill("1", 4))
    desk.wait(30)
    assert desk.story() == ["new_order_ack", "modify_order_ack", "order_execution"]
    assert (booked.status, booked.qty) == (FILLED, 4)
