"""Recordings: what was heard is in the store, whatever happened to the program, and books are as they were seen."""

import errno
import json
from pathlib import Path

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.data.rows import Kind, Stream
from mlthon.data.store import Store
from mlthon.engine.clock import SECOND, Clock
from mlthon.engine.faces import LIVE, RESET, SET_ASK, SET_BID, STALE
from mlthon.errors import UserError
from mlthon.live.recorder import DiskFull, Piece, Recorder, RecordingEdge, raw_messages, recover, seal
from mlthon.venue.wire import Answer, Answered, HttpAnswer, HttpMessage, Line, LineUser

BTC = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
T = 1_790_000_000 * SECOND


def recorder(store: Path, now: int = T) -> Recorder:
    return Recorder(store, Exchange.Bybit, [BTC], now, lambda _: 1 << 40)


def hear_book(made: Recorder, ts: int, bid: int) -> None:
    rows = made.rows[BTC]
    rows.book(RESET, 0, 0, 0, ts, ts)
    rows.book(SET_BID, bid, 5, 0, ts, ts)
    rows.book(SET_ASK, bid + 2, 7, 0, ts, ts)
    rows.book(LIVE, 0, 0, 0, ts, ts)


def ops(store: Path) -> list[int]:
    return [op for columns in Store(store).chunks(Stream(BTC, Kind.BOOK)) for op in columns.a.tolist()]


def raw_files(store: Path) -> list[Path]:
    return sorted((store / "raw" / "exchange=Bybit").iterdir())


def test_rows_and_messages_are_in_the_store(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    made.line_opened("public-1", T)
    made.message("public-1", '{"topic":"ä"}'.encode(), T + 1)
    made.message("public-1", b"\xff\x00", T + 2)
    made.answer("/v5/market/orderbook?symbol=BTCUSDT", b"{}", T + 3)
    hear_book(made, T + 1, 100)
    made.rows[BTC].quote(100, 5, 102, 7, T, T + 1)
    made.rows[BTC].trade(101, 3, -1, 17, T, T + 2)
    assert seal(tmp_path, Exchange.Bybit, made.close(T + 9)) == 7
    assert ops(tmp_path) == [RESET, SET_BID, SET_ASK, LIVE, STALE]
    (trade,) = Store(tmp_path).chunks(Stream(BTC, Kind.TRADE))
    assert [array.tolist() for array in trade.arrays()] == [[T], [T + 2], [101], [3], [-1], [17]]
    (raw,) = raw_files(tmp_path)
    assert raw.suffix == ".zst"
    assert list(raw_messages(raw)) == [
        {"ts": T, "line": "public-1", "event": "opened"},
        {"ts": T + 1, "line": "public-1", "data": '{"topic":"ä"}'},
        {"ts": T + 2, "line": "public-1", "base64": "/wA="},
        {"ts": T + 3, "http": "/v5/market/orderbook?symbol=BTCUSDT", "data": "{}"},
    ]
    assert not list((tmp_path / "recording").glob("*/*"))


def test_two_instruments_of_one_symbol(tmp_path: Path) -> None:
    spot = resolve(Exchange.Bybit, "byt:spot:btc-usdt")
    assert spot.symbol == BTC.symbol
    made = Recorder(tmp_path, Exchange.Bybit, [BTC, spot], T, lambda _: 1 << 40)
    made.rows[BTC].quote(100, 5, 102, 7, T, T)
    made.rows[spot].quote(200, 5, 202, 7, T, T)
    seal(tmp_path, Exchange.Bybit, made.close(T + 1))
    bids = {
        instrument: [bid for columns in Store(tmp_path).chunks(Stream(instrument, Kind.QUOTE)) for bid in columns.a]
        for instrument in (BTC, spot)
    }
    assert bids == {BTC: [100], spot: [200]}


def test_a_rotation_cuts_without_losing(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    hear_book(made, T + 1, 100)
    first = made.rotate(T + SECOND)
    made.rows[BTC].book(SET_BID, 99, 4, 0, T + SECOND + 1, T + SECOND + 1)
    second = made.close(T + 2 * SECOND)
    seal(tmp_path, Exchange.Bybit, first)
    seal(tmp_path, Exchange.Bybit, second)
    assert ops(tmp_path) == [RESET, SET_BID, SET_ASK, LIVE, SET_BID, STALE]
    assert len(raw_files(tmp_path)) == 2
    assert not Store(tmp_path).problems


@pytest.mark.parametrize("torn", [0, 1, 40, 200])
def test_what_a_crash_left_is_brought_in(tmp_path: Path, torn: int) -> None:
    """The program died while it wrote: the second batch and the last line may be torn anywhere."""
    made = recorder(tmp_path)
    hear_book(made, T + 1, 100)
    made.message("public-1", b"one", T + 1)
    made.flush()
    made.rows[BTC].book(SET_BID, 99, 4, 0, T + 2, T + 2)
    made.message("public-1", b"two", T + 2)
    made.flush()
    (rows,) = (tmp_path / "recording").glob("*/*/*.arrow")
    (raw,) = raw_files(tmp_path)
    for path, cut in ((rows, torn), (raw, min(torn, 20))):
        path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])
    recover(tmp_path, Exchange.Bybit)
    whole = [RESET, SET_BID, SET_ASK, LIVE]
    assert ops(tmp_path) == ([*whole, STALE] if torn else [*whole, SET_BID, STALE])
    heard = [each["data"] for each in raw_messages(raw_files(tmp_path)[0])]
    assert heard == (["one"] if torn else ["one", "two"])
    assert recover(tmp_path, Exchange.Bybit) == 0


