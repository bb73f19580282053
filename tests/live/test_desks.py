"""Candles of live exchanges: asked for in sizes that there are, joined, and brought up to the present."""

from collections.abc import Generator, Sequence
from typing import Any

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange, GtwRejectCode
from mlthon.engine.candles import MINUTE, Candle, MinuteCandles
from mlthon.engine.clock import SECOND, Clock
from mlthon.live.desks import Candles
from mlthon.venue.asking import Asker
from mlthon.venue.codec import Refused
from mlthon.venue.facts import Candle as Row
from mlthon.venue.throttle import PLENTY, Throttle

HOUR = 60 * MINUTE
NOW = 1000 * HOUR + 7 * MINUTE + 30 * SECOND
XBTUSD = resolve(Exchange.BitMEX, "XBTUSD")


class Exchanged:
    """A codec that has candles, finished ones alone, of every minute; a close is the number of its hour."""

    exchange = Exchange.BitMEX

    def __init__(self, refusal: Refused | None = None) -> None:
        self.asked: list[tuple[int, int, int]] = []
        self.refusal = refusal

    def candles(self, instrument: Any, interval_s: int, start: int, end: int) -> Generator[Any, Any, list[Row]]:
        self.asked.append((interval_s, start, end))
        if self.refusal is not None:
            raise self.refusal
        yield from ()
        size = interval_s * SECOND
        begins = range(-(-start // size) * size, end, size)
        return [_row(each, size) for each in begins if each + size <= NOW]


def _row(begin: int, size: int) -> Row:
    price = begin // HOUR
    volume = size // MINUTE
    return Row(
        open_ts=begin, close_ts=begin + size, open=price, high=price + 1, low=price - 1, close=price, volume=volume
    )


def ask(
    codec: Exchanged, interval: int, count: int, since: int | None = None, series: MinuteCandles | None = None
) -> Sequence[Candle] | tuple[GtwRejectCode, str]:
    clock = Clock(NOW)
    throttle = Throttle(clock, None, (), lambda request, answer: (), lambda percent, until: None)  # type: ignore[arg-type]
    candles = Candles(codec, Asker(clock, throttle), throttle, lambda each: series or MinuteCandles())  # type: ignore[arg-type]
    found: list[Any] = []
    failed: list[Any] = []
    candles.ask(XBTUSD, interval, count, since, found.append, lambda *why: failed.append(why), 0)
    clock.run_until(NOW)
    assert len(found) + len(failed) == 1
    told: Sequence[Candle] | tuple[GtwRejectCode, str] = (found or failed)[0]
    return told


def test_a_size_that_exchanges_lack_is_joined_and_ends_with_the_present() -> None:
    codec = Exchanged()
    found = ask(codec, 3 * HOUR, 4)
    assert not isinstance(found, tuple)
    assert [each.start // HOUR for each in found] == [990, 993, 996, 999]
    assert [each.qty for each in found] == [180, 180, 180, 60 + 7]
    assert (found[-1].open, found[-1].close) == (999, 1000)
    assert [each[0] for each in codec.asked] == [3600, 60]


def test_the_present_minute_is_that_of_the_trades_heard_here() -> None:
    series = MinuteCandles()
    series.trade(77, 3, 1, 1, NOW)
    found = ask(Exchanged(), MINUTE, 3, series=series)
    assert not isinstance(found, tuple)
    assert [(each.close, each.qty) for each in found] == [(1000, 1), (1000, 1), (77, 3)]


def test_a_minute_in_which_nothing_traded_is_flat() -> None:
    found = ask(Exchanged(), MINUTE, 2)
    assert not isinstance(found, tuple)
    assert found[-1] == Candle(NOW - 30 * SECOND, 1000, 1000, 1000, 1000)


def test_since_gives_the_candles_from_there_on() -> None:
    found = ask(Exchanged(), 5 * MINUTE, 3, since=990 * HOUR + 1)
    assert not isinstance(found, tuple)
    assert [(each.start - 990 * HOUR) // MINUTE for each in found] == [5, 10, 15]


def test_a_refusal_is_told() -> None:
    limited = ask(Exchanged(Refused("slow down", retry_after_s=1.0)), MINUTE, 2)
    assert limited == (GtwRejectCode.RateLimited, "slow down")
    assert ask(Exchanged(Refused("no such symbol")), MINUTE, 2) == (GtwRejectCode.InvalidRequest, "no such symbol")


def test_an_exchange_without_rules_allows_plenty() -> None:
    clock = Clock(NOW)
    throttle = Throttle(clock, None, (), lambda request, answer: (), lambda percent, until: None)  # type: ignore[arg-type]
    assert throttle.allowance() == (PLENTY, NOW + SECOND)


class Calling(Exchanged):
    """An exchange with calls of its own."""

    def native(self, path: str, version: str, method: str, params: Any) -> Generator[Any, Any, Any]:
        yield from ()
        return [version, method, path, params]


@pytest.mark.parametrize(
    ("codec", "answer"),
    [
        (Calling(), ["public", "GET", "ticker", {"symbol": "X"}]),
        (Exchanged(), (GtwRejectCode.InvalidRequest, "call_endpoint: BitMEX's own calls cannot be made")),
    ],
)
def test_paper_beside_live_data_asks_the_exchange_for_what_is_public(codec: Exchanged, answer: Any) -> None:
    clock = Clock(NOW)
    throttle = Throttle(clock, None, (), lambda request, answer: (), lambda percent, until: None)  # type: ignore[arg-type]
    candles = Candles(codec, Asker(clock, throttle), throttle, lambda each: MinuteCandles())  # type: ignore[arg-type]
    told: list[Any] = []
    candles.native("ticker", {"symbol": "X"}, told.append, lambda *why: told.append(why))
    clock.run_until(NOW)
    assert told == [answer]
