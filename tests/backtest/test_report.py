"""The report: figures worked out by hand, books against accounts, and what is written out."""

import csv
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mlthon.backtest.page import page
from mlthon.backtest.report import LedgerMismatch, Report, drawdown, sharpe
from mlthon.backtest.result import Holding, Result
from mlthon.backtest.tables import summary_text, write_report
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT, parse
from mlthon.engine.tracker import TrackedOrder
from mlthon.errors import UserError

LINEAR = resolve(Exchange.Bybit, "byt:perp:btc-usdt")  # tick 0.1, lot 0.001
INVERSE = resolve(Exchange.Bybit, "byt:perp:btc-usd")  # tick 0.5, lot 1 USD
SPOT = resolve(Exchange.Bybit, "byt:spot:btc-usdt")  # tick 0.1, lot 0.000001
SECOND = 10**9
HOUR = 3600 * SECOND

Fill = tuple[int, int, int, int]
"""Time (ns), signed lots, price (ticks), fee (10^-18)."""


def order(wire_id: str, instrument: Instrument, lots: int, price: int, strategy: str = "mine") -> TrackedOrder:
    session = cast(Any, SimpleNamespace(name=strategy))
    side = 1 if lots > 0 else -1
    kind, tif, instr = OrderType.Limit, TIF.GTC, ExecInstructions.PostOnly
    return TrackedOrder(
        wire_id, wire_id, session, "main", instrument, side, kind, tif, instr, price, abs(lots), None, False, 0
    )


def trade(
    report: Report, instrument: Instrument, fills: Sequence[Fill], strategy: str = "mine", start: int = 0
) -> None:
    """Each fill fills an order of its own whole, as maker. Orders are numbered from `start`."""
    coin = instrument.settle_currency or ""
    for number, (ts, lots, price, fee) in enumerate(fills, start):
        one = order(f"{strategy}-{instrument.symbol}-{number}", instrument, lots, price, strategy)
        report.books.record(ts, "new", one, ())
        one.filled, one.leaves = abs(lots), 0
        report.books.record(ts, "fill", one, (f"x{number}", price, abs(lots), 0, fee, coin, True, ts))


def holding(instrument: Instrument, **amounts: Any) -> Holding:
    facts: dict[str, Any] = {"position": 0, "entry": None, "mark": None, "realised": 0, "unrealised": 0, "fees": 0}
    coin = instrument.settle_currency or ""
    return Holding(instrument=instrument.name, account="main", coin=coin, **(facts | amounts))


def result(*holdings: Holding, deposits: dict[str, int] | None = None, end: int = HOUR) -> Result:
    pnl: dict[str, int] = {}
    for each in holdings:
        pnl[each.coin] = pnl.get(each.coin, 0) + each.pnl
    none: dict[str, int] = {}
    return Result(
        strategy="mine",
        mode="backtest",
        events=10,
        orders=1,
        acks=1,
        rejects=0,
        cancels=0,
        fills=1,
        volume=none,
        fees=none,
        pnl=pnl,
        position=none,
        errors=0,
        elapsed_s=1.0,
        digest="d" * 64,
        start_ns=0,
        end_ns=end,
        holdings=holdings,
        deposits=deposits or {},
    )


