"""What a strategy's callback sees of its account, and how it is asked for.

Before each callback the exchange is asked for the wallet and the positions; the answers, with our own orders and
positions of that moment, are a `Frozen`, which does not change while the callback runs. An exchange that does not
answer in time leaves the last known.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from mlthon.arsenal.market import Pair
from mlthon.basics.defs import Exchange
from mlthon.engine.clock import SECOND, Clock, Handle

if TYPE_CHECKING:
    from mlthon.api.istrat_env import IStratEnv

PATIENCE: Final = 5 * SECOND
"""How long (ns) an answer is waited for."""
_WALLET: Final = "WalletInfo"
_POSITION: Final = "PositionInfo"


@frozen
class Detail:
    """A position as the exchange tells it: prices in the quote currency."""

    lots: int
    entry: float = 0.0
    mark: float = 0.0
    liquidation: float | None = None


@frozen(kw_only=True)
class Frozen:
    """`wallets`: total and available by exchange and coin, in 10^-18. `positions`: the exchange's own."""

    wallets: Mapping[tuple[Exchange, str], tuple[int, int]] = field(factory=dict)
    positions: Mapping[Pair, Detail] = field(factory=dict)


class Enquiry:
    """Asks for everything, and calls `done` once all is answered, refused or late."""

    def __init__(self, env: "IStratEnv", clock: Clock, pairs: Sequence[Pair]) -> None:
        self._env = env
        self._clock = clock
        self._pairs = {(each.instrument.venue, each.instrument.number): each for each in pairs}
        self._coins = list(dict.fromkeys(_coins(pairs)))
        self._wallets: dict[tuple[Exchange, str], tuple[int, int]] = {}
        self._positions: dict[Pair, Detail] = {}
        self._waiting: dict[tuple[str, object], None] = {}
        self._done: Callable[[bool], None] | None = None
        self._limit: Handle | None = None

    @property
    def under_way(self) -> bool:
        return self._done is not None

    @property
    def known(self) -> bool:
        """Whether everything has been answered at least once."""
        wanted = [each for each in self._pairs.values() if not each.spot]
        return all(each in self._wallets for each in self._coins) and all(each in self._positions for each in wanted)

    def ask(self, done: Callable[[bool], None]) -> None:
        """`done` is told whether all was answered. One enquiry at a time."""
        self._done = done
        self._limit = self._clock.schedule(self._clock.now + PATIENCE, self._finish, False)
        self._waiting = {(_WALLET, each): None for each in self._coins}
        derivatives = [key for key, each in self._pairs.items() if not each.spot]
        self._waiting |= {(_POSITION, key): None for key in derivatives}
        for exchange, coin in self._coins:
            self._env.fetch_wallet_info(exchange, coin)
        for exchange, number in derivatives:
            self._env.fetch_position_info(exchange, number)

    def wallet(self, exchange: Exchange, coin: str, total: int, available: int) -> None:
        self._wallets[exchange, coin] = (total, available)
        self._answered(_WALLET, (exchange, coin))

    def position(self, exchange: Exchange, number: int, detail: Detail) -> None:
        pair = self._pairs.get((exchange, number))
        if pair is not None:
            self._positions[pair] = detail
            self._answered(_POSITION, (exchange, number))

    def refused(self, exchange: Exchange, request: str) -> bool:
        """A question was refused; which of its kind is not said. False: it was none of ours."""
        about = next((key for key in self._waiting if key[0] == request and key[1][0] is exchange), None)  # type: ignore[index]
        if about is None:
            return False
        del self._waiting[about]
        if not self._waiting:
            self._finish(False)
        return True

    def frozen(self) -> Frozen:
        return Frozen(wallets=dict(self._wallets), positions=dict(self._positions))

    def _answered(self, kind: str, about: object) -> None:
        if self._done is not None and (kind, about) in self._waiting:
            del self._waiting[kind, about]
            if not self._waiting:
                self._finish(True)

    def _finish(self, complete: bool) -> None:
        done, self._done = self._done, None
        if self._limit is not None:
            self._limit.cancel()
        if done is not None:
            done(complete)


def _coins(pairs: Sequence[Pair]) -> list[tuple[Exchange, str]]:
    """The coins that matter: both of a spot pair, and what a derivative settles in."""
    found = []
    for pair in pairs:
        coins = (pair.base, pair.quote) if pair.spot else (pair.contract.coin,)
        found += [(pair.instrument.venue, coin) for coin in coins]
    return found
