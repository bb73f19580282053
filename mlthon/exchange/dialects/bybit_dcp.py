"""Bybit's disconnection protection: an account's orders of a product are cancelled when every private websocket that
subscribed to the product's topic has been gone for the time window.

At Bybit the account's manager has to switch it on, with a window of ten seconds until one is set; here setting a window
switches it on. A line that unsubscribes is protected no more, and starts nothing.
https://bybit-exchange.github.io/docs/v5/order/dcp, .../v5/websocket/private/dcp, .../v5/account/dcp-info
"""

from typing import Any, Final

from mlthon.engine.clock import SECOND, Clock, Handle
from mlthon.exchange.dialects.bybit_orders import BybitError
from mlthon.exchange.dialects.bybit_params import Params
from mlthon.exchange.served.account import ServedAccount
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors

OPTIONS: Final = "OPTIONS"
"""The product that is meant where none is named; nothing of it is traded here."""
PRODUCTS: Final = (*tables.SWITCHES, OPTIONS)
OF_TOPIC: Final = {topic: product for product, topic in tables.SWITCHES.items()}

Place = tuple[str, str]
"""An account's name and a product."""


class Protection:
    """The protection of all accounts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[Place, int] = {}
        self._lines: dict[Place, set[object]] = {}
        self._timers: dict[Place, Handle] = {}

    def set_window(self, account: ServedAccount, body: Params) -> None:
        """Carry out a request to set the window (s), which switches the protection on. Raises `BybitError`."""
        product = str(body.get("product") or OPTIONS)
        if product not in PRODUCTS:
            raise BybitError(errors.PARAMETER, f"params error: product invalid {product}")
        try:
            window = int(str(body.get("timeWindow", "")))
        except ValueError:
            window = 0
        if not tables.SHORTEST_SWITCH_S <= window <= tables.LONGEST_SWITCH_S:
            raise BybitError(errors.PARAMETER, "params error: timeWindow must be a whole number from 3 to 300")
        self._windows[account.name, product] = window

    def infos(self, account: ServedAccount) -> dict[str, Any]:
        """What the account has switched on."""
        rows = [
            {"product": product, "dcpStatus": "ON", "timeWindow": str(self._windows[account.name, product])}
            for product in PRODUCTS
            if (account.name, product) in self._windows
        ]
        return {"dcpInfos": rows}

    def subscribed(self, line: object, account: ServedAccount, topic: str) -> None:
        """A private line has subscribed to a topic; those of other things are not heeded."""
        if topic in OF_TOPIC:
            place = account.name, OF_TOPIC[topic]
            self._lines.setdefault(place, set()).add(line)
            timer = self._timers.pop(place, None)
            if timer is not None:
                timer.cancel()

    def unsubscribed(self, line: object, account: ServedAccount, topic: str) -> None:
        """A line wants a topic no more."""
        if topic in OF_TOPIC:
            self._lines.get((account.name, OF_TOPIC[topic]), set()).discard(line)

    def closed(self, line: object, account: ServedAccount) -> None:
        """A line is gone: where it was a product's last one, the window begins."""
        for product in OF_TOPIC.values():
            place = account.name, product
            lines = self._lines.get(place, set())
            if line not in lines:
                continue
            lines.remove(line)
            if not lines and place in self._windows:
                at = self._clock.now + self._windows[place] * SECOND
                self._timers[place] = self._clock.schedule(at, self._cancel, account, product)

    def _cancel(self, account: ServedAccount, product: str) -> None:
        self._timers.pop((account.name, product), None)
        account.cancel_many(each for each in account.open_orders() if tables.switch_of(each.instrument) == product)