def test_a_round_trip_by_hand() -> None:
    """Buy 2 lots (0.002) at 50,000, sell 1 at 50,100, hold 1 at a mark of 49,900: +0.1 realised, -0.1 unrealised."""
    report = Report()
    fee = parse("0.01")
    trade(report, LINEAR, [(0, 2, 500_000, fee), (HOUR // 2, -1, 501_000, fee)])
    report.sample(HOUR // 2, {"USDT": parse("0.08")})
    summary = report.close(
        result(
            holding(
                LINEAR,
                position=parse("0.001"),
                mark=parse(49_900),
                realised=parse("0.1"),
                unrealised=parse("-0.1"),
                fees=2 * fee,
            ),
            deposits={"USDT": 100 * UNIT},
        )
    )
    (coin,) = summary.coins
    assert (coin.pnl, coin.realised, coin.unrealised) == (parse("-0.02"), parse("0.1"), parse("-0.1"))
    assert (coin.fees, coin.equity, coin.volume) == (parse("0.02"), parse("99.98"), parse("150.1"))
    assert coin.total_return == pytest.approx(-0.0002)
    assert coin.turnover == pytest.approx(1.501)
    assert coin.max_drawdown == parse("0.1")
    assert coin.max_drawdown_share == pytest.approx(0.1 / 100.08)
    assert (summary.time_in_market, summary.fill_ratio) == (1.0, 1.0)
    assert (summary.samples, summary.sample_s) == (3, 1800.0)
    (mine,) = summary.instruments
    assert (mine.bought, mine.sold, mine.position) == (parse("0.002"), parse("0.001"), parse("0.001"))
    assert (mine.orders, mine.fills, mine.maker_fills, mine.pnl) == (2, 2, 2, parse("-0.02"))


def test_an_inverse_contract_by_hand() -> None:
    """100 USD bought at 50,000 (0.002 BTC) and sold at 40,000 (0.0025 BTC): a loss of 0.0005 BTC."""
    report = Report()
    trade(report, INVERSE, [(0, 100, 100_000, 0), (HOUR // 4, -100, 80_000, 0)])
    summary = report.close(result(holding(INVERSE, realised=parse("-0.0005")), deposits={"BTC": UNIT}))
    (coin,) = summary.coins
    assert (coin.coin, coin.pnl, coin.volume) == ("BTC", parse("-0.0005"), parse("0.0045"))
    assert summary.time_in_market == 0.25


def test_spot_counts_the_coins_held_at_the_market_price() -> None:
    report = Report()
    trade(report, SPOT, [(0, 1000, 500_000, parse("0.05"))])
    held = holding(
        SPOT, position=parse("0.001"), mark=parse(51_000), unrealised=UNIT, fees=parse("0.05"), entry=parse(50_000)
    )
    summary = report.close(result(held, deposits={"USDT": 100 * UNIT}))
    assert summary.coins[0].pnl == parse("0.95")


def test_orders_that_never_traded_and_their_ends() -> None:
    report = Report()
    for wire_id, kind, detail in (
        ("a", "reject", ("InvalidPrice", "price 0")),
        ("b", "cancelled", (False, 5, "CanceledByUser", "")),
        ("c", "ack", ("x", 1, 1, 1, 5)),
    ):
        one = order(wire_id, LINEAR, 1, 500_000)
        report.books.record(1, "new", one, ())
        report.books.record(5, kind, one, detail)
    report.books.record(5, "cancel_all", None, ("mine", LINEAR.name))
    summary = report.close(result())
    assert summary.fill_ratio == 0.0
    assert summary.time_in_market == 0.0
    ends = report.books.ends
    assert {key: (end.state, end.reason) for key, end in ends.items()} == {
        "a": ("rejected", "InvalidPrice: price 0"),
        "b": ("cancelled", "CanceledByUser"),
    }


def test_an_order_that_fills_in_parts_counts_once() -> None:
    report = Report()
    one = order("a", LINEAR, 3, 500_000)
    report.books.record(0, "new", one, ())
    for number in range(3):
        one.filled += 1
        report.books.record(number, "fill", one, (str(number), 500_000, 1, 2 - number, 0, "USDT", False, number))
    mark = parse(50_000)
    summary = report.close(result(holding(LINEAR, position=parse("0.003"), mark=mark)))
    assert (summary.instruments[0].fill_ratio, summary.instruments[0].fills) == (1.0, 3)
    assert report.books.ends["a"].state == "filled"


def test_two_strategies_on_one_account_are_told_apart_and_add_up() -> None:
    """One buys what the other sells: the account is flat and has realised the difference of their prices."""
    report = Report()
    trade(report, LINEAR, [(0, 1, 500_000, 0)], "left")
    trade(report, LINEAR, [(0, -1, 501_000, 0)], "right")
    held = holding(LINEAR, realised=parse("0.1"), mark=parse(50_050))
    summary = report.close(result(held))
    assert [(each.strategy, each.pnl) for each in summary.instruments] == [
        ("left", parse("0.05")),
        ("right", parse("0.05")),
    ]


FLAWS = [
    ({"position": 1}, "position in main, byt:perp:btc-usdt"),
    ({"fees": 1}, "fees in main, byt:perp:btc-usdt"),
    ({"realised": 1}, "realised and unrealised profit in main, byt:perp:btc-usdt"),
    ({"unrealised": -1}, "realised and unrealised profit in main, byt:perp:btc-usdt"),
]


@pytest.mark.parametrize(("flaw", "what"), FLAWS)
def test_a_ledger_that_is_off_by_the_smallest_unit_is_found(flaw: dict[str, int], what: str) -> None:
    report = Report()
    trade(report, LINEAR, [(0, 1, 500_000, 7)])
    right = holding(LINEAR, position=parse("0.001"), mark=parse(50_000), fees=7)
    Report.close(_again(report), result(right))
    wrong = evolve(right, **{name: getattr(right, name) + off for name, off in flaw.items()})
    with pytest.raises(LedgerMismatch, match=what) as caught:
        report.close(result(wrong))
    assert "a difference of " in str(caught.value)
    assert "0.000000000000000001" in str(caught.value)


def _again(report: Report) -> Report:
    other = Report()
    other.books = report.books
    return other


def test_a_profit_that_is_not_the_sum_of_the_holdings_is_found() -> None:
    off = evolve(result(holding(LINEAR, funding=5)), pnl={"USDT": 4})
    with pytest.raises(LedgerMismatch, match="profit in USDT"):
        Report().close(off)


def test_fills_that_the_account_knows_nothing_of_are_found() -> None:
    report = Report()
    trade(report, LINEAR, [(0, 1, 500_000, 0)])
    with pytest.raises(LedgerMismatch, match="1 fills, and the account holds no record of them"):
        report.close(result())


fills = st.lists(
    st.tuples(
        st.integers(0, HOUR),
        st.integers(-50, 50).filter(bool),
        st.integers(1, 2_000_000),
        st.integers(-(10**15), 10**18),
    ),
    max_size=20,
).map(lambda each: sorted(each))


@given(first=fills, second=fills, mark=st.integers(1, 2_000_000))
def test_the_figures_add_up_whatever_was_traded(first: list[Fill], second: list[Fill], mark: int) -> None:
    """Two strategies on one account, against plain sums in fractions."""
    report = Report()
    every = first + second
    for number, fill in enumerate(sorted(every)):
        trade(report, LINEAR, [fill], "left" if fill in first else "right", number)
    lots = sum(fill[1] for fill in every)
    value = Fraction(1, 10_000)  # of one lot and one tick
    gain = sum(-fill[1] * fill[2] * value for fill in every) + lots * mark * value
    fees = sum(fill[3] for fill in every)
    held = holding(
        LINEAR,
        position=lots * UNIT // 1000,
        mark=mark * UNIT // 10,
        realised=int(gain * UNIT),
        fees=fees,
    )
    summary = report.close(result(held, deposits={"USDT": UNIT}))
    assert sum(each.pnl for each in summary.instruments) == gain * UNIT - fees
    assert sum(each.fees for each in summary.instruments) == fees == summary.coins[0].fees
    assert summary.coins[0].volume == sum(abs(fill[1]) * fill[2] * value for fill in every) * UNIT
    assert summary.coins[0].equity == UNIT + gain * UNIT - fees
    assert sum(each.bought - each.sold for each in summary.instruments) == held.position
    assert 0 <= cast(float, summary.time_in_market) <= 1


@pytest.mark.parametrize(
    ("equity", "fall", "share"),
    [
        ([100], 0, 0.0),
        ([100, 110, 120], 0, 0.0),
        ([100, 80, 120, 90, 130], 30, 0.25),
        ([100, 40, 1000, 900], 100, 0.6),
        ([100, -20], 120, 1.2),
        ([0, -20], 20, None),
    ],
)
def test_drawdown(equity: list[int], fall: int, share: float | None) -> None:
    assert drawdown(equity) == (fall, share if share is None else pytest.approx(share))


def test_sharpe_by_hand() -> None:
    """Returns of +10 % and -10 % and +20 % a day: mean 0.0667, deviation 0.1528, times the root of 365."""
    day = 86_400 * SECOND
    assert sharpe([100, 110, 99, 118_800], 3 * day) is not None
    assert sharpe([1000, 1100, 990, 1188], 3 * day) == pytest.approx(0.2 / 3 / 0.152753 * 365**0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("equity", "span"), [([], 1), ([100], 1), ([100, 101], 1), ([100, 100, 100], 1), ([0, 1, 2], 1), ([1, 2, 4, 4], 0)]
)
def test_no_sharpe_where_it_has_no_meaning(equity: list[int], span: int) -> None:
    assert sharpe(equity, span) is None


def test_samples_at_one_time_replace_each_other() -> None:
    report = Report()
    report.sample(5, {"USDT": 1})
    report.sample(5, {"USDT": 2})
    assert [(each.ts, each.pnl) for each in report.samples] == [(5, {"USDT": 2})]


def test_a_last_sample_just_after_the_one_before_takes_its_place() -> None:
    """The end comes a moment after the last full minute: that moment is no interval of its own."""
    report = Report()
    for minute in range(1, 61):
        report.sample(minute * 60 * SECOND, {"USDT": minute})
    report.sample(HOUR + 5, {"USDT": 60})
    summary = report.close(result(holding(LINEAR, funding=60), deposits={"USDT": UNIT}, end=HOUR + 5))
    assert summary.samples == 61
    assert summary.sample_s == pytest.approx(60)


# -- written out -------------------------------------------------------------------------------------------------------


def stored(file: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file; times as ns, which Python's own type of them cannot hold."""
    table = pq.read_table(file)
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.int64()))
    return table.to_pylist()


@pytest.fixture
def closed() -> Report:
    report = Report()
    trade(report, LINEAR, [(0, 2, 500_000, 10), (HOUR // 2 + 7, -1, 501_000, -3)])
    report.sample(HOUR // 2, {"USDT": UNIT // 2})
    report.close(
        result(
            holding(
                LINEAR,
                position=parse("0.001"),
                mark=parse(50_000),
                realised=parse("0.1"),
                fees=7,
            ),
            deposits={"USDT": 100 * UNIT},
        )
    )
    return report


def test_what_is_written_is_exact_and_the_same_in_both_forms(closed: Report, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    write_report(closed, folder)
    write_report(closed, folder)
    for name, rows in (("equity", 3), ("orders", 2), ("fills", 2)):
        table = stored(folder / f"{name}.parquet")
        with (folder / f"{name}.csv").open() as file:
            lines = list(csv.DictReader(file))
        assert len(table) == len(lines) == rows
        assert list(table[0]) == list(lines[0])
        for row, line in zip(table, lines, strict=True):
            for column, value in row.items():
                if isinstance(value, Decimal):
                    assert Decimal(line[column]) == value
                elif value is None:
                    assert line[column] == ""
    fills = stored(folder / "fills.parquet")
    assert [each["ts"] for each in fills] == [0, HOUR // 2 + 7]
    assert [each["fee"] for each in fills] == [Decimal("1E-17"), Decimal("-3E-18")]
    assert [each["position"] for each in fills] == [Decimal("0.002"), Decimal("0.001")]
    with (folder / "fills.csv").open() as file:
        second = list(csv.DictReader(file))[1]
    assert (second["ts"], second["price"], second["fee"]) == (
        "1970-01-01T00:30:00.000000007Z",
        "50100",
        "-0.000000000000000003",
    )


def test_an_order_is_written_as_modifications_left_it_and_as_it_was_sent(tmp_path: Path) -> None:
    report = Report()
    one = order("a", LINEAR, 1, 500_000)
    report.books.record(1, "new", one, ())
    sent_qty = one.qty
    one.price, one.qty = 490_000, sent_qty + 3
    report.close(result())
    write_report(report, tmp_path)
    (written,) = stored(tmp_path / "orders.parquet")
    told = [written[name] for name in ("price", "qty", "sent_price", "sent_qty")]
    lot = Decimal("0.001")
    assert told == [Decimal(49_000), (sent_qty + 3) * lot, Decimal(50_000), sent_qty * lot]


def test_the_summary_adds_up_to_what_is_written(closed: Report, tmp_path: Path) -> None:
    write_report(closed, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text(), parse_float=Decimal)
    (coin,) = summary["coins"]
    fills = stored(tmp_path / "fills.parquet")
    equity = stored(tmp_path / "equity.parquet")
    assert coin["fees"] == sum(each["fee"] for each in fills)
    assert coin["volume"] == sum(each["value"] for each in fills)
    assert coin["pnl"] == coin["realised"] + coin["unrealised"] - coin["fees"] == equity[-1]["pnl"]
    assert coin["equity"] == coin["deposits"] + coin["pnl"] == equity[-1]["equity"]
    assert coin["max_drawdown"] == max(each["drawdown"] for each in equity)


def test_the_page_is_whole_and_needs_nothing_else(closed: Report) -> None:
    text = page(closed, summary_text(closed.closed))
    assert text.count("<svg") == text.count("</svg>") == 2
    assert "http" not in text
    assert "src=" not in text
    coordinates = re.findall(r'points="([^"]+)"', text)
    for points in coordinates:
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 900
            assert 0 <= y <= 260


def test_names_cannot_break_the_page(closed: Report) -> None:
    assert closed.summary is not None
    closed.summary = evolve(closed.summary, result=evolve(closed.summary.result, strategy="<script>alert(1)"))
    assert "<script>" not in page(closed, summary_text(closed.summary))


def test_a_page_of_a_run_without_trades() -> None:
    report = Report()
    text = summary_text(report.close(result()))
    assert "no order was sent" in text
    assert "<svg" not in page(report, text)


def test_a_folder_that_cannot_be_made(closed: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--report"):
        write_report(closed, tmp_path / "file" / "report")


def test_a_report_that_is_not_closed_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not closed"):
        write_report(Report(), tmp_path)
