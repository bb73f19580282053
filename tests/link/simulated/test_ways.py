"""Rows by the express and row by row: the same bot is told the same at the same times, and trades the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="threads are made of other things there")


def run(seed: int, model: str, more: str, *, by_express: bool) -> dict[str, Any]:
    job = json.dumps([[str(HERE.parents[2]), *sys.path], seed, model, more, by_express])
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


@pytest.mark.parametrize(
    ("seed", "model", "more"),
    [
        (1, "none", ""),
        (2, "recorded", ""),
        (1, "none", "markets"),
        (3, "recorded", "markets"),
        (1, "none", "books"),
        (4, "recorded", "markets and books"),
    ],
)
def test_a_bot_is_told_the_same_by_the_express_and_row_by_row(seed: int, model: str, more: str) -> None:
    short, long = (run(seed, model, more, by_express=each) for each in (True, False))
    assert (short.pop("ridden") > 1_500, long.pop("ridden")) == (True, 0)
    assert short == long
    assert short["result"]["fills"] > 50
    assert len(short["told"][0]) > 2_000
    sources = {each.split("'")[3] for each in short["told"][0] if "'quote'" in each}
    assert sources == ({"bybit", "binanceusdm"} if "markets" in more else {"bybit"})
