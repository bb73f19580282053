"""Writes down each candle when the next one begins, and asks for all of them at the end."""

import json

from profitview import Link


class Trading(Link):
    def __init__(self):
        self.closed = {"1m": {}, "5m": {}}
        super().__init__()

    def candle_update_1m(self, src, sym, bars):
        self.note("1m", bars)

    def candle_update_5m(self, src, sym, bars):
        self.note("5m", bars)

    def note(self, level, bars):
        before = bars[-2]
        self.closed[level].setdefault(before["time"], before)

    def on_stop(self):
        told = {"closed": {level: list(each.values()) for level, each in self.closed.items()}}
        told["fetched"] = {level: self.fetch("XBTUSD", level) for level in ("1m", "5m", "1h")}
        told["bars"] = {level: list(self.get_bars("bitmex", "XBTUSD", level)) for level in ("1m", "5m", "1h")}
        first = told["fetched"]["1m"][100]["time"]
        told["since"] = self.fetch("XBTUSD", "1m", since=first + 1)
        told["endpoint"] = self.call_endpoint(
            "BitMEX",
            "trade/bucketed",
            "public",
            params={"symbol": "XBTUSD", "binSize": "1m", "count": 50, "reverse": True},
        )["data"]
        print(json.dumps(told))

    def fetch(self, sym, level, **options):
        return self.fetch_candles("BitMEX", sym=sym, level=level, **options)["data"]
