"""Every so often cancels its orders and lays a grid around the market, as wide as the market has moved."""

import os
import threading
import time

from profitview import Link, logger


class Pr:
    INTERVAL = float(os.environ.get("GRID_INTERVAL", "60"))
    VENUE = "BitMEX"
    SYMBOL = "XBTUSD"
    RUNGS = 3
    SIZE = 200
    LIMIT = 400


class Trading(Link):
    def on_start(self):
        self.quoted = False
        while not self.quoted:
            time.sleep(0.5)
        self.repeat()

    def quote_update(self, src, sym, data):
        self.bid, self.ask = data["bid"][0], data["ask"][0]
        self.quoted = True

    def repeat(self):
        try:
            then = time.time()
            self.lay()
            threading.Timer(Pr.INTERVAL - time.time() + then, self.repeat).start()
        except Exception:  # noqa: BLE001 - as such bots do
            logger.error("the grid ends", exc_info=True)
            self.cancel_order(Pr.VENUE)

    def lay(self):
        self.cancel_order(Pr.VENUE, sym=Pr.SYMBOL)
        bid, ask = self.bid, self.ask
        net = self.net()
        step = self.step()
        for rung in range(1, Pr.RUNGS + 1):
            if net > -Pr.LIMIT:
                price = self.tick(ask + rung * step)
                self.create_limit_order(Pr.VENUE, Pr.SYMBOL, side="Sell", size=Pr.SIZE, price=price)
            if net < Pr.LIMIT:
                price = self.tick(bid - rung * step)
                self.create_limit_order(Pr.VENUE, Pr.SYMBOL, side="Buy", size=Pr.SIZE, price=price)

    def net(self):
        for each in self.fetch_positions(Pr.VENUE)["data"]:
            if each["sym"] == Pr.SYMBOL:
                return each["pos_size"] if each["side"] == "Buy" else -each["pos_size"]
        return 0

    def step(self):
        candles = self.fetch_candles(Pr.VENUE, sym=Pr.SYMBOL, level="1m")["data"]
        return (max(each["high"] for each in candles) - min(each["low"] for each in candles)) / 4

    def tick(self, price):
        size = self.instruments["bitmex"][Pr.SYMBOL]["tickSize"]
        return round(price / size) * size
