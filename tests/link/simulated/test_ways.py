"""Rows by the express and row by row: the same bot is told the same at the same times, and trades the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 13), reason="threads are made of other things there")


def run(seed: int, model: str, *, by_express: bool) -> dict[str, Any]:
    job = json.dumps([[str(HERE.parents[2]), *sys.path], seed, model, by_express])
    done = subprocess.run(
        [sys.executable, "-S", str(HERE / "ways.py"), job],
        capture_output=True,
        text=True,
        timeout=90,
        env={"PYTHONHASHSEED": "0", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(("seed", "model"), [(1, "none"), (2, "recorded")])
def test_a_bot_is_told_the_same_by_the_express_and_row_by_row(seed: int, model: str) -> None:
    short, long = (run(seed, model, by_express=each) for each in (True, False))
    assert short == long
    assert short["result"]["fills"] > 50
    assert len(short["told"][0]) > 2_000
