"""Small recordings made for tests."""

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.data.rows import Columns

USDM = resolve(Exchange.BinanceUsdm, "BTCUSDT")
ETH = resolve(Exchange.BinanceUsdm, "ETHUSDT")
NOW = 1_721_347_000_000_000_000


def columns(rows: list[tuple[int, ...]]) -> Columns:
    """From tuples (exch_ts, recv_ts, a, b, c, d)."""
    return Columns.from_table(np.array(rows, np.int64).reshape(-1, 6))


def trade_line(number: int, ts: int = NOW, symbol: str = "BTCUSDT") -> bytes:
    data = {"s": symbol, "t": number, "p": "100.1", "q": "0.002", "T": ts // 10**6, "m": True, "X": "MARKET"}
    return line({"stream": f"{symbol.lower()}@trade", "data": data}, ts)


def depth_line(first: int, last: int, previous: int, ts: int = NOW, price: str = "99.0") -> bytes:
    data = {"s": "BTCUSDT", "E": ts // 10**6, "T": ts // 10**6, "U": first, "u": last, "pu": previous}
    return line({"stream": "btcusdt@depth@0ms", "data": {**data, "b": [[price, "1"]], "a": []}}, ts)


def snapshot_line(last_id: int, ts: int = NOW) -> bytes:
    return line({"lastUpdateId": last_id, "bids": [["100.0", "1"]], "asks": [["101.0", "2"]]}, ts)


def line(message: object, ts: int) -> bytes:
    return b"%d %s" % (ts, json.dumps(message, separators=(",", ":")).encode())


def write(path: Path, lines: list[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def write_zip(path: Path, name: str, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return path
