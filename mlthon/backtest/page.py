"""A report as one HTML page that needs nothing else: equity and drawdown as inline SVG, and the figures."""

from collections.abc import Sequence
from html import escape
from typing import Final

from mlthon.backtest.report import Report
from mlthon.backtest.show import show_money, show_share, show_time
from mlthon.basics.money import UNIT

WIDTH: Final = 900
EQUITY_HEIGHT: Final = 260
DRAWDOWN_HEIGHT: Final = 110
MARGIN: Final = 8
POINTS: Final = 1800
"""More points than two a pixel are thinned: of each group its lowest and its highest stay."""

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2rem auto; padding: 0 1rem; color: #1c2430; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
pre { background: #f4f6f8; padding: 1rem; overflow-x: auto; font-size: 13px; line-height: 1.4; }
figure { margin: 0; } svg { width: 100%; height: auto; display: block; background: #fbfcfd; border: 1px solid #dde3ea; }
figcaption { display: flex; justify-content: space-between; color: #5b6675; font-size: 13px; }
.equity { fill: none; stroke: #1769c2; stroke-width: 1.5; } .zero { stroke: #b6c0cc; stroke-dasharray: 4 4; }
.fall { fill: #d64545; fill-opacity: .3; stroke: #d64545; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  body { background: #12161c; color: #dde3ea; } pre, svg { background: #1a2028; border-color: #2b3440; }
  .equity { stroke: #6db3ff; }
}
"""

Point = tuple[int, int]


def page(report: Report, text: str) -> str:
    """The page of a closed report; `text` is its summary."""
    result = report.closed.result
    title = escape(f"{result.strategy}, {result.mode}")
    charts = "".join(_charts(report, coin.coin, coin.deposits) for coin in report.closed.coins)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n<body>\n'
        f"<h1>{title}</h1>\n{charts}<h2>Summary</h2>\n<pre>{escape(text)}</pre>\n</body>\n</html>\n"
    )


def _charts(report: Report, coin: str, deposits: int) -> str:
    curve = [(sample.ts, deposits + sample.pnl.get(coin, 0)) for sample in report.samples]
    if len(curve) < 2 or curve[0][0] == curve[-1][0]:
        return ""
    falls: list[Point] = []
    peak = curve[0][1]
    for ts, value in curve:
        peak = max(peak, value)
        falls.append((ts, value - peak))
    summary = next(each for each in report.closed.coins if each.coin == coin)
    name = escape(coin)
    times = (show_time(curve[0][0]), show_time(curve[-1][0]))
    low, high = (show_money(bound(value for _, value in curve)) for bound in (min, max))
    worst = f"{show_money(summary.max_drawdown)} {name} ({show_share(summary.max_drawdown_share, 4)})"
    return (
        f"<h2>Equity in {name}</h2>\n<figure>{_line(curve, deposits)}"
        f"<figcaption><span>{times[0]}</span><span>between {low} and {high}</span><span>{times[1]}</span></figcaption>"
        f"</figure>\n<h2>Drawdown in {name}</h2>\n<figure>{_area(falls)}"
        f"<figcaption><span>{times[0]}</span><span>largest: {worst}</span><span>{times[1]}</span></figcaption>"
        "</figure>\n"
    )


def _thinned(points: Sequence[Point]) -> list[Point]:
    if len(points) <= POINTS:
        return list(points)
    size = -(-len(points) // (POINTS // 2))
    kept: list[Point] = [points[0]]
    for first in range(0, len(points), size):
        group = points[first : first + size]
        kept += sorted({min(group, key=lambda p: p[1]), max(group, key=lambda p: p[1])})
    return [*kept, points[-1]]


class _Scale:
    """From times and amounts to pixels."""

    def __init__(self, points: Sequence[Point], low: int, high: int, height: int) -> None:
        self._start, self._span = points[0][0], points[-1][0] - points[0][0]
        if low == high:
            low, high = low - UNIT, high + UNIT
        self._low, self._high, self._height = low, high, height

    def y(self, value: int) -> float:
        share = (self._high - value) / (self._high - self._low)
        return round(MARGIN + share * (self._height - 2 * MARGIN), 2)

    def path(self, points: Sequence[Point]) -> str:
        return " ".join(f"{round((ts - self._start) / self._span * WIDTH, 2)},{self.y(value)}" for ts, value in points)


def _line(curve: Sequence[Point], deposits: int) -> str:
    values = [value for _, value in curve]
    scale = _Scale(curve, min(*values, deposits), max(*values, deposits), EQUITY_HEIGHT)
    zero = scale.y(deposits)
    return (
        f'<svg viewBox="0 0 {WIDTH} {EQUITY_HEIGHT}" role="img" aria-label="equity">'
        f'<line class="zero" x1="0" x2="{WIDTH}" y1="{zero}" y2="{zero}"/>'
        f'<polyline class="equity" points="{scale.path(_thinned(curve))}"/></svg>'
    )


def _area(falls: Sequence[Point]) -> str:
    scale = _Scale(falls, min(value for _, value in falls), 0, DRAWDOWN_HEIGHT)
    top = scale.y(0)
    return (
        f'<svg viewBox="0 0 {WIDTH} {DRAWDOWN_HEIGHT}" role="img" aria-label="drawdown">'
        f'<polygon class="fall" points="0,{top} {scale.path(_thinned(falls))} {WIDTH},{top}"/></svg>'
    )
