"""Writes down all it is told with the time; by chance it also trades, sleeps, starts threads, asks and raises."""

import random
import time

from profitview import Link

SRC, SYM = "bybit", "BTCUSDT"


class Trading(Link):
    def __init__(self):
        self.told = []
        self.chance = random.Random(5)
        super().__init__()

    def note(self, *what):
        self.told.append(repr((round(time.time(), 6), *what)))

    def on_start(self):
        self.note("start", self.quotes, self.trades)
        self.later()

    def later(self):
        self.note(
            "later", self.last_quote(SRC, SYM), self.last_trade(SRC, SYM), self.fetch_candles("V", SYM, "1m")["data"]
        )
        self.delay_thread(0.4, self.later)

    def quote_update(self, src, sym, data):
        self.note("quote", src, sym, data, self.quotes[src][sym] is data)
        self.be_moody(data["bid"][0], data["ask"][0])

    def trade_update(self, src, sym, data):
        self.note("trade", src, sym, data)
        self.be_moody(data["price"] - 1, data["price"] + 1)

    def be_moody(self, bid, ask):
        mood = self.chance.random()
        side, price = ("Buy", bid) if self.chance.random() < 0.5 else ("Sell", ask)
        if mood < 0.03:
            self.note(self.create_limit_order("V", SYM, side, 0.002, price)["data"])
        elif mood < 0.06:
            self.create_thread(self.create_limit_order, "V", SYM, side, 0.002, price)
        elif mood < 0.07:
            time.sleep(self.chance.random())
        elif mood < 0.08:
            self.note(self.get_bars(SRC, SYM, "1m").closes[-2:].tolist())
        elif mood < 0.09:
            self.note(self.cancel_order("V", sym=SYM)["data"], self.fetch_positions("V")["data"])
        elif mood < 0.10:
            raise RuntimeError("on purpose")
        elif mood < 0.105:
            self.quote_update = lambda *given: self.note("replaced", given)
        elif mood < 0.13:
            self.__dict__.pop("quote_update", None)

    def order_update(self, src, sym, data):
        self.note("order", data)

    def fill_update(self, src, sym, data):
        self.note("fill", data)

    def position_update(self, src, sym, data):
        self.note("position", data)

    def on_stop(self):
        self.note("stop", self.quotes, self.trades)
        self.publish("told", self.told)
