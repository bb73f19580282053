"""Scheduled methods: when each is due, and that runs of one job never pile up."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlthon.link.bot.cron import Cron, Job, jobs_of
from mlthon.link.contract import Publish, Raised, Started
from tests.link.bot.kit import running, until


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def due(**option: Any) -> Any:
    cron = Cron()

    class Bot:
        @cron.run(**option)
        def job(self) -> None: ...

    return jobs_of(Bot)["job"]


@pytest.mark.parametrize(
    ("option", "now", "expected"),
    [
        ({"every": 60}, "2026-11-21 10:00:05", "2026-11-21 10:00:30"),
        ({"every": 0.5}, "2026-11-21 10:00:05.75", "2026-11-21 10:00:06"),
        ({"on": "1m"}, "2026-11-21 10:00:05", "2026-11-21 10:01"),
        ({"on": "1m"}, "2026-11-21 10:01:00", "2026-11-21 10:02"),
        ({"on": "4h"}, "2026-11-21 10:00:05", "2026-11-21 12:00"),
        ({"on": "1w"}, "2026-11-21 10:00:05", "2026-11-23 00:00"),
        ({"expr": "0 0 * * *"}, "2026-11-21 10:00:05", "2026-11-22 00:00"),
        ({"expr": "0 0 * * *"}, "2026-11-21 00:00:00.5", "2026-11-22 00:00"),
        ({"expr": "*/15 9-17 * * MON-FRI"}, "2026-11-21 10:00:05", "2026-11-23 09:00"),
    ],
)
def test_a_job_is_due_in_utc_after_now(option: dict[str, Any], now: str, expected: str) -> None:
    started = at("2026-11-21 09:59:30")
    assert due(**option)(started, at(now)) == at(expected)


def test_a_run_that_is_missed_is_left_out() -> None:
    schedule = due(every=10)
    assert schedule(1000.0, 1000.0) == 1010.0
    assert schedule(1000.0, 1034.9) == 1040.0
    assert schedule(1000.0, 1040.0) == 1050.0


@pytest.mark.parametrize("every", [0.1, 0.3, 1, 7.7, 60])
def test_no_run_is_due_twice_whatever_floats_make_of_the_grid(every: float) -> None:
    schedule = due(every=every)
    for number in range(500):
        started = 1_735_689_600.0 + number / 7
        first = schedule(started, started + number * every)
        second = schedule(started, first)
        assert second is not None
        assert second - (first or 0.0) == pytest.approx(every, rel=1e-5)


def test_an_expression_that_never_comes_true_ends_its_job() -> None:
    cron = Cron()
    runs: list[int] = []

    class Bot:
        @cron.run(expr="0 0 31 12 *")
        def job(self) -> None: ...

    job = Job("job", lambda started, now: None, lambda: runs.append(1))
    job.start(run_now=True)
    until(lambda: runs)
    job._thread.join(5)
    assert not job._thread.is_alive()
    assert runs == [1]


def test_jobs_run_at_once_then_by_schedule_and_never_pile_up(tmp_path: Path) -> None:
    source = """
        from profitview import Link, cron
        import threading, time

        class Trading(Link):
            def __init__(self):
                super().__init__()
                self.active = self.most = self.slow_runs = 0
                self.at = []

            @cron.run(every=0.02)
            def quick(self):
                self.at.append(time.monotonic())

            @cron.run(every=0.01)
            def slow(self):
                self.active += 1
                self.most = max(self.most, self.active)
                time.sleep(0.05)
                self.active -= 1
                self.slow_runs += 1

            @cron.run(on='1w')
            def weekly(self):
                self.publish('weekly', threading.current_thread().name)
                raise ValueError('this week')

            def on_start(self):
                self.in_background = dict(self.background_threads)
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        until(lambda: len(bot.it.at) >= 12 and bot.it.slow_runs >= 3)
        assert bot.it.most == 1
        assert [each.data for each in bot.host.all(Publish)] == ["cron-weekly"]
        assert {"cron-quick", "cron-slow", "cron-weekly"} <= set(bot.it.in_background.values())
        raised = bot.host.wait(Raised)
        assert (raised.where, raised.error) == ("weekly", "ValueError: this week")
        bot.stop()
        jobs = {"cron-quick", "cron-slow", "cron-weekly"}
        until(lambda: not jobs & {each.name for each in threading.enumerate()})


def test_a_job_may_be_async(tmp_path: Path) -> None:
    source = """
        import asyncio
        from profitview import Link, cron

        class Trading(Link):
            @cron.run(expr='0 0 1 1 *')
            async def yearly(self):
                await asyncio.sleep(0)
                self.publish('ran')
                raise ValueError('this year')
    """
    with running(tmp_path, source) as bot:
        raised = bot.host.wait(Raised)
        assert (raised.where, raised.error) == ("yearly", "ValueError: this year")
        assert [each.topic for each in bot.host.all(Publish)] == ["ran"]


@pytest.mark.parametrize(("run_now", "runs"), [(True, 1), (False, 0)])
def test_a_bot_may_start_its_jobs_itself(tmp_path: Path, run_now: bool, runs: int) -> None:
    source = f"""
        from profitview import Link, cron

        cron.options['auto_start'] = False

        class Signals(Link):
            def on_start(self):
                self.ready = True
                self.before = dict(self.background_threads)
                cron.start(run_now={run_now})
                cron.start(run_now={run_now})

            @cron.run(expr='0 0 1 1 *')
            def yearly(self):
                self.publish('ran', self.ready)
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        assert "cron-yearly" not in bot.it.before.values()
        until(lambda: len(bot.host.all(Publish)) >= runs)
        time.sleep(0.05)
        assert len(bot.host.all(Publish)) == runs
        assert list(bot.it.background_threads.values()).count("cron-yearly") == 1


def test_start_outside_of_a_run_is_refused() -> None:
    with pytest.raises(RuntimeError, match="call it from on_start"):
        Cron().start()
