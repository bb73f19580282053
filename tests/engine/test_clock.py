"""The clock: order, zero latency, cancelled calls, leaps, and no way for time to stand still for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.engine import clock as clock_module
from mlthon.engine.clock import NEVER, Clock, TimeStuck


@given(st.lists(st.integers(0, 20)))
def test_calls_run_by_time_and_then_in_the_order_asked_for(times: list[int]) -> None:
    clock = Clock()
    ran: list[tuple[int, int]] = []
    for number, ts in enumerate(times):
        clock.call_at(ts, lambda number=number: ran.append((clock.now, number)))
    clock.run_until(100)
    assert ran == sorted((ts, number) for number, ts in enumerate(times))
    assert clock.due == NEVER
    assert clock.now == 100


def test_due_is_the_earliest_call() -> None:
    clock = Clock()
    assert clock.due == NEVER
    clock.call_at(30, int)
    clock.call_at(10, int)
    assert clock.due == 10
    clock.run_until(10)
    assert clock.due == 30


def test_a_call_in_the_past_runs_at_the_present() -> None:
    clock = Clock(50)
    ran: list[int] = []
    clock.call_at(10, lambda: ran.append(clock.now))
    clock.run_until(50)
    assert ran == [50]


def test_calls_made_by_calls_run_in_the_same_pass_but_after() -> None:
    clock = Clock()
    ran: list[str] = []

    def first() -> None:
        clock.call_soon(ran.append, "caused")
        ran.append("cause")

    clock.call_at(5, first)
    clock.call_at(5, ran.append, "queued before")
    clock.run_until(5)
    assert ran == ["cause", "queued before", "caused"]


def test_a_cancelled_call_does_not_run() -> None:
    clock = Clock()
    ran: list[int] = []
    kept = clock.schedule(1, ran.append, 1)
    clock.schedule(2, ran.append, 2).cancel()
    clock.run_until(9)
    assert ran == [1]
    assert kept.ts == 1


def test_a_leap_moves_everything_that_waits() -> None:
    clock = Clock(100)
    ran: list[int] = []
    handle = clock.schedule(150, lambda: ran.append(clock.now))
    clock.leap(1_000)
    assert (clock.now, clock.due, handle.ts) == (1_100, 1_150, 1_150)
    clock.run_until(1_149)
    assert ran == []
    clock.run_until(1_150)
    assert ran == [1_150]


def test_two_who_answer_each_other_without_latency_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "MAX_CALLS_AT_ONE_TIME", 50)
    clock = Clock()

    def ping() -> None:
        clock.call_soon(ping)

    clock.call_soon(ping)
    with pytest.raises(TimeStuck, match="without time moving on"):
        clock.run_until(1)
