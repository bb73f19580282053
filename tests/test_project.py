"""The project as a package: what importing it costs, and what its lock files promise."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")

PROBE = """
import sys, time
began = time.process_time()
import mlthon
spent = time.process_time() - began
print(spent, *(name for name in ("numpy", "pyarrow", "rich", "trio", "structlog", "cyclopts", "cattrs", "httpx")
               if name in sys.modules))
"""


def probe() -> tuple[float, list[str]]:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, cwd=ROOT)
    spent, *heavy = done.stdout.split()
    return float(spent), heavy


def test_importing_mlthon_is_cheap() -> None:
    runs = [probe() for _ in range(3)]
    assert min(spent for spent, _ in runs) < 0.150
    assert runs[0][1] == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_an_exact_version_and_hashes_and_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\d", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_lists_every_dependency_of_the_project(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    if name == "requirements-dev.lock":
        wanted += [entry for entry in project["dependency-groups"]["dev"] if isinstance(entry, str)]
    wanted += project["dependency-groups"]["build"]
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / name).read_text(), flags=re.MULTILINE))
    assert {re.split(r"[\[<>=!~ ;]", entry, maxsplit=1)[0] for entry in wanted} <= locked
