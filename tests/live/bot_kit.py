"""What tests of bots from the command line share: a local exchange in a process of its own, and runs of a bot."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "mlthon"]


@contextmanager
def local_exchange(name: str, *options: str) -> Iterator[str]:
    """A local exchange; its address."""
    command = [*COMMAND, "exchange", name, "--port", "0", *options]
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=unbuffered) as server:
        assert server.stdout is not None
        first = server.stdout.readline().decode()
        found = re.search(r"http://\S+", first)
        assert found, first + server.stdout.read().decode()
        yield found[0]
        server.terminate()


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
