"""What comes of signals, for those who sent them and wait to be told.

Whoever sends a signal is answered once: when its order is refused (beyond a limit of `[risk]`, more than the account
has, nothing to close), when the exchange has taken it, or after `WAIT` at the latest, when it is on its way and nobody
knows more. Of many signals at once only some wait, so that none is lost for others that do.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from attrs import frozen

from mlthon.arsenal.orders import Ticket
from mlthon.engine.clock import SECOND, Clock

WAIT: Final = SECOND
"""How long (ns) a sender waits at most: TradingView's alerts wait for 3 s."""
MOST_WAITING: Final = 4
"""Senders who wait at once: the web server carries out 16 requests of an address at a time."""


@frozen
class Outcome:
    """What came of a signal: a word, or why its order was `refused`."""

    told: str
    refused: bool = False


TAKEN: Final = Outcome("taken")
"""What it orders is on its way, or waits for its delay."""
ACCEPTED: Final = Outcome("accepted")
"""The exchange has its order."""

Tell = Callable[[Outcome], None]


NOBODY: Final = 0
"""The number of nobody who waits."""


def to_nobody(outcome: Outcome) -> None:
    """Nobody waits."""


class Outcomes:
    """One trader's. What is told twice counts once."""

    def __init__(self) -> None:
        self._waiting: dict[int, Tell] = {}
        self._orders: dict[str, int] = {}
        self._count = 0

    def wait(self, clock: Clock, tell: Tell) -> int:
        """Somebody waits from now on; a number that means him."""
        if tell is to_nobody:
            return NOBODY
        if len(self._waiting) >= MOST_WAITING:
            tell(TAKEN)
            return NOBODY
        self._count += 1
        self._waiting[self._count] = tell
        clock.call_at(clock.now + WAIT, partial(self.tell, self._count, TAKEN))
        return self._count

    def tell(self, number: int, outcome: Outcome) -> None:
        """Tell it to whoever still waits under this number."""
        tell = self._waiting.pop(number, None)
        if tell is not None:
            self._orders = {order: each for order, each in self._orders.items() if each != number}
            tell(outcome)

    def ordered(self, number: int, ticket: Ticket) -> None:
        """This order is what the signal asked for."""
        if number in self._waiting:
            self._orders[ticket.client_id] = number

    def changed(self, ticket: Ticket) -> None:
        """Something became of an order."""
        if self._orders and (ticket.accepted or ticket.filled):
            self._of(ticket, ACCEPTED)

    def refused(self, ticket: Ticket, reason: str) -> None:
        """An order was refused, or cancelled unasked before anything of it was filled."""
        self._of(ticket, Outcome(f"the order was refused: {reason}", refused=True))

    def _of(self, ticket: Ticket, outcome: Outcome) -> None:
        number = self._orders.get(ticket.client_id)
        if number is not None:
            self.tell(number, outcome)

    def end(self, why: str) -> None:
        """Nobody is told any more: what was not ordered yet will not be."""
        ordered = set(self._orders.values())
        for number in list(self._waiting):
            self.tell(number, TAKEN if number in ordered else Outcome(f"no order: {why}", refused=True))
