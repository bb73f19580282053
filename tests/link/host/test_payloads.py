"""Rows of candles: what is remembered of them is what would be made anew."""

from random import Random

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.engine.candles import MINUTE, MinuteCandles
from mlthon.engine.clock import MS, SECOND
from mlthon.link.host.listing import Listing
from mlthon.link.host.payloads import CandleRows

LISTING = Listing("bitmex", "XBTUSD", resolve(Exchange.BitMEX, "XBTUSD"))
START = 1_735_689_600 * SECOND


@pytest.mark.parametrize("opens_at_close", [True, False])
def test_rows_that_are_remembered_are_those_that_would_be_made(opens_at_close: bool) -> None:
    draw, now, series = Random(7), START, MinuteCandles()
    known = CandleRows(LISTING, opens_at_close=opens_at_close)
    for _ in range(200):
        now += draw.choice([0, MINUTE // 2, 3 * MINUTE])
        series.trade(draw.randrange(90, 110), 1, 1, 1, now - draw.choice([0, 0, 0, 5 * MINUTE]))
        found = series.candles(now, 5 * MINUTE, draw.choice([3, 20]))
        rows = known.rows(found)
        assert rows == CandleRows(LISTING, opens_at_close=opens_at_close).rows(found)
        assert [row["time"] for row in rows] == [each.start // MS for each in found]
        # they are the bot's, who may do with them what it likes
        rows[0]["close"] = None
    assert known.rows([]) == []


def test_a_candle_opens_at_the_close_before_where_exchanges_have_it_so() -> None:
    series = MinuteCandles()
    for minute, price in enumerate((100, 104, 90)):
        series.trade(price, 1, 1, 1, START + minute * MINUTE)
        series.trade(price + 1, 1, 1, 1, START + minute * MINUTE + 1)
    found = series.candles(START + 2 * MINUTE, MINUTE, 3)
    opens = [[row["open"] for row in CandleRows(LISTING, opens_at_close=so).rows(found)] for so in (True, False)]
    assert opens == [[50.0, 50.5, 52.5], [50.0, 52.0, 45.0]]
