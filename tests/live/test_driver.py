"""The wall clock, and the engine's clock driven by it."""

import time

import pytest
import trio

from mlthon.engine.clock import MS, SECOND, Clock, TimeStuck
from mlthon.live.driver import LONGEST_SLEEP_S, Driver, WallTime
from tests.live.servers import until


def test_a_pause_between_the_readings_of_two_clocks_does_not_put_the_time_wrong() -> None:
    """As on a busy machine: a second passes before the monotonic clock is read."""
    true = 0

    def monotonic() -> int:
        nonlocal true
        true += 10
        return true

    def time_of_day() -> int:
        nonlocal true
        told = 5_000 + true
        true += 10 if true > 2 * SECOND else SECOND
        return told

    wall = WallTime(monotonic=monotonic, time_of_day=time_of_day)
    assert abs(wall.now() - (5_000 + true)) < 100


def test_wall_time_is_the_time_of_day_and_then_monotonic() -> None:
    assert abs(WallTime().now() - time.time_ns()) < SECOND
    ticks = iter([5, 5, 105])
    wall = WallTime(1_000, lambda: next(ticks))
    assert [wall.now(), wall.now()] == [1_000, 1_100]


@pytest.mark.trio
async def test_calls_are_made_when_they_are_due(nursery: trio.Nursery) -> None:
    driver = Driver(Clock(), WallTime())
    nursery.start_soon(driver.run)
    await until(lambda: driver.clock.now)
    late: list[int] = []

    def call(due: int) -> None:
        late.append(driver.wall.now() - due)

    def queue() -> None:
        # the later one first: the earlier one must wake the driver sooner
        for ms in (60, 20, 40):
            driver.clock.call_at(driver.clock.now + ms * MS, call, driver.clock.now + ms * MS)

    driver.deliver(queue)
    await until(lambda: len(late) == 3)
    assert all(0 <= each < 200 * MS for each in late)


@pytest.mark.trio
async def test_a_call_queued_outside_every_delivery_is_made_too(nursery: trio.Nursery) -> None:
    driver = Driver(Clock(), WallTime())
    nursery.start_soon(driver.run)
    await until(lambda: driver.clock.now)
    made: list[bool] = []
    driver.clock.call_soon(made.append, True)
    await until(lambda: made, LONGEST_SLEEP_S + 2)


def test_a_delivery_sees_the_present_after_what_was_due() -> None:
    now = [100]
    driver = Driver(Clock(), WallTime(0, lambda: now[0]))
    seen: list[tuple[str, int]] = []
    driver.clock.call_at(30, lambda: seen.append(("due", driver.clock.now)))
    now[0] = 150
    assert driver.deliver(lambda: seen.append(("delivered", driver.clock.now)))
    assert seen == [("due", 30), ("delivered", 50)]


def test_what_a_delivery_has_queued_for_now_is_made_before_it_returns() -> None:
    driver = Driver(Clock(), WallTime(0, lambda: 100))
    made: list[int] = []

    def call() -> None:
        driver.clock.call_soon(made.append, 1)
        driver.clock.call_at(driver.clock.now + SECOND, made.append, 2)
        assert made == [], "never in the middle of what queues it"

    assert driver.deliver(call)
    assert made == [1]


def test_what_raises_is_logged_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver(Clock(), WallTime(0, lambda: 100))
    made: list[int] = []
    driver.clock.call_at(0, lambda: 1 / 0)
    driver.clock.call_at(0, made.append, 1)
    assert not driver.deliver(lambda: {}["missing"])
    assert made == [1]
    assert driver.failures == 2
    assert "division by zero" in caplog.text
    assert "KeyError" in caplog.text


def test_an_engine_that_is_stuck_is_not_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlthon.engine.clock.MAX_CALLS_AT_ONE_TIME", 100)
    driver = Driver(Clock(), WallTime(0, lambda: 100))

    def again() -> None:
        driver.clock.call_soon(again)

    driver.clock.call_soon(again)
    with pytest.raises(TimeStuck):
        driver.advance(10)
