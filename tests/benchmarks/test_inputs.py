"""The inputs are those that published figures were measured on, bit for bit."""

import numpy as np
import pytest

from benchmarks import inputs


@pytest.mark.parametrize(
    ("trades", "expected"),
    [
        (inputs.W1_TRADES, "9619829b0fce8bb89c52036b6a17ddeb938dd94213bb996d7a71c19dc2c59eaa"),
        (20_000, "5bc73900ff94f7a19c84f793463f71f5e542d66b0898abc79626501b20c1d472"),
    ],
)
def test_w1_is_the_same_everywhere(trades: int, expected: str) -> None:
    assert inputs.checksum(inputs.w1(trades)) == expected


@pytest.mark.parametrize(
    ("quotes", "expected"),
    [
        (inputs.W2_QUOTES, "f9e58c6cdc87d8be5a5d5f8f9a0bcc6bb3a45c689bf192972e2b1afe0be0a662"),
        (20_000, "d1015815f271586b48ae4b31ae75d309a918a5bf2ffc098dcc63cb2ab4f79d4f"),
    ],
)
def test_w2_is_the_same_everywhere(quotes: int, expected: str) -> None:
    assert inputs.checksum(*inputs.w2(quotes)) == expected


def test_the_checksum_sees_a_single_lot() -> None:
    trades = inputs.w1(100)
    before = inputs.checksum(trades)
    trades.qty[50] += 1
    assert inputs.checksum(trades) != before


def test_w2_holds_together() -> None:
    """Quotes are never crossed, times rise, and every trade is at the touch of the quote before it."""
    quotes, trades = inputs.w2(20_000)
    assert (quotes.ask > quotes.bid).all()
    assert (np.diff(quotes.ts) > 0).all()
    assert (np.diff(trades.ts) > 0).all()
    before = np.searchsorted(quotes.ts, trades.ts) - 1
    touch = np.where(trades.side > 0, quotes.ask[before], quotes.bid[before])
    assert (trades.price == touch).all()


def test_merging_puts_a_quote_before_a_trade_of_its_time() -> None:
    def ints(*values: int) -> inputs.Ints:
        return np.array(values, np.int64)

    quotes = inputs.Quotes(ints(10, 20), ints(99, 98), ints(1, 2), ints(101, 102), ints(3, 4))
    trades = inputs.Trades(ints(5, 20), ints(100, 102), ints(7, 8), ints(-1, 1))
    merged = inputs.merge(quotes, trades)
    assert merged.ts.tolist() == [5, 10, 20, 20]
    assert merged.is_trade.tolist() == [1, 0, 0, 1]
    assert [merged.a.tolist(), merged.b.tolist()] == [[100, 99, 98, 102], [7, 1, 2, 8]]
    assert [merged.c.tolist(), merged.d.tolist()] == [[-1, 101, 102, 1], [0, 3, 4, 0]]
