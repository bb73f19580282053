"""A bot from the command line: on paper, and live against a local BitMEX over real sockets."""

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.live.bot_kit import COMMAND, local_exchange
from tests.live.bot_kit import run as run_bot

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


@pytest.fixture
def exchange() -> Iterator[str]:
    """The address of a local BitMEX of the test's own: its rate limit counts what others asked before."""
    with local_bitmex() as found:
        yield found


local_bitmex = partial(local_exchange, "bitmex", "--instruments", "XBTUSD")
run = partial(run_bot, text=BOT)


def check(status: int, line: dict[str, Any], told: str) -> None:
    assert status == 0, told
    for each in ("open [(200.0, True)]", "cancelled 1", "held []", "candles True"):
        assert f"bot: {each}" in told, told
    assert "bot stops trading: done" in told
    assert (line["orders"], line["fills"], line["rejects"]) == (3, 2, 0)


def test_a_bot_on_paper(tmp_path: Path) -> None:
    check(*run(tmp_path, "--mode", "paper"))


def test_a_bot_live_and_on_paper_beside_live_data(exchange: str, tmp_path: Path) -> None:
    journal = f"live.journal={tmp_path / 'run.journal'}"
    check(*run(tmp_path, "--mode", "live", "--url", exchange, "--set", journal))
    check(*run(tmp_path, "--mode", "paper", "--exchange", "bitmex", "--url", exchange))


DIES = """
from profitview import Link
import os

class Trading(Link):
    def on_start(self):
        os.kill(os.getpid(), 9)
"""


def test_a_run_whose_bot_has_died_says_so_by_its_status_too(tmp_path: Path) -> None:
    status, _, told = run_bot(tmp_path, "--mode", "paper", "-q", text=DIES)
    assert (status, "bot: its process was ended by SIGKILL" in told) == (2, True)


ACCOUNTS = """
from profitview import Link, logger

class Trading(Link):
    def on_start(self):
        bid = self.quotes['bitmex']['XBTUSD']['bid'][0]
        for number, venue in enumerate(('account1', 'account2'), 1):
            self.create_limit_order(venue, 'XBTUSD', 'Buy', 100 * number, bid - 100)
            self.create_market_order(venue, 'XBTUSD', 'Buy', 300 * number)
        for venue in ('account1', 'account2'):
            orders, held = self.fetch_open_orders(venue)['data'], self.fetch_positions(venue)['data']
            logger.info('%s %s %s', venue, [each['order_size'] for each in orders], [each['pos_size'] for each in held])
            self.cancel_order(venue)
            self.create_market_order(venue, 'XBTUSD', 'Sell', held[0]['pos_size'])
        self.stop_trading('done')
"""


@pytest.mark.slow
def test_two_accounts_on_one_exchange_live(tmp_path: Path) -> None:
    keys = "".join(f'[accounts.{name}]\nkey = "k-{name}"\nsecret = "s-{name}"\n' for name in ("account1", "account2"))
    (tmp_path / "accounts.toml").write_text(keys, "utf-8")
    names = [f"{name}_{what}" for name in ("account1", "account2") for what in ("key", "secret")]
    secrets = {f"MLTHON_BITMEX_{each.upper()}": f"{each[9]}-{each[:8]}" for each in names}
    with local_bitmex("--accounts", str(tmp_path / "accounts.toml")) as exchange:
        venues = ["--venue", "account1=bitmex", "--venue", "account2=bitmex"]
        journal = f"live.journal={tmp_path / 'run.journal'}"
        arguments = ["--mode", "live", "--url", exchange, "--set", journal, *venues]
        status, line, told = run(tmp_path, *arguments, text=ACCOUNTS, environment=secrets)
    assert status == 0, told
    assert "account1 [100.0] [300.0]" in told
    assert "account2 [200.0] [600.0]" in told
    assert line["orders"] == 6
    assert line["fills"] >= 4, "four market orders, each of which may take several levels"


