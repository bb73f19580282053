"""The store that linearity is measured on holds the workload, and the report says what was measured."""

import json
import multiprocessing
from pathlib import Path

import pytest

from benchmarks import linearity, ours
from benchmarks.runner import Failed
from mlthon.data.store import Store

EVENTS = 12_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(linearity, "FOLDER", tmp_path)
    return tmp_path


def test_streamed_from_the_store_it_is_the_same_workload(folder: Path) -> None:
    linearity.make(EVENTS)
    streamed = linearity.stored(EVENTS)
    assert Store(linearity.store_of(EVENTS)).streams() == ours.w2_source(EVENTS).streams()
    in_memory = ours.w2(EVENTS)
    for name in ("events", "orders", "cancels", "fills", "position"):
        assert getattr(streamed, name) == getattr(in_memory, name)
    assert streamed.orders > 0
    assert [path.name for path in folder.iterdir()] == [f"w2-{EVENTS}"]


class Here:
    """A process that is none: it runs where it is started."""

    def __init__(self, target: object, args: tuple[int]) -> None:
        self.target, self.args = target, args

    def start(self) -> None:
        self.target(*self.args)  # type: ignore[operator]

    def join(self) -> None:
        """It is over already."""


def test_the_report_compares_ten_times_the_events(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[int] = []
    monkeypatch.setattr(linearity, "make", made.append)
    monkeypatch.setattr(multiprocessing.get_context("spawn"), "Process", Here, raising=False)
    monkeypatch.setattr(linearity, "run_once", lambda _, __, size: {"events": size, "run_s": size / 100, "rss_mb": 50})
    assert linearity.report(True, 10, made.append)  # type: ignore[arg-type]
    line = json.loads(capsys.readouterr().out)
    assert line["events"] == [10, 100]
    assert line["time_ratio"] == 10.0
    assert [each for each in made if isinstance(each, int)] == [10, 100]


def test_a_run_that_fails_is_no_figure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_once(*_: object) -> dict[str, object]:
        raise Failed("no store")

    said: list[str] = []
    linearity.store_of(10).mkdir()
    linearity.store_of(100).mkdir()
    monkeypatch.setattr(linearity, "run_once", run_once)
    assert not linearity.report(True, 10, said.append)
    assert "linearity: no store" in said
