"""Stops by itself after three seconds, with an order open."""

from profitview import Link


class Trading(Link):
    def on_start(self):
        self.create_limit_order("BitMEX", "XBTUSD", "Buy", 100, 1000.0)
        self.delay_thread(3, self.stop_trading, "enough")

    def on_stop(self):
        print("stopped at", self.iso_now)
