"""The exchanges that are simulated, each in every way in which orders are sent to it."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import Factory, frozen

from mlthon.basics.defs import Exchange


@frozen
class Venue:
    """An exchange that is simulated. `mid`: the price at the start (ticks). `new`: path of a request for a new order ->
    where its id is. `form`: it is a Binance: requests are forms, not JSON."""

    exchange: Exchange
    dialect: str
    instrument: str
    mid: int
    new: Mapping[str, str]
    form: bool = False
    options: dict[str, Any] = Factory(dict)
    """Of the gateway."""
    lots: int = 1
    """Orders are of one to eight times so many."""


_BYBIT: Final = (Exchange.Bybit, "bybit", "byt:perp:btc-usdt", 650_000, {"/v5/order/create": "orderLinkId"})

VENUES: Final = {
    "binance-usdm": Venue(
        Exchange.BinanceUsdm,
        "binance-usdm",
        "bnu:perp:btc-usdt",
        650_000,
        {"/fapi/v1/order": "newClientOrderId", "/fapi/v1/algoOrder": "clientAlgoId"},
        form=True,
    ),
    "binance": Venue(
        Exchange.Binance,
        "binance",
        "bin:spot:btc-usdt",
        6_500_000,
        {"/api/v3/order": "newClientOrderId"},
        form=True,
        lots=100,
    ),
    "bitmex": Venue(Exchange.BitMEX, "bitmex", "XBTUSD", 100_000, {"/api/v1/order": "clOrdID"}),
    "bybit": Venue(*_BYBIT),
    "bybit-spot": Venue(
        Exchange.Bybit,
        "bybit",
        "byt:spot:btc-usdt",
        650_000,
        {"/v5/order/create": "orderLinkId"},
        lots=200,
    ),
    "bybit-websocket": Venue(*_BYBIT, options={"orders": "websocket"}),
}
