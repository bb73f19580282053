"""Binance's feed handler: sequence rules on hand-made messages, and recordings against their own bookTicker stream."""

import json
from bisect import bisect_right
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from feedhandlers import binance as module
from feedhandlers.binance import BinanceFeedHandler
from mlthon.basics.catalogue import define, resolve
from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.data.feed_handlers import NoFeedHandler, feed_handler_module
from mlthon.data.importers.lines import Problems, read_lines
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS
from mlthon.engine.faces import LIVE, NO_ASK, NO_BID, RESET, SET_ASK, SET_BID, STALE
from tests.venue.receivers import Seen

USDM = resolve(Exchange.BinanceUsdm, "BTCUSDT")
SPOT = resolve(Exchange.Binance, "BTCUSDT")


class Rig:
    """A feed handler of one instrument, its receiver and its problems."""

    def __init__(self, instrument: Any = USDM) -> None:
        self.seen = Seen()
        self.problems: list[tuple[str, bytes]] = []
        self.instrument = instrument
        self.handler = BinanceFeedHandler(
            instrument.exchange, {instrument: self.seen}, lambda what, data: self.problems.append((what, data))
        )
        self.book = self.handler.book(instrument)

    def send(self, kind: str, data: dict[str, object], recv_ts: int = 1) -> None:
        symbol = self.instrument.symbol
        message = {"stream": f"{symbol.lower()}@{kind}", "data": {"s": symbol, **data}}
        self.handler.message(json.dumps(message, separators=(",", ":")).encode(), recv_ts)

    def depth(
        self, first: int, last: int, previous: int | None, bids: Any = (), asks: Any = (), recv_ts: int = 1
    ) -> None:
        data = {"E": 5, "U": first, "u": last, "b": bids, "a": asks}
        self.send("depth@0ms", data if previous is None else {**data, "pu": previous, "T": 4}, recv_ts)

    def snapshot(self, last_id: int, bids: Any = (("100.0", "1"),), asks: Any = (("101.0", "2"),)) -> None:
        body = json.dumps({"lastUpdateId": last_id, "bids": bids, "asks": asks}).encode()
        self.handler.snapshot(self.instrument, body, 2)


def test_found_by_entry_point() -> None:
    for exchange in (Exchange.Binance, Exchange.BinanceUsdm, Exchange.BinanceCoinm):
        assert feed_handler_module(exchange).EXCHANGES == module.EXCHANGES
    assert set(module.KINDS) == {Kind.QUOTE, Kind.TRADE, Kind.BOOK}
    with pytest.raises(NoFeedHandler, match=r"no feed handler for Woo.*Binance"):
        feed_handler_module(Exchange.Woo)


def test_trade_and_quote() -> None:
    rig = Rig()
    rig.send("trade", {"t": 7, "p": "100.10", "q": "0.002", "T": 12, "m": True, "X": "MARKET"}, 99)
    rig.send("trade", {"t": 8, "p": "100.20", "q": "0.003", "T": 13, "m": False}, 100)
    assert rig.seen.trades == [(1001, 2, -1, 7, 12 * MS, 99), (1002, 3, 1, 8, 13 * MS, 100)]
    rig.send("bookTicker", {"u": 1, "b": "100.0", "B": "0.5", "a": "100.1", "A": "0", "T": 14}, 101)
    rig.send("bookTicker", {"u": 2, "b": "0.0", "B": "0.000", "a": "100.1", "A": "1"}, 102)
    assert rig.seen.quotes == [(1000, 500, NO_ASK, 0, 14 * MS, 101), (NO_BID, 0, 1001, 1000, 0, 102)]


