"""Bybit's feed handler: the sequence rule on made messages, and recordings against a naive reconstruction."""

import gzip
import io
import json
import zipfile
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feedhandlers import bybit as module
from feedhandlers.bybit import BybitFeedHandler
from mlthon.basics.catalogue import define, resolve
from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import feed_handler_module
from mlthon.data.rows import Kind
from mlthon.engine.faces import LIVE, NO_ASK, NO_BID, SET_ASK, SET_BID, STALE
from tests.venue.receivers import Seen

PERP = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
SPOT = resolve(Exchange.Bybit, "byt:spot:btc-usdt")


class Rig:
    def __init__(self, *instruments: Instrument) -> None:
        self.seen = {each: Seen() for each in instruments or (PERP,)}
        self.problems: list[str] = []
        self.handler = BybitFeedHandler(Exchange.Bybit, self.seen, lambda what, _data: self.problems.append(what))

    def send(self, topic: str, kind: str, data: Any, **more: Any) -> None:
        message = {"topic": topic, "type": kind, "ts": 5, "data": data, **more}
        self.handler.message(json.dumps(message, separators=(",", ":")).encode(), 1)

    def book(self, kind: str, number: int, bids: Any = (), asks: Any = ()) -> None:
        self.send("orderbook.50.BTCUSDT", kind, {"s": "BTCUSDT", "b": bids, "a": asks, "u": number}, cts=4)

    def start(self) -> None:
        self.book("snapshot", 7, [["100.0", "1"], ["99.9", "2"]], [["101.0", "3"]])


def test_snapshot_deltas_and_deletion() -> None:
    rig = Rig()
    assert rig.handler.waiting() == [PERP]
    rig.start()
    rig.book("delta", 8, [["100.0", "0"]], [["100.5", "1"]])
    assert rig.seen[PERP].sides == {SET_BID: {999: 2000}, SET_ASK: {1010: 3000, 1005: 1000}}
    assert rig.handler.book(PERP).top() == (999, 2000, 1005, 1000)
    assert rig.handler.waiting() == []
    assert rig.handler.heard(PERP, Kind.BOOK) == 2


def test_a_gap_makes_the_book_wait_for_a_snapshot() -> None:
    rig = Rig()
    rig.start()
    rig.book("delta", 9, [["100.1", "1"]])
    assert rig.seen[PERP].books[-1][0] == STALE
    assert rig.handler.waiting() == [PERP]
    rig.book("delta", 10, [["100.2", "1"]])
    assert rig.seen[PERP].books[-1][0] == STALE
    rig.book("snapshot", 1, [["50.0", "1"]], [["51.0", "1"]])
    assert rig.seen[PERP].books[-1][0] == LIVE
    assert rig.seen[PERP].sides == {SET_BID: {500: 1000}, SET_ASK: {510: 1000}}


@pytest.mark.parametrize("bids", [[["101.0", "1"]], [["100.05", "1"]], [["x", "1"]]])
def test_a_crossed_or_broken_delta_loses_the_book(bids: Any) -> None:
    rig = Rig()
    rig.start()
    rig.book("delta", 8, bids)
    assert rig.seen[PERP].books[-1][0] == STALE
    assert rig.handler.counts.crossed + len(rig.problems) == 1


def test_disconnected() -> None:
    rig = Rig()
    rig.start()
    rig.handler.disconnected(3)
    assert rig.seen[PERP].books[-1][0] == STALE


def test_trades_and_quotes() -> None:
    rig = Rig()
    trade = {
        "T": 3,
        "s": "BTCUSDT",
        "S": "Sell",
        "v": "0.002",
        "p": "100.1",
        "i": "a9188a0a-82bc-50de-be60-03eedbe3cdd7",
    }
    rig.send("publicTrade.BTCUSDT", "snapshot", [trade, {**trade, "BT": True}])
    assert rig.seen[PERP].trades == [(1001, 2, -1, 0x03EEDBE3CDD7, 3_000_000, 1)]
    assert rig.handler.counts.block_trades == 1
    rig.send("orderbook.1.BTCUSDT", "snapshot", {"b": [["100.0", "1"]], "a": [["100.1", "2"]], "u": 1}, cts=4)
    assert rig.seen[PERP].quotes == [(1000, 1000, 1001, 2000, 4_000_000, 1)]


def test_what_is_no_market_data_of_ours() -> None:
    rig = Rig()
    rig.handler.message(b'{"success":true,"ret_msg":"pong","op":"ping"}', 1)
    assert rig.problems == []
    for data in (
        b"",
        b"{}",
        b'{"success":false,"ret_msg":"no","op":"subscribe"}',
        b'{"topic":"publicTrade.X","data":[]}',
    ):
        rig.handler.message(data, 1)
    assert len(rig.problems) == 4
    with pytest.raises(ValueError, match="both BTCUSDT"):
        Rig(PERP, SPOT)


