import json

import talib
from profitview import Link


class Signals(Link):
    said = None

    def candle_update_1m(self, src, sym, bars):
        rsi = talib.RSI(bars.closes, timeperiod=14)[-1]
        size = 0.5 if rsi < 50 else -0.5
        self.signal(src, sym, size=size)
        if size != self.said:
            self.said = size
            print(json.dumps({"size": size, "time": self.epoch_now}), flush=True)
