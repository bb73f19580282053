"""Messages of the live feed: those that do not come, many in a read, and those that make no sense."""

import pytest

from mlthon.data.rows import Kind
from mlthon.engine.clock import SECOND
from mlthon.venue.wire import BatchUser
from tests.venue.feed_kit import BTC, ETH, START, Rig, wanting


class TestSilence:
    def test_a_silent_subscription_has_its_line_connected_anew(self) -> None:
        rig = wanting(Kind.QUOTE, Kind.TRADE)
        rig.open()
        for _ in range(10):
            rig.run(50)
            rig.quote()
        assert rig.edge.restarted == []
        rig.run(61)
        assert rig.edge.restarted == [("BinanceUsdm-public-1", f"no quote of {BTC.name} for 60 s")]

    def test_another_instrument_that_speaks_does_not_help(self) -> None:
        rig = Rig().started({BTC: {Kind.QUOTE}, ETH: {Kind.QUOTE}})
        rig.open()
        for _ in range(7):
            rig.quote()
            rig.run(10)
        assert [reason for _, reason in rig.edge.restarted] == [f"no quote of {ETH.name} for 60 s"]

    def test_each_time_in_vain_doubles_the_patience_until_it_speaks(self) -> None:
        rig = wanting(Kind.QUOTE)
        times = []
        for _ in range(3):
            rig.open()
            began = rig.clock.now
            before = len(rig.edge.restarted)
            while len(rig.edge.restarted) == before:
                rig.run(1)
            times.append((rig.clock.now - began) // SECOND)
            rig.lose()
        assert times == [61, 121, 241]
        rig.open()
        rig.quote()
        rig.run(62)
        assert rig.edge.restarted[-1][1].endswith("for 60 s")


class TestReads:
    """The messages of one read."""

    QUOTE = b'{"stream":"btcusdt@bookTicker","data":{"s":"BTCUSDT","u":1,"b":"100","B":"1","a":"101","A":"1","T":1}}'

    def hear(self, rig: Rig, count: int, first: int = 0) -> int:
        user = rig.user()
        assert isinstance(user, BatchUser)
        return user.line_messages(rig.names()[0], [self.QUOTE] * count, first, rig.clock.now)

    def test_all_are_heard_and_counted(self) -> None:
        rig = wanting(Kind.QUOTE)
        rig.open()
        assert (self.hear(rig, 5), self.hear(rig, 5, first=3)) == (5, 5)
        assert (len(rig.seen[BTC].quotes), rig.feed.messages) == (7, 7)

    def test_what_one_makes_due_comes_before_the_next(self) -> None:
        rig = wanting(Kind.QUOTE)
        rig.open()
        quote = rig.seen[BTC].quote

        def ask(*args: int) -> None:
            quote(*args)
            if len(rig.seen[BTC].quotes) == 2:
                rig.clock.call_soon(lambda: None)

        rig.seen[BTC].quote = ask  # type: ignore[method-assign]
        assert self.hear(rig, 5) == 2
        rig.run(0)
        assert self.hear(rig, 5, first=2) == 5
        assert (len(rig.seen[BTC].quotes), rig.feed.messages) == (5, 5)

    def test_none_is_heard_after_one_that_the_feed_handler_fails_on(self) -> None:
        rig = wanting(Kind.QUOTE)
        rig.open()

        def fail(*_args: int) -> None:
            raise RuntimeError("a fault")

        rig.seen[BTC].quote = fail  # type: ignore[method-assign]
        assert self.hear(rig, 5, first=1) == 2
        assert (rig.feed.faults, rig.feed.messages) == (1, 1)
        assert rig.edge.restarted[-1][1] == "the feed handler raised"


class TestBadMessages:
    def test_it_is_logged_with_its_bytes_counted_and_skipped(self, caplog: pytest.LogCaptureFixture) -> None:
        rig = wanting(Kind.QUOTE)
        rig.open()
        for _ in range(50):
            rig.user().line_message(rig.names()[0], b'{"stream":"btcusdt@bookTicker","data":{"s":1}}', START)
        rig.quote()
        assert rig.feed.problems == 50
        assert len(rig.seen[BTC].quotes) == 1
        assert "btcusdt@bookTicker" in caplog.text
        assert len(caplog.records) == 20
        rig.run(61)
        caplog.clear()
        rig.user().line_message(rig.names()[0], b"nonsense", START)
        assert "nonsense" in caplog.text
        assert rig.edge.restarted[1:] == []

    def test_a_feed_handler_that_raises_has_its_line_connected_anew(self, caplog: pytest.LogCaptureFixture) -> None:
        rig = wanting(Kind.QUOTE)
        rig.open()

        def fail(*_args: int) -> None:
            raise RuntimeError("a fault")

        rig.seen[BTC].quote = fail  # type: ignore[method-assign]
        rig.quote()
        assert rig.feed.faults == 1
        assert rig.edge.restarted == [(rig.names()[0], "the feed handler raised")]
        assert "a fault" in caplog.text
