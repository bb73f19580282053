"""How a message's way is found: by its first bytes where these tell the stream, else by its name."""

from collections.abc import Mapping

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import OnProblem
from mlthon.engine.faces import MarketEvents
from mlthon.venue import feed_streams
from mlthon.venue.feed_book import FeedBook
from mlthon.venue.feed_streams import Counts, InstrumentStreams, Report, Route, StreamHandler
from tests.venue.receivers import Seen

PERP = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
LONG = "a-stream-whose-name-is-longer-than-what-is-looked-at"


class Streams(InstrumentStreams):
    __slots__ = ()

    def __init__(self, instrument: Instrument, events: MarketEvents, counts: Counts, report: Report) -> None:
        super().__init__(instrument, events, counts, report)
        self.book = FeedBook(events, counts, self._ticks, self._lots)


class Handler(StreamHandler[Streams]):
    """Notes which way each message went."""

    PREFIX = b'{"name":"'
    EXCHANGES = (Exchange.Bybit,)

    def __init__(self, exchange: Exchange, receivers: Mapping[Instrument, MarketEvents], on_problem: OnProblem) -> None:
        counts = Counts()
        super().__init__(exchange, receivers, on_problem, counts, lambda *what: Streams(*what[:2], counts, what[2]))
        self.went: list[tuple[str, bytes]] = []
        self.asked: list[str] = []

    def _stream(self, data: bytes) -> str:
        if b"name" not in data:
            raise ValueError("no name")
        return data.decode().split('"')[3]

    def _route(self, stream: str) -> Route:
        self.asked.append(stream)
        return lambda data, _recv_ts: self.went.append((stream, data))


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture
def handler(problems: list[str]) -> Handler:
    return Handler(Exchange.Bybit, {PERP: Seen()}, lambda what, _data: problems.append(what))


def message(stream: str, number: int) -> bytes:
    return f'{{"name":"{stream}","number":{number},"filling":"{"x" * 40}"}}'.encode()


@pytest.mark.parametrize("streams", [("one", "two"), ("one", "one-more", "on"), (LONG, LONG + "!"), ("é", "one")])
def test_every_message_goes_its_streams_way(handler: Handler, streams: tuple[str, ...]) -> None:
    sent = [(stream, message(stream, number)) for number in range(50) for stream in streams]
    for _, data in sent:
        handler.message(data, 1)
    assert handler.went == sent
    assert sorted({*handler.asked}) == sorted(streams)


def test_a_stream_is_looked_up_once(handler: Handler) -> None:
    for number in range(5):
        handler.message(message("one", number), 1)
        handler.message(message(LONG, number), 1)
    assert handler.asked == ["one", LONG]


def test_beginnings_that_differ_do_not_pile_up(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_streams, "MOST_HEADS", 10)
    for number in range(100):
        handler.message(message("a", number), 1)
    assert len(handler.went) == 100
    assert len(handler.ways) <= 10


@pytest.mark.parametrize("data", [b"", b"{", b'{"other":"one"}', b"\xff"])
def test_what_has_no_stream_is_a_problem(handler: Handler, problems: list[str], data: bytes) -> None:
    handler.message(data, 1)
    assert (problems, handler.counts.problems, handler.went) == (["no name"], 1, [])


def test_an_answer_is_counted(handler: Handler) -> None:
    handler.message(b'{"name":"","ok":true}', 1)
    assert (handler.counts.other, handler.asked) == (1, [])


def test_what_is_cut_off_in_its_name_is_no_message_of_the_stream(handler: Handler) -> None:
    handler.message(message("one", 1), 1)
    handler.message(b'{"name":"onex', 1)
    assert handler.went == [("one", message("one", 1)), ("onex", b'{"name":"onex')]


def test_instruments_of_others_are_refused() -> None:
    with pytest.raises(ValueError, match="Woo is not one of Bybit"):
        Handler(Exchange.Woo, {}, lambda *_: None)
    with pytest.raises(ValueError, match="not an instrument of Bybit"):
        Handler(Exchange.Bybit, {resolve(Exchange.Binance, "BTCUSDT"): Seen()}, lambda *_: None)
