"""Whole runs in a few lines: made market data or the synthetic market, the embedded exchange, and strategies that write
down what they are called with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlthon.backtest.prepare import prepare
from mlthon.backtest.report import Report
from mlthon.backtest.result import Result
from mlthon.backtest.run import Run
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.config import ExchangeSettings, RunConfig, StrategyConfig
from mlthon.data.rows import Columns, Kind, MemorySource, Stream
from mlthon.data.timing import FeedModel, FeedTiming
from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.config import LatencyConfig
from tests.data.made import columns
from tests.engine.rig import Recorder

BTC = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
ETH = resolve(Exchange.Bybit, "byt:perp:eth-usdt")
INVERSE = resolve(Exchange.Bybit, "byt:perp:btc-usd")
SPOT = resolve(Exchange.Binance, "bin:spot:btc-usdt")

START = 1_735_689_600 * SECOND
"""2025-01-01 00:00 UTC, where made data begins."""

Row = tuple[int, ...]


class Tape:
    """Rows of one instrument, written down in order; times in ms from `START`."""

    def __init__(self, instrument: Instrument = BTC) -> None:
        self.instrument = instrument
        self.rows: dict[Kind, list[Row]] = {}

    def quote(self, ms: float, bid: int, bid_qty: int, ask: int, ask_qty: int) -> "Tape":
        return self._add(Kind.QUOTE, ms, bid, bid_qty, ask, ask_qty)

    def trade(self, ms: float, price: int, qty: int, side: int) -> "Tape":
        return self._add(Kind.TRADE, ms, price, qty, side, len(self.rows.get(Kind.TRADE, ())) + 1)

    def book(self, ms: float, op: int, price: int = 0, qty: int = 0, level_id: int = 0) -> "Tape":
        return self._add(Kind.BOOK, ms, op, price, qty, level_id)

    def _add(self, kind: Kind, ms: float, *values: int) -> "Tape":
        ts = START + round(ms * MS)
        self.rows.setdefault(kind, []).append((ts, ts, *values))
        return self

    def streams(self) -> dict[Stream, Columns]:
        return {Stream(self.instrument, kind): columns(rows) for kind, rows in self.rows.items()}


def source(*tapes: Tape, chunk_rows: int = 65_536) -> MemorySource:
    return MemorySource({stream: rows for tape in tapes for stream, rows in tape.streams().items()}, chunk_rows)


def still(ms: int, every: int = 1000, instrument: Instrument = BTC, bid: int = 1000, ask: int = 1001) -> Tape:
    """A market that quotes the same for so long."""
    tape = Tape(instrument)
    for at in range(0, ms + 1, every):
        tape.quote(at, bid, 100_000, ask, 100_000)
    return tape


def settings(latency_ms: float = 1.0, **more: Any) -> ExchangeSettings:
    constant = LatencyConfig(ms=latency_ms)
    return ExchangeSettings(**{"entry_latency": constant, "response_latency": constant, **more})


def configured(latency_ms: float = 1.0, exchange: Mapping[str, Any] | None = None, **more: Any) -> RunConfig:
    """A configuration without feed latency, with constant latency either way, for every exchange that tests use."""
    each = settings(latency_ms, **(exchange or {}))
    wanted = {"timing": FeedTiming(model=FeedModel.NONE), **more}
    return RunConfig(**{"exchanges": {"Bybit": each, "Binance": each, "BinanceUsdm": each}, **wanted})


def instances(strategies: Any, **more: Any) -> dict[str, Any]:
    """Strategies that exist already, as `prepare` takes them: one, a list (s0, s1 ...) or a dict by name."""
    if not isinstance(strategies, Mapping):
        several = strategies if isinstance(strategies, Sequence) else [strategies]
        strategies = {f"s{number}": each for number, each in enumerate(several)}
    return {name: (_maker(each), StrategyConfig(strategy=name, **more)) for name, each in strategies.items()}


def _maker(strategy: Any) -> Any:
    return lambda: strategy


class Played:
    """A run, its result and the closed report (whose closing compares both sets of books)."""

    def __init__(self, run: Run, report: Report) -> None:
        self.run = run
        self.report = report

    def go(self, stop: Callable[[], bool] | None = None) -> "Played":
        self.result: Result = self.run.go(stop=stop)
        self.report.close(self.result)
        return self


def ready(strategies: Any, data: Any = None, config: RunConfig | None = None, **more: Any) -> Played:
    """A run that has not begun: `data` is a source, a tape, or None for the synthetic market."""
    report = Report()
    if isinstance(data, Tape):
        data = source(data)
    sources = None if data is None else data if isinstance(data, list) else [data]
    taps = [report.books, *more.pop("taps", [])]
    run = prepare(
        config or configured(),
        strategies if _prepared(strategies) else instances(strategies),
        sources,
        taps=taps,
        samplers=[report.sample],
        **more,
    )
    return Played(run, report)


def play(strategies: Any, data: Any = None, config: RunConfig | None = None, **more: Any) -> Played:
    """Make a run and go through it."""
    stop = more.pop("stop", None)
    return ready(strategies, data, config, **more).go(stop)


def _prepared(strategies: Any) -> bool:
    return isinstance(strategies, Mapping) and all(
        isinstance(each, (tuple, StrategyConfig)) for each in strategies.values()
    )


class Script(Recorder):
    """A recorder that does things at times: `at` maps ms since login to calls of the strategy."""

    def __init__(self, at: Mapping[float, Callable[["Script"], Any]] | None = None) -> None:
        super().__init__()

        def connected(env: Any) -> None:
            for ms, act in (at or {}).items():
                env.setup_timer(ms, lambda act=act: act(self))
            env.setup_timer(0.001, lambda: env.subscribe_to_market_data(Exchange.Bybit, [BTC], ["BBO"]))

        self.then["on_framework_connected"] = connected
