"""What is seen while a run goes on."""

import io
import sys

import pytest
from attrs import evolve
from rich.console import Console
from rich.live import Live

from mlthon.backtest.result import Holding, Progress
from mlthon.basics.money import UNIT, parse
from mlthon.cli.view import HOLDINGS_SHOWN, LiveView, PlainView, line, make_view

HELD = Holding(
    instrument="byt:perp:btc-usdt",
    account="main",
    coin="USDT",
    position=parse("-0.021"),
    entry=parse("64840.0984"),
    mark=parse("64841.4"),
    realised=-UNIT,
    unrealised=0,
    fees=UNIT,
)
PROGRESS = Progress(
    now_ns=1_735_691_566 * 10**9,
    start_ns=1_735_689_600 * 10**9,
    end_ns=1_735_693_200 * 10**9,
    events=1_234_567,
    elapsed_s=2.0,
    orders=12,
    fills=3,
    holdings=(HELD,),
    pnl={"USDT": -2 * UNIT},
)


def test_a_line() -> None:
    assert line(PROGRESS) == (
        " 55%  2025-01-01 00:32:46  1,234,567 events, 617 k/s  12 orders  3 fills  profit -2.00 USDT  "
        "position byt:perp:btc-usdt -0.021"
    )


def test_a_line_without_an_end_and_with_errors() -> None:
    text = line(evolve(PROGRESS, end_ns=None, holdings=(), pnl={}, errors=2))
    assert text == "2025-01-01 00:32:46  1,234,567 events, 617 k/s  12 orders  3 fills  2 errors"


def test_lines_come_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    for tenth in range(120):
        view.update(evolve(PROGRESS, elapsed_s=tenth / 10))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 2


@pytest.mark.parametrize("end", [None, PROGRESS.end_ns])
def test_the_live_table(end: int | None) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    many = (HELD,) * (HOLDINGS_SHOWN + 2)
    with Live(console=console, auto_refresh=False) as live:
        LiveView(live, "demo").update(evolve(PROGRESS, end_ns=end, errors=1, holdings=many))
        assert "demo" in screen.getvalue()
        once = io.StringIO()
        Console(file=once, width=100).print(live.get_renderable())
    shown = once.getvalue()
    for part in ("demo", "2025-01-01 00:32:46", "1,234,567 events", "617 k/s", "-0.021", "64,840.0984", "64841.4"):
        assert part in shown
    assert ("55%" in shown) == (end is not None)
    assert "1 errors" in shown
    assert "... and 2 more" in shown
    assert shown.count("byt:perp:btc-usdt") == HOLDINGS_SHOWN


def test_what_suits_standard_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with make_view(quiet=False, title="x") as view:
        assert isinstance(view, PlainView)
    with make_view(quiet=True, title="x") as view:
        view.update(evolve(PROGRESS, elapsed_s=100.0))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with make_view(quiet=False, title="x") as view:
        assert isinstance(view, LiveView)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_a_strategy_prints_is_not_drawn_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    with make_view(quiet=False, title="demo") as view:
        view.update(PROGRESS)
        print("said [by] the strategy")
    out, err = capsys.readouterr()
    assert out == ("" if terminal else "said [by] the strategy\n")
    assert ("said [by] the strategy" in err) is terminal
