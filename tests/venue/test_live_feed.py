"""The live feed on an edge without sockets: what is subscribed to, and what is done when something is missing."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from feedhandlers import binance
from mlthon.api.istrat_env import MDSub
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.engine.faces import LIVE, RESET, SET_ASK, SET_BID, STALE
from mlthon.venue.live_feed import LiveFeed
from mlthon.venue.wire import Answered, BatchUser, Failure, HttpAnswer, HttpMessage, Line, LineUser, Loss, Request
from tests.venue.receivers import Seen

BTC = resolve(Exchange.BinanceUsdm, "BTCUSDT")
ETH = resolve(Exchange.BinanceUsdm, "ETHUSDT")
START = 1_700_000_000 * SECOND


class FakeEdge:
    """An edge that keeps what is asked of it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lines: dict[str, tuple[Line, LineUser]] = {}
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.at: list[int] = []
        self.asked: list[tuple[HttpMessage, Answered]] = []
        self.restarted: list[tuple[str, str]] = []

    def open_line(self, line: Line, user: LineUser) -> None:
        assert line.name not in self.lines
        self.lines[line.name] = (line, user)

    def close_line(self, name: str) -> None:
        del self.lines[name]

    def restart_line(self, name: str, reason: str) -> None:
        self.restarted.append((name, reason))

    def send(self, name: str, text: str) -> bool:
        self.sent.append((name, json.loads(text)))
        self.at.append(self.clock.now)
        return True

    def http(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        self.asked.append((message, answered))

    def said(self) -> list[tuple[str, tuple[str, ...]]]:
        """(method, topics) sent since the last call."""
        sent, self.sent = self.sent, []
        return [(message["method"], tuple(message["params"])) for _, message in sent]


class FakeStatuses:
    """What strategies want, and what they are told."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] | None = None
        self.subs: dict[Instrument, set[MDSub]] = {}
        self.told: list[tuple[str, str, frozenset[str]]] = []

    def wanted(self) -> dict[Instrument, set[MDSub]]:
        return self.subs

    def disconnect(self, detail: str, instruments: Iterable[Instrument] | None = None) -> None:
        self.told.append(("gone", detail, frozenset(each.symbol for each in instruments or ())))

    def reconnect(self, detail: str, instruments: Iterable[Instrument] | None = None) -> None:
        self.told.append(("back", detail, frozenset(each.symbol for each in instruments or ())))


class Module:
    """Binance's module with something else in its place."""

    def __init__(self, **other: Any) -> None:
        self._other = other

    def __getattr__(self, name: str) -> Any:
        return self._other[name] if name in self._other else getattr(binance, name)


class Rig:
    def __init__(self, module: Any = binance) -> None:
        self.clock = Clock(START)
        self.edge = FakeEdge(self.clock)
        self.statuses = FakeStatuses()
        self.seen = {BTC: Seen(), ETH: Seen()}
        endpoints = binance.environments(Exchange.BinanceUsdm)["main"]
        self.feed = LiveFeed(Exchange.BinanceUsdm, module, endpoints, self.edge, self.clock, self.statuses, self.seen)
        self.update_id = 100

    def started(self, wanted: dict[Instrument, set[Kind]]) -> "Rig":
        self.feed.start()
        self.feed.want("test", wanted)
        self.run(0)
        return self

    def run(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + round(seconds * SECOND))

    def names(self) -> list[str]:
        return list(self.edge.lines)

    def user(self, name: str = "") -> LineUser:
        return self.edge.lines[name or self.names()[0]][1]

    def open(self, name: str = "") -> None:
        self.user(name).line_opened(name or self.names()[0])
        self.run(0)

    def lose(self, name: str = "", reason: str = "cut off") -> None:
        self.user(name).line_closed(name or self.names()[0], reason)
        self.run(0)

    def say(self, stream: str, name: str = "", **data: Any) -> None:
        message = json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()
        self.user(name).line_message(name or self.names()[0], message, self.clock.now)

    def quote(self, name: str = "") -> None:
        self.say("btcusdt@bookTicker", name, s="BTCUSDT", u=1, b="100.0", B="1", a="100.1", A="1", T=1)

    def diff(self, skip: int = 0, name: str = "") -> None:
        """A change of BTC's book; `skip`: as if so many before it had been lost."""
        before = self.update_id + skip
        self.update_id = before + 10
        self.say(
            "btcusdt@depth@100ms", name, s="BTCUSDT", E=1, T=1, U=before + 1, u=before + 10, pu=before,
            b=[["100.0", "2"]], a=[["100.5", "3"]],
        )  # fmt: skip

    def answer(self, last_id: int | None = None, answer: Any = None) -> None:
        """Answer the oldest question for a snapshot."""
        _, answered = self.edge.asked.pop(0)
        body: dict[str, Any] = {"lastUpdateId": self.update_id - 5 if last_id is None else last_id, "T": 1}
        body |= {"bids": [["100.0", "1"]], "asks": [["100.4", "1"]]}
        answered(answer or HttpAnswer(200, {}, json.dumps(body).encode(), 0, self.clock.now))


def wanting(*kinds: Kind) -> Rig:
    return Rig().started({BTC: set(kinds)})


def test_nothing_is_opened_while_nothing_is_wanted() -> None:
    rig = Rig()
    rig.feed.start()
    rig.run(5)
    assert rig.names() == []
    assert rig.statuses.told == [("gone", "BinanceUsdm is not connected yet", frozenset({"BTCUSDT", "ETHUSDT"}))]


def test_what_strategies_and_others_want_is_subscribed_to_once_the_line_is_open() -> None:
    rig = Rig()
    rig.statuses.subs = {BTC: {MDSub.BBO, MDSub.PriceLevelBook, MDSub.LevelBook}}
    rig.started({BTC: {Kind.QUOTE}, ETH: {Kind.TRADE}})
    assert rig.names() == ["BinanceUsdm-public-1"]
    assert rig.edge.lines["BinanceUsdm-public-1"][0].url(0) == "wss://fstream.binance.com/public/stream"
    assert rig.edge.said() == []
    rig.open()
    ((method, topics),) = rig.edge.said()
    assert method == "SUBSCRIBE"
    assert sorted(topics) == ["btcusdt@bookTicker", "btcusdt@depth@100ms", "ethusdt@trade"]
    assert rig.statuses.told[1:] == [("back", "BinanceUsdm-public-1 is connected", frozenset({"BTCUSDT", "ETHUSDT"}))]
    rig.quote()
    assert len(rig.seen[BTC].quotes) == 1


def test_changes_while_it_runs() -> None:
    rig = wanting(Kind.QUOTE)
    rig.open()
    rig.edge.said()
    rig.statuses.subs = {ETH: {MDSub.PublicTrades}}
    assert rig.statuses.on_change is not None
    rig.statuses.on_change()
    rig.statuses.on_change()
    rig.run(0)
    assert rig.edge.said() == [("SUBSCRIBE", ("ethusdt@trade",))]
    rig.feed.want("test", {})
    rig.run(0)
    assert rig.edge.said() == [("UNSUBSCRIBE", ("btcusdt@bookTicker",))]
    assert not rig.feed.connected(BTC)
    assert rig.feed.connected(ETH)
    rig.statuses.subs = {}
    rig.statuses.on_change()
    rig.run(0)
    assert rig.names() == []


def test_ids_of_messages_count_upwards() -> None:
    rig = wanting(Kind.QUOTE)
    rig.open()
    rig.feed.want("test", {ETH: {Kind.QUOTE}})
    rig.run(2)
    assert [message["id"] for _, message in rig.edge.sent] == [1, 2, 3]


def test_subscriptions_are_replayed_at_each_connect() -> None:
    rig = wanting(Kind.QUOTE, Kind.TRADE)
    for _ in range(3):
        rig.open()
        ((method, topics),) = rig.edge.said()
        assert (method, set(topics)) == ("SUBSCRIBE", {"btcusdt@bookTicker", "btcusdt@trade"})
        rig.lose(reason="reset by peer")
        assert rig.statuses.told[-1] == ("gone", "BinanceUsdm-public-1: reset by peer", frozenset({"BTCUSDT"}))
        told = len(rig.statuses.told)
        rig.lose(reason="refused")
        assert len(rig.statuses.told) == told
        rig.run(5)


def test_topics_are_spread_over_lines_and_lines_lost_one_by_one() -> None:
    rig = Rig(Module(MOST_TOPICS=2)).started({BTC: {Kind.QUOTE, Kind.TRADE}, ETH: {Kind.QUOTE}})
    first, second = rig.names()
    assert rig.feed.lines() == {first: 2, second: 1}
    rig.open(first)
    assert rig.feed.connected(BTC)
    assert not rig.feed.connected(ETH)
    rig.open(second)
    rig.lose(first)
    assert rig.statuses.told[-1][2] == {"BTCUSDT"}
    assert rig.feed.connected(ETH)


def test_subscribing_keeps_to_the_rate_rule() -> None:
    many = Module(subscribe=lambda _exchange, topics, number: [
        json.dumps({"method": "SUBSCRIBE", "params": [topic], "id": number}) for topic in topics
    ])  # fmt: skip
    rig = Rig(many).started({BTC: set(binance.KINDS), ETH: set(binance.KINDS)})
    rig.open()
    assert len(rig.edge.sent) == 4
    rig.run(3)
    assert len(rig.edge.sent) == 6
    assert rig.edge.at[4] == START + SECOND


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
        rig = wanting(Kind.BOOK)
        rig.open()
        rig.diff()
        rig.run(0.3)
        rig.answer()
        rig.run(1)
        rig.seen[BTC].ops()
        rig.diff(skip=7)
        assert rig.seen[BTC].ops() == [STALE]
        rig.run(0.3)
        rig.answer()
        assert LIVE in rig.seen[BTC].ops()

    def test_a_lost_line_makes_the_book_stale_and_an_answer_from_before_does_not_count(self) -> None:
        rig = wanting(Kind.BOOK)
        rig.open()
        rig.diff()
        rig.run(0.3)
        rig.answer()
        rig.run(1)
        rig.seen[BTC].ops()
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


def test_a_kind_that_the_exchange_has_not_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig().started({BTC: {Kind.QUOTE, Kind.FLOW}})
    rig.open()
    assert rig.edge.said() == [("SUBSCRIBE", ("btcusdt@bookTicker",))]
    rig.feed.want("other", {})
    rig.run(0)
    assert caplog.text.count("no stream of flow") == 1


def test_without_books_quotes_serve_for_them() -> None:
    rig = Rig(Module(KINDS=(Kind.QUOTE, Kind.TRADE))).started({BTC: {Kind.BOOK}})
    rig.open()
    assert rig.edge.said() == [("SUBSCRIBE", ("btcusdt@bookTicker",))]


def test_an_instrument_without_receiver_is_refused() -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="is none of the instruments of this feed"):
        rig.feed.want("test", {resolve(Exchange.Binance, "BTCUSDT"): {Kind.QUOTE}})


def test_stopping_closes_every_line_and_asks_for_nothing_more() -> None:
    rig = wanting(Kind.BOOK)
    rig.open()
    rig.feed.stop()
    assert rig.names() == []
    assert rig.statuses.told[-1] == ("gone", "BinanceUsdm-public-1 is closed", frozenset({"BTCUSDT"}))
    rig.feed.want("test", {ETH: {Kind.QUOTE}})
    rig.run(10)
    assert rig.names() == []
    assert rig.edge.asked == []


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
