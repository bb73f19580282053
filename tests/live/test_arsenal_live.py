"""A Crypto Arsenal strategy as a program of its own, live on a local exchange over real sockets: killed while it holds
a position, begun anew, and stopped."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes import COMMAND, local_exchange
from tests.simulation.kill import INSTRUMENTS, OVER, account_at

CODE = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        self.subscribed_books = {}
        self.options = {}
        CA.storage('lives', (CA.storage('lives') or 0) + 1)
        CA.log('life ' + str(CA.storage('lives')))
    def trade(self, candles):
        pass
    def on_tradingview_signal(self, signal, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        close = candles[exchange][pair][0]['close']
        if signal.get('action') == 'openLong':
            CA.place_order(exchange, pair, 'openLong', amount=0.01, profit=round(close * 2), loss=round(close / 2))
        elif signal.get('action') == 'closeLong':
            CA.place_order(exchange, pair, 'closeLong', conditional_order_type='OTO',
                           child_conditional_orders=[{'action': 'openShort', 'amount': '0.02'}])
"""
LIMIT_S = 60.0


class Life:
    """One run of the strategy."""

    def __init__(self, folder: Path, exchange: str, url: str) -> None:
        self.folder = folder
        (folder / "strategy.py").write_text(CODE)
        (folder / "run.toml").write_text(
            f'[ops]\nstate = "{folder}/state"\n'
            f'[live]\njournal = "{folder}/run.journal"\ncancel_on_stop = false\nguard = false\n'
        )
        pair = f"{exchange}:{INSTRUMENTS[exchange]}"
        arguments = ["strategy.py", "--mode", "live", "--url", url, "--pair", pair, "--config", "run.toml", "--json"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*COMMAND, *arguments], cwd=folder, stdout=pipe, stderr=pipe, text=True)

    def signal(self, text: str) -> None:
        """Tell it one, as soon as it can be told."""
        command = [*COMMAND, "ctl", "hook", "strategy", "signal", text, "--state", str(self.folder / "state")]
        self.until(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0)

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < end, "what was waited for did not come"
            time.sleep(0.1)

    def kill(self) -> str:
        self.process.kill()
        return self.process.communicate()[1]

    def end(self) -> tuple[dict[str, Any], str]:
        """Stop it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        out, told = self.process.communicate(timeout=LIMIT_S)
        assert self.process.returncode == 130, told
        return json.loads(out), told


def books(url: str, exchange: str) -> tuple[float, int, int]:
    """What the account holds, and its numbers of open orders and of fills."""
    account = account_at(url, exchange)
    held = sum(float(each) for each in account["positions"].values())
    opened = [each for each in account["orders"] if each["status"] not in OVER]
    return held, len(opened), len(account["executions"])


@pytest.mark.slow
@pytest.mark.parametrize("exchange", ["bybit", "binance-usdm"])
def test_a_program_that_is_killed_goes_on_with_its_position(exchange: str, tmp_path: Path) -> None:
    with local_exchange(exchange, "--instruments", INSTRUMENTS[exchange]) as url:
        first = Life(tmp_path, exchange, url)
        first.signal("action=openLong")
        first.until(lambda: books(url, exchange)[:2] == (0.01, 2))
        assert "life 1" in first.kill()
        filled = books(url, exchange)[2]
        second = Life(tmp_path, exchange, url)
        second.signal("log=hello")
        time.sleep(2)  # what would be doubled would be by then
        result, told = second.end()
        assert "life 2" in told
        assert (result["errors"], result["orders"]) == (0, 0)
        assert books(url, exchange) == (0.01, 2, filled)
        third = Life(tmp_path, exchange, url)
        third.signal("action=closeLong")
        third.until(lambda: books(url, exchange)[:2] == (-0.02, 0))
        result, told = third.end()
        assert "life 3" in told
        assert (result["errors"], result["orders"]) == (0, 2)
        assert books(url, exchange)[:2] == (-0.02, 0)
