"""Keeps trades in a database, asks it what to do, and can be asked and told what to do by webhooks."""

import json
import sqlite3
import threading
from pathlib import Path

from profitview import Link, cron, http

FILE = Path(__file__).parent / "trades.db"


class Trading(Link):
    VENUE = "Woo X"
    SYM = "PERP_ETH_USDT"
    SIZE = 0.1

    def __init__(self):
        FILE.unlink(missing_ok=True)
        self.lock = threading.Lock()
        self.db = sqlite3.connect(FILE, check_same_thread=False)
        self.db.execute("CREATE TABLE trades (time INTEGER, price REAL, size REAL)")
        self.db.execute("CREATE TABLE orders (side TEXT, size REAL, price REAL, by TEXT)")
        self.looks = 0
        super().__init__()

    def trade_update(self, src, sym, data):
        with self.lock, self.db:
            self.db.execute("INSERT INTO trades VALUES (?, ?, ?)", (data["time"], data["price"], data["size"]))

    @cron.run(every=60)
    def look(self):
        self.looks += 1
        since = self.epoch_now - 60_000
        with self.lock:
            query = "SELECT avg(price), count(*) FROM trades WHERE time >= ?"
            mean, count = self.db.execute(query, (since,)).fetchone()
            last = self.db.execute("SELECT price FROM trades ORDER BY rowid DESC LIMIT 1").fetchone()
        if count >= 3 and last[0] != mean:
            self.order("Sell" if last[0] > mean else "Buy", self.SIZE, "cron")

    def order(self, side, size, by):
        done = self.create_market_order(self.VENUE, sym=self.SYM, side=side, size=size)["data"]
        with self.lock, self.db:
            row = (side, done["order_size"], done["order_price"], by)
            self.db.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", row)
        return done

    @http.route
    def get_orders(self, data):
        """Orders by whom: `by`."""
        with self.lock:
            return self.db.execute("SELECT * FROM orders WHERE by = ?", (data["by"],)).fetchall()

    @http.route
    def post_order(self, data):
        return self.order(data["side"], float(data["size"]), "hook")

    def on_stop(self):
        with self.lock:
            rows = self.db.execute("SELECT * FROM orders").fetchall()
            (trades,) = self.db.execute("SELECT count(*) FROM trades").fetchone()
        print(json.dumps({"orders": rows, "trades": trades, "looks": self.looks}))