def test_wiring() -> None:
    exchange = Exchange.Bybit
    assert feed_handler_module(exchange).EXCHANGES == module.EXCHANGES
    assert (module.line_name(exchange, PERP), module.line_name(exchange, SPOT)) == ("linear", "spot")
    url = module.line(exchange, module.environments(exchange)["main"], "spot", "a").url(0)
    assert url == "wss://stream.bybit.com/v5/public/spot"
    assert [module.topic(exchange, PERP, Kind.BOOK, depth) for depth in (10, 51, 5000)] == [
        f"orderbook.{depth}.BTCUSDT" for depth in (50, 200, 1000)
    ]
    sent = list(module.subscribe(exchange, [f"t{n}" for n in range(11)], 3))
    assert [len(json.loads(each)["args"]) for each in sent] == [10, 1]


def naive(books: dict[str, tuple[dict[str, str], dict[str, str]]], message: Any) -> None:
    """The book of a message's symbol as texts."""
    data = message["data"]
    if message["type"] == "snapshot":
        books[data["s"]] = ({}, {})
    for side, levels in zip(books[data["s"]], (data["b"], data["a"]), strict=True):
        for price, qty in levels:
            side[price] = qty
            if float(qty) == 0:
                del side[price]


def compare(rig: Rig, books: Any) -> None:
    for instrument, seen in rig.seen.items():
        ticks, lots = instrument.price_scale.steps, instrument.qty_scale.steps
        for ours, theirs in zip(seen.sides.values(), books[instrument.symbol], strict=True):
            assert ours == {ticks(price): lots(qty) for price, qty in theirs.items()}


COINS = ("BTC", "ETH", "SOL", "DOGE")


def recorded(shared: Path) -> Iterator[str]:
    """The messages of the recording of books, trades and tickers."""
    file = shared / "exchange-data/bybit/cryptofeed/2026-08-09/BYBIT.first-half.jsonl.gz"
    for row in map(json.loads, gzip.decompress(file.read_bytes()).splitlines()):
        if row["t"] == "recv":
            yield row["data"]


def test_recording_of_depth_200(shared: Path) -> None:
    rig = Rig(*(resolve(Exchange.Bybit, f"byt:perp:{coin.lower()}-usdt") for coin in COINS))
    books: dict[str, Any] = {}
    trades = 0
    for row in recorded(shared):
        rig.handler.message(row.encode(), 1)
        message = json.loads(row)
        topic = message.get("topic", "")
        if topic.startswith("orderbook"):
            naive(books, message)
            compare(rig, books) if message["data"]["u"] % 50 == 0 else None
        trades += len(message["data"]) if topic.startswith("publicTrade") else 0
    compare(rig, books)
    counts = rig.handler.counts
    assert (rig.problems, counts.gaps, counts.crossed, counts.snapshots, counts.updates) == ([], 0, 0, 4, 989)
    assert counts.trades + counts.block_trades == trades > 67
    assert counts.quotes > 400


def test_archive_of_depth_500(shared: Path) -> None:
    xrp = define(Exchange.Bybit, "XRPUSDT", InstrumentType.Perpetual, "xrp-usdt", tick="0.0001", lot="1")
    rig = Rig(xrp)
    books: dict[str, Any] = {}
    file = shared / "exchange-data/bybit/nautilus-data/xrpusdt-ob500.data.zip.gz"
    archive = zipfile.ZipFile(io.BytesIO(gzip.decompress(file.read_bytes())))
    for line in archive.read(archive.namelist()[0]).splitlines():
        rig.handler.message(line, 1)
        naive(books, json.loads(line))
        compare(rig, books)
    assert (rig.problems, rig.handler.counts.updates) == ([], 49)


def test_recording_of_depth_1(shared: Path) -> None:
    ticks = {"AIOZUSDT": "0.00001", "BANDUSDT": "0.0001", "RADUSDT": "0.0001", "SNTUSDT": "0.00001"}
    rig = Rig(
        *(
            define(Exchange.Bybit, name, InstrumentType.Perpetual, name[:-4].lower() + "-usdt", tick=tick, lot="0.1")
            for name, tick in ticks.items()
        )
    )
    file = shared / "exchange-data/bybit/cryptofeed/2025-06-13/BYBIT.ws.1.0.gz"
    for line in gzip.decompress(file.read_bytes()).decode().splitlines():
        stamp, _, text = line.partition(": ")
        if stamp.replace(".", "").isdigit():
            rig.handler.message(text.encode(), 1)
    assert (rig.problems, rig.handler.counts.quotes) == ([], 198)


def test_old_formats_are_told(shared: Path) -> None:
    rig = Rig()
    for name in ("bybit", "bybit-spot"):
        file = shared / f"exchange-data/bybit/tardis-node/{name}.mapper-cases.first-half.jsonl"
        for row in map(json.loads, file.read_text().splitlines()):
            rig.handler.message(json.dumps(row["message"]).encode(), 1)
    assert rig.seen[PERP].books == []
    assert rig.seen[PERP].trades == []
    assert len(rig.problems) + rig.handler.counts.other == 32


