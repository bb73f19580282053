"""`python -m mlthon journal show|verify|export FILE`: what a live run wrote down.

All three open the journal read-only and may be used while a run writes it.
"""

import csv
import json as text_json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Literal

from mlthon.backtest.show import show_count, show_exact, show_time
from mlthon.engine.entries import OpenOrder
from mlthon.errors import UserError
from mlthon.live.journal_check import check
from mlthon.live.journal_store import Holding, JournalReader, detail_of

INCONSISTENT: Final = 2
FAULTS_SHOWN: Final = 50

What = Literal["events", "orders", "fills"]

_COLUMNS: Final = {
    "events": ("seq", "ts", "run", "exchange", "account", "kind", "wire_id", "detail"),
    "orders": (
        *("exchange", "account", "wire_id", "run", "strategy", "client_id", "name", "side", "order_type", "tif"),
        *("exec_instr", "sent_price", "sent_qty", "stop_price", "close_position", "created", "is_foreign", "state"),
        *("exchange_id", "price", "qty", "leaves", "filled", "is_over"),
    ),
    "fills": (
        *("exchange", "account", "name", "exec_id", "wire_id", "strategy", "side", "price", "qty", "fee", "fee_coin"),
        *("maker", "ts"),
    ),
}
_ORDER_BY: Final = {"events": "seq", "orders": "created, wire_id", "fills": "ts, exec_id"}
_PRICES: Final = ("sent_price", "stop_price", "price")
_QTYS: Final = ("sent_qty", "qty", "leaves", "filled")


def show_journal(path: Path, *, json: bool) -> int:
    """Runs, what is open, what each strategy holds, how much is written."""
    with JournalReader(path) as journal:
        summary = _summary(journal)
        orders, holdings = journal.open_orders(), journal.holdings()
    if json:
        summary["open_orders"] = [_as_json(each) for each in orders]
        summary["holdings"] = [_holding(each) for each in holdings]
        print(text_json.dumps(summary))
        return 0
    _print(path, summary, orders, holdings)
    return 0


def _summary(journal: JournalReader) -> dict[str, Any]:
    counts = {table: journal.rows(f"SELECT count(*) FROM {table}")[0][0] for table in ("events", "orders", "fills")}
    runs = journal.rows("SELECT number, started, ended FROM runs ORDER BY number DESC LIMIT 10")
    return {
        "installation": journal.installation,
        **counts,
        "runs": [dict(zip(("run", "started", "ended"), row, strict=True)) for row in runs],
    }


def _as_json(order: OpenOrder) -> dict[str, Any]:
    sent, standing, instrument = order.sent, order.standing, order.sent.instrument
    return {
        "wire_id": order.wire_id,
        "exchange": order.exchange.name,
        "account": order.account,
        "strategy": sent.strategy,
        "client_id": sent.client_id,
        "instrument": instrument.name,
        "side": "buy" if sent.side > 0 else "sell",
        "type": sent.order_type.name,
        "price": show_exact(standing.price * instrument.price_scale.step_units),
        "qty": show_exact(standing.qty * instrument.qty_scale.step_units),
        "filled": show_exact(standing.filled * instrument.qty_scale.step_units),
        "state": standing.state.name,
        "in_doubt": order.in_doubt,
        "created": sent.created_ts,
    }


def _holding(holding: Holding) -> dict[str, str]:
    return {
        "strategy": holding.strategy,
        "exchange": holding.exchange.name,
        "account": holding.account,
        "instrument": holding.name,
        "position": show_exact(holding.units),
    }


