"""What bots ask of live exchanges: the `AccountDesk` of a live account; candles and public calls for paper beside live
market data.

Questions go through the account's own throttle, so they keep to its rate limits with everything else. Candles are asked
for in the longest size that every exchange has, and joined; what the exchange has not finished yet is taken from its
minutes, and the present minute, where it tells none, from the trades heard here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mlthon.basics.defs import Exchange, GtwRejectCode, OrderStatus
from mlthon.basics.money import UNIT
from mlthon.engine.candles import MINUTE, Candle, MinuteCandles, joined
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.exchange.dialects.bitmex_request import Fault
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.gateway import EmbeddedGateway
from mlthon.link.host.desk import Done, EmbeddedDesk, Endpoint, Failed, HeldPosition, OpenOrder, Others
from mlthon.link.host.endpoint import BitmexEndpoint
from mlthon.link.host.market import Markets
from mlthon.link.host.native import NativeOrders
from mlthon.link.host.native_binance import BinanceOrders
from mlthon.link.host.native_bitmex import BitmexOrders
from mlthon.link.host.native_bybit import BybitOrders
from mlthon.link.signals.assembly import Keeping
from mlthon.live.accounts import LiveAccount
from mlthon.live.assembly import Venue
from mlthon.live.strangers import Strangers, failing, open_order
from mlthon.venue import facts
from mlthon.venue.asking import Asker
from mlthon.venue.codec import Codec, Question, Unsupported
from mlthon.venue.live_gateway import LiveGateway
from mlthon.venue.native import NativeCodec
from mlthon.venue.throttle import Throttle

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.engine import Engine
    from mlthon.engine.router import Port
    from mlthon.engine.tracker import TrackedOrder
    from mlthon.link.host.assembly import Bots
    from mlthon.link.host.venue import VenueStrategy

T = TypeVar("T")
Series = Callable[["Instrument"], MinuteCandles]

SIZES: Final = tuple(size * SECOND for size in (86_400, 3600, 300, 60))
"""Candle sizes (ns) that every exchange has, longest first."""
NATIVE_ORDERS: Final[Mapping[Exchange, type[NativeOrders]]] = {
    Exchange.BitMEX: BitmexOrders,
    Exchange.Bybit: BybitOrders,
    Exchange.Binance: BinanceOrders,
    Exchange.BinanceUsdm: BinanceOrders,
}
"""Exchanges whose own calls about orders are carried out."""
SETTLING: Final = 200 * MS
"""How long after a fill the position is looked at: its message comes after the fill's."""


