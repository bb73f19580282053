"""What is seen while a run goes on: a progress bar and a table on a terminal, a line every few seconds elsewhere.

All of it goes to standard error. `update` is called at most four times a second, between two batches of events.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from mlthon.backtest.result import Progress
from mlthon.backtest.show import show_exact, show_money, show_rate, show_span, show_time

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

LINE_EVERY_S: Final = 5.0
HOLDINGS_SHOWN: Final = 12


class View(Protocol):
    def update(self, progress: Progress) -> None: ...


@contextmanager
def make_view(*, quiet: bool, title: str) -> Iterator[View]:
    """The view that suits where standard error goes."""
    if quiet:
        yield NoView()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        # What a strategy prints to the same terminal goes above the table, or it would be drawn over.
        shared = sys.stdout.isatty()
        with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=shared) as live:
            yield LiveView(live, title)
    else:
        yield PlainView()


@contextmanager
def make_busy(what: str, *, quiet: bool) -> Iterator[None]:
    """Say on a terminal what takes its time, until it is done."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    print(what, end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


class NoView:
    def update(self, progress: Progress) -> None:
        """Shows nothing."""


class PlainView:
    """A line every `LINE_EVERY_S` seconds."""

    def __init__(self) -> None:
        self._told = 0.0

    def update(self, progress: Progress) -> None:
        if progress.elapsed_s - self._told >= LINE_EVERY_S:
            self._told = progress.elapsed_s
            print(line(progress), file=sys.stderr, flush=True)


def line(progress: Progress) -> str:
    """A run on its way, in one line."""
    share = "" if progress.share is None else f"{progress.share:4.0%}  "
    held = " ".join(f"{each.instrument} {show_exact(each.position)}" for each in progress.holdings if each.position)
    pnl = " ".join(f"{show_money(units, 2, sign=True)} {coin}" for coin, units in progress.pnl.items())
    return (
        f"{share}{show_time(progress.now_ns)}  {progress.events:,} events, {show_rate(progress.events_per_s)}  "
        f"{progress.orders:,} orders  {progress.fills:,} fills"
        + (f"  {progress.errors} errors" if progress.errors else "")
        + (f"  profit {pnl}" if pnl else "")
        + (f"  position {held}" if held else "")
    )


class LiveView:
    """The bar and the table, drawn anew in place."""

    def __init__(self, live: "Live", title: str) -> None:
        self._live = live
        self._title = title

    def update(self, progress: Progress) -> None:
        self._live.update(self._screen(progress), refresh=True)

    def _screen(self, progress: Progress) -> "RenderableType":
        from rich.console import Group

        parts = [self._bar(progress), self._counts(progress)]
        if progress.holdings:
            parts.append(self._holdings(progress))
        return Group(*parts)

    def _bar(self, progress: Progress) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        share = progress.share
        if share is None:
            grid.add_row(
                Text(self._title, "bold"), show_time(progress.now_ns), show_span(round(progress.elapsed_s * 1e9))
            )
            return grid
        left = progress.elapsed_s * (1 - share) / share if share > 0 else None
        grid.add_row(
            Text(self._title, "bold"),
            ProgressBar(total=1.0, completed=share, width=30),
            f"{share:4.0%}",
            show_time(progress.now_ns),
            "" if left is None else f"{show_span(round(left * 1e9))} left",
        )
        return grid

    def _counts(self, progress: Progress) -> "RenderableType":
        from rich.text import Text

        text = Text(
            f"{progress.events:,} events   {show_rate(progress.events_per_s)}   {progress.orders:,} orders   "
            f"{progress.fills:,} fills"
        )
        if progress.errors:
            text.append(f"   {progress.errors} errors", "bold red")
        return text

    def _holdings(self, progress: Progress) -> "RenderableType":
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("instrument", no_wrap=True)
        for heading in ("position", "entry", "market", "profit"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for each in progress.holdings[:HOLDINGS_SHOWN]:
            profit = Text(show_money(each.pnl, 2, sign=True), "green" if each.pnl >= 0 else "red")
            entry = "-" if each.entry is None else show_money(each.entry)
            table.add_row(each.instrument, show_exact(each.position), entry, show_exact(each.mark), profit, each.coin)
        if len(progress.holdings) > HOLDINGS_SHOWN:
            table.add_row(f"... and {len(progress.holdings) - HOLDINGS_SHOWN} more", "", "", "", "", "")
        return table
