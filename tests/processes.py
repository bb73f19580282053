"""Processes of this program that tests start: a local exchange."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

COMMAND: Final = [sys.executable, "-m", "mlthon"]


@contextmanager
def local_exchange(name: str, *options: str) -> Iterator[str]:
    """A local exchange; its address. Raises RuntimeError where it does not start."""
    command = [*COMMAND, "exchange", name, "--port", "0", *options]
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=unbuffered) as server:
        try:
            first = b"" if server.stdout is None else server.stdout.readline()
            found = re.search(r"http://\S+", first.decode())
            if found is None:
                rest = b"" if server.stdout is None else server.stdout.read()
                raise RuntimeError(f"the local exchange did not start: {(first + rest).decode()}")
            yield found[0]
        finally:
            server.terminate()
