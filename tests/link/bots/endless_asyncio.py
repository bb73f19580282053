"""Lives in its constructor: a loop of asyncio looks at the market and follows it, another one counts its fills."""

import asyncio
import json
import os
import time

from profitview import Link, logger

EVERY = float(os.environ.get("LOOP_EVERY", "30"))


class Trading(Link):
    VENUE = "account1"
    SYM = "BTCUSDT"
    SIZE = 0.01

    def __init__(self):
        self.fills = 0
        self.target = 0
        super().__init__()
        asyncio.run(self.main())

    async def main(self):
        await asyncio.gather(self.follow(), self.report())

    async def follow(self):
        before = None
        while True:
            await asyncio.sleep(EVERY - time.time() % EVERY)
            quote = self.quotes["bybit"][self.SYM]
            mid = (quote["bid"][0] + quote["ask"][0]) / 2
            if before is not None and mid != before:
                self.go(1 if mid > before else -1)
            before = mid

    def go(self, target):
        if target != self.target:
            size = self.SIZE * abs(target - self.target)
            self.create_market_order(self.VENUE, sym=self.SYM, side="Buy" if target > 0 else "Sell", size=size)
            self.target = target

    async def report(self):
        while True:
            await asyncio.sleep(7)
            logger.debug("%d fills", self.fills)

    def fill_update(self, src, sym, data):
        self.fills += 1

    def on_stop(self):
        print(json.dumps({"fills": self.fills, "target": self.target}))