def test_trades_outside_the_book_are_counted_and_left_out() -> None:
    rig = Rig()
    rig.send("trade", {"t": 7, "p": "28722.50", "q": "0.001", "T": 12, "m": True, "X": "INSURANCE_FUND"})
    rig.send("trade", {"t": 8, "p": "0", "q": "0", "T": 12, "m": True, "X": "NA"})
    assert rig.seen.trades == []
    assert rig.handler.counts.off_book_trades == 2
    assert not rig.problems


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"not json", "malformed"),
        (b"", "truncated"),
        (b'{"stream":"btcusdt@trade","data":{}}', "missing required field"),
        (b'{"stream":"btcusdt@trade","data":{"s":"BTCUSDT","t":1,"p":"1.0","q":"1","T":1', "truncated"),
        (
            b'{"stream":"btcusdt@trade","data":{"s":"BTCUSDT","t":1,"p":"1.05","q":"1","T":1,"m":true}}',
            "multiple of 0.1",
        ),
        (
            b'{"stream":"btcusdt@trade","data":{"s":"BTCUSDT","t":1,"p":"0","q":"1","T":1,"m":true}}',
            "a trade of 1 at 0",
        ),
        (b'{"stream":"btcusdt@bookTicker","data":{"s":"B","u":1,"b":"2","B":"1","a":"2","A":"1"}}', "crossed quote"),
        (b'{"stream":"ethusdt@trade","data":{}}', "none of the instruments"),
        (b'{"error":{"code":2,"msg":"Invalid request"},"id":1}', "refused"),
        (b'{"code":-1121,"msg":"Invalid symbol."}', "Invalid symbol"),
        (b'{"e":"trade"}', "not a message of a combined stream"),
        (b"\xff\xfe", "malformed"),
    ],
)
def test_a_bad_message_is_reported_with_its_bytes_and_skipped(data: bytes, what: str) -> None:
    rig = Rig()
    for _ in range(2):
        rig.handler.message(data, 1)
    assert [bytes_ for _, bytes_ in rig.problems] == [data, data]
    assert what in rig.problems[0][0]
    assert rig.handler.counts.problems == 2
    assert not (rig.seen.trades)
    assert not (rig.seen.quotes)
    assert not (rig.seen.books)
    rig.send("trade", {"t": 7, "p": "100.10", "q": "0.002", "T": 12, "m": True})
    assert len(rig.seen.trades) == 1


def test_other_streams_and_answers_are_counted() -> None:
    rig = Rig()
    rig.handler.message(b'{"result":null,"id":1}', 1)
    rig.handler.message(b'{"stream":"btcusdt@markPrice@1s","data":{}}', 1)
    rig.handler.message(b'{"stream": "btcusdt@depth5", "data": {}}', 1)
    assert rig.handler.counts.other == 3
    assert not rig.problems


def test_a_message_spelled_with_blanks_and_another_order_is_read() -> None:
    rig = Rig()
    rig.handler.message(
        b'{ "data": {"m": true, "T": 1, "q": "1", "p": "100", "t": 1, "s": "BTCUSDT"}, "stream": "btcusdt@trade" }', 5
    )
    assert rig.seen.trades == [(1000, 1000, -1, 1, MS, 5)]


def test_diffs_wait_for_the_snapshot_that_they_continue() -> None:
    rig = Rig()
    rig.depth(5, 9, 3, bids=[["99.0", "1"]])
    rig.depth(10, 12, 9, bids=[["99.5", "2"]])
    rig.depth(13, 15, 12, asks=[["101.0", "0"], ["101.5", "3"]], recv_ts=7)
    assert rig.seen.books == []
    assert rig.handler.waiting() == [USDM]
    rig.snapshot(11)
    assert rig.seen.books == [
        (RESET, 0, 0, 0, 0, 2),
        (SET_BID, 1000, 1000, 0, 0, 2),
        (SET_ASK, 1010, 2000, 0, 0, 2),
        (LIVE, 0, 0, 0, 0, 2),
        (SET_BID, 995, 2000, 0, 4 * MS, 2),
        (SET_ASK, 1010, 0, 0, 4 * MS, 2),
        (SET_ASK, 1015, 3000, 0, 4 * MS, 2),
    ]
    assert rig.book.top() == (1000, 1000, 1015, 3000)
    assert rig.handler.waiting() == []


