"""Runs from the command line, called from outside: the run, its bots and its operations process are processes of their
own, joined by real sockets."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from benchmarks.web_server import free_port
from tests.ops.prometheus import families, faults

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "mlthon"]
START_S = 40.0

BOT = """
from profitview import Link, http
import numpy as np

class Trading(Link):
    @http.route
    def get_balances(self, data):
        return self.fetch_balances(data["venue"])

    @http.route
    def get_odd(self, data):
        return (np.float64(1.5), np.arange(2), (1, "a"))

    @http.route
    def post_order(self, data):
        self.publish("asked", dict(data))
        return self.create_limit_order(
            data["venue"], sym=data["sym"], side="Buy", size=float(data["size"]), price=float(data["price"])
        )
"""


class Run:
    """One run: `log` is what it said, `url` where it serves."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]", url: str) -> None:
        self.folder = folder
        self.process = process
        self.url = url

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def key(self, name: str) -> str:
        kept: dict[str, str] = json.loads((self.folder / "state" / "run" / "web.keys").read_text())
        return kept[name]

    def end(self) -> dict[str, Any]:
        """End it in order; its result."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        found: dict[str, Any] = json.loads((self.folder / "out").read_text().splitlines()[-1])
        return found

    def until(self, text: str) -> None:
        """Wait until the log says it."""
        end = time.monotonic() + START_S
        while text not in self.log:
            assert time.monotonic() < end, self.log
            time.sleep(0.05)


@contextmanager
def running(folder: Path, *arguments: str, config: str = "") -> Iterator[Run]:
    port = free_port()
    path = folder / "run.toml"
    path.write_text(f'[ops]\nstate = "state"\n[web]\nport = {port}\n{config}')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLTHON_")}
    with (folder / "log").open("wb") as log, (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [*COMMAND, *arguments, "--config", str(path), "-v", "--json"],
            cwd=folder,
            stdout=out,
            stderr=log,
            env=environment,
        )
    try:
        run = Run(folder, process, f"http://127.0.0.1:{port}")
        run.until("webhooks, streams and metrics are served")
        run.until(f"metrics: {run.url}/metrics")
        yield run
    finally:
        process.kill()
        process.wait()


def token_of(folder: Path, name: str) -> str:
    """A token as the command line makes it."""
    (folder / "token.toml").write_text('[ops]\nstate = "state"\n')
    command = [*COMMAND, "webhook", "token", name, "--config", "token.toml", "--json"]
    made: dict[str, str] = json.loads(subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout)
    return made["token"]


def test_bots_webhooks_and_what_they_publish(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(BOT)
    config = '[venues.BitMEX]\nsrc = "bitmex"\n[link]\nsubscribe = ["bitmex:XBTUSD"]\n'
    with running(tmp_path, "one.py", "--mode", "paper", config=config) as run:
        base = f"{run.url}/trading/bot/{run.key('webhook_secret')}"
        with connect(f"{run.url.replace('http', 'ws')}/stream?token={run.key('api_key')}") as stream:
            balances = httpx.get(f"{base}/balances", params={"venue": "BitMEX"}).json()
            assert (balances["venue"], balances["error"]) == ("BitMEX", None)
            assert httpx.get(f"{base}/odd").json() == [1.5, [0, 1], [1, "a"]]
            asked = {"venue": "BitMEX", "sym": "XBTUSD", "size": "100", "price": "10000"}
            order = httpx.post(f"{base}/order", data=asked).json()
            assert order["error"] is None
            assert (order["data"]["side"], order["data"]["order_price"]) == ("Buy", 10000.0)
            assert json.loads(stream.recv(timeout=5)) == {"type": "asked", "data": asked}
            failed = httpx.get(f"{base}/balances")
            assert (failed.status_code, failed.json()) == (500, {"error": "KeyError: 'venue'"})
        assert httpx.get(f"{run.url}/health").json() == {"engine": "lives"}
        figures = httpx.get(f"{run.url}/metrics").text
        assert 'mlthon_order_flow_total{kind="new"} 1' in figures
        assert faults(figures) == []
        wanted = {f"mlthon_{each}_seconds" for each in ("batch", "order_round_trip", "tick_to_order")}
        assert all(any(each.value for each in families(figures)[name].samples) for name in wanted)
        assert run.key("webhook_secret") not in run.log
        assert run.key("api_key") not in run.log
        assert run.end()["orders"] == 1


def test_the_documented_script_places_an_order_by_the_documented_rules(tmp_path: Path) -> None:
    token = token_of(tmp_path, "webhook")
    with running(tmp_path, "webhook", "--pair", "binance-usdm:BTC-USDT") as run:
        # the platform's script, its lost call restored; it sends a signal twice here, by one id
        script = f"""
import requests
URL = '{run.url}/trading-signal/webhook'
PAYLOAD = {{"log": "Buy", "action": "openLong", "percent": "10", "clientOrderId": "a", "connectorName": "webhook",
           "connectorToken": "{token}"}}
for _ in range(2):
    response = requests.post(URL, json=PAYLOAD)
    print(response.text)
PAYLOAD["connectorToken"] = "wrong"
print(requests.post(URL, json=PAYLOAD).status_code)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["ok", "ok", "401"]
        time.sleep(1)
        result = run.end()
        assert token not in run.log
    assert result["orders"] == 1
    assert result["fills"] >= 1