LEAVES = """
from profitview import Link, logger

class Trading(Link):
    def on_start(self):
        bid = self.quotes['bitmex']['XBTUSD']['bid'][0]
        for size in (100, 200, 300):
            self.create_limit_order('BitMEX', 'XBTUSD', 'Buy', size, bid - 1000)
        self.stop_trading('done')
"""
CLEARS = """
from profitview import Link, logger

class Trading(Link):
    def on_start(self):
        orders = self.fetch_open_orders('BitMEX')['data']
        logger.info('left %s', sorted(each['order_size'] for each in orders))
        one = next(each['order_id'] for each in orders if each['order_size'] == 200)
        logger.info('one %s', [each['remain_size'] for each in self.cancel_order('BitMEX', order_id=one)['data']])
        self.create_limit_order('BitMEX', 'XBTUSD', 'Buy', 400, orders[0]['order_price'])
        rows = self.cancel_order('BitMEX', sym='XBTUSD')['data']
        logger.info('all %s', sorted(each['order_size'] for each in rows))
        logger.info('open %s', self.fetch_open_orders('BitMEX')['data'])
        self.stop_trading('done')
"""


@pytest.mark.parametrize("journal", [pytest.param("one.journal", marks=pytest.mark.slow), "two.journal"])
def test_a_bot_cancels_what_an_earlier_run_left_behind(exchange: str, tmp_path: Path, journal: str) -> None:
    """With the journal the orders are its own again; without they are of nobody that is known."""
    stay = ["--set", "link.cancel_on_exit=false", "--set", "live.cancel_on_stop=false"]
    live = ["--mode", "live", "--url", exchange, *stay]
    status, _, told = run(tmp_path, *live, "--set", f"live.journal={tmp_path / 'one.journal'}", text=LEAVES)
    assert status == 0, told
    status, _, told = run(tmp_path, *live, "--set", f"live.journal={tmp_path / journal}", text=CLEARS)
    assert status == 0, told
    for each in ("left [100.0, 200.0, 300.0]", "one [0.0]", "all [100.0, 300.0, 400.0]", "open []"):
        assert f"bot: {each}" in told, told


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


BY_HAND = """
import json, time, urllib.request
from mlthon.protocols.bitmex import sign
from profitview import Link, logger

URL = '{url}'

def by_hand(verb, **params):
    body, expires = json.dumps(params), int(time.time()) + 60
    headers = {{'content-type': 'application/json', 'api-key': 'test-key', 'api-expires': str(expires),
               'api-signature': sign('test-secret', verb, '/api/v1/order', expires, body)}}
    asked = urllib.request.Request(URL + '/api/v1/order', body.encode(), headers, method=verb)
    return json.load(urllib.request.urlopen(asked))

class Trading(Link):
    def on_start(self):
        self.orders, self.fills = [], []
        bid = self.call_endpoint('BitMEX', 'instrument', 'public', params={{'symbol': 'XBTUSD'}})['data'][0]['bidPrice']
        rests = by_hand('POST', symbol='XBTUSD', side='Buy', orderQty=100, price=bid - 100)['orderID']
        self.until(self.orders, 1)
        by_hand('PUT', orderID=rests, orderQty=300)
        self.until(self.orders, 2)
        by_hand('DELETE', orderID=rests)
        self.until(self.orders, 3)
        trades = by_hand('POST', symbol='XBTUSD', side='Sell', orderQty=200, ordType='Market')['orderID']
        self.until(self.fills, 1)
        self.until(self.orders, 4)
        logger.info('rested %s', [each[1:] for each in self.orders if each[0] == rests])
        logger.info('traded %s', {{each[1:3] for each in self.orders if each[0] == trades}})
        logger.info('filled %s', {{each[1:] for each in self.fills if each[0] == trades}})
        self.stop_trading('done')

    def until(self, told, count):
        for _ in range(400):
            if len(told) >= count:
                return
            time.sleep(0.05)
        logger.error('it never came')

    def order_update(self, src, sym, data):
        kept = tuple(data.get(each) for each in ('order_id', 'side', 'order_type', 'order_size', 'remain_size'))
        self.orders.append(kept)

    def fill_update(self, src, sym, data):
        self.fills.append((data['order_id'], data['side'], data['order_type']))
"""


def test_a_live_bot_hears_of_orders_that_are_sent_by_hand(exchange: str, tmp_path: Path) -> None:
    journal = f"live.journal={tmp_path / 'run.journal'}"
    told = run_bot(tmp_path, "--mode", "live", "--url", exchange, "--set", journal, text=BY_HAND.format(url=exchange))[
        2
    ]
    rested = [("Buy", "LIMIT", 100.0, 100.0), ("Buy", "LIMIT", 300.0, 300.0), ("Buy", "LIMIT", 300.0, 0.0)]
    assert f"rested {rested}" in told, told
    assert "traded {('Sell', 'MARKET')}" in told, told
    assert "filled {('Sell', 'MARKET')}" in told, told
