"""What the ccxt drivers share: where each exchange's URLs are, which symbol is traded, how orders look.

ccxt takes plain http and ws in its URLs, so every host in them is replaced. What it would ask of services that are no
part of trading (margin pairs, currencies) is switched off.
"""

import re
from typing import Any

KEYS = {"apiKey": "test-key", "secret": "test-secret"}

CASES: dict[str, dict[str, Any]] = {
    "bybit": {
        "id": "bybit",
        "symbol": "BTC/USDT:USDT",
        "amount": 0.01,
        "post_only": {"postOnly": True},
        "orders": {"category": "linear"},
    },
    "binance": {
        "id": "binance",
        "symbol": "BTC/USDT",
        "amount": 0.001,
        "post_only": {"postOnly": True},
        "options": {"defaultType": "spot", "fetchMargins": False, "fetchMarkets": {"types": ["spot"]}},
        "spot": True,
    },
    "binance-usdm": {
        "id": "binanceusdm",
        "symbol": "BTC/USDT:USDT",
        "amount": 0.01,
        "post_only": {"postOnly": True},
        "options": {"fetchMarkets": {"types": ["linear"]}},
    },
    "bitmex": {"id": "bitmex", "symbol": "BTC/USD:BTC", "amount": 100, "post_only": {"postOnly": True}},
}


def moved(urls: Any, base: str) -> Any:
    """The same URLs on `base`'s host."""
    if isinstance(urls, dict):
        return {name: moved(url, base) for name, url in urls.items()}
    if not isinstance(urls, str):
        return urls
    ws = "ws" + base[4:]
    return re.sub(r"^wss?://[^/]+", ws, re.sub(r"^https?://[^/]+", base, urls))


def client(library: Any, exchange: str, base: str, **keys: str) -> Any:
    """A client of `exchange` that talks to `base`."""
    case = CASES[exchange]
    made = getattr(library, case["id"])({**KEYS, **keys, "enableRateLimit": False})
    made.urls["api"] = moved(made.urls["api"], base)
    made.has["fetchCurrencies"] = False
    made.options.update(case.get("options", {}))
    made.options["fetchCurrencies"] = False
    return made


def below(client: Any, symbol: str, bid: float, share: float) -> float:
    """A price that share under the bid, on a tick."""
    return float(client.price_to_precision(symbol, bid * (1 - share)))
