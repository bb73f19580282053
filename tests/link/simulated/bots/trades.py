"""Trades by chance, goes through a set of words, and says when each of its calls was sent and answered."""

import json
import random
import time

from profitview import Link


class Trading(Link):
    def __init__(self):
        self.seen = {"quotes": 0, "trades": 0}
        super().__init__()
        self.balances = self.timed(self.fetch_balances, "BitMEX")

    def timed(self, call, *args):
        start = time.time()
        answer = call(*args)
        return round(1000 * (time.time() - start), 3), answer["data"]

    def quote_update(self, src, sym, data):
        self.seen["quotes"] += 1
        if self.seen["quotes"] % 100 == 0:
            words = list({"one", "two", "three", "four", "five"})
            size = 100 * (1 + random.randrange(5) + words.index("three"))
            side = random.choice(["Buy", "Sell"])
            took, order = self.timed(self.create_market_order, "BitMEX", sym, side, size)
            print(json.dumps({"took": took, "size": order["order_size"]}))

    def trade_update(self, src, sym, data):
        self.seen["trades"] += 1

    def on_stop(self):
        print(json.dumps({"seen": self.seen, "balances": self.balances[0]}))
