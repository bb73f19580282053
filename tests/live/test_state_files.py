"""What strategies keep on disk is there after any end of the program."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlthon.config import ArsenalConfig, OpsConfig, RunConfig
from mlthon.engine.state import MemoryState, State
from mlthon.errors import UserError
from mlthon.live.state_files import FileState, bot_state, state_files

KILLED = """
import os, signal, sys
from pathlib import Path
from mlthon.live.state_files import FileState
state = FileState(Path(sys.argv[1]))
state.put("a", "1")
state.put("b", "2")
state.put("a", None)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_keys_and_values(tmp_path: Path, kind: str) -> None:
    state: State = MemoryState() if kind == "memory" else FileState(tmp_path / "state")
    for key, value in (("x/b", "2"), ("x/a", "1"), ("y/c", "3"), ("x/a", "4"), ("x0", "5")):
        state.put(key, value)
    assert list(state.items("x/")) == [("x/a", "4"), ("x/b", "2")]
    assert (state.get("y/c"), state.get("none")) == ("3", None)
    state.put("y/c", None)
    state.put("y/c", None)
    assert state.get("y/c") is None
    state.close()


def test_what_was_put_survives_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "state"
    subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False, timeout=60)
    state = FileState(file)
    assert (state.get("a"), state.get("b")) == (None, "2")
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_where_it_is_kept(tmp_path: Path) -> None:
    config = RunConfig(ops=OpsConfig(state=str(tmp_path)))
    state_files(config, "live")("mine").put("k", "v")
    assert (tmp_path / "mine.live.arsenal").is_file()
    bot_state(config, "bot.mine", "ws://there").put("k", "v")
    assert (tmp_path / "bot.mine.ws___there.signals").is_file()
    assert isinstance(state_files(config, "backtest")("mine"), MemoryState)
    named = RunConfig(arsenal=ArsenalConfig(state=str(tmp_path / "named")))
    state_files(named, "backtest")("mine").put("k", "v")
    assert FileState(tmp_path / "named").get("k") == "v"


def test_a_place_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match="no place for a strategy's state"):
        FileState(tmp_path / "file" / "state")