def test_a_snapshot_older_than_the_diffs_is_not_used() -> None:
    rig = Rig()
    rig.depth(15, 19, 13)
    rig.snapshot(11)
    assert rig.seen.books == []
    rig.snapshot(16)
    assert rig.seen.ops() == [RESET, SET_BID, SET_ASK, LIVE]


def test_spot_continues_by_the_next_number() -> None:
    rig = Rig(SPOT)
    rig.snapshot(10)
    rig.depth(8, 10, None)
    assert rig.seen.ops() == [RESET, SET_BID, SET_ASK, LIVE]
    rig.depth(9, 12, None, bids=[["99.00", "1.000019"]])
    rig.depth(13, 13, None)
    # Displayed quantities between two lots count as the lower one.
    assert rig.seen.books == [(SET_BID, 9900, 100001, 0, 5 * MS, 1)]
    rig.seen.books.clear()
    rig.depth(15, 15, None)
    assert rig.seen.ops() == [STALE]


def test_a_gap_makes_the_book_stale_until_the_next_snapshot() -> None:
    rig = Rig()
    rig.snapshot(10)
    rig.depth(11, 12, 10)
    rig.seen.ops()
    rig.depth(16, 18, 15, bids=[["99.0", "1"]])
    rig.depth(19, 20, 18, bids=[["99.1", "1"]])
    assert rig.seen.ops() == [STALE]
    assert not rig.book.live
    assert rig.handler.counts.gaps == 1
    rig.snapshot(17)
    assert rig.seen.ops() == [RESET, SET_BID, SET_ASK, LIVE, SET_BID, SET_BID]
    assert rig.book.live


def test_a_second_gap_while_waiting_drops_the_diffs_before_it() -> None:
    rig = Rig()
    rig.depth(5, 6, 4)
    rig.depth(11, 12, 10, bids=[["99.0", "1"]])
    rig.snapshot(5)
    assert rig.seen.books == []
    rig.snapshot(11)
    assert rig.seen.ops() == [RESET, SET_BID, SET_ASK, LIVE, SET_BID]


def test_a_diff_that_cannot_be_read_is_a_gap_afterwards() -> None:
    rig = Rig()
    rig.snapshot(10)
    rig.depth(11, 12, 10, bids=[["99.0", "1"], ["99.05", "1"]])
    assert len(rig.problems) == 1
    assert rig.seen.ops() == [RESET, SET_BID, SET_ASK, LIVE]
    rig.depth(13, 14, 12)
    assert rig.seen.ops() == [STALE]


def test_a_crossed_book_is_stale() -> None:
    rig = Rig()
    rig.snapshot(10)
    rig.seen.ops()
    rig.depth(11, 12, 10, bids=[["101.0", "1"]])
    assert rig.seen.ops() == [SET_BID, STALE]
    assert rig.handler.counts.crossed == 1
    rig.snapshot(12, bids=[["102.0", "1"]])
    assert rig.seen.ops() == []
    rig.snapshot(13)
    assert rig.seen.ops() == [RESET, SET_BID, SET_ASK, LIVE]


def test_a_snapshot_during_a_live_book_serves_the_gap_that_follows() -> None:
    rig = Rig()
    rig.snapshot(10)
    rig.depth(11, 12, 10)
    rig.seen.ops()
    rig.snapshot(50, bids=[["90.0", "1"]])
    assert rig.seen.ops() == []
    rig.depth(49, 55, 45)
    assert rig.seen.ops() == [STALE, RESET, SET_BID, SET_ASK, LIVE]
    assert rig.book.top() == (900, 1000, 1010, 2000)


def test_a_lost_connection_makes_live_books_stale() -> None:
    rig = Rig()
    rig.handler.disconnected(3)
    assert rig.seen.books == []
    rig.snapshot(10)
    rig.seen.ops()
    rig.handler.disconnected(4)
    assert rig.seen.books == [(STALE, 0, 0, 0, 0, 4)]
    assert rig.handler.waiting() == [USDM]


