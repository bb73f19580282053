"""The book inside a feed handler: its top against a naive one, and how it is passed on."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.engine.faces import LIVE, NO_ASK, NO_BID, RESET, SET_ASK, SET_BID, STALE
from mlthon.protocols.decimals import Steps
from mlthon.venue.feed_book import FeedBook, next_best
from tests.venue.receivers import Seen

UNIT = 10**18


class AtOnce(Seen):
    """Takes a message's levels in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: list[tuple[list[tuple[int, int]], list[tuple[int, int]], int, int]] = []

    def changes(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]], exch_ts: int, recv_ts: int) -> None:
        self.changed.append((bids, asks, exch_ts, recv_ts))


def book_of(seen: Seen) -> tuple[FeedBook, SimpleNamespace]:
    counts = SimpleNamespace(crossed=0, gaps=0)
    return FeedBook(seen, counts, Steps(UNIT), Steps(UNIT)), counts


LEVEL = st.tuples(st.integers(1, 400), st.integers(0, 3))
MESSAGES = st.lists(st.tuples(st.lists(LEVEL, max_size=4), st.lists(LEVEL, max_size=4)), max_size=30)


@given(MESSAGES)
def test_the_top_is_the_best_of_all_levels(messages: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]) -> None:
    book, _ = book_of(Seen())
    book.start([("500", "1")], [("501", "1")], 1, 1)
    bids, asks = {500: 1}, {501: 1}
    for low, high in messages:
        # bids up to 500, asks from 501 on: never crossed
        changes = ([(500 - price // 2, qty) for price, qty in low], [(500 + price, qty) for price, qty in high])
        for levels, side in zip(changes, (bids, asks), strict=True):
            side.update(levels)
        bids, asks = ({price: qty for price, qty in side.items() if qty} for side in (bids, asks))
        book.change(*([(str(price), str(qty)) for price, qty in levels] for levels in changes), 1, 1)
        bid, ask = max(bids, default=NO_BID), min(asks, default=NO_ASK)
        assert book.top() == (bid, bids.get(bid, 0), ask, asks.get(ask, 0))
    assert book.live


def test_next_best_is_found_nearby_and_far_away() -> None:
    levels = {90: 1, 10: 1}
    assert (next_best(levels, 100, -1), next_best(levels, 0, 1), next_best(levels, 10_000, -1)) == (90, 10, 90)
    assert (next_best({}, 5, -1), next_best({}, 5, 1)) == (NO_BID, NO_ASK)


def test_who_takes_levels_at_once_gets_one_call_a_message() -> None:
    seen = AtOnce()
    book, _ = book_of(seen)
    book.start([("9", "1"), ("8", "0")], [("11", "2")], 3, 4)
    book.change([("9", "0"), ("8", "5")], [], 5, 6)
    assert seen.changed == [([(9, 1)], [(11, 2)], 3, 4), ([(9, 0), (8, 5)], [], 5, 6)]
    assert seen.ops() == [RESET, LIVE]
    assert book.top() == (8, 5, 11, 2)


def test_everybody_else_gets_a_call_a_level() -> None:
    seen = Seen()
    book, _ = book_of(seen)
    book.start([("9", "1")], [("11", "2")], 3, 4)
    book.change([("9", "0")], [("10", "5")], 5, 6)
    assert seen.books[-2:] == [(SET_BID, 9, 0, 0, 5, 6), (SET_ASK, 10, 5, 0, 5, 6)]
    assert seen.ops() == [RESET, SET_BID, SET_ASK, LIVE, SET_BID, SET_ASK]


@pytest.mark.parametrize("bid", ["11", "12"])
def test_a_crossed_book_is_lost_once(bid: str) -> None:
    seen = Seen()
    book, counts = book_of(seen)
    book.start([("9", "1")], [("11", "2")], 3, 4)
    book.change([(bid, "1")], [], 5, 6)
    book.lose(7, 7)
    assert (seen.ops(), counts.crossed, book.live) == ([RESET, SET_BID, SET_ASK, LIVE, SET_BID, STALE], 1, False)
    book.start([("9", "1")], [("9", "2")], 3, 4)
    assert (seen.ops(), counts.crossed, book.live) == ([], 2, False)


def test_what_is_missing_is_counted_and_loses_the_book() -> None:
    seen = Seen()
    book, counts = book_of(seen)
    book.start([("9", "1")], [("11", "2")], 3, 4)
    book.miss(5, 6)
    assert (seen.books[-1], counts.gaps) == ((STALE, 0, 0, 0, 5, 6), 1)


@pytest.mark.parametrize("level", [("9.5", "1"), ("x", "1"), ("9", "-1"), ("9", "")])
def test_a_snapshot_that_cannot_be_read_leaves_the_book_as_it_is(level: tuple[str, str]) -> None:
    book, _ = book_of(Seen())
    book.start([("9", "1")], [("11", "2")], 3, 4)
    with pytest.raises(ValueError, match=r"."):
        book.start([("8", "1"), level], [("11", "2")], 3, 4)
    assert book.top() == (9, 1, 11, 2)
