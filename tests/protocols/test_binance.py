"""The messages as they stand in recordings, and the sequence rules as tables."""

import msgspec
import pytest

from mlthon.protocols import binance as wire

TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1680652700455,"T":1680652700452,"s":"BTCUSDT","t":3535186032,'
    b'"p":"28145.10","q":"0.002","X":"MARKET","m":true}}'
)
SPOT_TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,'
    b'"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
)
SPOT_TICKER = (
    b'{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000",'
    b'"a":"61837.64000000","A":"1.54698000"}}'
)
MARK_PRICE = (
    b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1680652701000,"s":"BTCUSDT",'
    b'"p":"28147.27373413","P":"28142.15563565","i":"28159.75642857","r":"0.00002754","T":1680652800000}}'
)


def test_trades() -> None:
    trade = wire.decode_trade(TRADE).data
    assert (trade.symbol, trade.id, trade.price, trade.qty) == ("BTCUSDT", 3535186032, "28145.10", "0.002")
    assert (trade.time, trade.buyer_is_maker, trade.kind) == (1680652700452, True, "MARKET")
    assert wire.decode_trade(SPOT_TRADE).data.kind == "MARKET"


def test_spot_book_ticker_has_no_time() -> None:
    ticker = wire.decode_book_ticker(SPOT_TICKER).data
    assert (ticker.update_id, ticker.bid, ticker.ask_qty, ticker.time) == (
        50093239212,
        "61837.63000000",
        "1.54698000",
        0,
    )


def test_mark_price() -> None:
    mark = wire.decode_mark_price(MARK_PRICE).data
    assert (mark.mark, mark.index, mark.settle) == ("28147.27373413", "28159.75642857", "28142.15563565")
    assert (mark.rate, mark.next_funding) == ("0.00002754", 1680652800000)


def test_a_missing_field_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="`t`"):
        wire.decode_trade(TRADE.replace(b'"t":', b'"z":'))


def update(first: int, last: int, previous: int = -1) -> wire.DepthUpdate:
    return wire.DepthUpdate("X", 0, first, last, [], [], previous)


@pytest.mark.parametrize(
    ("diff", "last_id", "expected"),
    [
        (update(11, 20), 10, True),
        (update(10, 20), 10, False),
        (update(12, 20), 10, False),
        (update(15, 20, previous=10), 10, True),
        (update(15, 20, previous=9), 10, False),
        (update(11, 20, previous=12), 10, False),
    ],
)
def test_follows(diff: wire.DepthUpdate, last_id: int, expected: bool) -> None:
    assert wire.follows(diff, last_id) is expected


@pytest.mark.parametrize(
    ("diff", "snapshot_id", "precedes", "bridges"),
    [
        # Spot: a diff up to the snapshot's id is in it.
        (update(5, 10), 10, True, False),
        (update(5, 11), 10, False, True),
        (update(11, 15), 10, False, True),
        (update(12, 15), 10, False, False),
        # Futures: one that ends on the id is applied (again).
        (update(5, 9, previous=3), 10, True, False),
        (update(5, 10, previous=3), 10, False, True),
        (update(5, 12, previous=3), 10, False, True),
        # The id lies between two diffs: nothing of this symbol happened there.
        (update(12, 15, previous=8), 10, False, True),
        (update(12, 15, previous=11), 10, False, False),
    ],
)
def test_snapshot_rules(diff: wire.DepthUpdate, snapshot_id: int, precedes: bool, bridges: bool) -> None:
    assert wire.precedes(diff, snapshot_id) is precedes
    assert wire.bridges(diff, snapshot_id) is bridges
