"""A report written out: equity, orders and fills as Parquet and CSV, the summary as JSON, text and a page.

    DIR/equity.parquet equity.csv     a row for each sample and coin
    DIR/orders.parquet orders.csv     a row for each order sent: as modifications left it, and as it was sent
    DIR/fills.parquet  fills.csv      a row for each fill
    DIR/summary.json summary.txt summary.html

Amounts are exact in all of them: decimals of 18 digits in Parquet, plain decimal text in CSV, plain numbers in JSON.
Times are UTC with nanoseconds.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec
from attrs import asdict, frozen

from mlthon.backtest.page import page
from mlthon.backtest.report import Report, Summary
from mlthon.backtest.result import exact
from mlthon.backtest.show import (
    columns,
    show_count,
    show_exact,
    show_money,
    show_rate,
    show_share,
    show_span,
    show_time,
)
from mlthon.basics.defs import SIDES
from mlthon.basics.money import to_str
from mlthon.errors import UserError


class Sort(Enum):
    """What a column holds."""

    TIME = "ns since 1970"
    TEXT = "text"
    EXACT = "10^-18"
    RATIO = "float"
    FLAG = "bool"


@frozen
class Table:
    """Rows of one kind, each value as its column's `Sort` says, or None."""

    name: str
    columns: tuple[tuple[str, Sort], ...]
    rows: Sequence[tuple[Any, ...]]


_EQUITY: Final = (
    ("ts", Sort.TIME),
    ("coin", Sort.TEXT),
    ("equity", Sort.EXACT),
    ("pnl", Sort.EXACT),
    ("drawdown", Sort.EXACT),
    ("drawdown_share", Sort.RATIO),
)
_WHOSE: Final = (
    ("strategy", Sort.TEXT),
    ("account", Sort.TEXT),
    ("instrument", Sort.TEXT),
    ("client_id", Sort.TEXT),
    ("wire_id", Sort.TEXT),
)
_ORDERS: Final = (
    ("ts", Sort.TIME),
    *_WHOSE,
    ("exchange_id", Sort.TEXT),
    ("side", Sort.TEXT),
    ("type", Sort.TEXT),
    ("tif", Sort.TEXT),
    ("exec_instr", Sort.TEXT),
    ("price", Sort.EXACT),
    ("qty", Sort.EXACT),
    ("sent_price", Sort.EXACT),
    ("sent_qty", Sort.EXACT),
    ("stop_price", Sort.EXACT),
    ("filled", Sort.EXACT),
    ("state", Sort.TEXT),
    ("ended", Sort.TIME),
    ("reason", Sort.TEXT),
)
_FILLS: Final = (
    ("ts", Sort.TIME),
    ("exec_ts", Sort.TIME),
    *_WHOSE,
    ("exec_id", Sort.TEXT),
    ("side", Sort.TEXT),
    ("price", Sort.EXACT),
    ("qty", Sort.EXACT),
    ("value", Sort.EXACT),
    ("coin", Sort.TEXT),
    ("fee", Sort.EXACT),
    ("fee_coin", Sort.TEXT),
    ("maker", Sort.FLAG),
    ("position", Sort.EXACT),
)


