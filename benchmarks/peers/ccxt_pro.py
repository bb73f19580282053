"""ccxt pro: `bybit.handle_message` on decoded JSON, as its client calls it, and the value a waiting call would get.
W5 is `watch_trades` in a loop, its documented way, against the local server; it hands over all trades that have
come since the last call.

The market, which it loads from the exchange, is given to it.
"""

# mypy: disable-error-code="import-not-found,import-untyped"

import asyncio
import json
import time
from typing import Any

import ccxt.pro

from benchmarks import messages
from benchmarks.outcome import Outcome, main
from benchmarks.sender import sending

VERSION = "ccxt 4.5.90"
LINEAR = "wss://stream.bybit.com/v5/public/linear"
SYMBOL = "BTC/USDT:USDT"


class Client:
    """What a handler asks of its client; `resolve` is where a waiting caller gets the value."""

    url = LINEAR

    def __init__(self) -> None:
        self.subscriptions: dict[str, Any] = {}
        self.futures: dict[str, Any] = {}
        self.count = 0
        self.value: Any = None

    def resolve(self, value: Any, _key: str) -> None:
        self.count += 1
        self.value = value

    def reject(self, error: Exception, _key: str | None = None) -> None:
        raise error


def exchange() -> Any:
    bybit = ccxt.pro.bybit({"newUpdates": True})
    market = bybit.safe_market_structure(
        {
            "id": "BTCUSDT",
            "symbol": SYMBOL,
            "base": "BTC",
            "quote": "USDT",
            "settle": "USDT",
            "type": "swap",
            "swap": True,
            "spot": False,
            "linear": True,
            "contract": True,
            "contractSize": 1.0,
            "precision": {"price": 0.1, "amount": 0.001},
        }
    )
    bybit.set_markets([market])
    return bybit


def handle(lines: list[bytes]) -> tuple[Client, float]:
    bybit, client = exchange(), Client()
    start = time.perf_counter()
    for line in lines:
        bybit.handle_message(client, json.loads(line))
    return client, time.perf_counter() - start


def outcome(count: int, run_s: float, expected: int) -> Outcome:
    if count != expected:
        raise RuntimeError(f"{count} results for {expected} messages")
    return Outcome(count, run_s, 0, 0, 0, 0)


def w3(events: int | None) -> Outcome:
    lines, (bid, bid_qty, ask, ask_qty) = messages.book(events)
    client, run_s = handle(lines)
    (price, qty, *_), (other, size, *_) = client.value["bids"][0], client.value["asks"][0]
    top = (round(price * 10), round(qty * 1000), round(other * 10), round(size * 1000))
    if top != (bid, bid_qty, ask, ask_qty):
        raise RuntimeError(f"the book ends with {top}, not with {(bid, bid_qty, ask, ask_qty)}")
    return outcome(client.count, run_s, len(lines))


def w4(events: int | None) -> Outcome:
    lines = messages.trades(events)
    client, run_s = handle(lines)
    return outcome(client.count, run_s, len(lines))


async def listen(url: str, last_id: str) -> float:
    bybit = exchange()
    bybit.urls["api"]["ws"]["public"]["linear"] = url + "linear"
    bybit.options["tradesLimit"] = messages.TRADES
    start = time.perf_counter()
    while True:
        trades = await bybit.watch_trades(SYMBOL)
        if trades[-1]["id"] == last_id:
            break
    run_s = time.perf_counter() - start
    await bybit.close()
    return run_s


def w5(events: int | None) -> Outcome:
    lines = messages.trades(events)
    last_id = json.loads(lines[-1])["data"][0]["i"]
    with sending(messages.trades_path(events), wait_for_message=True) as url:
        run_s = asyncio.run(listen(url, last_id))
    return outcome(len(lines), run_s, len(lines))


if __name__ == "__main__":
    main(VERSION, {"W3": w3, "W4": w4, "W5": w5})
