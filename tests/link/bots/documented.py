"""Does everything that the document of Trading bots describes, once, and prints what it was given."""

import json
import threading
import time
from datetime import datetime

from profitview import Link, http, logger


class Trading(Link):
    VENUE = "BitMEX"
    SYM = "XBTUSD"

    def __init__(self, *args, **kwargs):
        self.told = {}
        self.updates = []
        Link.__init__(self, *args, **kwargs)

    def keep(self, name, src, sym, data):
        self.told.setdefault(name, {"src": src, "sym": sym, "data": data})

    def order_update(self, src, sym, data):
        self.updates.append(sorted(data))
        self.keep("order_update", src, sym, data)

    def fill_update(self, src, sym, data):
        self.keep("fill_update", src, sym, data)

    def quote_update(self, src, sym, data):
        self.keep("quote_update", src, sym, data)

    def trade_update(self, src, sym, data):
        self.keep("trade_update", src, sym, data)

    def on_start(self):
        self.times()
        while not {"quote_update", "trade_update"} <= set(self.told):
            time.sleep(0.1)
        self.told["calls"] = self.calls()
        self.told["refused"] = self.refusal()
        self.told["cancelled"] = self.cancels()
        self.told["amended"] = self.amends()
        self.publish("state", {"position": 0, "levels": [1, 2.5, None]})
        logger.info("done")

    def times(self):
        self.told["times"] = {
            "now": isinstance(self.now, datetime) and self.now.utcoffset().total_seconds() == 0,
            "unix_now": self.unix_now,
            "epoch_now": self.epoch_now,
            "second": self.second,
            "iso_now": self.iso_now,
            "candle_bin": self.candle_bin(1681187283123, "1m"),
        }
        waiting = threading.Event()
        thread = self.create_thread(waiting.wait)
        self.told["threads"] = [self.background_threads.get(thread.ident), thread.name]
        waiting.set()

    def calls(self):
        bid, ask = self.quotes["bitmex"][self.SYM]["bid"][0], self.quotes["bitmex"][self.SYM]["ask"][0]
        made = {
            "fetch_candles": self.fetch_candles(self.VENUE, sym=self.SYM, level="1m", since=None),
            "create_limit_order": self.create_limit_order(
                self.VENUE, sym=self.SYM, side="Buy", size=200, price=bid - 500
            ),
            "fetch_open_orders": self.fetch_open_orders(self.VENUE),
            "create_market_order": self.create_market_order(self.VENUE, sym=self.SYM, side="Sell", size=100),
            "fetch_positions": self.fetch_positions(self.VENUE),
            "fetch_balances": self.fetch_balances(self.VENUE),
        }
        order_id = made["create_limit_order"]["data"]["order_id"]
        made["amend_order"] = self.amend_order(self.VENUE, order_id=order_id, size=100, price=bid - 400)
        made["cancel_order"] = self.cancel_order(self.VENUE, order_id=order_id, sym=self.SYM)
        params = {"symbol": self.SYM}
        made["call_endpoint"] = self.call_endpoint(self.VENUE, "instrument", "public", method="GET", params=params)
        self.told["touch"] = [bid, ask]
        return made

    def refusal(self):
        try:
            self.create_limit_order(self.VENUE, sym="DOGGUSD", side="Buy", size=100, price=1.0)
        except Exception as error:  # noqa: BLE001 - "an exception will be thrown in your trading bot"
            return {"type": type(error).__name__, "text": str(error)}
        return None

    def rest(self, sym, away):
        bid = self.quotes["bitmex"][sym]["bid"][0]
        return self.create_limit_order(self.VENUE, sym=sym, side="Buy", size=100, price=bid - away)["data"]["order_id"]

    def cancels(self):
        """One by its id, all of a symbol, all."""
        ids = [self.rest("XBTUSD", 300), self.rest("XBTUSD", 310), self.rest("XBTUSD", 320), self.rest("ETHUSD", 100)]
        answers = [self.cancel_order(self.VENUE, order_id=ids[0])]
        answers += [self.cancel_order(self.VENUE, sym="XBTUSD"), self.cancel_order(self.VENUE)]
        return [[ids.index(each["order_id"]) for each in answer["data"]] for answer in answers]

    def amends(self):
        """What `order_update` leaves out after an amendment of the price, and of the size."""
        order_id = self.rest("XBTUSD", 300)
        found = []
        for change in ({"price": self.told["touch"][0] - 350}, {"size": 300}):
            self.updates.clear()
            self.amend_order(self.VENUE, order_id=order_id, **change)
            while not self.updates:
                time.sleep(0.01)
            found.append(self.updates[0])
        self.cancel_order(self.VENUE, order_id=order_id)
        return found

    @http.route
    def get_balances(self, data):
        return self.fetch_balances(data["venue"])

    @http.route
    def post_cancel_order(self, data):
        return self.cancel_order(data["venue"], order_id=data["order_id"])

    def on_stop(self):
        print(json.dumps(self.told))
