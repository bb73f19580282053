"""A signal bot live, against a local BitMEX over real sockets, and again after a restart."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "mlthon"]
SCRIPT = """
from profitview import Link

class Signals(Link):
    def quote_update(self, src, sym, data):
        self.signal(src, sym, size='-0.5')
"""
SILENT = """
from profitview import Link

class Signals(Link):
    pass
"""
CONFIG = """
[venues.BitMEX]
src = "bitmex"

[link]
subscribe = ["bitmex:XBTUSD"]

[live]
journal = "run.journal"

[bots.trend]
type = "position"
venue = "BitMEX"
symbol = "XBTUSD"
description = "always half short"
params = { max_position_size = 1000 }
risk = { max_order_qty = 400 }
"""


@pytest.fixture(scope="module")
def exchange() -> Iterator[str]:
    """The address of a local BitMEX."""
    command = [*COMMAND, "exchange", "bitmex", "--port", "0", "--instruments", "XBTUSD"]
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=unbuffered) as server:
        assert server.stdout is not None
        first = server.stdout.readline().decode()
        found = re.search(r"http://\S+", first)
        assert found, first
        yield found[0]
        server.terminate()


def run(folder: Path, url: str, config: str, script: str = SCRIPT) -> tuple[dict[str, Any], str]:
    (folder / "sig.py").write_text(script, "utf-8")
    (folder / "sig.toml").write_text(config, "utf-8")
    command = [*COMMAND, "sig.py", "--mode", "live", "--url", url, "--json", "--duration", "8s"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout), ended.stderr


@pytest.mark.slow
def test_it_reaches_its_target_and_goes_on_with_it_after_a_restart(exchange: str, tmp_path: Path) -> None:
    refused, _ = run(tmp_path, exchange, CONFIG)
    assert (refused["fills"], refused["rejects"] > 0) == (0, True), "its own risk limits count"
    within = CONFIG.replace("risk = { max_order_qty = 400 }", "")
    first, _ = run(tmp_path, exchange, within)
    assert first["orders"] == 1
    assert first["position"] == {"bmx:perp:btc-usd": -500}
    again, told = run(tmp_path, exchange, within)
    assert again["orders"] == 0
    assert "bot.trend: goes on with the account's position of -500 XBTUSD" in told
    larger = within.replace("max_position_size = 1000", "max_position_size = 1400")
    third, told = run(tmp_path, exchange, larger, SILENT)
    assert "bot.trend: goes on with the last signal (size=-0.5, " in told
    assert third["position"] == {"bmx:perp:btc-usd": -200}
    assert [each["strategies"] for each in third["positions"]] == [{"bot.trend": "-700"}]
    outdated, told = run(tmp_path, exchange, larger.replace("[bots.trend]", "[bots.trend]\nsignal_age_s = 0.5"), SILENT)
    assert "bot.trend: waits for a new signal: the last one (size=-0.5, " in told
    assert outdated["orders"] == 0
