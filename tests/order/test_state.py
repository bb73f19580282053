from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.basics.defs import OrderStatus
from mlthon.order import state
from mlthon.order.state import TERMINAL, TRANSITIONS, IllegalTransition, OrderEvent, is_open, next_state

PAGE = Path(__file__).resolve().parents[2] / "docs" / "order-states.md"
ANSWERS = [event for event in OrderEvent if event.name not in ("Sent", "CancelRequested", "ModifyRequested")]
FILLS = {OrderEvent.Filled, OrderEvent.FullyFilled, OrderEvent.ResolvedFilled, OrderEvent.ResolvedPartiallyFilled}


def walk(events: list[OrderEvent]) -> list[OrderStatus]:
    states = [next_state(OrderStatus.Unset, OrderEvent.Sent)]
    for event in events:
        states.append(next_state(states[-1], event))
    return states


@pytest.mark.parametrize("status", OrderStatus)
@pytest.mark.parametrize("event", OrderEvent)
def test_the_function_is_the_table(status: OrderStatus, event: OrderEvent) -> None:
    if (status, event) in TRANSITIONS:
        assert next_state(status, event) is TRANSITIONS[status, event]
    else:
        with pytest.raises(IllegalTransition, match=f"{event.name} cannot happen to an order that is {status.name}"):
            next_state(status, event)


@pytest.mark.parametrize("status", [status for status in OrderStatus if status is not OrderStatus.Unset])
@pytest.mark.parametrize("event", ANSWERS)
def test_no_answer_of_an_exchange_is_an_error(status: OrderStatus, event: OrderEvent) -> None:
    assert next_state(status, event) in OrderStatus


@given(st.lists(st.sampled_from(ANSWERS), max_size=30))
def test_random_histories_keep_the_rules(events: list[OrderEvent]) -> None:
    states = walk(events)
    for before, event, after in zip(states, events, states[1:], strict=False):
        if event is OrderEvent.TimedOut:
            assert after is before if before in TERMINAL else after is OrderStatus.Unknown
        if before in TERMINAL and after is not before:
            assert event in FILLS  # only a fill tells something new of what is finished
        if before is OrderStatus.Filled:
            assert after is OrderStatus.Filled
        if event is OrderEvent.FullyFilled:
            assert after is OrderStatus.Filled
        if after is OrderStatus.Rejected and before is not after:
            assert before is not OrderStatus.PartiallyFilled
        assert after not in (OrderStatus.Unset,)
        assert not (after is OrderStatus.PendingNew and before is not after)


@given(st.lists(st.sampled_from(ANSWERS), max_size=20))
def test_asking_the_exchange_ends_not_knowing(events: list[OrderEvent]) -> None:
    status = walk(events)[-1]
    if status is OrderStatus.Unknown:
        assert next_state(status, OrderEvent.ResolvedCancelled) is OrderStatus.Cancelled
        assert next_state(status, OrderEvent.ResolvedNew) is OrderStatus.New
        assert next_state(status, OrderEvent.CancelRequested) is OrderStatus.Unknown


def test_ordinary_lives() -> None:
    e, s = OrderEvent, OrderStatus
    assert walk([e.Acked, e.Filled, e.FullyFilled])[-3:] == [s.New, s.PartiallyFilled, s.Filled]
    assert walk([e.AckedUntriggered, e.Triggered, e.FullyFilled])[-3:] == [s.Untriggered, s.New, s.Filled]
    assert walk([e.Acked, e.CancelRequested, e.CancelAcked, e.Filled, e.Cancelled])[-2:] == [
        s.PartiallyFilled,
        s.Cancelled,
    ]
    assert walk([e.FullyFilled, e.Acked])[-1] is s.Filled
    assert walk([e.TimedOut, e.Filled])[-1] is s.Unknown
    assert walk([e.TimedOut, e.Acked])[-1] is s.New
    assert walk([e.Acked, e.Cancelled, e.Filled])[-1] is s.Cancelled
    assert walk([e.Rejected, e.Filled])[-1] is s.Unknown


def test_which_states_are_open() -> None:
    closed = {OrderStatus.Unset, OrderStatus.Filled, OrderStatus.Cancelled, OrderStatus.Rejected}
    assert {status for status in OrderStatus if not is_open(status)} == closed


def test_the_page_is_the_generated_one(tmp_path: Path) -> None:
    assert PAGE.read_text(encoding="utf-8") == state.document(), "run python -m mlthon.order.state"
    state.main([str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == state.document()
