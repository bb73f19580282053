"""Never returns from its constructor: looks at the market every two seconds, for ever."""

import time

from profitview import Link  # type: ignore[import-untyped]


class Trading(Link):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        while True:
            time.sleep(2)
            self.looks += self.last_quote("binanceusdm", "BTCUSDT") is not None

    def on_stop(self) -> None:
        self.publish("seen", {"looks": self.looks})
