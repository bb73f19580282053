"""Libraries under virtual time: one process runs all cases, each test judges one."""

import sys
from typing import Any

import pytest

from tests.link.simulated.test_virtual_time import HERE, names_in, run_cases

FILE = HERE / "library_cases.py"

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="threads are made of other things there")


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    return run_cases(names_in(FILE), file=FILE)


EXPECTED: dict[str, Any] = {
    "scheduler": [[1, 1.0], [2, 2.0], [3, 3.0]],
    "thread_pool": [[3, 1, 2, -1], 3.0, [1, 2, 3], 11.0],
    "dummy_pool": [3, 7],
    "futures": [[1.0, 1, 2, 1.5, 2, 2.5], 30.0],
    "queues_of_all_kinds": [[[1, 2, 3, -1], [3, 1, 2, -1], [2, 1, 3, -1], "full"], 9.5],
    "tasks": [[1.0, 2.0, 3.5, 6.5, 1, 1, "later", 12.6], 14.6],
    "a_loop_in_a_thread_of_its_own": [1.0, "slept", 2.0],
    "contexts": [[["a", "a"], ["b", "b"]], "main"],
    "local_values": [[True] * 4, "main"],
    "log_queue": [["first", 0.0, "MainThread"], ["second", 2.0, "MainThread"]],
    "calendars": {
        "today": True,
        "datetime.today": 0,
        "pandas": 0,
        "pandas utcnow": 0,
        "ctime": True,
        "strftime": True,
        "localtime": 0,
        "email": 0,
        "uuid1": 0,
        "timeit": 0,
        "get_clock_info": True,
    },
    "sockets_of_its_own": [0, 1, 2.0, True],
    "databases": [["a", 3, 2.0], ["b", 3, 2.0], ["c", 3, 2.0]],
    "leaks": [True, True, True],
    "daemons_and_events": [
        [
            [True, 1.0],
            "cannot join current thread",
            "threads can only be started once",
            "cannot join thread before it is started",
        ],
        False,
        5.0,
    ],
}


@pytest.mark.parametrize("name", names_in(FILE))
def test_a_library_goes_by_virtual_time(answers: dict[str, dict[str, Any]], name: str) -> None:
    answer = answers[name]
    assert answer["stuck"] is None
    assert "value" in answer, answer
    assert answer["value"] == approximately(EXPECTED[name])


def approximately(value: Any) -> Any:
    """Numbers to the millisecond, wherever they stand."""
    if isinstance(value, list):
        return [approximately(each) for each in value]
    if isinstance(value, dict):
        return {key: approximately(each) for key, each in value.items()}
    return value if isinstance(value, bool | str) else pytest.approx(value, abs=2e-3)
