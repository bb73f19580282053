"""`AccountWatch`: what the account holds of a bot's symbol, asked at the start and every half minute after that.

At the start the bot takes over what the account holds. Later it counts its own fills, and the account's word only
corrects it: what others did (a liquidation, an order by hand, the script's own) shows as a difference that stays. One
answer may be older or newer than the fills known here, so a difference counts when two answers in a row tell the same
while no fill came in between.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mlthon.engine.clock import SECOND
from mlthon.link.host.desk import HeldPosition
from mlthon.link.signals.market import BotMarket
from mlthon.link.signals.position import BotPosition

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.clock import Clock, Handle
    from mlthon.engine.session import Session

log = logging.getLogger("mlthon.link")

AskPosition = Callable[["Instrument", Callable[[HeldPosition], None]], None]
"""Asks the account for a position; answered later, or never."""

ASK_AGAIN: Final = 5 * SECOND
"""How long an answer is waited for at the start before it is asked for again."""
CHECK_EVERY: Final = 30 * SECOND


class AccountWatch:
    """See the module. `known`: whether the position is known. Without `ask` the bot begins flat and is never
    corrected. `changed` is called when the account's word changed something."""

    def __init__(
        self,
        session: "Session",
        clock: "Clock",
        market: BotMarket,
        position: BotPosition,
        ask: AskPosition | None,
        changed: Callable[[], None],
    ) -> None:
        self._session = session
        self._clock = clock
        self._market = market
        self._position = position
        self._ask = ask
        self._changed = changed
        self._timer: Handle | None = None
        self._odd: tuple[int, int] | None = None
        """A difference told once: what the account held, and what the bot did."""
        self.known = ask is None

    def begin(self) -> None:
        """The account may be asked."""
        if self._ask is not None and self._timer is None:
            self._look()

    def end(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.schedule(self._clock.now + (CHECK_EVERY if self.known else ASK_AGAIN), self._look)
        if self._ask is not None and self._session.running:
            self._ask(self._market.instrument, self._told)

    def _told(self, held: HeldPosition) -> None:
        mine = self._position.lots
        if not self.known:
            self.known = True
            # fills of earlier orders may have been told before, and are in it
            self._position.set(0, 0.0)
            if held.lots:
                self._take_over(held, "goes on with the account's position of")
            self._changed()
        elif held.lots == mine:
            self._odd = None
        elif self._odd == (held.lots, mine):
            self._odd = None
            self._take_over(held, f"the account's position is not {self._shown(mine)}, as its fills say, but")
            self._changed()
        else:
            self._odd = (held.lots, mine)

    def _take_over(self, held: HeldPosition, how: str) -> None:
        self._position.set(held.lots, held.entry / self._market.listing.prices[1])
        log.warning("%s: %s %s %s", self._session.name, how, self._shown(held.lots), self._market.listing.sym)

    def _shown(self, lots: int) -> str:
        return f"{self._market.size(lots):g}"
