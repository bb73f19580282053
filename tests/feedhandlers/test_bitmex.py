"""BitMEX's feed handler: the rules of its tables on hand-made messages, and recordings against a naive book, against
their own quote channel and against Tardis's normalised messages."""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from feedhandlers import bitmex as module
from feedhandlers.bitmex import BitmexFeedHandler
from mlthon.basics.catalogue import define, resolve
from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import feed_handler_module
from mlthon.data.rows import Kind
from mlthon.engine.faces import LIVE, NO_ASK, RESET, SET_ASK, SET_BID, STALE
from tests.venue.receivers import Seen

XBTUSD = resolve(Exchange.BitMEX, "XBTUSD")
SPOT = resolve(Exchange.BitMEX, "XBT_USDT")
MS = 1_000_000


def made(symbol: str, tick: Any, lot: Any = 1) -> Instrument:
    return define(Exchange.BitMEX, symbol, InstrumentType.Perpetual, f"{symbol.lower()}-usd", tick=tick, lot=lot)


class Rig:
    def __init__(self, *instruments: Instrument) -> None:
        self.seen = {instrument.symbol: Seen() for instrument in instruments}
        self.problems: list[tuple[str, bytes]] = []
        self.handler = BitmexFeedHandler(
            {instrument: self.seen[instrument.symbol] for instrument in instruments},
            lambda what, data: self.problems.append((what, data)),
        )

    def send(self, table: str, action: str, *rows: dict[str, object], recv_ts: int = 1, **more: object) -> None:
        message = {"table": table, "action": action, **more, "data": rows}
        self.handler.message(json.dumps(message, separators=(",", ":")).encode(), recv_ts)

    def book(self, action: str, *rows: tuple[Any, ...]) -> None:
        """Rows: id, side, size, price, as far as they go."""
        names = ("id", "side", "size", "price")
        self.send("orderBookL2", action, *({"symbol": "XBTUSD", **dict(zip(names, row, strict=False))} for row in rows))


def test_found_by_entry_point() -> None:
    assert feed_handler_module(Exchange.BitMEX).EXCHANGES == module.EXCHANGES


def test_trades_and_quotes() -> None:
    rig = Rig(XBTUSD)
    trade = {"timestamp": "2021-07-22T22:36:11.685Z", "symbol": "XBTUSD", "side": "Sell", "size": 900}
    trade |= {"price": 32180.5, "trdMatchID": "00000000-006d-1000-0000-000e8737d540"}
    rig.send("trade", "partial", trade)
    rig.send("trade", "insert", trade, {**trade, "side": "Buy", "size": 1000, "price": 32181}, recv_ts=7)
    at = 1626993371685 * MS
    assert rig.seen["XBTUSD"].trades == [
        (64361, 9, -1, 0xE8737D540, at, 7),
        (64362, 10, 1, 0xE8737D540, at, 7),
    ]
    assert rig.handler.counts.old_trades == 1
    quote = {"timestamp": "2021-07-22T22:36:11.685Z", "symbol": "XBTUSD", "bidSize": 500, "bidPrice": 32180}
    rig.send("quote", "partial", {**quote, "askPrice": 32180.5, "askSize": 100})
    rig.send("quote", "insert", {**quote, "askPrice": None, "askSize": None})
    assert rig.seen["XBTUSD"].quotes == [(64360, 5, 64361, 1, at, 1), (64360, 5, NO_ASK, 0, at, 1)]
    assert not rig.problems
    assert (rig.handler.heard(XBTUSD, Kind.TRADE), rig.handler.heard(XBTUSD, Kind.QUOTE)) == (3, 2)


def test_spot_sizes_are_smallest_units_of_the_coin() -> None:
    rig = Rig(SPOT)
    rig.send("trade", "insert", {"symbol": "XBT_USDT", "side": "Buy", "size": 20000, "price": 9.8690e4})
    assert rig.seen["XBT_USDT"].trades == [(197380, 2, 1, 0, 0, 1)]


