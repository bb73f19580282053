"""cryptofeed's recordings as rows: real ones against what a naive reader makes of them, and made ones for the rest."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlthon.data.recordings import Recording
from mlthon.data.rows import Kind, Stream
from mlthon.data.sources import NoData, open_recordings
from mlthon.engine.faces import LIVE, RESET, SET_ASK, STALE
from tests.data.made import write

BYBIT = "bybit/cryptofeed/2026-08-09/BYBIT.first-half.jsonl.gz"
BITMEX = "bitmex/cryptofeed/2021-07-22/BITMEX.ws.1.0.gz"
LINEAR = "wss://stream.bybit.com/v5/public/linear"
SPOT = "wss://stream.bybit.com/v5/public/spot"


def opened(path: Path) -> dict[str, Recording]:
    return {each.instrument.name: each for each in open_recordings([path])[0]}


def rows(recording: Recording, kind: Kind) -> Iterator[tuple[int, ...]]:
    for columns in recording.chunks(Stream(recording.instrument, kind)):
        yield from zip(*(array.tolist() for array in columns.arrays()), strict=True)


def last_book(recording: Recording) -> list[dict[int, int]]:
    book: list[dict[int, int]] = [{}, {}]
    for _, _, op, price, qty, _ in rows(recording, Kind.BOOK):
        if op == RESET:
            book = [{}, {}]
        elif op <= SET_ASK:
            book[op][price] = qty
    return [{price: qty for price, qty in side.items() if qty} for side in book]


def test_bybit_books_and_trades_are_what_was_sent(shared: Path) -> None:
    path = shared / "exchange-data" / BYBIT
    found = opened(path)
    assert list(found) == ["byt:perp:btc-usdt", "byt:perp:eth-usdt", "byt:perp:sol-usdt", "byt:perp:doge-usdt"]
    entries = [json.loads(each) for each in gzip.decompress(path.read_bytes()).splitlines()]
    frames = [(each["ts"], json.loads(each["data"])) for each in entries if each["t"] == "recv"]
    for recording in found.values():
        instrument = recording.instrument
        price, qty = instrument.price_scale.steps, instrument.qty_scale.steps
        book: list[dict[int, int]] = [{}, {}]
        trades = []
        for ts, frame in frames:
            if frame.get("topic") == f"orderbook.200.{instrument.symbol}":
                book = [{}, {}] if frame["type"] == "snapshot" else book
                for side, levels in zip(book, (frame["data"]["b"], frame["data"]["a"]), strict=True):
                    side.update({price(each): qty(size) for each, size in levels})
            elif frame.get("topic") == f"publicTrade.{instrument.symbol}":
                at = round(ts * 10**6) * 1000
                trades += [
                    (row["T"] * 10**6, at, price(row["p"]), qty(row["v"]), 1 if row["S"] == "Buy" else -1)
                    for row in frame["data"]
                ]
        assert last_book(recording) == [{key: size for key, size in side.items() if size} for side in book]
        assert [row[:5] for row in rows(recording, Kind.TRADE)] == trades
        assert recording.problems == []


def test_bitmex_quotes_are_what_was_sent(shared: Path) -> None:
    path = shared / "exchange-data" / BITMEX
    recording = opened(path)["bmx:perp:btc-usd"]
    price, qty = recording.instrument.price_scale.steps, recording.instrument.qty_scale.steps
    sent = []
    for each in gzip.decompress(path.read_bytes()).decode().splitlines():
        frame = json.loads(each.partition(": ")[2]) if each[0].isdigit() else {}
        if frame.get("table") == "quote":
            sent += [row for row in frame["data"] if row["symbol"] == "XBTUSD"]
    heard = [row[2:] for row in rows(recording, Kind.QUOTE)]
    fields = (("bidPrice", price), ("bidSize", qty), ("askPrice", price), ("askSize", qty))
    assert heard == [tuple(scale(str(row[name])) for name, scale in fields) for row in sent]
    assert len(heard) == 286
    bids, asks = last_book(recording)
    assert (max(bids), min(asks)) == (heard[-1][0], heard[-1][2])


# -- made recordings ---------------------------------------------------------------------------------------------------


def line(t: str, ts: float, **more: Any) -> bytes:
    return json.dumps({"t": t, "conn": "c1", "ts": ts, **more}, separators=(",", ":")).encode()


def subscribe(*topics: str) -> str:
    return json.dumps({"op": "subscribe", "args": topics})


def book(symbol: str, update: int, kind: str = "snapshot") -> str:
    levels = {"s": symbol, "b": [["100.0", "1"]], "a": [["101.0", "2"]], "u": update, "seq": update}
    frame = {"topic": f"orderbook.50.{symbol}", "type": kind, "ts": 1000 + update, "data": levels, "cts": 1000 + update}
    return json.dumps(frame, separators=(",", ":"))


def made(tmp_path: Path, *lines: bytes) -> dict[str, Recording]:
    return opened(write(tmp_path / "BYBIT.jsonl", list(lines)))


def test_connections_are_kept_apart_and_a_new_one_makes_books_stale(tmp_path: Path) -> None:
    found = made(
        tmp_path,
        b'{"t":"header","format":2,"exchange":"BYBIT"}',
        line("connect", 1.0, addr=LINEAR),
        line("send", 1.1, addr=LINEAR, data=subscribe("orderbook.50.BTCUSDT", "orderbook.50.NEVERUSDT")),
        line("connect", 1.2, addr=SPOT, conn="c2"),
        line("send", 1.3, addr=SPOT, conn="c2", data=subscribe("orderbook.50.BTCUSDT")),
        line("recv", 2.0, data=book("BTCUSDT", 5)),
        line("recv", 2.5, data=book("BTCUSDT", 900), conn="c2"),
        line("connect", 3.0, addr=LINEAR),
        line("recv", 4.0, data=book("BTCUSDT", 9)),
    )
    assert set(found) == {"byt:perp:btc-usdt", "byt:spot:btc-usdt"}
    perp = [(recv, op) for _, recv, op, *_ in rows(found["byt:perp:btc-usdt"], Kind.BOOK)]
    assert [op for _, op in perp] == [RESET, 0, 1, LIVE, STALE, RESET, 0, 1, LIVE]
    assert [perp[0][0], perp[4][0], perp[5][0]] == [2 * 10**9, 3 * 10**9, 4 * 10**9]
    assert [op for _, _, op, *_ in rows(found["byt:spot:btc-usdt"], Kind.BOOK)] == [RESET, 0, 1, LIVE]
    assert found["byt:perp:btc-usdt"].start == 2 * 10**9


def test_lines_that_are_none_are_told(tmp_path: Path) -> None:
    recording = made(
        tmp_path,
        b'{"t":"header"}',
        line("connect", 1.0, addr=LINEAR),
        line("send", 1.1, addr=LINEAR, data=subscribe("orderbook.50.BTCUSDT")),
        line("send", 1.2, addr=LINEAR, data="not json"),
        b"garbage",
        b'{"t":"recv","ts":"x"}',
        line("recv", 2.0, data=book("BTCUSDT", 5)),
    )["byt:perp:btc-usdt"]
    assert len(list(rows(recording, Kind.BOOK))) == 4
    assert [(each.line, each.what.partition(" (")[0]) for each in recording.problems] == [
        (5, "not a line of cryptofeed's"),
        (6, "not a line of cryptofeed's"),
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"wss://stream.bybit.com/v5/public/linear <-> 1.5\n", "nothing of the catalogue was subscribed to"),
        (b'{"t":"header"}\n' + line("send", 1.0, addr="wss://x.org", data=subscribe("a.BTCUSDT")), "to at x.org"),
        (b"wss://stream.bybit.com/v5/public/linear\n", "not of a known format"),
    ],
)
def test_files_without_anything_to_read(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(NoData, match=told):
        open_recordings([write(tmp_path / "x.0", content.splitlines())])
