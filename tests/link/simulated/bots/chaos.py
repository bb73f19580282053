"""Does what no bot should, all at once."""

import json
import math
import re
import threading
import time

from profitview import Link


class Trading(Link):
    def __init__(self):
        super().__init__()
        self.total = 0
        self.held = threading.Lock()
        self.first, self.second = threading.Lock(), threading.Lock()
        for number in range(100):
            threading.Thread(target=self.work, args=(number,), daemon=True).start()
        for _ in range(3):
            threading.Thread(target=self.burn, daemon=True).start()
        for pair in ((self.first, self.second), (self.second, self.first)):
            threading.Thread(target=self.embrace, args=pair, daemon=True).start()

    def work(self, number):
        while True:
            time.sleep(1 + number % 5)
            with self.held:
                self.total += 1

    def burn(self):
        while True:
            math.sqrt(2)

    def embrace(self, mine, other):
        with mine:
            time.sleep(1)
            with other:
                print("never")

    def on_start(self):
        re.match(r"(a+)+$", "a" * 22 + "b")

    def quote_update(self, src, sym, data):
        threading.Event().wait()

    def trade_update(self, src, sym, data):
        raise ValueError("a trade")

    def on_stop(self):
        print(json.dumps({"total": self.total}))