def test_a_book_begins_with_its_partial_and_keeps_prices_by_id() -> None:
    rig = Rig(XBTUSD)
    seen = rig.seen["XBTUSD"]
    rig.book("update", (1, "Buy", 300))
    rig.book("insert", (9, "Buy", 300, 99))
    assert (seen.ops(), rig.handler.counts.early) == ([], 2)
    assert rig.handler.waiting() == [XBTUSD]
    rig.book("partial", (1, "Buy", 300, 99.5), (2, "Sell", 200, 100))
    assert seen.books[1:3] == [(SET_BID, 199, 3, 1, 0, 1), (SET_ASK, 200, 2, 2, 0, 1)]
    assert seen.ops() == [RESET, SET_BID, SET_ASK, LIVE]
    assert rig.handler.waiting() == []
    rig.book("update", (2, "Sell", 500), (1, "Buy", 100, 99.5))
    rig.book("insert", (3, "Sell", 400, 100.5))
    rig.book("delete", (2, "Sell"))
    assert seen.books == [
        (SET_ASK, 200, 5, 2, 0, 1),
        (SET_BID, 199, 1, 1, 0, 1),
        (SET_ASK, 201, 4, 3, 0, 1),
        (SET_ASK, 200, 0, 2, 0, 1),
    ]
    assert seen.sides == {SET_BID: {199: 1}, SET_ASK: {201: 4}}


def test_ids_belong_to_a_side() -> None:
    rig = Rig(XBTUSD)
    rig.book("partial", (1, "Buy", 300, 99.5))
    rig.book("update", (1, "Sell", 300))
    assert rig.seen["XBTUSD"].ops()[-1] == STALE
    assert rig.handler.counts.gaps == 1


@pytest.mark.parametrize(
    ("action", "row"),
    [("update", (5, "Buy", 100)), ("delete", (5, "Sell")), ("update", (1, "Buy", 100, 98.5))],
)
def test_a_change_that_cannot_be_makes_the_book_stale_until_the_next_partial(action: str, row: Any) -> None:
    rig = Rig(XBTUSD)
    seen = rig.seen["XBTUSD"]
    rig.book("partial", (1, "Buy", 300, 99.5))
    seen.ops()
    rig.book(action, row)
    rig.book("update", (1, "Buy", 100))
    assert (seen.ops(), rig.handler.waiting()) == ([STALE], [XBTUSD])
    rig.book("partial", (1, "Buy", 300, 99.5))
    assert seen.ops() == [RESET, SET_BID, LIVE]


def test_an_empty_partial_is_of_the_symbol_it_is_filtered_by() -> None:
    rig = Rig(XBTUSD)
    rig.send("orderBookL2_25", "partial", filter={"symbol": "XBTUSD"})
    assert rig.seen["XBTUSD"].ops() == [RESET, LIVE]


def test_a_disconnect_makes_live_books_stale() -> None:
    rig = Rig(XBTUSD)
    rig.handler.disconnected(3)
    rig.book("partial", (1, "Buy", 300, 99.5))
    rig.handler.disconnected(4)
    assert rig.seen["XBTUSD"].ops() == [RESET, SET_BID, LIVE, STALE]


BOOK = b'{"table":"orderBookL2","action":"'
CROSSED = (
    b'{"table":"quote","action":"insert","data":[{"symbol":"XBTUSD","bidPrice":2,"askPrice":2,'
    b'"bidSize":100,"askSize":100}]}'
)


