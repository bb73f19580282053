"""A Crypto Arsenal strategy, or signals, played on a made market in a few lines."""

import logging
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from mlthon.arsenal.assembly import WEBHOOK, Arsenals, arsenal_files
from mlthon.backtest.history import recorded_history
from mlthon.backtest.prepare import prepare
from mlthon.backtest.result import Result
from mlthon.backtest.run import Run
from mlthon.basics.instrument import Instrument
from mlthon.config import ArsenalConfig, ExchangeSettings, RunConfig, StrategyConfig
from mlthon.data.rows import Source
from mlthon.engine.clock import SECOND
from mlthon.engine.state import MemoryState, State
from mlthon.engine.tracker import TrackedOrder
from tests.backtest.play import BTC, START, Tape, source

MINUTE = 60 * SECOND
DEEP = 10_000_000


@define
class Flow:
    """What was ordered, and what came of it, each with the minute of the run."""

    start: int = 0
    new: list[tuple[Any, ...]] = field(factory=list)
    fills: list[tuple[Any, ...]] = field(factory=list)
    ended: list[tuple[str, str]] = field(factory=list)

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        if order is None:
            return
        minute = (ts - self.start) // MINUTE
        scales = order.instrument.qty_scale.values, order.instrument.price_scale.values
        price = order.stop_price or order.price
        if kind == "new":
            side = "buy" if order.side > 0 else "sell"
            at = scales[1][price].to_float() if price else None
            self.new.append((minute, side, order.order_type.name, scales[0][order.qty].to_float(), at))
        elif kind == "fill":
            self.fills.append((minute, order.side * scales[0][detail[2]].to_float(), scales[1][detail[1]].to_float()))
        elif kind in ("cancelled", "reject"):
            self.ended.append((kind, detail[-1]))


class Lines(logging.Handler):
    """The strategies' log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage().partition(": ")[2])


@define
class Played:
    trader: Any
    flow: Flow
    lines: list[str]
    result: Result
    arsenals: Arsenals
    run: Run

    @property
    def orders(self) -> list[tuple[Any, ...]]:
        return self.flow.new

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)


def minutes(prices: Iterable[float], instrument: Instrument = BTC, size: int = DEEP) -> Tape:
    """A market whose minutes close at these prices: a quote a tick wide at the start of each, and a trade."""
    tape = Tape(instrument)
    for number, price in enumerate(prices):
        ticks = instrument.price_scale.steps(price)
        if not number:
            tape.quote(0, ticks, size, ticks + 1, size)
        tape.quote(number * 60_000 + 500, ticks, size, ticks + 1, size)
        tape.trade(number * 60_000 + 1_000, ticks, 1_000, 1)
    return tape


def play(
    code: str | None,
    data: Tape | Source,
    folder: Path,
    *,
    params: Mapping[str, Any] | None = None,
    arsenal: ArsenalConfig | None = None,
    pairs: Sequence[str] = (),
    exchanges: Mapping[str, ExchangeSettings] | None = None,
    state: State | None = None,
    start: int | None = None,
    signals: Mapping[float, Mapping[str, Any]] | None = None,
    calls: Mapping[float, Callable[[Any], Any]] | None = None,
    seconds: float | None = None,
) -> Played:
    """Play it to its end. `code`: the strategy's text, None for signals alone. `signals`: by the second of the run;
    `calls`: anything else, told the trader."""
    name = WEBHOOK
    if code is not None:
        name = str(folder / "strategy.py")
        Path(name).write_text(textwrap.dedent(code))
    strategies = {"it": StrategyConfig(strategy=name, params=dict(params or {}))}
    config = RunConfig(arsenal=arsenal or ArsenalConfig(), exchanges=dict(exchanges or {}))
    sources = [source(data) if isinstance(data, Tape) else data]
    kept = state or MemoryState()
    arsenals = Arsenals(
        config, strategies, arsenal_files(strategies), pairs=pairs, data=sources, states=lambda name: kept
    )
    flow, lines = Flow(), Lines()
    duration = None if seconds is None else round(seconds * SECOND)
    run = prepare(
        arsenals.configured(data=True), arsenals.strategies, sources, taps=[flow], start=start, duration=duration
    )
    flow.start = begin = run.start - run.start % MINUTE
    arsenals.attach(run.assembly.engine, None if start is None else recorded_history(sources, start))
    trader = arsenals.members[0].trader
    clock = run.assembly.clock
    for second, payload in (signals or {}).items():
        clock.call_at(begin + round(second * SECOND), trader.take, payload)
    for second, call in (calls or {}).items():
        clock.call_at(begin + round(second * SECOND), call, trader)
    log = logging.getLogger("mlthon.arsenal")
    log.addHandler(lines)
    level = log.level
    log.setLevel(logging.DEBUG)
    try:
        result = run.go(stop=arsenals.or_failed(lambda: False))
    finally:
        log.removeHandler(lines)
        log.setLevel(level)
    return Played(trader, flow, lines.lines, result, arsenals, run)


def settings(**more: Any) -> ExchangeSettings:
    """An exchange without fees, with a lot of money."""
    base = ExchangeSettings(maker_fee=0.0, taker_fee=0.0, balances={"USDT": 10_000.0})
    return evolve(base, **more)


FREE = {"Bybit": settings()}
FREE_SPOT = {"Binance": settings(balances={"USDT": 10_000.0, "BTC": 0.0})}
HEAD = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        self.subscribed_books = {}
        self.options = {}
        self.seen = []
"""
"""How strategies of the tests begin."""

__all__ = ["BTC", "DEEP", "MINUTE", "START", "Played", "minutes", "play", "settings"]
