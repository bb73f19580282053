"""Threads, clocks and waits of a prepared process: one process runs all cases, each test judges one."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FILE = HERE / "cases.py"
CASES = FILE.read_text()

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="threads are made of other things there")


def run_cases(names: list[str], hash_seed: str = "0", file: Path = FILE) -> dict[str, dict[str, Any]]:
    job = json.dumps([[str(ROOT), *sys.path], str(file), *names])
    done = subprocess.run(
        [sys.executable, "-S", str(HERE / "prepared.py"), job],
        capture_output=True,
        text=True,
        timeout=90,
        env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers: dict[str, dict[str, Any]] = {}
    for line in done.stdout.splitlines():
        answers |= json.loads(line)
    return answers


def names_in(file: Path) -> list[str]:
    """The cases of a file."""
    lines = file.read_text().splitlines()
    return [line[4:].split("(")[0] for line in lines if line.startswith("def ") and line.endswith("Any:")]


NAMES = names_in(FILE)


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    # what never returns goes last, and takes nothing from the others
    return run_cases(sorted(NAMES, key=lambda each: each == "works_for_ever"))


@pytest.fixture
def value(answers: dict[str, dict[str, Any]]) -> Callable[[str], Any]:
    def find(name: str) -> Any:
        assert "value" in answers[name], answers[name]
        return answers[name]["value"]

    return find


def line_of(mark: str) -> int:
    return next(number for number, line in enumerate(CASES.splitlines(), 1) if line.endswith(f"# line {mark}"))


EXPECTED = {
    "sleep": [2.0, 2.0],
    "bad_sleeps": ["ValueError", "TypeError", "ValueError", "TypeError"],
    "timer": [[2.0], False],
    "event": [False, True, 3.0],
    "lock": [
        [0, 1, 2, 3, 4],
        [False, False],
        False,
        [
            "release unlocked lock",
            "can't specify a timeout for a non-blocking call",
            "timeout value must be a non-negative number",
        ],
    ],
    "rlock": [False, "cannot release un-acquired lock", "in"],
    "condition": [[[True, 0], [True, 1], [True, 2]], False],
    "semaphore": [[0, 1.0], [1, 1.0], [2, 2.0], [3, 2.0]],
    "barrier": [3.0, 3.0, 3.0, -1],
    "queues": [[0, 1, 2], "empty", [0, 1, 2], "empty", [0, 1, 2], "empty"],
    "pool": [[3, 1, 1, -1], [1, 3], 16.0],
    "old_loop": "done",
    "cron": [["a", 0], ["b", 0], ["a", 10], ["b", 15], ["a", 20], ["b", 30]],
    "hundred": [2000, 101, 100],
    "no_deadlock": "through",
    "reads_the_clock": 60,
    "reads_the_clock_slowly": 30,
    "spins": True,
    "works_for_a_while": [7_999_999, 0.0],
    "local": [[[False, 10], [1, 11], 2], {"x": 1}],
    "database": [[0.0, "a"], [0.0, "b"], [1.0, "a"], [1.0, "b"], [2.0, "a"], [2.0, "b"]],
    "raises_in_thread": ["ZeroDivisionError"],
    "day_of_sleeps": 800.0,
    "identities": [True, "MainThread", True],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_case_ends_as_it_would_in_real_time(name: str, value: Callable[[str], Any]) -> None:
    assert value(name) == EXPECTED[name]


def test_every_clock_shows_one_time(value: Callable[[str], Any]) -> None:
    clocks = value("clocks")
    assert clocks.pop("gmtime") == "2025"
    assert clocks.pop("same") is True
    assert {name: abs(shift) < 1e-5 for name, shift in clocks.items()} == dict.fromkeys(clocks, True)


def test_each_thread_has_its_own_running_loop(value: Callable[[str], Any]) -> None:
    mine, others = value("loops")
    assert mine == [[1, 2, -1, 5, 6], 6.0]
    assert others == [mine]


def test_a_deadlock_is_told_with_both_lines(answers: dict[str, dict[str, Any]]) -> None:
    (told,) = answers["deadlock"]["told"]
    assert f"cases.py:{line_of('A')}" in told
    assert f"cases.py:{line_of('B')}" in told
    assert "other waits at" in told
    assert "value" not in answers["deadlock"]


def test_a_lock_taken_twice_is_a_deadlock(answers: dict[str, dict[str, Any]]) -> None:
    (told,) = answers["own_deadlock"]["told"]
    assert f"cases.py:{line_of('C')}" in told
    assert "holds itself" in told


@pytest.mark.parametrize("name", ["no_deadlock", "condition", "queues", "pool", "barrier", "loops"])
def test_waiting_for_each_other_in_turn_is_no_deadlock(name: str, answers: dict[str, dict[str, Any]]) -> None:
    assert answers[name]["told"] == []


def test_a_loop_that_reads_the_clock_is_told(answers: dict[str, dict[str, Any]]) -> None:
    (told,) = answers["reads_the_clock"]["told"]
    assert "cases.py:" in told
    assert "reading the clock" in told


def test_a_loop_that_neither_sleeps_nor_reads_a_clock_is_told_with_its_line(
    answers: dict[str, dict[str, Any]],
) -> None:
    (told,) = answers["spins"]["told"]
    assert any(f"cases.py:{line_of('E') + each}" in told for each in (0, 1))


def test_work_without_end_ends_the_run_and_names_the_line(answers: dict[str, dict[str, Any]]) -> None:
    stuck = answers["works_for_ever"]["stuck"]
    assert any(f"cases.py:{line_of('F') - each}" in stuck for each in (0, 1))
    assert "value" not in answers["works_for_ever"]


def test_work_with_an_end_is_not_disturbed(answers: dict[str, dict[str, Any]]) -> None:
    assert answers["works_for_a_while"]["stuck"] is None
    assert answers["works_for_a_while"]["told"] == []


def test_the_world_outside_is_refused_with_an_error_that_can_be_caught(value: Callable[[str], Any]) -> None:
    kinds, texts = zip(*value("outside"), strict=True)
    assert kinds == ("URLError", "NoOutside", "NoOutside", "ConnectionError")
    assert all("--allow-network" in each for each in texts)
    assert not any("secret" in each for each in texts)


def test_randomness_is_the_same_in_every_process_and_each_number_another() -> None:
    names = ["random_numbers", "hundred"]
    first, second = run_cases(names), run_cases(names)
    assert first == second
    numbers = first["random_numbers"]["value"]
    assert len(set(numbers)) == len(numbers)
