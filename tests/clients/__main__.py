"""Third-party clients against the local exchange servers: `python -m tests.clients [NAME...]`, or `make clients`.

Each client is pinned, lives in an environment of its own under `.client-envs` (they collide with one another and with
this project), and is driven by a script of `drivers/` that goes through the client's own calls and parsing. For each
client a server is started on a free port; a driver prints a line of JSON a step, the table shows them.

Why it is no ordinary test: installing the clients takes minutes and half a gigabyte.
"""

import hashlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVS = ROOT / ".client-envs"
START_S = 60
DRIVE_S = 240


class Client(NamedTuple):
    """One client on one exchange: its requirements file, its driver, and the exchange as the server names it."""

    requirements: str
    driver: str
    exchange: str


CLIENTS = {
    "pybit": Client("pybit", "pybit_drive", "bybit"),
    "ccxt-bybit": Client("ccxt", "ccxt_sync", "bybit"),
    "ccxt-async-bybit": Client("ccxt", "ccxt_async", "bybit"),
    "ccxt-pro-bybit": Client("ccxt", "ccxt_pro", "bybit"),
    "python-binance": Client("python-binance", "python_binance_drive", "binance"),
    "binance-sdk-spot": Client("binance-sdk-spot", "binance_sdk_spot_drive", "binance"),
    "ccxt-binance": Client("ccxt", "ccxt_sync", "binance"),
    "ccxt-async-binance": Client("ccxt", "ccxt_async", "binance"),
    "ccxt-pro-binance": Client("ccxt", "ccxt_pro", "binance"),
    "binance-sdk-usdm": Client("binance-sdk-usdm", "binance_sdk_usdm_drive", "binance-usdm"),
    "ccxt-binance-usdm": Client("ccxt", "ccxt_sync", "binance-usdm"),
    "ccxt-async-binance-usdm": Client("ccxt", "ccxt_async", "binance-usdm"),
    "ccxt-pro-binance-usdm": Client("ccxt", "ccxt_pro", "binance-usdm"),
    "bitmex-ws": Client("bitmex-ws", "bitmex_ws_drive", "bitmex"),
    "ccxt-bitmex": Client("ccxt-bitmex", "ccxt_sync", "bitmex"),
    "ccxt-async-bitmex": Client("ccxt-bitmex", "ccxt_async", "bitmex"),
    "ccxt-pro-bitmex": Client("ccxt-bitmex", "ccxt_pro", "bitmex"),
}


def environment(requirements: str, console: Console) -> Path:
    """The Python of the client's environment, made anew when its requirements have changed."""
    wanted = HERE / "requirements" / f"{requirements}.txt"
    mark = hashlib.sha256(wanted.read_bytes()).hexdigest()
    folder = ENVS / requirements
    stamp = folder / ".installed"
    python = folder / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == mark):
        console.print(f"installing {requirements} ...")
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", wanted], check=True)
        stamp.write_text(mark)
    return python


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(exchange: str) -> Iterator[str]:
    """A local exchange server; the base URL it listens on."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlthon", "exchange", exchange, "--port", str(port)],
            stdout=output,
            stderr=output,
            cwd=ROOT,
        )
        try:
            if not answers(base, server):
                output.seek(0)
                raise RuntimeError(f"the {exchange} server did not start:\n{output.read().decode(errors='replace')}")
            yield base
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def answers(base: str, server: "subprocess.Popen[bytes]") -> bool:
    """Whether the server answers HTTP at all, within the time it has."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(base, timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def drive(name: str, console: Console, verbose: bool) -> bool:
    """Run one client's driver; whether every step went well."""
    client = CLIENTS[name]
    python = environment(client.requirements, console)
    console.print(f"[bold]{name}[/] on {client.exchange}")
    try:
        with serving(client.exchange) as base:
            driver = HERE / "drivers" / f"{client.driver}.py"
            done = subprocess.run(
                [python, driver, client.exchange, base], capture_output=True, text=True, timeout=DRIVE_S, check=False
            )
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        console.print(f"  [red]failed[/] {error}", highlight=False)
        return False
    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"step"')]
    for step in steps:
        mark = "[green]ok[/]    " if step["ok"] else "[red]failed[/]"
        detail = step["detail"] if verbose or not step["ok"] else ""
        console.print(f"  {mark} {step['step']}", end=" ")
        console.print(detail, style="dim", markup=False, highlight=False)
    good = done.returncode == 0 and bool(steps) and all(step["ok"] for step in steps)
    if not good:
        console.print(done.stderr[-2000:], style="dim", markup=False, highlight=False)
    return good


def main(arguments: list[str]) -> int:
    verbose = "-v" in arguments
    names = [each for each in arguments if each != "-v"] or list(CLIENTS)
    console = Console()
    unknown = [name for name in names if name not in CLIENTS]
    if unknown:
        console.print(f"no client {', '.join(unknown)}; there are {', '.join(CLIENTS)}")
        return 2
    good = {name: drive(name, console, verbose) for name in names}
    console.print(f"{sum(good.values())} of {len(good)} clients went through every step")
    return 0 if all(good.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
