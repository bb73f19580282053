"""A bot from the command line: on paper, and live against a local BitMEX over real sockets."""

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
BOT = """
from profitview import Link, logger

class Trading(Link):
\tdef on_start(self):
        venue = 'BitMEX'
        bid = self.call_endpoint(venue, 'instrument', 'public', params={'symbol': 'XBTUSD'})['data'][0]['bidPrice']
        order = self.create_limit_order(venue, sym='XBTUSD', side='Buy', size=100, price=bid - 100)['data']
        self.amend_order(venue, order_id=order['order_id'], size='200')
        listed = self.fetch_open_orders(venue)['data']
        logger.info('open %s', [(each['order_size'], each['order_id'] == order['order_id']) for each in listed])
        logger.info('cancelled %d', len(self.cancel_order(venue)['data']))
        self.create_market_order(venue, 'XBTUSD', 'Sell', 100)
        self.call_endpoint(venue, 'order', 'private', 'POST', {'symbol': 'XBTUSD', 'execInst': 'Close'})
        logger.info('held %s', self.fetch_positions(venue)['data'])
        rows = self.fetch_candles(venue, sym='XBTUSD', level='15m')['data']
        logger.info('candles %s', len(rows) > 20 and all(type(each['close']) is float for each in rows))
        self.stop_trading('done')
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
        assert found, first + server.stdout.read().decode()
        yield found[0]
        server.terminate()


def run(folder: Path, *arguments: str, text: str = BOT) -> tuple[int, dict[str, Any], str]:
    (folder / "bot.py").write_text(text, "utf-8")
    command = [*COMMAND, "bot.py", *arguments, "--json", "--duration", "40s"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)
    line: dict[str, Any] = json.loads(ended.stdout) if ended.returncode == 0 else {}
    return ended.returncode, line, ended.stderr


def check(status: int, line: dict[str, Any], told: str) -> None:
    assert status == 0, told
    for each in ("open [(200.0, True)]", "cancelled 1", "held []", "candles True"):
        assert f"bot: {each}" in told
    assert "bot stops trading: done" in told
    assert (line["orders"], line["fills"], line["rejects"]) == (3, 2, 0)


def test_a_bot_on_paper(tmp_path: Path) -> None:
    check(*run(tmp_path, "--mode", "paper"))


def test_a_bot_live_and_on_paper_beside_live_data(exchange: str, tmp_path: Path) -> None:
    journal = f"live.journal={tmp_path / 'run.journal'}"
    check(*run(tmp_path, "--mode", "live", "--url", exchange, "--set", journal))
    check(*run(tmp_path, "--mode", "paper", "--exchange", "bitmex", "--url", exchange))


def test_a_bot_that_cannot_be_loaded_ends_the_run_with_the_line(tmp_path: Path) -> None:
    status, _, told = run(
        tmp_path, "--mode", "paper", text="from profitview import Link\nclass Trading(Link):\n  x = y\n"
    )
    assert status == 2
    assert "bot.py:3" in told
    assert "name 'y' is not defined" in told


def test_options_of_bots_are_refused_elsewhere(tmp_path: Path) -> None:
    command = [*COMMAND, "demo_strat", "--venue", "BitMEX=bitmex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "--venue: only for ProfitView bots" in ended.stderr
