"""What tests share: the folder of reference data (real captures), which tests skip without."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# how long an example takes is a matter of how busy the machine is
settings.register_profile("mlthon", deadline=None)
settings.load_profile("mlthon")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fuzzed text gets into logs, and half a surrogate pair in what a test logged cannot be sent from one of pytest's
    processes to another: the whole session would end."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session", autouse=True)
def own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder of the tests' own, for their subprocesses too: the user's runs are none of their business."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data: `MLTHON_SHARED`, or `shared` beside the repository."""
    folder = Path(os.environ.get("MLTHON_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not (folder / "exchange-data").is_dir():
        pytest.skip(f"no reference data at {folder}: set MLTHON_SHARED to its folder")
    return folder
