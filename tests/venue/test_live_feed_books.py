"""Books of the live feed: snapshots, gaps, and what is told of them."""

from typing import Any

import pytest

from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.faces import LIVE, RESET, SET_ASK, SET_BID, STALE
from mlthon.venue.wire import Failure, HttpAnswer, HttpMessage, Loss, Request
from tests.venue.feed_kit import BTC, ETH, START, Module, Rig, wanting


def with_whole_book() -> Rig:
    """A rig whose book is whole, with nothing of it left to look at."""
    rig = wanting(Kind.BOOK)
    rig.open()
    rig.diff()
    rig.run(0.3)
    rig.answer()
    rig.run(1)
    rig.seen[BTC].ops()
    return rig


class TestBooks:
    def test_a_snapshot_is_asked_for_once_a_change_has_come(self) -> None:
        rig = wanting(Kind.BOOK)
        rig.open()
        rig.run(1)
        assert rig.edge.asked == []
        rig.diff()
        rig.run(0.3)
        ((message, _),) = rig.edge.asked
        assert message.target == "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
        rig.run(3)
        assert len(rig.edge.asked) == 1
        rig.answer()
        assert rig.seen[BTC].ops() == [RESET, SET_BID, SET_ASK, LIVE, SET_BID, SET_ASK]
        rig.run(5)
        assert rig.edge.asked == []

    def test_a_book_in_which_nothing_happens_is_asked_for_too(self) -> None:
        rig = wanting(Kind.BOOK)
        rig.open()
        rig.run(3.5)
        assert len(rig.edge.asked) == 1

    def test_other_kinds_need_no_snapshot(self) -> None:
        rig = wanting(Kind.QUOTE, Kind.TRADE)
        rig.open()
        rig.run(30)
        assert rig.edge.asked == []

    @pytest.mark.parametrize(
        "answer", [Failure(Loss.NO_ANSWER, "timed out"), HttpAnswer(503, {}, b"unavailable"), HttpAnswer(200, {}, b"{")]
    )
    def test_a_snapshot_that_fails_is_asked_for_again_after_growing_pauses(self, answer: Any) -> None:
        rig = wanting(Kind.BOOK)
        rig.open()
        rig.diff()
        pauses = []
        for _ in range(4):
            before = rig.clock.now
            while not rig.edge.asked:
                rig.run(0.25)
            pauses.append((rig.clock.now - before) // SECOND)
            rig.answer(answer=answer)
        assert pauses == [0, 1, 2, 4]

    def test_a_snapshot_too_old_is_asked_for_again(self) -> None:
        rig = wanting(Kind.BOOK)
        rig.open()
        rig.diff()
        rig.run(0.3)
        rig.answer(last_id=50)
        assert rig.seen[BTC].ops() == []
        rig.run(1.3)
        rig.answer()
        assert LIVE in rig.seen[BTC].ops()

    def test_after_a_gap_the_book_is_stale_and_comes_back(self) -> None:
        rig = with_whole_book()
        rig.diff(skip=7)
        assert rig.seen[BTC].ops() == [STALE]
        rig.run(0.3)
        rig.answer()
        assert LIVE in rig.seen[BTC].ops()

    def test_a_lost_line_makes_the_book_stale_and_an_answer_from_before_does_not_count(self) -> None:
        rig = with_whole_book()
        rig.diff(skip=3)
        rig.run(0.3)
        rig.lose()
        rig.open()
        rig.diff()
        rig.seen[BTC].ops()
        rig.answer()
        assert rig.seen[BTC].ops() == []
        rig.run(0.3)
        rig.answer()
        assert LIVE in rig.seen[BTC].ops()

    def test_where_snapshots_come_by_themselves_a_gap_means_subscribing_anew(self) -> None:
        rig = Rig(Module(snapshot_request=lambda *_: None)).started({BTC: {Kind.BOOK}})
        rig.open()
        rig.edge.said()
        rig.run(9)
        assert rig.edge.said() == []
        again = [("UNSUBSCRIBE", ("btcusdt@depth@100ms",)), ("SUBSCRIBE", ("btcusdt@depth@100ms",))]
        rig.run(1.3)
        assert rig.edge.said() == again
        rig.run(1)
        assert rig.edge.said() == again
        rig.run(1)
        assert rig.edge.said() == []

    def test_a_book_that_is_unsubscribed_from_and_wanted_again_is_taken_up_by_a_new_line(self) -> None:
        rig = wanting(Kind.BOOK, Kind.QUOTE)
        rig.open()
        rig.diff()
        rig.run(0.3)
        rig.answer()
        rig.seen[BTC].ops()
        rig.feed.want("test", {BTC: {Kind.QUOTE}})
        rig.run(0)
        assert rig.seen[BTC].ops() == [STALE]
        rig.feed.want("test", {BTC: {Kind.QUOTE, Kind.BOOK}})
        rig.run(0)
        assert rig.edge.restarted == [("BinanceUsdm-public-1", "a book is subscribed to again")]
        rig.lose()
        rig.open()
        rig.diff()
        rig.run(0.3)
        rig.answer()
        assert LIVE in rig.seen[BTC].ops()


def test_without_books_quotes_serve_for_them() -> None:
    rig = Rig(Module(KINDS=(Kind.QUOTE, Kind.TRADE))).started({BTC: {Kind.BOOK}})
    rig.open()
    assert rig.edge.said() == [("SUBSCRIBE", ("btcusdt@bookTicker",))]


def test_snapshots_wait_for_their_rate_rule() -> None:
    def heavy(_exchange: Exchange, instrument: Instrument, _depth: int) -> Request:
        return Request("snapshot", lambda _ms: HttpMessage("GET", instrument.symbol), (("BinanceUsdm", 800),))

    rig = Rig(Module(snapshot_request=heavy)).started({BTC: {Kind.BOOK}, ETH: {Kind.BOOK}})
    rig.open()
    rig.run(4)
    assert len(rig.edge.asked) == 1
    rig.run(60)
    assert len(rig.edge.asked) == 2
    assert rig.clock.now - START > 60 * SECOND - 100 * MS
