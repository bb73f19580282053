"""Reacts to each quote and each trade, and does next to nothing: what remains is what a callback costs."""

from typing import Any

from profitview import Link  # type: ignore[import-untyped]


class Trading(Link):  # type: ignore[misc]
    quotes_seen = 0
    trades_seen = 0
    bought = 0.0

    def quote_update(self, src: str, sym: str, data: dict[str, Any]) -> None:
        self.quotes_seen += 1

    def trade_update(self, src: str, sym: str, data: dict[str, Any]) -> None:
        self.trades_seen += 1
        if data["side"] == "Buy":
            self.bought += data["size"]

    def on_stop(self) -> None:
        self.publish("seen", {"quotes": self.quotes_seen, "trades": self.trades_seen})
