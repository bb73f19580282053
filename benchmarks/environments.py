"""The virtual environments of the peers, made with pip when they are first needed."""

import json
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peers.table import Peer

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "bench-envs"
INSTALL_TIMEOUT_S = 900


class CannotInstall(RuntimeError):
    """A peer that cannot be installed here; the text is pip's last word."""


def python_of(peer: Peer) -> Path:
    """The interpreter that runs the peer, its environment made if need be. Raises CannotInstall."""
    if not peer.requirements:
        return Path(sys.executable)
    folder = FOLDER / (peer.environment or peer.module)
    python = folder / "bin" / "python"
    done = folder / "installed.json"
    wanted = json.dumps(peer.requirements)
    if done.exists() and done.read_text() == wanted:
        return python
    venv.create(folder, with_pip=True, clear=True)
    install = [str(python), "-m", "pip", "install", "--quiet", *peer.requirements]
    if not peer.from_source:
        install += ["--only-binary", ":all:"]
    try:
        result = subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"pip took longer than {INSTALL_TIMEOUT_S} s") from None
    if result.returncode:
        raise CannotInstall(last_line(result.stderr))
    done.write_text(wanted)
    return python


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
