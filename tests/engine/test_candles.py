"""Minute candles: rolling, late trades, longer ones, made-up history."""

from itertools import pairwise
from random import Random

import pytest

from mlthon.engine.candles import MINUTE, Candle, MinuteCandles, joined, made_up
from mlthon.engine.clock import SECOND

NOW = 1_735_689_600 * SECOND


def ohlc(candle: Candle) -> tuple[int, int, int, int, int]:
    return candle.open, candle.high, candle.low, candle.close, candle.qty


def test_minutes_without_trades_are_flat_without_volume() -> None:
    series = MinuteCandles()
    series.trade(100, 2, 1, 1, 30)
    series.trade(90, 1, 1, -1, 40)
    series.trade(95, 1, 1, 1, 3 * MINUTE + 5)
    found = series.candles(4 * MINUTE, MINUTE, 10)
    assert [each.start // MINUTE for each in found] == [0, 1, 2, 3, 4]
    assert [ohlc(each) for each in found] == [
        (100, 100, 90, 90, 3),
        (90, 90, 90, 90, 0),
        (90, 90, 90, 90, 0),
        (95, 95, 95, 95, 1),
        (95, 95, 95, 95, 0),
    ]
    assert found[0].buy_qty == 2


def test_a_late_trade_widens_its_minute_and_no_close() -> None:
    series = MinuteCandles()
    series.trade(100, 1, 1, 1, 0)
    series.trade(110, 1, 1, 1, MINUTE)
    series.trade(120, 4, 1, 1, 59 * 10**9)
    assert [ohlc(each) for each in series.candles(MINUTE, MINUTE, 10)] == [
        (100, 120, 100, 100, 5),
        (110, 110, 110, 110, 1),
    ]


def test_longer_candles_take_prices_of_trades_alone() -> None:
    series = MinuteCandles()
    series.trade(100, 1, 1, 1, 0)
    series.trade(50, 1, 1, 1, 7 * MINUTE)
    (first, second) = series.candles(9 * MINUTE, 5 * MINUTE, 10)
    assert ohlc(first) == (100, 100, 100, 100, 1)
    assert ohlc(second) == (50, 50, 50, 50, 1)
    assert [each.start for each in series.candles(9 * MINUTE, 5 * MINUTE, 1)] == [5 * MINUTE]
    assert [each.start for each in series.candles(9 * MINUTE, 5 * MINUTE, 9, end=0)] == [0]


def test_history_goes_on_and_its_holes_are_filled() -> None:
    history = [Candle(0, 1, 3, 1, 2, 5, trades=1), Candle(3 * MINUTE, 4, 4, 4, 4, 1, trades=1)]
    series = MinuteCandles(history)
    series.trade(9, 1, 1, 1, 4 * MINUTE)
    assert [ohlc(each) for each in series.candles(4 * MINUTE, MINUTE, 9)] == [
        (1, 3, 1, 2, 5),
        (2, 2, 2, 2, 0),
        (2, 2, 2, 2, 0),
        (4, 4, 4, 4, 1),
        (9, 9, 9, 9, 1),
    ]


def test_shorter_candles_join_to_what_minutes_give() -> None:
    series = MinuteCandles()
    draw = Random(1)
    for second in range(0, 3600, 7):
        series.trade(draw.randrange(90, 110), draw.randrange(1, 5), 1, 1, second * 10**9)
    minutes = series.candles(3599 * 10**9, MINUTE, 100)
    assert joined(minutes, 15 * MINUTE) == series.candles(3599 * 10**9, 15 * MINUTE, 100)


def test_a_made_up_past_ends_at_the_price_and_comes_of_the_seed() -> None:
    def past(seed: int) -> list[Candle]:
        return list(made_up(1000, 100 * MINUTE, 50, Random(seed), 1, lambda price: price))

    found = past(1)
    assert (len(found), found[-1].close, found[-1].start) == (50, 1000, 99 * MINUTE)
    assert all(each.low <= min(each.open, each.close) <= max(each.open, each.close) <= each.high for each in found)
    assert all(after.open == before.close for before, after in pairwise(found))
    assert past(1) == found != past(2)


def joined_anew(series: MinuteCandles, interval: int, offset: int) -> list[Candle]:
    """The same candles, made of all minutes at once."""
    return joined(series.minutes, interval, offset)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_remembered_is_what_would_be_made_anew(seed: int) -> None:
    draw, now = Random(seed), NOW - NOW % (60 * MINUTE) + draw_minute(seed)
    series = MinuteCandles(kept=90)
    for _ in range(300):
        now += draw.choice([0, MINUTE // 3, MINUTE, 7 * MINUTE])
        late = draw.choice([0, 0, 0, 0, MINUTE, 20 * MINUTE])
        series.trade(draw.randrange(90, 110), draw.randrange(1, 5), 1, draw.choice([1, -1]), now - late)
        interval, offset = draw.choice([(MINUTE, 0), (5 * MINUTE, 0), (60 * MINUTE, 0), (30 * MINUTE, 4 * MINUTE)])
        series.roll(now)
        whole = joined_anew(series, interval, offset)
        assert series.candles(now, interval, 1000, offset=offset) == whole
        assert series.candles(now, interval, 3, offset=offset) == whole[-3:]
        start, end = whole[len(whole) // 3].start, whole[2 * len(whole) // 3].start
        among = [each for each in whole if start <= each.start <= end]
        assert series.candles(now, interval, 4, start, end, offset) == among[-4:]


def draw_minute(seed: int) -> int:
    """Where in an hour a history begins."""
    return (0, 1, 37, 59)[seed] * MINUTE


def test_no_limit_and_no_price_give_no_candles() -> None:
    series = MinuteCandles()
    assert series.candles(NOW, MINUTE, 10) == []
    series.trade(100, 1, 1, 1, NOW)
    assert series.candles(NOW, MINUTE, 0) == []
