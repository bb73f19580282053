"""Never returns from its constructor, mixes asyncio, a timer and a schedule, and uses what the world offers."""

import asyncio
import json
import threading
import time
import urllib.request

from profitview import Link, cron


class Trading(Link):
    def __init__(self):
        super().__init__()
        self.counts = {"quotes": 0, "timer": 0, "cron": 0, "loop": 0, "looks": 0}
        self.source = self.src = "bitmex"
        cron.options["auto_start"] = False
        self.tick()
        try:
            urllib.request.urlopen("http://192.0.2.1/", timeout=5)
        except OSError as error:
            print(json.dumps({"refused": str(error)}))
        threading.Thread(target=asyncio.run, args=(self.loop(),), daemon=True).start()
        cron.start()
        while True:
            self.counts["looks"] += 1
            time.sleep(2)

    def tick(self):
        self.counts["timer"] += 1
        threading.Timer(5, self.tick).start()

    async def loop(self):
        while True:
            self.counts["loop"] += 1
            await asyncio.sleep(4)

    @cron.run(every=3)
    def job(self):
        self.counts["cron"] += 1

    def quote_update(self, src, sym, data):
        self.counts["quotes"] += 1
        time.sleep(0.3)
        if self.epoch_now < data["time"]:
            print("time runs backwards")

    def on_stop(self):
        print(json.dumps({"counts": self.counts, "order": self.order()}))

    def order(self):
        return self.create_limit_order("BitMEX", "XBTUSD", "Buy", 100, 1000.0)["data"]["order_price"]
