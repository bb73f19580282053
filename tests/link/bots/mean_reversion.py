"""Sells what has run up and buys what has run down, measured against its own last trades."""

import json

import numpy as np
import talib
from profitview import Link, logger


class Strategy:
    VENUE = "WooPaper"
    LOOKBACK = 20
    REVERSION = 1.6
    SIZE = 0.002
    LIMIT = 0.006


class Trading(Link):
    prices = np.array([], dtype=float)
    position = 0.0
    first = None

    def trade_update(self, src, sym, data):
        """A trade of the only market there is."""
        self.first = self.first or data["size"]
        self.prices = np.append(self.prices, data["price"])[-Strategy.LOOKBACK :]
        if len(self.prices) < Strategy.LOOKBACK:
            return
        mean = talib.SMA(self.prices, timeperiod=Strategy.LOOKBACK)[-1]
        reach = Strategy.REVERSION * talib.STDDEV(self.prices, timeperiod=Strategy.LOOKBACK)[-1]
        if data["price"] > mean + reach and self.position > -Strategy.LIMIT:
            self.trade(sym, "Sell")
        elif data["price"] < mean - reach and self.position < Strategy.LIMIT:
            self.trade(sym, "Buy")

    def trade(self, sym, side):
        order = self.create_market_order(Strategy.VENUE, sym, side, Strategy.SIZE)["data"]
        done = order["order_size"] - order["remain_size"]
        self.position = round(self.position + (done if side == "Buy" else -done), 8)
        logger.info("%s %s of %s at %s", side, done, sym, order["order_price"])

    def on_stop(self):
        held = {each["sym"]: each["pos_size"] for each in self.fetch_positions(Strategy.VENUE)["data"]}
        print(json.dumps({"first": self.first, "position": self.position, "held": held}))
