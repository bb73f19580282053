"""Rests on one exchange and, whenever it is filled there, hedges on another one at the market."""

import json
import threading

from profitview import Link, logger


class Trading(Link):
    MAKER, TAKER = "WooPaper", "account1"
    MAKER_SYM, TAKER_SYM = "PERP_BTC_USDT", "BTCUSDT"
    SIZE = 0.01
    AWAY = 0.25
    LIMIT = 0.05

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.net = 0.0
        self.hedges = []
        self.delay_thread(1, self.quote)

    def quote(self):
        """Both sides anew, every ten seconds."""
        try:
            self.cancel_order(self.MAKER, sym=self.MAKER_SYM)
            mid = (
                self.last_quote("woo", self.MAKER_SYM, "bid")[0] + self.last_quote("woo", self.MAKER_SYM, "ask")[0]
            ) / 2
            if self.net < self.LIMIT:
                self.create_limit_order(self.MAKER, self.MAKER_SYM, "Buy", self.SIZE, round(mid - self.AWAY, 2))
            if self.net > -self.LIMIT:
                self.create_limit_order(self.MAKER, self.MAKER_SYM, "Sell", self.SIZE, round(mid + self.AWAY, 2))
        finally:
            self.delay_thread(10, self.quote)

    def fill_update(self, src, sym, data):
        if data["venue"] != self.MAKER:
            return
        side = "Sell" if data["side"] == "Buy" else "Buy"
        with self.lock:
            self.net += data["fill_size"] if data["side"] == "Buy" else -data["fill_size"]
            order = self.create_market_order(self.TAKER, self.TAKER_SYM, side=side, size=data["fill_size"])
            self.hedges.append([data["trade_id"], order["data"]["order_id"]])
        logger.info("hedged %s", data["fill_size"])

    def on_stop(self):
        self.cancel_order(self.MAKER)
        held = {}
        for venue in (self.MAKER, self.TAKER):
            rows = self.fetch_positions(venue)["data"]
            held[venue] = sum(each["pos_size"] * (1 if each["side"] == "Buy" else -1) for each in rows)
        print(json.dumps({"held": held, "hedges": len(self.hedges)}))