@pytest.mark.parametrize(
    ("data", "what", "stale"),
    [
        (b"not json", "malformed", False),
        (b"", "truncated", False),
        (b"{}", "neither a table's change", False),
        (b'{"status":400,"error":"Unknown table: x"}', "refused: Unknown table: x", False),
        (b'{"table":"trade","action":"insert","data":[{"symbol":"XBTUSD"}]}', "missing required", False),
        (
            b'{"table":"trade","action":"insert","data":[{"symbol":"XBTUSD","side":"Up","size":1e2,"price":1}]}',
            "neither Buy nor Sell",
            False,
        ),
        (
            b'{"table":"trade","action":"insert","data":[{"symbol":"XBTUSD","side":"Buy","size":0,"price":1}]}',
            "a trade of 0 at 1",
            False,
        ),
        (CROSSED, "crossed", False),
        (BOOK + b'insert","data":[{"symbol":"XBTUSD","id":1,"side":"Buy","size":1', "truncated", True),
        (BOOK + b'insert","data":[{"symbol":"XBTUSD","id":7,"side":"Buy","size":100}]}', "no price", True),
        (BOOK + b'insert","data":[{"symbol":"XBTUSD","id":7,"side":"Buy","size":1,"price":9.7}]}', "of 0.5", True),
        (BOOK + b'update","data":[{"symbol":"XBTUSD","id":1,"side":"Buy"}]}', "not a number", True),
        (BOOK + b'update","data":[{"symbol":"XBTUSD","id":1,"side":"Buy","size":-100}]}', "size -100", True),
        (BOOK + b'upsert","data":[]}', "no action", True),
        (BOOK + b'\xff"', "codec can't decode", True),
    ],
)
def test_a_bad_message_is_reported_with_its_bytes_and_skipped(data: bytes, what: str, stale: bool) -> None:
    rig = Rig(XBTUSD)
    seen = rig.seen["XBTUSD"]
    rig.book("partial", (1, "Buy", 300, 99.5))
    seen.ops()
    rig.handler.message(data, 1)
    assert [bytes_ for _, bytes_ in rig.problems] == [data]
    assert what.lower() in rig.problems[0][0].lower()
    assert seen.ops() == ([STALE] if stale else [])
    assert not seen.trades
    assert not seen.quotes


def test_a_bad_row_spoils_only_the_books_it_is_of() -> None:
    other = made("ETHX", 1)
    rig = Rig(XBTUSD, other)
    rig.book("partial", (1, "Buy", 300, 99.5))
    rig.send("orderBookL2", "partial", {"symbol": "ETHX", "id": 1, "side": "Buy", "size": 1, "price": 9})
    rig.handler.message(BOOK + b'update","data":[{"symbol":"ETHX","id":1,"side":"Buy","size":"x"}]}', 1)
    assert rig.handler.waiting() == [other]


def test_what_is_no_market_data_is_counted() -> None:
    rig = Rig(XBTUSD)
    for text in ("pong", '{"info":"Welcome","version":"1"}', '{"success":true,"subscribe":"trade:XBTUSD"}'):
        rig.handler.message(text.encode(), 1)
    rig.send("instrument", "update", {"symbol": "XBTUSD"})
    rig.send("trade", "insert", {"symbol": ".BXBT", "side": "Buy", "size": 0, "price": 1})
    assert (rig.handler.counts.other, rig.problems) == (5, [])
    rig.handler.snapshot(XBTUSD, b"x", 1)
    assert len(rig.problems) == 1


def test_refuses_what_is_not_its_own() -> None:
    with pytest.raises(ValueError, match="not BitMEX"):
        module.feed_handler(Exchange.Bybit, {}, lambda what, data: None)
    with pytest.raises(ValueError, match="not an instrument of BitMEX"):
        BitmexFeedHandler({resolve(Exchange.Bybit, "BTCUSD"): Seen()}, lambda what, data: None)


def test_topics_and_lines() -> None:
    exchange = Exchange.BitMEX
    assert module.topic(exchange, XBTUSD, Kind.TRADE, 50) == "trade:XBTUSD"
    assert module.topic(exchange, XBTUSD, Kind.QUOTE, 50) == "quote:XBTUSD"
    assert module.topic(exchange, XBTUSD, Kind.BOOK, 25) == "orderBookL2_25:XBTUSD"
    assert module.topic(exchange, XBTUSD, Kind.BOOK, 50) == "orderBookL2:XBTUSD"
    with pytest.raises(ValueError, match="FLOW"):
        module.topic(exchange, XBTUSD, Kind.FLOW, 50)
    assert list(module.subscribe(exchange, ["trade:XBTUSD"], 1)) == ['{"op":"subscribe","args":["trade:XBTUSD"]}']
    assert len(list(module.unsubscribe(exchange, [f"trade:{n}" for n in range(51)], 1))) == 2
    local = module.environments(exchange)["main"].at("http://127.0.0.1:8080")
    line = module.line(exchange, local, module.line_name(exchange, XBTUSD), "public-1")
    assert line.ping is not None
    assert (line.name, line.url(0), line.ping()) == ("public-1", "ws://127.0.0.1:8080/realtime", "ping")
    assert module.snapshot_request(exchange, XBTUSD, 25) is None


# -- recordings --------------------------------------------------------------------------------------------------------

