"""What is asked of a venue's account beyond what a strategy can ask: all its coins, positions and open orders at once,
candles, and the exchange's own calls.

A desk answers by one of two calls, always later: `done` with what was asked for, or `failed` with a code and a reason.
`EmbeddedDesk` asks the embedded exchange: questions travel there and back like requests and count like them. For live
exchanges see `mlthon.live.bots`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from attrs import frozen

from mlthon.basics.defs import GtwRejectCode, OrderType
from mlthon.basics.money import UNIT
from mlthon.engine.candles import MINUTE, Candle, MinuteCandles
from mlthon.exchange.desk import OPEN
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.gateway import EmbeddedGateway
from mlthon.exchange.margin import liquidation_price

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.router import Port
    from mlthon.engine.tracker import TrackedOrder
    from mlthon.exchange.account import Stake
    from mlthon.link.host.venue import VenueStrategy

T = TypeVar("T")
Done = Callable[[T], None]
Failed = Callable[[GtwRejectCode, str], None]

PLENTY: Final = 1000
"""What remains of a rate limit that nobody has set."""


@frozen
class HeldPosition:
    """A position: lots (short negative), and prices in the quote currency; `liquidation` None where there is none."""

    instrument: "Instrument"
    lots: int
    entry: float
    mark: float
    liquidation: float | None


@frozen
class OpenOrder:
    """An open order of the account, whoever sent it: price in ticks (0: none), quantities in lots."""

    instrument: "Instrument"
    order_id: str
    side: int
    order_type: OrderType
    price: int
    qty: int
    leaves: int
    ts: int


@frozen
class Others:
    """Open orders of an account that a venue did not send: those of other strategies of this run, and those of nobody
    here (sent by hand, by another program, by an earlier run whose journal is gone)."""

    tracked: Sequence["TrackedOrder"] = ()
    strange: Sequence[OpenOrder] = ()


class AccountDesk(Protocol):
    """See the module."""

    def balances(self, done: Done[Mapping[str, float]], failed: Failed) -> None:
        """Coin -> amount of the wallet."""

    def positions(self, done: Done[Sequence[HeldPosition]], failed: Failed) -> None:
        """Every position that is not flat."""

    def position(self, instrument: "Instrument", done: Done[HeldPosition]) -> None:
        """One position, flat or not, as the exchange tells of it after a fill: not counted as a request."""

    def open_orders(self, done: Done[Sequence[OpenOrder]], failed: Failed) -> None: ...

    def others(
        self, venue: "VenueStrategy", instrument: "Instrument | None", done: Done[Others], failed: Failed
    ) -> None:
        """The account's open orders that are not the venue's, of one instrument or of all."""

    def cancel_strange(
        self, venue: "VenueStrategy", orders: Sequence[OpenOrder], done: Callable[[], None], failed: Failed
    ) -> None:
        """Cancel orders that nobody here sent; `done` when none of them is open any more."""

    def hear_strange(self, told: Callable[["TrackedOrder", int], None]) -> bool:
        """Tell of each change of an order that nobody here sent, and when it was (ns); False where that is not told,
        and such an order is known by its fills alone."""

    def candles(
        self,
        instrument: "Instrument",
        interval: int,
        count: int,
        since: int | None,
        done: Done[Sequence[Candle]],
        failed: Failed,
        *,
        offset: int = 0,
        free: bool = False,
    ) -> None:
        """`count` candles of `interval` (ns), oldest first: the newest, or those from `since` (ns) on. `free`: at no
        latency and uncounted, where the candles are here."""

    def endpoint(
        self,
        venue: "VenueStrategy",
        path: str,
        version: str,
        method: str,
        params: Mapping[str, Any],
        done: Done[Any],
        failed: Failed,
    ) -> None:
        """The exchange's own call."""

    def lots(self, instrument: "Instrument") -> int:
        """What the account holds of an instrument, as it was last told."""

    def ask(self, done: Callable[[], None], failed: Failed) -> None:
        """A question with nothing in it: takes what any question takes."""

    def allowance(self) -> tuple[int, int]:
        """How many more requests are within the rate limit, and when it starts anew (ns)."""


Endpoint = Callable[["VenueStrategy", str, str, str, Mapping[str, Any], Done[Any], Failed], None]


