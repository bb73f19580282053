"""The feed workloads check their own outcome; here, that they run and that a wrong outcome is no figure."""

from pathlib import Path

import pytest

from benchmarks import feeds, messages

EVENTS = 300


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(messages, "FOLDER", tmp_path)
    messages.make("W3", EVENTS)
    messages.make("W4", EVENTS)
    return tmp_path


@pytest.mark.parametrize(("workload", "count"), [("W3", EVENTS + 1), ("W4", EVENTS), ("W5", EVENTS)])
def test_every_message_makes_a_callback(workload: str, count: int) -> None:
    assert feeds.WORKLOADS[workload](EVENTS).events == count


def test_another_top_at_the_end_is_no_figure(folder: Path) -> None:
    (folder / f"book-{EVENTS}.top").write_text("[1, 2, 3, 4]")
    with pytest.raises(RuntimeError, match="the book ends with"):
        feeds.w3(EVENTS)
