"""Asks for its open orders from a thread of its own, over and over: a blocking call each."""

from profitview import Link  # type: ignore[import-untyped]


class Trading(Link):  # type: ignore[misc]
    def on_start(self) -> None:
        self.asked = 0
        while True:
            self.fetch_open_orders("Binance")
            self.asked += 1

    def on_stop(self) -> None:
        self.publish("seen", {"asked": self.asked})