def test_a_crash_between_pieces_leaves_the_book_going_on(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    hear_book(made, T + 1, 100)
    made.rotate(T + SECOND)
    made.rows[BTC].book(SET_BID, 99, 4, 0, T + SECOND + 1, T + SECOND + 1)
    made.flush()
    recover(tmp_path, Exchange.Bybit)
    assert ops(tmp_path) == [RESET, SET_BID, SET_ASK, LIVE, SET_BID, STALE]


def test_sealing_again_changes_nothing(tmp_path: Path) -> None:
    """A crash after the rows were stored and before the piece was removed."""
    made = recorder(tmp_path)
    hear_book(made, T + 1, 100)
    piece = made.close(T + 2)
    copies = {path: path.read_bytes() for path in piece.rows.iterdir()}
    seal(tmp_path, Exchange.Bybit, piece)
    before = ops(tmp_path)
    piece.rows.mkdir()
    for path, data in copies.items():
        path.write_bytes(data)
    seal(tmp_path, Exchange.Bybit, piece)
    assert ops(tmp_path) == before


def test_an_empty_piece(tmp_path: Path) -> None:
    assert seal(tmp_path, Exchange.Bybit, recorder(tmp_path).close(T + 1)) == 0
    assert seal(tmp_path, Exchange.Bybit, Piece("none", tmp_path / "none.jsonl", tmp_path / "none")) == 0


def test_gaps_are_noted(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    made.line_opened("public-1", T)
    made.line_closed("public-1", T + 5, "reset by peer")
    made.line_closed("public-1", T + 6, "refused")
    made.line_opened("public-1", T + 7)
    made.line_closed("public-1", T + 8, "reset by peer")
    made.close(T + 9)
    gaps = [json.loads(line) for line in (tmp_path / "gaps.jsonl").read_text().splitlines()]
    line = {"exchange": "Bybit", "line": "public-1", "reason": "reset by peer"}
    assert gaps == [
        {**line, "from": T + 5, "to": T + 7},
        {**line, "from": T + 8, "to": T + 9},
        {"exchange": "Bybit", "from": T + 9, "reason": "the recording ended"},
    ]


def test_a_full_disk_ends_the_recording_and_loses_nothing(tmp_path: Path) -> None:
    free = 1 << 40
    made = Recorder(tmp_path, Exchange.Bybit, [BTC], T, lambda _: free)
    hear_book(made, T + 1, 100)
    made.flush()
    free = 1 << 20
    made.rows[BTC].book(SET_BID, 99, 4, 0, T + 2, T + 2)
    with pytest.raises(DiskFull, match="the disk is full"):
        made.flush()
    seal(tmp_path, Exchange.Bybit, made.close(T + 3, "the disk is full"))
    assert ops(tmp_path) == [RESET, SET_BID, SET_ASK, LIVE, SET_BID, STALE]


def test_no_space_while_writing_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recorder(tmp_path)

    class Full:
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(made._writer, "raw", Full())
    with pytest.raises(DiskFull):
        made.message("public-1", b"x", T)


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        recorder(tmp_path / "file" / "store")


class FakeEdge:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.user: LineUser | None = None
        self.calls: list[tuple[str, ...]] = []

    def open_line(self, line: Line, user: LineUser) -> None:
        self.user = user

    def close_line(self, name: str) -> None:
        self.calls.append(("close", name))

    def restart_line(self, name: str, reason: str) -> None:
        self.calls.append(("restart", name, reason))

    def send(self, name: str, text: str) -> bool:
        self.calls.append(("send", name, text))
        return True

    def http(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        answered(HttpAnswer(200, {}, b"[]", T, T + 4))


class User:
    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def line_opened(self, name: str) -> None:
        self.heard.append(("opened", name))

    def line_message(self, name: str, data: bytes, recv_ts: int) -> None:
        self.heard.append((name, data, recv_ts))

    def line_closed(self, name: str, reason: str) -> None:
        self.heard.append(("closed", name, reason))


def test_what_passes_an_edge_is_noted_and_handed_on(tmp_path: Path) -> None:
    made, inner, user = recorder(tmp_path), FakeEdge(), User()
    answers: list[Answer] = []
    edge = RecordingEdge(inner, made, Clock(T), lambda error: pytest.fail(str(error)))
    edge.open_line(Line("p", lambda _: "ws://nowhere"), user)
    assert inner.user is not None
    inner.user.line_opened("p")
    inner.user.line_message("p", b"{}", T + 1)
    edge.http(HttpMessage("GET", "/depth?symbol=BTCUSDT"), 1.0, answers.append)
    inner.user.line_closed("p", "gone")
    assert edge.send("p", "ping")
    edge.restart_line("p", "why")
    edge.close_line("p")
    assert user.heard == [("opened", "p"), ("p", b"{}", T + 1), ("closed", "p", "gone")]
    assert [each.body for each in answers if isinstance(each, HttpAnswer)] == [b"[]"]
    assert inner.calls == [("send", "p", "ping"), ("restart", "p", "why"), ("close", "p")]
    seal(tmp_path, Exchange.Bybit, made.close(T + 9))
    noted = list(raw_messages(raw_files(tmp_path)[0]))
    assert [each.get("event", each.get("http", each.get("data"))) for each in noted] == [
        "opened",
        "{}",
        "/depth?symbol=BTCUSDT",
        "closed",
    ]


def test_a_failing_recording_does_not_stop_what_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, inner, user = recorder(tmp_path), FakeEdge(), User()
    failures: list[UserError] = []
    edge = RecordingEdge(inner, made, Clock(T), failures.append)

    def fail(*_: object) -> None:
        raise DiskFull(tmp_path, 0)

    monkeypatch.setattr(made, "_raw", fail)
    edge.open_line(Line("p", lambda _: "ws://nowhere"), user)
    assert inner.user is not None
    inner.user.line_message("p", b"{}", T + 1)
    assert user.heard == [("p", b"{}", T + 1)]
    assert len(failures) == 1
