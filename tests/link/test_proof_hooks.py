"""A bot with a database behind its webhooks, on paper, called over HTTP as its owner calls it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlthon.data.rows import MemorySource
from mlthon.data.store.writing import store_rows
from tests.link.bots.kit import START, Market, place, table
from tests.ops.web.test_runs import running

pytestmark = pytest.mark.slow

STILL = Market("woo", "PERP_ETH_USDT", (300_000,) * 4_000, 100_000_000, START)
"""A market that stands still, so that every order trades at the same price."""
ORDERS = [("Buy" if number % 3 else "Sell", round(0.1 * number, 1)) for number in range(1, 9)]
CONFIG = """
[venues."Woo X"]
src = "woo"

[link]
subscribe = ["woo:PERP_ETH_USDT"]
"""


def price(side: str) -> float:
    """At what a market order trades."""
    return STILL.ask(0) if side == "Buy" else STILL.bid(0)


def test_orders_by_webhooks_are_executed_and_kept(tmp_path: Path) -> None:
    store_rows(MemorySource.from_arrays(STILL.rows()), tmp_path / "store", "a test")
    place(tmp_path, "sqlite_hooks", rough=True)
    options = ("sqlite_hooks.py", "--mode", "paper", "--data", "store", "--report", "report")
    with running(tmp_path, *options, config=CONFIG) as run:
        base = f"{run.url}/trading/bot/{run.key('webhook_secret')}"

        def order(wanted: tuple[str, float]) -> dict[str, Any]:
            side, size = wanted
            answer = httpx.post(f"{base}/order", json={"side": side, "size": str(size)}, timeout=20)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        with ThreadPoolExecutor(4) as several:
            done = list(several.map(order, ORDERS))
        told = [(each["side"], each["order_size"], each["order_price"], each["remain_size"]) for each in done]
        assert told == [(side, pytest.approx(size), pytest.approx(price(side)), 0.0) for side, size in ORDERS]
        kept = httpx.get(f"{base}/orders", params={"by": "hook"}, timeout=20).json()
        assert [tuple(each) for each in sorted(kept)] == [
            (side, size, price(side), "hook") for side, size in sorted(ORDERS)
        ]
        assert httpx.get(f"{base}/orders", params={"by": "nobody"}, timeout=20).json() == []
        wrong = httpx.post(f"{base}/order", json={"side": "Buy", "size": "much"}, timeout=20)
        assert (wrong.status_code, "could not convert" in wrong.json()["error"]) == (500, True)
        refused = httpx.post(f"{base}/order", json={"side": "Buy", "size": "0.00001"}, timeout=20)
        assert (refused.status_code, "error" in refused.json()) == (500, True)
        assert httpx.post(f"{base}/other", json={}, timeout=20).status_code == 404
        assert httpx.post(f"{run.url}/trading/bot/wrong/order", json={}, timeout=20).status_code in (401, 403, 404)
        result = run.end()
    assert (result["orders"], result["fills"]) == (len(ORDERS), len(ORDERS))
    rows = table(tmp_path / "report", "orders")
    sent = sorted((row["side"], float(row["qty"]), row["state"]) for row in rows)
    assert sent == [(side, size, "filled") for side, size in sorted(ORDERS)]
    net = sum(size if side == "Buy" else -size for side, size in ORDERS)
    assert float(table(tmp_path / "report", "fills")[-1]["position"]) == pytest.approx(net)