class EmbeddedDesk:
    """One account on the embedded exchange."""

    def __init__(
        self,
        exchange: EmbeddedExchange,
        gateway: EmbeddedGateway,
        port: "Port",
        series: Callable[["Instrument"], MinuteCandles],
        endpoint: Endpoint | None = None,
    ) -> None:
        self._exchange = exchange
        self._gateway = gateway
        self._port = port
        self._series = series
        self._endpoint = endpoint

    def balances(self, done: Done[Mapping[str, float]], failed: Failed) -> None:
        cash = self._gateway.ledger.cash
        self._gateway.enquire(lambda: {coin: units / UNIT for coin, units in cash.items()}, done, failed)

    def positions(self, done: Done[Sequence[HeldPosition]], failed: Failed) -> None:
        self._gateway.enquire(self._held, done, failed)

    def _held(self) -> list[HeldPosition]:
        stakes = self._gateway.ledger.stakes.values()
        return [held_position(each) for each in stakes if each.position.lots and not each.contract.spot]

    def position(self, instrument: "Instrument", done: Done[HeldPosition]) -> None:
        def look() -> HeldPosition:
            market = self._exchange.market(instrument)
            return held_position(self._exchange.stake(self._gateway.ledger, market))

        self._gateway.enquire(look, done, _ignore, counted=False)

    def open_orders(self, done: Done[Sequence[OpenOrder]], failed: Failed) -> None:
        self._gateway.enquire(self._open, done, failed)

    def _open(self) -> list[OpenOrder]:
        found = []
        for order in self._gateway.ledger.open_orders():
            ours = self._port.find(order.wire_id)
            if ours is not None and order.state in OPEN:
                price = order.price or ours.stop_price or 0
                found.append(
                    OpenOrder(
                        ours.instrument,
                        ours.exchange_id,
                        ours.side,
                        ours.order_type,
                        price,
                        order.qty,
                        order.leaves,
                        ours.created_ts,
                    )
                )
        return found

    def others(
        self, venue: "VenueStrategy", instrument: "Instrument | None", done: Done[Others], failed: Failed
    ) -> None:
        found = [
            ours
            for order in self._gateway.ledger.open_orders()
            if order.state in OPEN
            and (ours := self._port.find(order.wire_id)) is not None
            and ours.session is not venue.session
            and instrument in (None, ours.instrument)
        ]
        self._exchange.clock.call_soon(done, Others(found))

    def cancel_strange(
        self, venue: "VenueStrategy", orders: Sequence[OpenOrder], done: Callable[[], None], failed: Failed
    ) -> None:
        # every order of an embedded account was sent by a strategy of the run
        self._exchange.clock.call_soon(done)

    def hear_strange(self, told: Callable[["TrackedOrder", int], None]) -> bool:
        return False  # there are liquidations, which trade at once

    def candles(
        self,
        instrument: "Instrument",
        interval: int,
        count: int,
        since: int | None,
        done: Done[Sequence[Candle]],
        failed: Failed,
        *,
        offset: int = 0,
        free: bool = False,
    ) -> None:
        def look() -> list[Candle]:
            now = self._exchange.clock.now
            series = self._series(instrument)
            if since is None:
                return series.candles(now, interval, count, offset=offset)
            first = max(since, series.minutes[0].start if series.minutes else since)
            begin = first - (first - offset) % interval
            begin += interval if begin < since else 0
            end = begin + (count - 1) * interval
            return series.candles(now, interval, count, begin, end, offset)

        if interval % MINUTE:
            raise ValueError(f"candles of {interval} ns: no whole minutes")
        if free:
            self._exchange.clock.call_soon(lambda: done(look()))
        else:
            self._gateway.enquire(look, done, failed)

    def endpoint(
        self,
        venue: "VenueStrategy",
        path: str,
        version: str,
        method: str,
        params: Mapping[str, Any],
        done: Done[Any],
        failed: Failed,
    ) -> None:
        if self._endpoint is None:
            name = self._exchange.exchange.name
            reason = f"call_endpoint: the embedded {name} has no calls of its own; the embedded BitMEX has"
            self._exchange.clock.call_soon(failed, GtwRejectCode.InvalidRequest, reason)
            return
        self._endpoint(venue, path, version, method, params, done, failed)

    @property
    def answers_calls(self) -> bool:
        """Whether the embedded exchange has calls of its own."""
        return self._endpoint is not None

    def lots(self, instrument: "Instrument") -> int:
        stake = self._gateway.ledger.stakes.get(instrument)
        return 0 if stake is None else stake.position.lots

    def ask(self, done: Callable[[], None], failed: Failed) -> None:
        self._gateway.enquire(_nothing, lambda _: done(), failed)

    def allowance(self) -> tuple[int, int]:
        found = self._gateway.allowance()
        return found if found is not None else (PLENTY, self._exchange.clock.now + MINUTE)


def held_position(stake: "Stake") -> HeldPosition:
    """An embedded account's position, flat or not, at this moment."""
    market = stake.market
    market.sync()
    tick = market.contract.tick_units / UNIT
    bound = liquidation_price(stake) if stake.position.lots else None
    return HeldPosition(
        market.instrument,
        stake.position.lots,
        stake.position.entry_price,
        (market.mark or 0) * tick,
        None if bound is None else bound * tick,
    )


def _nothing() -> None:
    """There was nothing to ask."""


def _ignore(code: GtwRejectCode, reason: str) -> None:
    """What is not counted is not refused."""
