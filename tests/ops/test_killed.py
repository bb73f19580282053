"""What is told of a kill: that nothing is open any more, that something may be, and that nobody says."""

from pathlib import Path

import pytest

from mlthon.live.guard_report import GuardReport, report_path, write_report
from mlthon.ops.contract import Status, StrategyState
from mlthon.ops.killed import LAST_S, SOON_S, Follow, Progress, progress_of_engine, progress_of_guard


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (Progress(0, 0, 0), "0 orders were cancelled; nothing is open any more"),
        (Progress(0, 2, 0), "2 orders were over already; nothing is open any more"),
        (Progress(1, 2, 0), "1 order was cancelled (2 were over already); nothing is open any more"),
        (
            Progress(3, 0, 2, ["Bybit main a", "Bybit main b"]),
            "3 orders were cancelled; 2 MAY STILL BE OPEN: Bybit main a, Bybit main b",
        ),
        (
            Progress(3, 0, 22, ["a"] * 20),
            f"3 orders were cancelled; 22 MAY STILL BE OPEN: {', '.join('a' * 20)} and 2 more",
        ),
        (Progress(None, 0, 0), "nothing is open any more"),
        (Progress(None, 0, 2), "2 MAY STILL BE OPEN"),
    ],
)
def test_progress_in_a_sentence(progress: Progress, told: str) -> None:
    assert progress.told == told


def heard(*steps: tuple[float, Progress | None]) -> list[str]:
    follow = Follow(100.0)
    return [text for took, progress in steps if not follow.over for text in follow.take(progress, 100.0 + took)]


def test_an_end_that_comes_soon_is_told_once() -> None:
    done = Progress(2, 0, 0)
    assert heard((0.5, None), (1, Progress(1, 0, 1)), (1.5, done), (2, done)) == [f"{done.told}."]


def test_what_takes_longer_is_told_on_the_way_once_and_at_its_end() -> None:
    open_still, done = Progress(1, 0, 1, ["Bybit main x"]), Progress(2, 0, 0)
    told = heard((SOON_S + 1, open_still), (SOON_S + 2, open_still), (60, done))
    assert told == [f"⚠ {open_still.told}; it is being tried again and again.", f"{done.told}."]


def test_that_nobody_says_what_came_of_it_is_told() -> None:
    nobody = "⚠ Nobody says what came of the kill: look at the exchange itself."
    assert heard((SOON_S + 1, None), (60, None), (LAST_S + 1, None), (LAST_S + 2, None)) == [nobody, nobody]


def test_only_what_the_guard_said_since_counts(tmp_path: Path) -> None:
    pid_file = tmp_path / "run.journal.guard.pid"
    assert progress_of_guard(pid_file, 5) is None
    write_report(report_path(pid_file), GuardReport(5, "told to", 1, 2, 3, ["x"]))
    assert progress_of_guard(pid_file, 6) is None
    assert progress_of_guard(pid_file, 5) == Progress(1, 2, 3, ["x"])


def test_an_engine_without_a_guard_says_what_is_open() -> None:
    states = [StrategyState(name, "stopped", count, 0, []) for name, count in (("a", 2), ("b", 1))]
    assert progress_of_engine(Status("r", "paper", 0, 0, 0, 0, 0, 0, {}, states, [])) == Progress(None, 0, 3)
