"""Where control files lie: one run a name, for its owner alone, and none of a dead run in the way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlthon.errors import UserError
from mlthon.ops.place import (
    LONGEST_NAME,
    NameTaken,
    Place,
    RunInfo,
    control_folder,
    free_place,
    living_runs,
    run_name,
)


def test_the_folder_is_made_and_mended_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = control_folder(tmp_path / "a")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    assert control_folder(tmp_path / "a").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "x"))
    assert control_folder() == tmp_path / "x" / "mlthon" / "run"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="no place for the control socket"):
        control_folder(tmp_path / "file")
    monkeypatch.setattr(os, "getuid", lambda: -1)
    with pytest.raises(UserError, match="another user"):
        control_folder(tmp_path / "a")


def test_names_of_runs_are_names_of_files() -> None:
    assert run_name(["grid", "arb"]) == "arb+grid"
    assert "/" not in run_name(["../../etc/passwd"])
    assert run_name([]) == "run"
    long = [run_name([f"{'x' * 100}{n}"]) for n in range(2)]
    assert long[0] != long[1]
    assert max(map(len, long)) == LONGEST_NAME


def test_a_living_run_has_its_name_to_itself(tmp_path: Path) -> None:
    first = Place(tmp_path, "grid")
    info = RunInfo("grid", os.getpid(), "live", 1, "/journal.guard.pid")
    first.tell(info)
    with pytest.raises(NameTaken, match=rf"process {os.getpid()}"):
        Place(tmp_path, "grid")
    assert free_place(tmp_path, "grid").name == "grid-2"
    assert living_runs(tmp_path) == {"grid": info}
    first.close()
    assert living_runs(tmp_path) == {}
    Place(tmp_path, "grid").close()


def test_the_name_of_a_run_that_was_killed_is_free(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib; from mlthon.ops.place import *\n"
        "place = Place(pathlib.Path(sys.argv[1]), 'grid'); place.tell(RunInfo('grid', os.getpid(), 'live', 1))\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=30)
    assert (tmp_path / "grid.run").read_text()
    assert living_runs(tmp_path) == {}
    Place(tmp_path, "grid").close()


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    with pytest.raises(UserError, match="too long a path for a socket"):
        Place(folder, "grid")


def test_a_file_that_says_nothing_is_no_run(tmp_path: Path) -> None:
    place = Place(tmp_path, "grid")
    assert living_runs(tmp_path) == {}
    place.close()