def test_wrong_snapshots_are_reported() -> None:
    rig = Rig()
    rig.handler.snapshot(USDM, b'{"lastUpdateId":1,"bids":[["1","x"]],"asks":[]}', 1)
    rig.handler.snapshot(USDM, b'{"lastUpdateId":1,"bids":[],"asks":[],"symbol":"ETHUSDT"}', 1)
    assert len(rig.problems) == 2
    assert rig.seen.books == []


def test_the_best_level_is_found_again_far_away() -> None:
    rig = Rig()
    rig.snapshot(10, bids=[["100.0", "1"], ["50.0", "1"]], asks=[["101.0", "1"], ["900.0", "1"]])
    rig.depth(11, 12, 10, bids=[["100.0", "0"]], asks=[["101.0", "0"]])
    assert rig.book.top() == (500, 1000, 9000, 1000)
    rig.depth(13, 14, 12, bids=[["50.0", "0"]], asks=[["900.0", "0"]])
    assert rig.book.top() == (NO_BID, 0, NO_ASK, 0)


def test_instruments_of_another_exchange_are_refused() -> None:
    with pytest.raises(ValueError, match="not an instrument of BinanceUsdm"):
        BinanceFeedHandler(Exchange.BinanceUsdm, {SPOT: Seen()}, lambda *_: None)
    with pytest.raises(ValueError, match="Woo is not one of Binance"):
        BinanceFeedHandler(Exchange.Woo, {}, lambda *_: None)


# Messages beside what tardis-node makes of them.

FINE: Final = "0.00000001"
PAIRS = [
    (Exchange.Binance, "binance/tardis-node/binance", "trade", 2),
    (Exchange.Binance, "binance/tardis-node/binance", "bookTicker", 1),
    (Exchange.Binance, "binance/tardis-node/binance", "depthSnapshot", 1),
    (Exchange.BinanceUsdm, "binance-usdm/tardis-node/binance-futures", "trade", 1),
    (Exchange.BinanceCoinm, "binance-coinm/tardis-node/binance-delivery", "depthSnapshot", 1),
    (Exchange.BinanceCoinm, "binance-coinm/tardis-node/binance-delivery", "depth", 2),
]
"""Left out: streams not read here, and a futures book that its editor left crossed."""


