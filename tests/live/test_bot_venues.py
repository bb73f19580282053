"""Bots live against local exchanges over real sockets: another exchange's contracts, and exchanges' own calls."""

from pathlib import Path

import pytest

from tests.live.bot_kit import local_exchange, run

ELSEWHERE = """
import time
from profitview import Link, logger

class Trading(Link):
    def on_start(self):
        venue, sym = 'BitMEX', 'XBTUSD'
        bid = self.quotes['bitmex'][sym]['bid'][0]
        order = self.create_limit_order(venue, sym=sym, side='Buy', size=100, price=bid - 200)['data']
        order = self.amend_order(venue, order_id=order['order_id'], size=150)['data']
        logger.info('amended %s %s', order['sym'], order['order_size'])
        logger.info('cancelled %s', [each['order_size'] for each in self.cancel_order(venue)['data']])
        self.create_market_order(venue, sym, 'Sell', 300)
        logger.info('held %s', [(each['sym'], each['side'], each['pos_size']) for each in self.positions()])
        (row,) = self.call_endpoint(venue, 'instrument', 'public', params={'symbol': sym})['data']
        logger.info('instrument %s %s', row['lotSize'], bid - 1000 < row['bidPrice'] < bid + 1000)
        self.call_endpoint(venue, 'order', 'private', 'POST', {'symbol': sym, 'execInst': 'Close'})
        logger.info('closed %s', self.positions())
        rows = self.fetch_candles(venue, sym=sym, level='15m')['data']
        logger.info('candles %s', len(rows) > 20 and bid / 2 < rows[-1]['close'] < bid * 2)
        time.sleep(1)  # callbacks wait half a second for on_start
        self.stop_trading('done')

    def positions(self):
        return self.fetch_positions('BitMEX')['data']

    def fill_update(self, src, sym, data):
        logger.info('filled %s %s %s', src, sym, data['side'])
"""
CONFIG = """
[venues.BitMEX]
src = "bitmex"
trade_on = "bybit"
symbols = { XBTUSD = "BTCUSD" }
"""


def test_a_bot_for_bitmex_trades_live_on_bybit(tmp_path: Path) -> None:
    (tmp_path / "bot.toml").write_text(CONFIG, "utf-8")
    journal = f"live.journal={tmp_path / 'run.journal'}"
    with local_exchange("bybit") as exchange:
        status, line, told = run(tmp_path, "--mode", "live", "--url", exchange, "--set", journal, text=ELSEWHERE)
    assert status == 0, told
    conversion = "size 1 is 1 there, lot 100 becomes 1, tick 0.5 becomes 0.5"
    assert f"BitMEX: bitmex XBTUSD is traded on Bybit as BTCUSD: {conversion}" in told
    for each in (
        "amended XBTUSD 150.0",
        "cancelled [150.0]",
        "held [('XBTUSD', 'Sell', 300.0)]",
        "filled bitmex XBTUSD Sell",
        "instrument 1 True",
        "filled bitmex XBTUSD Buy",
        "closed []",
        "candles True",
    ):
        assert f"bot: {each}" in told, told
    assert line["orders"] == 3


BYBIT = """
from profitview import Link, logger

class Trading(Link):
    def call(self, path, method='GET', version='private', **params):
        return self.call_endpoint('Bybit', path, version, method, {'category': 'linear', 'symbol': 'BTCUSDT'} | params)

    def on_start(self):
        answer = self.call('market/tickers', version='public')
        bid = float(answer['data']['result']['list'][0]['bid1Price'])
        logger.info('envelope %s %s', sorted(answer), answer['venue_id'] == self.venues['Bybit']['id'])
        order = {'side': 'Buy', 'orderType': 'Limit', 'qty': '0.01', 'price': str(bid - 500), 'orderLinkId': 'mine'}
        made = self.call('order/create', 'POST', **order)['data']['result']
        (row,) = self.call('order/realtime', orderLinkId='mine')['data']['result']['list']
        logger.info('own %s %s', row['orderLinkId'], row['orderId'] == made['orderId'])
        self.call('order/cancel', 'POST', orderLinkId='mine')
        self.call('order/create', 'POST', side='Buy', orderType='Market', qty=0.01)
        (row,) = self.call('position/list')['data']['result']['list']
        logger.info('held %s %s', row['side'], row['size'])
        for wrong in (('market/kline', 'GET', 'public'), ('order/create-batch', 'POST')):
            try:
                self.call(*wrong, interval='7')
            except Exception as error:
                logger.info('refused %s', error)
        self.stop_trading('done')
"""


def test_bybits_own_calls(tmp_path: Path) -> None:
    journal = f"live.journal={tmp_path / 'run.journal'}"
    bot = ("--venue", "Bybit=bybit", "--subscribe", "bybit:BTCUSDT")
    with local_exchange("bybit") as exchange:
        status, line, told = run(tmp_path, "--mode", "live", "--url", exchange, *bot, "--set", journal, text=BYBIT)
    assert status == 0, told
    for each in (
        "envelope ['data', 'error', 'rate_limits', 'src', 'venue', 'venue_id'] True",
        "own mine True",
        "held Buy 0.01",
        "refused Bybit: Invalid period! (code 10001)",
        "refused Bybit: call_endpoint: POST order/create-batch: orders are sent and changed by",
    ):
        assert f"bot: {each}" in told, told
    assert line["orders"] == 2


BINANCE = """
from profitview import Link, logger

class Trading(Link):
    def call(self, path, method='GET', version='private', **params):
        return self.call_endpoint('Binance', path, version, method, {'symbol': 'BTCUSDT'} | params)['data']

    def on_start(self):
        bid = float(self.call('ticker/bookTicker', version='public')['bidPrice'])
        limit = {'type': 'LIMIT', 'timeInForce': 'GTC', 'price': round(bid - 500), 'newClientOrderId': 'mine'}
        made = self.call('order', 'POST', side='BUY', quantity='0.01', **limit)
        row = self.call('order', origClientOrderId='mine')
        logger.info('own %s %s', row['clientOrderId'], row['orderId'] == made['orderId'])
        (row,) = self.call('openOrders')
        logger.info('open %s', row['clientOrderId'])
        logger.info('gone %s', self.call('order', 'DELETE', origClientOrderId='mine')['status'])
        logger.info('bought %s', self.call('order', 'POST', side='BUY', quantity=0.01, type='MARKET')['executedQty'])
        for path, method in (('klines', 'GET'), ('batchOrders', 'POST')):
            try:
                self.call(path, method, interval='x')
            except Exception as error:
                logger.info('refused %s', error)
        self.stop_trading('done')
"""


@pytest.mark.parametrize(("name", "src"), [("binance", "binance"), ("binance-usdm", "binanceusdm")])
def test_binances_own_calls(tmp_path: Path, name: str, src: str) -> None:
    journal = f"live.journal={tmp_path / 'run.journal'}"
    bot = ("--venue", f"Binance={src}", "--subscribe", f"{src}:BTCUSDT")
    with local_exchange(name) as exchange:
        status, line, told = run(tmp_path, "--mode", "live", "--url", exchange, *bot, "--set", journal, text=BINANCE)
    assert status == 0, told
    for each in (
        "own mine True",
        "open mine",
        "gone CANCELED",
        "bought 0.01",
        "refused Binance: ",
        "refused Binance: call_endpoint: POST batchOrders: orders are sent and changed by",
    ):
        assert f"bot: {each}" in told, told
    assert line["orders"] == 2
