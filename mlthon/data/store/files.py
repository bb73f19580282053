"""One file of a store: its columns, where it stands, and what it says of itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import attrs

from mlthon.basics.catalogue import IDS_PER_EXCHANGE, define
from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.instrument import Instrument
from mlthon.data.rows import Kind

SCHEMAS: Final[Mapping[Kind, tuple[str, str, str, str]]] = {
    Kind.QUOTE: ("bid", "bid_qty", "ask", "ask_qty"),
    Kind.TRADE: ("price", "qty", "side", "trade_id"),
    Kind.BOOK: ("op", "price", "qty", "level_id"),
}
"""The columns of each kind after `exch_ts` and `recv_ts`; all are int64. `mlthon.data.rows` says what they mean."""

VERSION: Final = "1"
META_KEY: Final = b"mlthon"


def column_names(kind: Kind) -> tuple[str, ...]:
    """The columns of a file of this kind."""
    return ("exch_ts", "recv_ts", *SCHEMAS[kind])


def folder_of(store: Path, instrument: Instrument) -> Path:
    """Where a store keeps an instrument's days: by its name, of which an exchange has no two."""
    return _folder(store, instrument, instrument.name)


def old_folder_of(store: Path, instrument: Instrument) -> Path:
    """Where they were kept before: by its symbol, which a spot and a perpetual instrument may share. Read still."""
    return _folder(store, instrument, instrument.symbol)


def _folder(store: Path, instrument: Instrument, key: str) -> Path:
    exchange = instrument.exchange.name if instrument.exchange is not None else ""
    return store / f"exchange={exchange}" / f"instrument={quote(key, safe='')}"


@attrs.frozen
class Meta:
    """What a file says of itself."""

    instrument: Instrument
    kind: Kind
    tick: str
    lot: str
    start: int
    end: int
    source: str

    def to_bytes(self) -> bytes:
        return json.dumps(
            {
                "version": VERSION,
                "kind": self.kind.name,
                "tick": self.tick,
                "lot": self.lot,
                "start": self.start,
                "end": self.end,
                "source": self.source,
                "instrument": definition(self.instrument),
            },
            sort_keys=True,
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Meta":
        """Raises ValueError for what is no such description."""
        try:
            found = json.loads(data)
            if found["version"] != VERSION:
                raise ValueError(f"version {found['version']} of the store's format; this program reads {VERSION}")
            instrument = instrument_of(found["instrument"])
            return cls(
                instrument,
                Kind[found["kind"]],
                found["tick"],
                found["lot"],
                int(found["start"]),
                int(found["end"]),
                found["source"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the description of the file lacks {error}") from error


def definition(instrument: Instrument) -> dict[str, Any]:
    """An instrument as JSON values, from which `instrument_of` makes it again."""
    if instrument.exchange is None or instrument.instrument_type is None or instrument.instrument_id is None:
        raise ValueError(f"{instrument} has no exchange, type or id and cannot be stored")
    return {
        "exchange": instrument.exchange.name,
        "symbol": instrument.symbol,
        "instrument_type": instrument.instrument_type.name,
        "mlt_symbol": instrument.mlt_symbol,
        "tick": instrument.price_scale.step.to_str(),
        "lot": instrument.qty_scale.step.to_str(),
        "quantification": None if instrument.quantification is None else instrument.quantification.name,
        "min_quantity": None if instrument.min_quantity is None else instrument.min_quantity.to_str(),
        "max_quantity": None if instrument.max_quantity is None else instrument.max_quantity.to_str(),
        "min_notional": None if instrument.min_notional is None else str(instrument.min_notional),
        "multiplier": None if instrument.multiplier is None else str(instrument.multiplier),
        "settle_currency": instrument.settle_currency,
        "valid_end_ts": instrument.valid_end_ts,
        "maker_fee": str(instrument.maker_fee or 0),
        "taker_fee": str(instrument.taker_fee or 0),
        "index": instrument.instrument_id % IDS_PER_EXCHANGE,
    }


def instrument_of(definition: Mapping[str, Any]) -> Instrument:
    """The instrument of a `definition`. Raises ValueError or KeyError for one that is none."""
    fields = dict(definition)
    exchange = Exchange[fields.pop("exchange")]
    symbol = fields.pop("symbol")
    instrument_type = InstrumentType[fields.pop("instrument_type")]
    mlt_symbol = fields.pop("mlt_symbol")
    fields["quantification"] = Quantification[fields["quantification"] or "Linear"]
    fields["multiplier"] = fields["multiplier"] or "1"
    return define(exchange, symbol, instrument_type, mlt_symbol, **fields)


@attrs.frozen
class StoredFile:
    """One Parquet file of a store."""

    path: Path
    meta: Meta
    rows: int
    size: int
    """Bytes on disk."""


def stored_file(path: Path) -> StoredFile:
    """What a file says of itself. Raises ValueError for one that cannot be read or is none of a store."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_metadata(path)
        described = (found.metadata or {}).get(META_KEY)
        if described is None:
            raise ValueError("a Parquet file, but not one of a store")
        return StoredFile(path, Meta.from_bytes(described), found.num_rows, path.stat().st_size)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(str(error)) from error
