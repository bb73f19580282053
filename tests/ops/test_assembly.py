"""What a run is operated by: its place, its parts, and where what strategies publish goes."""

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mlthon.config import RunConfig, load_config
from mlthon.errors import UserError
from mlthon.live.secrets import Places
from mlthon.ops import assembly
from mlthon.ops.assembly import Operations, open_operations
from mlthon.ops.keeper import OpsService
from mlthon.ops.letters import OutboxReader
from mlthon.ops.place import living_runs
from tests.engine.rig import Recorder, Rig

PLACES = Places({})
SECRET = "123:secret-of-the-test"


def config(tmp_path: Path) -> RunConfig:
    return load_config(None, [f"ops.state={tmp_path}"])


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part called telegram that is always wanted."""
    module = ModuleType("a_part")
    module.prepare = lambda config, places: {"token": SECRET}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_part", module)
    monkeypatch.setattr(assembly, "PARTS", {"telegram": "a_part"})
    monkeypatch.setattr(assembly, "_wanted", lambda config, part: True)


def opened(tmp_path: Path, mode: str = "paper") -> Operations:
    found = open_operations(config(tmp_path), ["grid"], mode, PLACES)
    assert found is not None
    return found


def attach(operations: Operations) -> Rig:
    rig = Rig(Recorder(), taps=operations.taps)
    operations.attach(rig.engine, started=5, events=lambda: 1, mark=lambda _: None, at_exchange=lambda *_: None)
    return rig


def test_a_run_without_parts_has_a_socket_and_starts_no_process(tmp_path: Path) -> None:
    operations = opened(tmp_path)
    attach(operations)
    assert operations.publish is None
    assert not any(isinstance(each, OpsService) for each in operations.services)
    info = living_runs(tmp_path / "run")["grid-paper"]
    assert (info.pid, info.mode, info.started, info.guard) == (os.getpid(), "paper", 5, None)
    assert operations.control.status().name == "grid-paper"
    operations.close()
    assert living_runs(tmp_path / "run") == {}


def test_with_telegram_what_strategies_publish_waits_in_the_outbox(tmp_path: Path, telegram: None) -> None:
    operations = opened(tmp_path, "live")
    attach(operations)
    assert any(isinstance(each, OpsService) for each in operations.services)
    assert operations.publish is not None
    operations.publish("grid", "filled")
    reader = OutboxReader(operations.place.outbox)
    assert [(each.strategy, each.text) for each in reader.after(0)] == [("grid", "filled")]
    reader.close()
    operations.close()
    for path in (tmp_path / "run").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def test_runs_on_paper_are_told_apart_and_a_second_live_one_refused(tmp_path: Path) -> None:
    runs = [opened(tmp_path), opened(tmp_path), opened(tmp_path, "live")]
    assert [each.place.name for each in runs] == ["grid-paper", "grid-paper-2", "grid"]
    with pytest.raises(UserError, match="going on already"):
        open_operations(config(tmp_path), ["grid"], "live", PLACES)
    for each in runs:
        each.close()


def test_a_part_that_cannot_be_prepared_leaves_the_name_free(
    tmp_path: Path, telegram: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(config: Any, places: Any) -> None:
        raise UserError("no token")

    monkeypatch.setattr(sys.modules["a_part"], "prepare", missing)
    with pytest.raises(UserError, match="no token"):
        open_operations(config(tmp_path), ["grid"], "paper", PLACES)
    assert living_runs(tmp_path / "run") == {}


def test_paper_goes_on_without_a_state_folder_and_live_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    nowhere = load_config(None, [f"ops.state={tmp_path / 'file'}"])
    assert open_operations(nowhere, ["grid"], "paper", PLACES) is None
    assert "from outside" in caplog.text
    with pytest.raises(UserError, match="no place for the control socket"):
        open_operations(nowhere, ["grid"], "live", PLACES)
