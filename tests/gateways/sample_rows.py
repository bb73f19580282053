"""Every order, fill, position and balance in the samples of private data that other clients keep.

The samples are whole messages, answers, single rows out of either, rows within comments of a source. So rows are looked
for wherever they stand, and told apart by the fields that only their kind has. Recordings of market data and requests
are not looked into.

Each row is read twice (`compared`): by the codec, and naively: the exchange's fields by their names, as decimals, which
the codec's facts are turned back into.
"""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from mlthon.basics.catalogue import define
from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.venue.facts import ExecutionFact, PositionFact, WalletFact

STEP = "0.00000001"
"""A tick and lot that every number of a sample fits: samples are of many years."""
OTHERS = ("tardis", "cryptofeed", "hftbacktest", "signed-requests", "fixture-orders", "codler", "basana", "lean")
"""Market data and requests."""

SCHEMA = ("types", "attributes", "foreignKeys")
"""What BitMEX's partials say of their table, under the names of its columns."""

Json = dict[str, Any]


class Sample(NamedTuple):
    """A row, where it stands, and what it stands in: the fields of its parents, the nearest first in doubt."""

    name: str
    kind: str
    row: Json
    around: Json


def documents(shared: Path, folder: str) -> Iterator[tuple[str, Any]]:
    """Every JSON document below a folder of the samples, with its name."""
    root = shared / "exchange-data"
    for file in sorted((root / folder).rglob("*")):
        name = str(file.relative_to(root))
        if not file.is_file() or any(each in name for each in OTHERS):
            continue
        if "comment-samples" in name or "hummingbot" in name:
            data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            for number, each in enumerate(json.loads(data)):
                yield f"{name}#{number} {each['function']}", each["json"]
        elif file.suffix in (".json", ".json5", ".txt"):
            yield from _read(name, file.read_text())


def _read(name: str, text: str) -> Iterator[tuple[str, Any]]:
    """A file that is one document, a document a line, or a document below lines of another kind."""
    below = "\n".join(line for line in text.splitlines() if line[:1] not in "<>=")
    after_heading = "".join(text.splitlines(keepends=True)[3:])
    for candidate in (text, below, after_heading):
        try:
            yield name, json.loads(candidate)
        except json.JSONDecodeError:
            continue
        return
    for number, line in enumerate(text.splitlines()):
        try:
            yield f"{name}:{number}", json.loads(line)
        except json.JSONDecodeError:
            return  # instructions, or pseudo code


def found(shared: Path, folder: str, kinds: Mapping[str, Set[str]]) -> Iterator[Sample]:
    """The rows below a folder. `kinds`: kind -> the fields that a row of it has; the first that fits counts."""
    for name, document in documents(shared, folder):
        for row, around in _rows(document, {}):
            kind = next((kind for kind, fields in kinds.items() if fields <= row.keys()), None)
            if kind is not None:
                yield Sample(name, kind, row, around)


def _rows(document: Any, around: Json) -> Iterator[tuple[Json, Json]]:
    if isinstance(document, dict):
        yield document, around
        plain = {key: value for key, value in document.items() if not isinstance(value, dict | list)}
        for name, value in document.items():
            if name not in SCHEMA:
                yield from _rows(value, {**around, **plain})
    elif isinstance(document, list):
        for value in document:
            yield from _rows(value, around)


def loose(exchange: Exchange, symbol: str, kind: InstrumentType, inverse: bool = False) -> Instrument:
    """An instrument of this symbol that takes any number."""
    quantification = Quantification.Inverse if inverse else Quantification.Linear
    mlt_symbol = f"{symbol.lower()}-x"
    return define(exchange, symbol, kind, mlt_symbol, tick=STEP, lot=STEP, quantification=quantification)


class Reading(NamedTuple):
    """How a kind of row is read: by the codec, and naively. `ours` gives None where the codec leaves the row out."""

    ours: Callable[[Sample], Any]
    naive: Callable[[Json], Json]


def number(text: Any) -> Decimal:
    return Decimal(str(text)) if text not in (None, "") else Decimal(0)


def plain(fact: Any) -> Json:
    """A fact in the exchange's own numbers."""
    if isinstance(fact, WalletFact):
        return {"coin": fact.coin, "total": Decimal(fact.total) / UNIT}
    price, qty = fact.instrument.price_scale.step_units, fact.instrument.qty_scale.step_units
    if isinstance(fact, PositionFact):
        return {"symbol": fact.instrument.symbol, "position": Decimal(fact.position * qty) / UNIT}
    told: Json = {
        "symbol": fact.instrument.symbol,
        "exchange_id": fact.exchange_id,
        "side": fact.side,
        "price": Decimal(fact.price * price) / UNIT,
        "qty": Decimal(fact.qty * qty) / UNIT,
    }
    if isinstance(fact, ExecutionFact):
        return told | {"exec_id": fact.exec_id, "fee": Decimal(fact.fee) / UNIT, "maker": fact.maker}
    return told | {
        "wire_id": fact.wire_id,
        "filled": None if fact.filled is None else Decimal(fact.filled * qty) / UNIT,
        "status": fact.status,
    }


def compared(
    shared: Path,
    folder: str,
    kinds: Mapping[str, Set[str]],
    readings: Mapping[str, Reading],
    left_out: Mapping[str, str],
) -> tuple[Counter[str], list[str], set[str]]:
    """How many rows of each kind agree; what does not, in words; which reasons for leaving rows out were used."""
    agreed: Counter[str] = Counter()
    wrong, used = [], set()
    for sample in found(shared, folder, kinds):
        reason = next((each for each in left_out if each in f"{sample.name} {sample.kind}"), None)
        if reason is not None:
            used.add(reason)
            continue
        reading = readings[sample.kind]
        try:
            fact = reading.ours(sample)
            said, naive = ({} if fact is None else plain(fact)), reading.naive(sample.row)
        except Exception as error:  # noqa: BLE001  every sample that does not decode is told, not the first alone
            wrong.append(f"{sample.name} {sample.kind}: {error!r}")
            continue
        differing = {name: (said.get(name), value) for name, value in naive.items() if said.get(name) != value}
        if differing:
            wrong.append(f"{sample.name} {sample.kind}: {differing}")
        else:
            agreed[sample.kind] += 1
    return agreed, wrong, used
