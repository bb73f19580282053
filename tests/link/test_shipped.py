"""The module `profitview` as it is installed."""

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mlthon.link.bot.cron import Cron
from mlthon.link.bot.logs import bot_logger
from mlthon.link.bot.module import profitview_module

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys; from hatchling import build; build.build_wheel(sys.argv[1]); build.build_editable(sys.argv[2])"


def test_editors_find_what_a_running_bot_gets() -> None:
    spec = importlib.util.spec_from_file_location("shipped", ROOT / "mlthon/link/shipped/profitview.py")
    assert spec is not None
    assert spec.loader is not None
    shipped = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shipped)
    given = profitview_module(bot_logger(lambda line: None), Cron())
    assert sorted(shipped.__all__) == sorted(given.__all__)
    for name in ("Link", "http", "ApiError", "Bars"):
        assert getattr(shipped, name) is getattr(given, name)


def test_the_wheel_and_the_editable_install_have_the_module(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    folders = [tmp_path / "wheel", tmp_path / "editable"]
    for folder in folders:
        folder.mkdir()
    subprocess.run([sys.executable, "-c", BUILD, *map(str, folders)], cwd=ROOT, check=True, capture_output=True)
    for folder in folders:
        (wheel,) = folder.glob("*.whl")
        assert "profitview.py" in zipfile.ZipFile(wheel).namelist()