def said(rig: Rig) -> dict[str, Any]:
    """What the handler passed on, as tardis-node says it."""

    def number(steps: int) -> float:
        return steps / 10**8

    seen = rig.seen
    for price, qty, side, trade_id, exch_ts, _ in seen.trades:
        taker = "buy" if side > 0 else "sell"
        return {"id": str(trade_id), "price": number(price), "amount": number(qty), "side": taker, "ms": exch_ts // MS}
    for quote in seen.quotes:
        names = ("bidPrice", "bidAmount", "askPrice", "askAmount")
        return {name: number(steps) for name, steps in zip(names, quote[:4], strict=True)}
    levels = {op: [(number(row[1]), number(row[2])) for row in seen.books if row[0] == op] for op in (SET_BID, SET_ASK)}
    return {"bids": levels[SET_BID], "asks": levels[SET_ASK]}


@pytest.mark.parametrize(("exchange", "file", "kind", "count"), PAIRS)
def test_messages_mean_what_tardis_node_says(
    shared: Path, exchange: Exchange, file: str, kind: str, count: int
) -> None:
    compared = 0
    for row in map(
        json.loads, (shared / f"exchange-data/{file}.mapper-cases.first-half.jsonl").read_text().splitlines()
    ):
        message = row["message"]
        symbol, _, stream = message.get("stream", "").partition("@")
        if stream.partition("@")[0] != kind:
            continue
        (expected,) = row["normalized"]
        rig = Rig(define(exchange, symbol.upper(), InstrumentType.Perpetual, "made-up", tick=FINE, lot=FINE))
        if kind == "depthSnapshot":
            rig.handler.snapshot(rig.instrument, json.dumps(message["data"]).encode(), 1)
        else:
            if kind == "depth":
                rig.snapshot(message["data"]["u"], bids=[], asks=[])
                rig.seen.books.clear()
            rig.handler.message(json.dumps(message).encode(), 1)
        assert not rig.problems
        for side in ("bids", "asks"):
            if side in expected:
                expected[side] = [(level["price"], level["amount"]) for level in expected[side]]
        if kind == "trade":
            expected["ms"] = datetime.fromisoformat(expected["timestamp"]).timestamp() * 1000
        told = said(rig)
        assert told == {name: expected[name] for name in told}
        compared += 1
    assert compared == count


# The book against the recorded bookTicker stream.
#
# Rule: after the diff whose final id is u, best bid, best ask and both quantities equal those of the bookTicker with
# the greatest update id <= u. Measured: all of them agree, in every recording (whole files; updates compared below).

RECORDINGS = [
    (Exchange.BinanceUsdm, "BTCUSDT", ("binance-usdm", "btcusdt_20230404.dat", "btcusdt_20230405.dat"), 16110),
    (Exchange.BinanceUsdm, "BTCUSDT", ("binance-usdm", "btcusdt_20240718", "btcusdt_20240719"), 9016),
    (Exchange.BinanceUsdm, "ETHUSDT", ("binance-usdm", "ethusdt_20240718", "ethusdt_20240719"), 8922),
    (Exchange.Binance, "BTCUSDT", ("binance", "btcusdt_20240808"), 3448),
    (Exchange.Binance, "ETHUSDT", ("binance", "ethusdt_20240808"), 3432),
    (Exchange.BinanceCoinm, "BTCUSD_PERP", ("binance-coinm", "btcusd_perp_20240808"), 26822),
    (Exchange.BinanceCoinm, "ETHUSD_PERP", ("binance-coinm", "ethusd_perp_20240808"), 22885),
]
SUBSET = 4_000
"""Lines of each file that the quick test reads."""


def agreement(exchange: Exchange, symbol: str, files: list[Path], lines: int | None) -> tuple[int, int]:
    """How many diffs left a top that the rule compares, and how many of those agree."""
    instrument = resolve(exchange, symbol)
    rig = Rig(instrument)
    ids: list[int] = []
    tickers: list[tuple[int, ...]] = []
    tops: list[tuple[int, tuple[int, ...]]] = []
    for file in files:
        for number, _, line in read_lines(file, Problems(file, pytest.fail)):
            if number == lines:
                break
            message = line.partition(b" ")[2]
            if message.startswith(b'{"lastUpdateId"'):
                rig.handler.snapshot(instrument, message, 1)
                continue
            rig.handler.message(message, 1)
            if rig.seen.quotes:
                ids.append(json.loads(message)["data"]["u"])
                tickers.append(rig.seen.quotes.pop()[:4])
            elif b"@depth" in message[:60] and rig.book.live:
                tops.append((json.loads(message)["data"]["u"], rig.book.top()))
            rig.seen.books.clear()
    assert ids == sorted(ids)
    assert not rig.problems
    assert rig.handler.counts.gaps == rig.handler.counts.crossed == 0
    compared = [(top, tickers[at - 1]) for update_id, top in tops if (at := bisect_right(ids, update_id))]
    return len(compared), sum(top == ticker for top, ticker in compared)


def paths(shared: Path, names: tuple[str, ...]) -> list[Path]:
    folder, *files = names
    return [shared / "exchange-data" / folder / "hftbacktest" / f"{file}.gz" for file in files]


@pytest.mark.parametrize(("exchange", "symbol", "names", "_updates"), RECORDINGS)
def test_book_agrees_with_recorded_book_ticker(
    shared: Path, exchange: Exchange, symbol: str, names: tuple[str, ...], _updates: int
) -> None:
    compared, agree = agreement(exchange, symbol, paths(shared, names[:2]), SUBSET)
    assert compared > 300
    assert agree == compared


@pytest.mark.slow
@pytest.mark.parametrize(("exchange", "symbol", "names", "updates"), RECORDINGS)
def test_book_agrees_with_the_whole_recorded_book_ticker(
    shared: Path, exchange: Exchange, symbol: str, names: tuple[str, ...], updates: int
) -> None:
    assert agreement(exchange, symbol, paths(shared, names), None) == (updates, updates)