CAPTURES = ("2021-07-22/BITMEX.ws.1.0.gz", "2021-04-17/BITMEX.ws.17.0.gz")


def frames(path: Path) -> Iterator[tuple[int, bytes]]:
    """Receipt (ns) and content of each message that came."""
    with gzip.open(path, "rb") as file:
        for line in file:
            stamp, found, data = line.rstrip(b"\n").partition(b": ")
            if found and stamp.replace(b".", b"").isdigit():
                yield int(float(stamp) * 1e9), data


def listed(shared: Path, capture: str) -> list[Instrument]:
    """The instruments of a recording, with the ticks and lots of its own REST answer."""
    folder = (shared / "exchange-data/bitmex/cryptofeed" / capture).parent
    with gzip.open(folder / "BITMEX.0.gz", "rt") as file:
        text = file.read()
    rows = json.loads(text[text.index(": [") + 2 :].splitlines()[0], parse_float=str, parse_int=str)
    return [made(row["symbol"], row["tickSize"], row["lotSize"]) for row in rows]


@pytest.mark.parametrize("capture", CAPTURES)
def test_recordings_give_the_book_of_a_naive_reconstruction(shared: Path, capture: str) -> None:
    path = shared / "exchange-data/bitmex/cryptofeed" / capture
    instruments = {instrument.symbol: instrument for instrument in listed(shared, capture)}
    rig = Rig(*instruments.values())
    naive: dict[str, dict[tuple[int, str], list[Decimal]]] = {}
    messages = trades = quotes = compared = 0
    for recv_ts, data in frames(path):
        rig.handler.message(data, recv_ts)
        messages += 1
        message = json.loads(data, parse_float=Decimal, parse_int=Decimal)
        table, action, rows = message.get("table"), message.get("action"), message.get("data", [])
        trades += len(rows) if (table, action) == ("trade", "insert") else 0
        quotes += len(rows) if table == "quote" else 0
        if table != "orderBookL2":
            continue
        if action == "partial":
            naive[message["filter"]["symbol"]] = {}
        for row in rows:
            book = naive.get(row["symbol"])
            if book is None:
                continue
            key = (row["id"], row["side"])
            if action == "delete":
                del book[key]
            elif action == "update":
                book[key][1] = row["size"]
            else:
                book[key] = [row["price"], row["size"]]
        if messages % 25 == 0:
            compared += 1
            compare(rig, instruments, naive)
    compare(rig, instruments, naive)
    counts = rig.handler.counts
    assert (messages > 1900, compared > 20, rig.problems) == (True, True, [])
    assert (counts.trades, counts.quotes, counts.gaps, counts.partials) == (trades, quotes, 0, 10)
    assert sum(len(book) for book in naive.values()) > 500


def compare(rig: Rig, instruments: dict[str, Instrument], naive: dict[str, dict[Any, list[Decimal]]]) -> None:
    for symbol, book in naive.items():
        instrument = instruments[symbol]
        expected: dict[int, dict[int, int]] = {SET_BID: {}, SET_ASK: {}}
        for (_, side), (price, size) in book.items():
            lots = int(size) * 10**18 // instrument.qty_scale.step_units
            if lots:
                expected[SET_BID if side == "Buy" else SET_ASK][instrument.price_scale.steps(price)] = lots
        assert rig.seen[symbol].sides == expected, symbol


@pytest.mark.parametrize("capture", CAPTURES)
def test_recorded_books_agree_with_the_quote_channel(shared: Path, capture: str) -> None:
    # The two channels are not in step: a quote comes within moments of the book's change, before or after it. So each
    # quote has to be the top of the book at some time near its receipt.
    rig = Rig(*listed(shared, capture))
    tops: dict[str, list[tuple[int, tuple[int, ...]]]] = {symbol: [] for symbol in rig.seen}
    for recv_ts, data in frames(shared / "exchange-data/bitmex/cryptofeed" / capture):
        rig.handler.message(data, recv_ts)
        for symbol, seen in rig.seen.items():
            bids, asks = seen.sides[SET_BID], seen.sides[SET_ASK]
            if seen.books and bids and asks:
                bid, ask = max(bids), min(asks)
                tops[symbol].append((recv_ts, (bid, bids[bid], ask, asks[ask])))
                seen.books.clear()
    met = missed = 0
    for symbol, seen in rig.seen.items():
        if not tops[symbol]:
            continue
        begin = tops[symbol][0][0]
        for *quote, _exch_ts, recv_ts in seen.quotes:
            if recv_ts < begin + 2 * 10**9:
                continue
            near = [top for at, top in tops[symbol] if abs(at - recv_ts) < 3 * 10**9]
            met, missed = (met + 1, missed) if tuple(quote) in near else (met, missed + 1)
    assert met > 100
    assert missed <= met * 0.02