class Candles:
    """Candles of one exchange."""

    def __init__(self, codec: Codec, asker: Asker, throttle: Throttle, series: Series) -> None:
        self._codec = codec
        self._asker = asker
        self._throttle = throttle
        self._series = series

    def ask(
        self,
        instrument: "Instrument",
        interval: int,
        count: int,
        since: int | None,
        done: Done[Sequence[Candle]],
        failed: Failed,
        offset: int,
    ) -> None:
        """As of `AccountDesk.candles`."""
        now = self._throttle.exchange_now
        begin = now - (now - offset) % interval - (count - 1) * interval if since is None else since
        start = begin - (begin - offset) % interval
        start += interval if start < begin else 0
        end = min(now, start + count * interval)

        def answered(rows: Sequence[facts.Candle]) -> None:
            found = [_candle(row) for row in rows]
            heard_from = found[-1].start + MINUTE if found else start
            local = self._series(instrument)
            local.roll(now)
            found += [each for each in local.minutes if heard_from <= each.start < end]
            _to_the_present(found, end)
            done(joined(found, interval, offset)[:count])

        self._asker.ask(lambda: self._question(instrument, interval, start, end, now), answered, failing(failed))

    def native(self, path: str, params: Mapping[str, Any], done: Done[Any], failed: Failed) -> None:
        """A public call of the exchange's own."""
        self._asker.ask(lambda: _native(self._codec, path, params), done, failing(failed))

    def _question(
        self, instrument: "Instrument", interval: int, start: int, end: int, now: int
    ) -> Question[Sequence[facts.Candle]]:
        size = next(each for each in SIZES if interval % each == 0)
        rows = list((yield from self._codec.candles(instrument, size // SECOND, start, end)))
        if size == MINUTE:
            return rows
        rows = [each for each in rows if each.close_ts <= now]
        covered = rows[-1].close_ts if rows else start
        if covered < end and now - covered <= size:
            rows += yield from self._codec.candles(instrument, MINUTE // SECOND, covered, end)
        return rows


def _native(codec: Codec, path: str, params: Mapping[str, Any]) -> Question[Any]:
    if not isinstance(codec, NativeCodec):
        raise Unsupported(f"call_endpoint: {codec.exchange.name}'s own calls cannot be made")
    return (yield from codec.native(path, "public", "GET", params))


def _to_the_present(found: list[Candle], end: int) -> None:
    """The minute that has begun and in which nothing traded yet is flat."""
    present = (end - 1) - (end - 1) % MINUTE
    if found and found[-1].start < present:
        close = found[-1].close
        found.append(Candle(present, close, close, close, close))


def _candle(row: facts.Candle) -> Candle:
    return Candle(row.open_ts, row.open, row.high, row.low, row.close, row.volume, trades=1 if row.volume else 0)


class LiveDesk:
    """A live account's `AccountDesk`."""

    def __init__(
        self,
        gateway: LiveGateway,
        codec: Codec,
        clock: Clock,
        series: Series,
        instruments: "Sequence[Instrument]",
        port: "Port",
    ) -> None:
        self._gateway = gateway
        self._codec = codec
        self._clock = clock
        self._asker = Asker(clock, gateway.throttle)
        self._candles = Candles(codec, self._asker, gateway.throttle, series)
        native = NATIVE_ORDERS.get(codec.exchange)
        self._orders = None if native is None else native(clock, instruments, self.lots)
        self._strangers = Strangers(codec, clock, self._asker, gateway.throttle, port)

    def lots(self, instrument: "Instrument") -> int:
        fact = self._gateway.positions.get(instrument)
        return 0 if fact is None else fact.position

    def _ask(self, make: Callable[[], Question[T]], done: Callable[[T], None], failed: Failed) -> None:
        self._asker.ask(make, done, failing(failed))

    def balances(self, done: Done[Mapping[str, float]], failed: Failed) -> None:
        self._ask(self._codec.wallet, lambda found: done({each.coin: each.total / UNIT for each in found}), failed)

    def positions(self, done: Done[Sequence[HeldPosition]], failed: Failed) -> None:
        def answered(found: Sequence[facts.PositionFact]) -> None:
            done([_held(each) for each in found if each.position])

        self._ask(lambda: self._codec.positions(None), answered, failed)

    def position(self, instrument: "Instrument", done: Done[HeldPosition]) -> None:
        def look() -> None:
            fact = self._gateway.positions.get(instrument)
            done(_held(fact if fact is not None else facts.PositionFact(instrument=instrument, position=0)))

        self._clock.call_at(self._clock.now + SETTLING, look)

    def open_orders(self, done: Done[Sequence[OpenOrder]], failed: Failed) -> None:
        def answered(found: Sequence[facts.OrderFact]) -> None:
            done([open_order(each) for each in found if each.status is not OrderStatus.PendingNew])

        self._ask(lambda: self._codec.open_orders(None), answered, failed)

    def others(
        self, venue: "VenueStrategy", instrument: "Instrument | None", done: Done[Others], failed: Failed
    ) -> None:
        self._strangers.others(venue, instrument, done, failed)

    def cancel_strange(
        self, venue: "VenueStrategy", orders: Sequence[OpenOrder], done: Callable[[], None], failed: Failed
    ) -> None:
        self._strangers.cancel(venue, orders, done, failed)

    def hear_strange(self, told: Callable[["TrackedOrder", int], None]) -> bool:
        self._gateway.book.on_foreign.append(lambda fact: self._strangers.hear(fact, told))
        return True

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
        self._candles.ask(instrument, interval, count, since, done, failed, offset)

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
        codec, orders = self._codec, self._orders
        try:
            if orders is None or not isinstance(codec, NativeCodec):
                raise Fault(f"{codec.exchange.name}'s own calls cannot be made")
            change = orders.change(method, path)
            if change is not None:
                change(venue, dict(params), done, failed)
                return
            asked, given = orders.as_sent(params), orders.as_given
            self._ask(lambda: codec.native(path, version, method, asked), lambda told: done(given(told)), failed)
        except Fault as fault:
            self._clock.call_soon(failed, GtwRejectCode.InvalidRequest, f"call_endpoint: {fault.message}")

    def ask(self, done: Callable[[], None], failed: Failed) -> None:
        self._clock.call_soon(done)

    def allowance(self) -> tuple[int, int]:
        return self._gateway.throttle.allowance()


class PaperDesk(EmbeddedDesk):
    """The desk of an account on paper beside live market data: candles are the exchange's, and so are the answers of
    its public calls, but for those that the embedded exchange has itself."""

    def __init__(
        self,
        exchange: EmbeddedExchange,
        gateway: EmbeddedGateway,
        port: "Port",
        series: Series,
        candles: Candles,
        endpoint: Endpoint | None,
    ) -> None:
        super().__init__(exchange, gateway, port, series, endpoint)
        self._live = candles

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
        self._live.ask(instrument, interval, count, since, done, failed, offset)

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
        if self.answers_calls or (version, method) != ("public", "GET"):
            super().endpoint(venue, path, version, method, params, done, failed)
        else:
            self._live.native(path, params, done, failed)


# -- runs --------------------------------------------------------------------------------------------------------------


def attach_live(
    bots: "Bots", engine: "Engine", accounts: Mapping[tuple[Exchange, str], LiveAccount], keeping: Keeping | None = None
) -> None:
    """Join bots to a run whose orders go to exchanges. Raises `UserError`."""
    markets = Markets(engine)

    def desk(venue: "VenueStrategy", account: str) -> LiveDesk:
        found = accounts[venue.exchange, account]
        instruments, port = engine.universe.of(venue.exchange), engine.port(venue.exchange, account)
        return LiveDesk(found.gateway, found.codec, engine.clock, markets.candles, instruments, port)

    bots.attach(engine, desk, markets, keeping)


def attach_paper(
    bots: "Bots",
    engine: "Engine",
    embedded: Mapping[Exchange, EmbeddedExchange],
    venues: Mapping[Exchange, Venue],
    keeping: Keeping | None = None,
) -> None:
    """Join bots to a run on paper beside live market data. Raises `UserError`."""
    markets = Markets(engine)
    candles: dict[Exchange, Candles] = {}

    def desk(venue: "VenueStrategy", account: str) -> PaperDesk:
        exchange = venue.exchange
        if exchange not in candles:
            candles[exchange] = exchange_candles(engine, venues[exchange], markets.candles)
        gateway = embedded[exchange].accounts[account]
        port = engine.port(exchange, account)
        endpoint = BitmexEndpoint(embedded[exchange], gateway, markets) if exchange is Exchange.BitMEX else None
        return PaperDesk(embedded[exchange], gateway, port, markets.candles, candles[exchange], endpoint)

    bots.attach(engine, desk, markets, keeping)


def exchange_candles(engine: "Engine", there: Venue, series: Series) -> Candles:
    """The candles of an exchange, asked for without an account."""
    codec = there.codec("", there.instruments, None)
    throttle = Throttle(engine.clock, there.edge, codec.rules, codec.usage, _nobody)
    throttle.offset = there.offset
    return Candles(codec, Asker(engine.clock, throttle), throttle, series)


def _nobody(percent: int, reset_ts: int) -> None:
    """Nobody is told how much of the rate limit is used."""


def _held(fact: facts.PositionFact) -> HeldPosition:
    return HeldPosition(fact.instrument, fact.position, fact.entry_price, fact.mark_price, fact.liquidation_price)
