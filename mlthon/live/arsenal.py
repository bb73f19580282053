"""Crypto Arsenal strategies on live market data: their candles are the exchange's."""

from collections.abc import Callable, Mapping, Sequence

from mlthon.arsenal.assembly import Arsenals
from mlthon.arsenal.market import Pair
from mlthon.basics.defs import Exchange, GtwRejectCode
from mlthon.engine.candles import Candle
from mlthon.engine.engine import Engine
from mlthon.live.assembly import Venue
from mlthon.live.desks import Candles, exchange_candles


def attach_live(arsenals: Arsenals, engine: Engine, venues: Mapping[Exchange, Venue]) -> None:
    """Join them to a run on live market data, whose candles are the exchange's. Raises `UserError`."""
    candles: dict[Exchange, Candles] = {}

    def fetch(
        pair: Pair,
        period: int,
        count: int,
        done: Callable[[Sequence[Candle]], None],
        failed: Callable[[str], None],
    ) -> None:
        exchange = pair.instrument.venue
        if exchange not in candles:
            candles[exchange] = exchange_candles(engine, venues[exchange], arsenals.minutes)

        def refused(code: GtwRejectCode, reason: str) -> None:
            failed(reason)

        # one more than is wanted: the last is not over yet
        candles[exchange].ask(pair.instrument, period, count + 1, None, done, refused, 0)

    arsenals.attach(engine, None, fetch)