def test_tardis_normalises_the_same_messages_to_the_same(shared: Path) -> None:
    path = shared / "exchange-data/bitmex/tardis-node/bitmex.mapper-cases.first-half.jsonl"
    ethusd, eosm19, ethm19 = resolve(Exchange.BitMEX, "ETHUSD"), made("EOSM19", "0.0000001"), made("ETHM19", "0.01")
    xbtusd = made("XBTUSD", "0.5", 1)
    instruments = {each.symbol: each for each in (xbtusd, ethusd, eosm19, ethm19)}
    rig = Rig(*instruments.values())
    checked = 0
    for line in path.read_text().splitlines():
        case = json.loads(line)
        for seen in rig.seen.values():
            seen.books.clear()
        rig.handler.message(json.dumps(case["message"], separators=(",", ":")).encode(), 5)
        for wanted in (row for row in case["normalized"] if row["type"] != "derivative_ticker"):
            symbol = wanted["symbol"]
            seen, steps = rig.seen[symbol], instruments[symbol].price_scale.steps
            if wanted["type"] == "trade":
                price, qty, side, *_ = seen.trades[-1]
                assert (price, qty, side) == (steps(wanted["price"]), wanted["amount"], -1)
            elif wanted["type"] == "book_ticker":
                expected = [steps(wanted["bidPrice"]), wanted["bidAmount"]]
                expected += [steps(wanted["askPrice"]), wanted["askAmount"]]
                assert list(seen.quotes[-1][:4]) == expected
            else:
                assert wanted["type"] == "book_change"
                levels = [(SET_BID, steps(level["price"]), level["amount"]) for level in wanted["bids"]]
                levels += [(SET_ASK, steps(level["price"]), level["amount"]) for level in wanted["asks"]]
                assert [row[:3] for row in seen.books if row[0] in (SET_BID, SET_ASK)] == levels
                assert (RESET in [row[0] for row in seen.books]) == wanted["isSnapshot"]
            checked += 1
    assert (checked, rig.problems) == (6, [])


def test_the_official_clients_messages_are_read(shared: Path) -> None:
    fixtures = json.loads((shared / "exchange-data/bitmex/api-connectors/ws_fixtures.json").read_text())
    messages = [message for group in fixtures.values() if isinstance(group, list) for message in group]
    symbols = {row["symbol"] for message in messages for row in message.get("data", []) if row["symbol"][0] != "."}
    rig = Rig(*(made(symbol, "0.00000001") for symbol in symbols))
    for message in messages:
        rig.handler.message(json.dumps(message, separators=(",", ":")).encode(), 1)
    assert rig.problems == []
    assert rig.handler.counts.old_trades > 0
    assert rig.handler.counts.partials > 0


@pytest.mark.parametrize(("name", "kind"), [("BookTicker", Kind.QUOTE), ("Trades", Kind.TRADE)])
def test_subscriptions_of_another_client(shared: Path, name: str, kind: Kind) -> None:
    # The samples name ETH_USDT, but their prices and sizes are those of XBTUSD-like contracts.
    lines = (shared / f"exchange-data/bitmex/jkorf/Subscriptions/Exchange/{name}.txt").read_text().splitlines()
    instrument = made("ETH_USDT", "0.1", 100)
    rig = Rig(instrument)
    ours = next(iter(module.subscribe(Exchange.BitMEX, [module.topic(Exchange.BitMEX, instrument, kind, 50)], 1)))
    assert json.loads(ours) == json.loads(lines[0].removeprefix("> "))
    for line in (lines[1].removeprefix("< "), lines[-1]):
        rig.handler.message(line.encode(), 1)
    assert (rig.handler.heard(instrument, kind), rig.handler.counts.other, rig.problems) == (1, 1, [])
