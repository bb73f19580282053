"""Quotes around a fair price that follows trades slowly; a Market Maker bot makes the quotes."""

import json

from profitview import Link, cron


class Signals(Link):
    fair = None
    said = []  # noqa: RUF012

    def trade_update(self, src, sym, data):
        self.fair = data["price"] if self.fair is None else 0.9 * self.fair + 0.1 * data["price"]

    @cron.run(every=10)
    def say(self):
        if self.fair is None:
            return
        tick = self.instruments["bitmex"]["XBTUSD"]["tickSize"]
        fair = round(self.fair / tick) * tick
        quote = [fair - 40 * tick, fair + 40 * tick]
        self.signal("bitmex", "XBTUSD", quote=quote)
        self.said.append([self.epoch_now, *quote])

    def on_stop(self):
        print(json.dumps({"said": self.said}))