def test_recorded_books_agree_with_recorded_tickers(shared: Path) -> None:
    """A ticker's `cs` and a book message's `seq` count the same thing, and none of the recording have the same number:
    a ticker of 100 ms stands between two states of the book. Its best prices never leave those of the two; most times
    its quantities too are the ones of the one or the other."""
    symbols = {f"{coin}USDT": resolve(Exchange.Bybit, f"byt:perp:{coin.lower()}-usdt") for coin in COINS}
    rig = Rig(*symbols.values())
    tops: dict[str, list[tuple[int, tuple[int, ...]]]] = {symbol: [] for symbol in symbols}
    tickers: list[tuple[str, int, tuple[int, ...]]] = []
    for row in recorded(shared):
        rig.handler.message(row.encode(), 1)
        message = json.loads(row)
        kind, symbol = message.get("topic", "").partition(".")[0], message.get("topic", "").rpartition(".")[2]
        if kind == "orderbook":
            tops[symbol].append((message["data"]["seq"], rig.handler.book(symbols[symbol]).top()))
        elif kind == "tickers" and (quotes := rig.seen[symbols[symbol]].quotes):
            tickers.append((symbol, message["cs"], quotes.pop()[:4]))
            quotes.clear()
    between = same = 0
    for symbol, number, ticker in tickers:
        at = bisect_right(tops[symbol], number, key=lambda top: top[0])
        if 0 < at < len(tops[symbol]):
            before, after = tops[symbol][at - 1][1], tops[symbol][at][1]
            between += 1
            same += ticker in (before, after)
            for price in (0, 2):
                assert min(before[price], after[price]) <= ticker[price] <= max(before[price], after[price])
    assert (between, same) == (412, 345)


@pytest.mark.parametrize("kind", ["bid", "ask"])
def test_a_side_may_be_empty(kind: str) -> None:
    rig = Rig()
    rig.book("snapshot", 7, *([[["100.0", "1"]], []] if kind == "bid" else [[], [["100.0", "1"]]]))
    assert rig.handler.waiting() == []
    top = (1000, 1000, NO_ASK, 0) if kind == "bid" else (NO_BID, 0, 1000, 1000)
    assert rig.handler.book(PERP).top() == top
    rig.book("delta", 8, *([[["100.0", "0"]], []] if kind == "bid" else [[], [["100.0", "0"]]]))
    assert rig.handler.book(PERP).top() == (NO_BID, 0, NO_ASK, 0)
    rig.book("delta", 9, [["90.0", "1"]], [["91.0", "2"]])
    assert rig.handler.book(PERP).top() == (900, 1000, 910, 2000)


@pytest.mark.parametrize("wrong", [{"S": "Bought"}, {"p": "100.15"}, {"v": "0"}, {"p": "1e3"}, {"i": "no number"}])
def test_a_trade_that_cannot_be_read_is_reported(wrong: dict[str, str]) -> None:
    rig = Rig()
    trade = {"T": 3, "s": "BTCUSDT", "S": "Buy", "v": "0.002", "p": "100.1", "i": "7"}
    rig.send("publicTrade.BTCUSDT", "snapshot", [trade | wrong])
    assert (rig.seen[PERP].trades, len(rig.problems), rig.handler.heard(PERP, Kind.TRADE)) == ([], 1, 1)
    rig.send("publicTrade.BTCUSDT", "snapshot", [trade])
    assert rig.seen[PERP].trades == [(1001, 2, 1, 7, 3_000_000, 1)]


def test_ids_are_read_only_while_somebody_reads_them() -> None:
    class Choosy(Seen):
        reads_trade_ids = False

    rig = Rig()
    seen = rig.seen[PERP] = Choosy()
    rig.handler = BybitFeedHandler(Exchange.Bybit, rig.seen, pytest.fail)
    trade = {"T": 3, "s": "BTCUSDT", "S": "Buy", "v": "0.002", "p": "100.1", "i": "7"}
    for read in (False, True, False):
        seen.reads_trade_ids = read
        rig.send("publicTrade.BTCUSDT", "snapshot", [trade])
    assert [row[3] for row in seen.trades] == [0, 7, 0]


@pytest.mark.parametrize("empty", [["", "0"], ["0", "0"], ["100.05", "0"]])
def test_the_price_of_an_empty_side_is_not_read(empty: list[str]) -> None:
    rig = Rig()
    for _ in range(2):
        rig.send("orderbook.1.BTCUSDT", "snapshot", {"b": [empty], "a": [["100.1", "2"]], "u": 1}, cts=4)
        rig.send("orderbook.1.BTCUSDT", "snapshot", {"b": [["100.0", "1"]], "a": [empty], "u": 1}, cts=4)
    assert rig.seen[PERP].quotes == 2 * [
        (NO_BID, 0, 1001, 2000, 4_000_000, 1),
        (1000, 1000, NO_ASK, 0, 4_000_000, 1),
    ]
