"""Turns: what is done on an account waits until the exchange has told how the account is, and is done one by one.

Turns that were waiting when the exchange was asked share its answer until one of them has ordered something; then it is
asked again.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from mlthon.arsenal.account import Enquiry
from mlthon.arsenal.market import Pair
from mlthon.engine.clock import SECOND

if TYPE_CHECKING:
    from mlthon.api.istrat_env import IStratEnv
    from mlthon.arsenal.trader import Trader

AGAIN: Final = SECOND
"""How long (ns) after a question that told nothing it is asked again."""


class Turns:
    """One trader's. `open`: the account may trade; before that turns wait."""

    enquiry: Enquiry

    def __init__(self, trader: "Trader") -> None:
        self._trader = trader
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._asked_for = 0
        self.open = False

    def connect(self, env: "IStratEnv", pairs: Sequence[Pair]) -> None:
        """There is an exchange to be asked."""
        self.enquiry = Enquiry(env, self._trader.session.clock, pairs)

    def begin(self, first: Callable[[], None]) -> None:
        """The account may trade: `first` is done before everything that waits."""
        self.open = True
        self._waiting.appendleft(("the start", first))
        self.ask()

    def add(self, what: str, call: Callable[[], None]) -> None:
        self._waiting.append((what, call))
        self.ask()

    def clear(self) -> None:
        self._waiting.clear()

    def ask(self) -> None:
        """Ask the exchange, if somebody waits and it is not being asked."""
        if self._waiting and self.open and not self.enquiry.under_way:
            self._asked_for = len(self._waiting)
            self._trader.asking()
            self.enquiry.ask(self._answered)

    def _answered(self, complete: bool) -> None:
        self._trader.session.clock.call_soon(self._take, complete)

    def _take(self, complete: bool) -> None:
        trader = self._trader
        if trader.is_stopped:
            self.clear()
            return
        if not complete:
            trader.say("the exchange did not tell the account's state: the last known counts", logging.WARNING)
        if not self.enquiry.known:
            trader.session.clock.call_at(trader.now + AGAIN, self.ask)
            return
        trader.account_told(self.enquiry.frozen())
        for _ in range(self._asked_for):
            if not self._waiting or trader.is_stopped:
                break
            what, call = self._waiting.popleft()
            before = trader.orders_placed
            trader.guarded(what, call)
            if trader.orders_placed != before:
                break
        self.ask()
