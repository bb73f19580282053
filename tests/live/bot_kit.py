"""What tests of bots from the command line share: a local exchange in a process of its own, and runs of a bot."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.processes import COMMAND as COMMAND
from tests.processes import local_exchange as local_exchange


def run(
    folder: Path, *arguments: str, text: str, environment: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any], str]:
    """Run a bot: its exit status, what `--json` printed, and what was told."""
    (folder / "bot.py").write_text(text, "utf-8")
    command = [*COMMAND, "bot.py", *arguments, "--json", "--duration", "40s"]
    variables = {**os.environ, **(environment or {})}
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False, env=variables)
    line: dict[str, Any] = json.loads(ended.stdout) if ended.returncode == 0 else {}
    return ended.returncode, line, ended.stderr
