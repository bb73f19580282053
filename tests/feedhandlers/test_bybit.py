"""Bybit's feed handler: the sequence rule on made messages, and recordings against a naive reconstruction."""

import gzip
import io
import json
import zipfile
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
from mlthon.engine.faces import LIVE, RESET, SET_ASK, SET_BID, STALE

PERP = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
SPOT = resolve(Exchange.Bybit, "byt:spot:btc-usdt")


class Seen:
    """Keeps the calls, and the book they make."""

    def __init__(self) -> None:
        self.quotes: list[tuple[int, ...]] = []
        self.trades: list[tuple[int, ...]] = []
        self.ops: list[int] = []
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def quote(self, *args: int) -> None:
        self.quotes.append(args)

    def trade(self, *args: int) -> None:
        self.trades.append(args)

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None:
        self.ops.append(op)
        if op == RESET:
            self.sides = ({}, {})
        elif op in (SET_BID, SET_ASK):
            self.sides[op - SET_BID][price] = qty
            if not qty:
                del self.sides[op - SET_BID][price]


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
    assert rig.seen[PERP].sides == ({999: 2000}, {1010: 3000, 1005: 1000})
    assert rig.handler.book(PERP).top() == (999, 2000, 1005, 1000)
    assert rig.handler.waiting() == []
    assert rig.handler.heard(PERP, Kind.BOOK) == 2


def test_a_gap_makes_the_book_wait_for_a_snapshot() -> None:
    rig = Rig()
    rig.start()
    rig.book("delta", 9, [["100.1", "1"]])
    assert rig.seen[PERP].ops[-1] == STALE
    assert rig.handler.waiting() == [PERP]
    rig.book("delta", 10, [["100.2", "1"]])
    assert rig.seen[PERP].ops[-1] == STALE
    rig.book("snapshot", 1, [["50.0", "1"]], [["51.0", "1"]])
    assert rig.seen[PERP].ops[-1] == LIVE
    assert rig.seen[PERP].sides == ({500: 1000}, {510: 1000})


@pytest.mark.parametrize("bids", [[["101.0", "1"]], [["100.05", "1"]], [["x", "1"]]])
def test_a_crossed_or_broken_delta_loses_the_book(bids: Any) -> None:
    rig = Rig()
    rig.start()
    rig.book("delta", 8, bids)
    assert rig.seen[PERP].ops[-1] == STALE
    assert rig.handler.counts.crossed + len(rig.problems) == 1


def test_disconnected() -> None:
    rig = Rig()
    rig.start()
    rig.handler.disconnected(3)
    assert rig.seen[PERP].ops[-1] == STALE


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
        for ours, theirs in zip(seen.sides, books[instrument.symbol], strict=True):
            assert ours == {ticks(price): lots(qty) for price, qty in theirs.items()}


def test_recording_of_depth_200(shared: Path) -> None:
    names = ("btc-usdt", "eth-usdt", "sol-usdt", "doge-usdt")
    rig = Rig(*(resolve(Exchange.Bybit, f"byt:perp:{name}") for name in names))
    books: dict[str, Any] = {}
    file = shared / "exchange-data/bybit/cryptofeed/2026-08-09/BYBIT.first-half.jsonl.gz"
    trades = 0
    for row in map(json.loads, gzip.decompress(file.read_bytes()).splitlines()):
        if row["t"] != "recv":
            continue
        rig.handler.message(row["data"].encode(), 1)
        message = json.loads(row["data"])
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
    assert rig.seen[PERP].ops == []
    assert rig.seen[PERP].trades == []
    assert len(rig.problems) + rig.handler.counts.other == 32
