"""Trades the RSI of closed minutes."""

import json

import talib
from profitview import Link


class Trading(Link):
    VENUE = "BitMEX"
    LOW, HIGH, PERIOD = 43, 57, 14
    SIZE = 50.0
    LIMIT = 100.0

    def __init__(self):
        self.minute = None
        self.position = 0.0
        self.seen = []
        super().__init__()

    def candle_update_1m(self, src, sym, bars):
        if self.minute is None:
            self.minute = bars[-1]["time"]
        if bars[-1]["time"] == self.minute:
            return
        self.minute = bars[-1]["time"]
        rsi = talib.RSI(bars.closes[:-1], timeperiod=self.PERIOD)[-1]
        self.seen.append([self.minute, bars.closes[-2], rsi])
        if rsi < self.LOW and self.position < self.LIMIT:
            self.trade(sym, 1)
        elif rsi > self.HIGH and self.position > -self.LIMIT:
            self.trade(sym, -1)

    def trade(self, sym, side):
        self.create_market_order(self.VENUE, sym, "Buy" if side > 0 else "Sell", self.SIZE)
        self.position += side * self.SIZE

    def on_stop(self):
        bars = self.get_bars("bitmex", "ETHUSD", "1m")
        rows = self.fetch_candles(self.VENUE, "ETHUSD", "1m")["data"]
        ours = [each for each in bars if each["time"] and each["close"] == each["close"]][-len(rows) :]
        print(json.dumps({"seen": self.seen, "bars": ours, "rows": rows[-len(ours) :]}))