def make_folder(folder: Path) -> None:
    """Make the folder of a report; called before a run, so that none is in vain. Raises `UserError` where it cannot be
    made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.txt").open("a").close()
    except FileExistsError:
        raise UserError(f"--report {folder}: not a folder") from None
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(f"--report {folder}: {error.filename or folder}: {error.strerror}")


def write_report(report: Report, folder: Path) -> None:
    """Write everything into `folder`, which is made if it is not there; files of an earlier report are replaced.

    Raises `UserError` when that cannot be done.
    """
    summary = report.closed
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table in tables(report):
            _write_csv(table, folder / f"{table.name}.csv")
            _write_parquet(table, folder / f"{table.name}.parquet")
        (folder / "summary.json").write_bytes(summary_json(summary))
        (folder / "summary.txt").write_text(summary_text(summary) + "\n", "utf-8")
        (folder / "summary.html").write_text(page(report, summary_text(summary)), "utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from None


def tables(report: Report) -> tuple[Table, ...]:
    """The rows of a closed report."""
    return (
        Table("equity", _EQUITY, list(_equity_rows(report))),
        Table("orders", _ORDERS, list(_order_rows(report))),
        Table("fills", _FILLS, list(_fill_rows(report))),
    )


def _equity_rows(report: Report) -> Iterator[tuple[Any, ...]]:
    peaks: dict[str, int] = {}
    for sample in report.samples:
        for coin in report.closed.coins:
            pnl = sample.pnl.get(coin.coin, 0)
            equity = coin.deposits + pnl
            peak = peaks[coin.coin] = max(peaks.get(coin.coin, equity), equity)
            share = (peak - equity) / peak if peak > 0 else None
            yield sample.ts, coin.coin, equity, pnl, peak - equity, share


def _order_rows(report: Report) -> Iterator[tuple[Any, ...]]:
    for row in report.books.orders:
        order = row.order
        tick, lot = order.instrument.price_scale.step_units, order.instrument.qty_scale.step_units
        end = report.books.ends.get(order.wire_id)
        yield (
            row.ts,
            order.session.name,
            order.account,
            order.instrument.name,
            order.client_id,
            order.wire_id,
            order.exchange_id,
            SIDES[order.side].name,
            order.order_type.name,
            order.tif.name,
            order.exec_instr.name,
            order.price * tick if order.price else None,
            order.qty * lot,
            row.price * tick if row.price else None,
            row.qty * lot,
            None if order.stop_price is None else order.stop_price * tick,
            order.filled * lot,
            end.state if end else "open",
            end.ts if end else None,
            end.reason if end else None,
        )


def _fill_rows(report: Report) -> Iterator[tuple[Any, ...]]:
    for row in report.books.fills:
        order = row.order
        tick, lot = order.instrument.price_scale.step_units, order.instrument.qty_scale.step_units
        yield (
            row.ts,
            row.exec_ts,
            order.session.name,
            order.account,
            order.instrument.name,
            order.client_id,
            order.wire_id,
            row.exec_id,
            SIDES[order.side].name,
            row.price * tick,
            row.qty * lot,
            row.value,
            row.coin,
            row.fee,
            row.fee_coin,
            row.maker,
            row.position * lot,
        )


# -- files -------------------------------------------------------------------------------------------------------------


def _iso(ns: int) -> str:
    seconds, rest = divmod(ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


_CSV: Final[Mapping[Sort, Callable[[Any], str]]] = {
    Sort.TIME: _iso,
    Sort.TEXT: str,
    Sort.EXACT: to_str,
    Sort.RATIO: repr,
    Sort.FLAG: "{:d}".format,
}


def _write_csv(table: Table, file: Path) -> None:
    shown = [_CSV[sort] for _, sort in table.columns]
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([name for name, _ in table.columns])
        for row in table.rows:
            writer.writerow(["" if value is None else show(value) for show, value in zip(shown, row, strict=True)])


def _write_parquet(table: Table, file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        Sort.TIME: pa.timestamp("ns", tz="UTC"),
        Sort.TEXT: pa.string(),
        Sort.EXACT: pa.decimal128(38, 18),
        Sort.RATIO: pa.float64(),
        Sort.FLAG: pa.bool_(),
    }
    fields = pa.schema([(name, types[sort]) for name, sort in table.columns])
    arrays = []
    for place, (_, sort) in enumerate(table.columns):
        values = [row[place] for row in table.rows]
        if sort is Sort.EXACT:
            values = [None if value is None else Decimal(to_str(value)) for value in values]
        arrays.append(pa.array(values, types[sort]))
    pq.write_table(pa.Table.from_arrays(arrays, schema=fields), file, compression="zstd")


# -- the summary -------------------------------------------------------------------------------------------------------

_MONEY: Final = frozenset(
    (
        *("deposits", "equity", "pnl", "realised", "unrealised", "fees", "funding", "volume", "max_drawdown"),
        *("bought", "sold", "position"),
    )
)


def summary_json(summary: Summary) -> bytes:
    """The summary as indented JSON; amounts are exact numbers."""
    result = summary.result
    content = {
        "strategy": result.strategy,
        "mode": result.mode,
        "start": _iso(result.start_ns),
        "end": _iso(result.end_ns),
        "ended": result.ended,
        "events": result.events,
        "orders": result.orders,
        "acks": result.acks,
        "rejects": result.rejects,
        "cancels": result.cancels,
        "fills": result.fills,
        "errors": result.errors,
        "position": exact(result.position),
        "fill_ratio": summary.fill_ratio,
        "time_in_market": summary.time_in_market,
        "samples": summary.samples,
        "sample_s": summary.sample_s,
        "digest": result.digest,
        "coins": [_exactly(asdict(each)) for each in summary.coins],
        "instruments": [_exactly(asdict(each)) for each in summary.instruments],
    }
    return msgspec.json.format(msgspec.json.Encoder(decimal_format="number").encode(content), indent=2) + b"\n"


def _exactly(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: Decimal(to_str(value)) if name in _MONEY else value for name, value in figures.items()}


def summary_text(summary: Summary, folder: Path | None = None) -> str:
    """The summary for a person."""
    result = summary.result
    span = show_span(result.end_ns - result.start_ns)
    counts = (
        f"{show_count(result.orders, 'order')}, {show_count(result.cancels, 'cancel')}, "
        f"{show_count(result.fills, 'fill')}, {result.rejects:,} rejected, {show_count(result.errors, 'error')}"
    )
    facts = [
        ("time", f"{show_time(result.start_ns)} to {show_time(result.end_ns)} UTC ({span}); {result.ended}"),
        ("events", f"{result.events:,} in {result.elapsed_s:.1f}s, {show_rate(result.events_per_s)}"),
        ("activity", counts),
        ("traded", f"{show_share(summary.fill_ratio)} of orders; in the market {_time(summary.time_in_market)}"),
    ]
    if result.digest:
        facts.append(("digest", result.digest))
    if folder is not None:
        facts.append(("report", str(folder)))
    blocks = [[f"{result.strategy}, {result.mode}"], [f"  {name:<9}{text}" for name, text in facts]]
    blocks += [_coin_lines(summary), _instrument_lines(summary)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _time(share: float | None) -> str:
    return "for no time at all" if share is None else f"{show_share(share, 1)} of the time"


def _coin_lines(summary: Summary) -> list[str]:
    if not summary.coins:
        return []
    spacing = "-" if summary.sample_s is None else show_span(round(summary.sample_s * 1e9))
    heading = [("", *(each.coin for each in summary.coins))]
    rows = [
        ("profit", [show_money(each.pnl, sign=True) for each in summary.coins]),
        ("  realised", [show_money(each.realised, sign=True) for each in summary.coins]),
        ("  unrealised", [show_money(each.unrealised, sign=True) for each in summary.coins]),
        ("  fees", [show_money(-each.fees, sign=True) for each in summary.coins]),
        ("  funding", [show_money(each.funding, sign=True) for each in summary.coins]),
        ("equity", [show_money(each.equity) for each in summary.coins]),
        ("return", [show_share(each.total_return, 4, sign=True) for each in summary.coins]),
        ("max. drawdown", [show_money(each.max_drawdown) for each in summary.coins]),
        ("  of the peak", [show_share(each.max_drawdown_share, 4) for each in summary.coins]),
        (f"Sharpe ratio (each {spacing}, a year)", [_number(each.sharpe) for each in summary.coins]),
        ("value traded", [show_money(each.volume, 2) for each in summary.coins]),
        ("turnover", [_number(each.turnover, 4) for each in summary.coins]),
    ]
    return ["  " + line for line in columns(heading + [(name, *values) for name, values in rows])]


def _number(value: float | None, places: int = 2) -> str:
    return "-" if value is None else f"{value:,.{places}f}"


def _instrument_lines(summary: Summary) -> list[str]:
    if not summary.instruments:
        return ["  no order was sent"]
    several = len({each.strategy for each in summary.instruments}) > 1
    heading: tuple[str, ...] = (
        "instrument",
        "position",
        "profit",
        "fees",
        "",
        "orders",
        "fills",
        "maker",
        "value traded",
    )
    rows: list[tuple[str, ...]] = [("strategy", *heading)] if several else [heading]
    for each in summary.instruments:
        cells: tuple[str, ...] = (
            each.instrument,
            show_exact(each.position),
            show_money(each.pnl, sign=True),
            show_money(each.fees),
            each.coin,
            f"{each.orders:,}",
            f"{each.fills:,}",
            f"{each.maker_fills:,}",
            show_money(each.volume, 2),
        )
        rows.append((each.strategy, *cells) if several else cells)
    return ["  " + line for line in columns(rows, left=2 if several else 1)]