def _print(path: Path, summary: dict[str, Any], orders: list[OpenOrder], holdings: list[Holding]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    told = ", ".join(show_count(summary[what], what[:-1]) for what in ("events", "orders", "fills"))
    console.print(f"{path}: installation {summary['installation']}, {told}")
    runs = [
        (str(each["run"]), show_time(each["started"]), show_time(each["ended"]) if each["ended"] else "not ended")
        for each in summary["runs"]
    ]
    console.print(_table("Runs, latest first", ("run", "started", "ended"), runs))
    shown = [_as_json(each) | {"created": show_time(each.sent.created_ts)} for each in orders]
    _print_dicts(console, "Sent and not known to be over", shown)
    doubtful = [each.wire_id for each in orders if each.in_doubt]
    if doubtful:
        told = "requests about them went unanswered; the next run asks the exchange"
        console.print(f"In doubt: {', '.join(doubtful)}: {told}")
    _print_dicts(console, "Positions by fills", [_holding(each) for each in holdings])


def _print_dicts(console: Any, title: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        console.print(_table(title, tuple(rows[0]), [tuple(map(str, each.values())) for each in rows]))
    else:
        console.print(f"{title}: none")


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def verify_journal(path: Path, *, json: bool) -> int:
    """Check that the journal agrees with itself; status 2 and what is wrong where it does not."""
    with JournalReader(path) as journal:
        faults = list(check(journal))
        events = journal.rows("SELECT count(*) FROM events")[0][0]
    if json:
        print(text_json.dumps({"events": events, "faults": faults}))
    elif not faults:
        print(f"{path}: {show_count(events, 'event')}, all in order")
    else:
        for fault in faults[:FAULTS_SHOWN]:
            print(fault, file=sys.stderr)
        if len(faults) > FAULTS_SHOWN:
            print(f"... and {len(faults) - FAULTS_SHOWN} more", file=sys.stderr)
        print(f"{path}: {show_count(len(faults), 'fault')} in {show_count(events, 'event')}", file=sys.stderr)
    return INCONSISTENT if faults else 0


def export_journal(path: Path, what: What, to: Path | None) -> int:
    """Write a table as JSON lines, or as CSV where the file to write is called so; to standard output without one.
    Prices and quantities are plain numbers as text, times nanoseconds since 1970 UTC."""
    suffix = ".jsonl" if to is None else to.suffix.lower()
    if suffix not in (".jsonl", ".json", ".csv"):
        raise UserError(f"--to {to}: what format?", "Call the file *.jsonl (JSON lines) or *.csv.")
    with JournalReader(path) as journal, _opened(to) as out:
        rows = _rows(journal, what)
        if suffix == ".csv":
            writer = csv.DictWriter(out, _COLUMNS[what])
            writer.writeheader()
            for row in rows:
                writer.writerow(row | {"detail": text_json.dumps(row["detail"])} if "detail" in row else row)
        else:
            out.writelines(text_json.dumps(row) + "\n" for row in rows)
    return 0


@contextmanager
def _opened(to: Path | None) -> Iterator[IO[str]]:
    if to is None:
        yield sys.stdout
        return
    try:
        with to.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise UserError(f"--to {to}: {error.strerror}") from error


def _rows(journal: JournalReader, what: What) -> Iterator[dict[str, Any]]:
    names = _COLUMNS[what]
    if what == "events":
        query = f"SELECT {', '.join(names)} FROM events ORDER BY seq"
        for row in journal.rows(query):
            yield dict(zip(names, row, strict=True)) | {"detail": detail_of(row[-1])}
        return
    query = (
        f"SELECT {', '.join(names)}, price_step, qty_step FROM {what} t "
        f"JOIN instruments i ON i.id = t.instrument ORDER BY {_ORDER_BY[what]}"
    )
    for *values, price_step, qty_step in journal.rows(query):
        named = zip(names, values, strict=True)
        yield {name: _shown(name, value, int(price_step), int(qty_step)) for name, value in named}


def _shown(name: str, value: Any, price_step: int, qty_step: int) -> Any:
    if name in _PRICES:
        return None if value is None else show_exact(value * price_step)
    if name in _QTYS:
        return show_exact(value * qty_step)
    return show_exact(int(value)) if name == "fee" else value
