"""The workloads on this engine, through its public API: rows in memory, no digest, `Run.go` as the command line's.

The inputs are made before the run's clock starts.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks import inputs
from benchmarks.outcome import Outcome, main, quotes_of
from benchmarks.strategies import EXCHANGE, SYMBOL, EmaCross, QuotingOnPairs, QuotingOnSides
from mlthon.api.istrategy import IStrategy
from mlthon.backtest.prepare import prepare
from mlthon.backtest.result import Result
from mlthon.backtest.run import Run
from mlthon.basics.catalogue import resolve
from mlthon.config import ExchangeSettings, RunConfig, StrategyConfig
from mlthon.data.rows import Kind, MemorySource, Source, Stream
from mlthon.data.timing import FeedModel, FeedTiming
from mlthon.engine import clock
from mlthon.exchange.config import LatencyConfig

ORDER_UNITS = 10**16
"""0.010 BTC in 10^-18."""

INSTRUMENT = resolve(EXCHANGE, SYMBOL)


def build() -> str:
    """`pure`, or `mypyc` where the engine's hot modules are compiled."""
    return "pure" if str(clock.__file__).endswith(".py") else "mypyc"


def run_of(strategy: type[IStrategy], latency_ms: float, source: Source) -> Run:
    """A run of one strategy on the rows of `source`, ready to go."""
    latency = LatencyConfig(ms=latency_ms)
    config = RunConfig(
        timing=FeedTiming(model=FeedModel.NONE),
        exchanges={
            EXCHANGE.name: ExchangeSettings(
                entry_latency=latency,
                response_latency=latency,
                fills="full",
                default_balance=10_000_000.0,
            )
        },
    )
    strategies = {strategy.__name__: (strategy, StrategyConfig(strategy=strategy.__name__))}
    return prepare(config, strategies, [source], digest=False)


def trade_columns(trades: inputs.Trades) -> Mapping[str, Any]:
    return {"exch_ts": trades.ts, "a": trades.price, "b": trades.qty, "c": trades.side}


def quote_columns(quotes: inputs.Quotes) -> Mapping[str, Any]:
    columns = {"a": quotes.bid, "b": quotes.bid_qty, "c": quotes.ask, "d": quotes.ask_qty}
    return {"exch_ts": quotes.ts, **columns}


def w1_source(events: int | None) -> Source:
    trades = inputs.w1(events or inputs.W1_TRADES)
    return MemorySource.from_arrays({Stream(INSTRUMENT, Kind.TRADE): trade_columns(trades)})


def w2_source(events: int | None) -> Source:
    quotes, trades = inputs.w2(quotes_of(events, inputs.W2_QUOTES))
    return MemorySource.from_arrays(
        {
            Stream(INSTRUMENT, Kind.QUOTE): quote_columns(quotes),
            Stream(INSTRUMENT, Kind.TRADE): trade_columns(trades),
        }
    )


def outcome(result: Result) -> Outcome:
    """What a result says, in the benchmark's units. Raises RuntimeError when a callback raised or an order was refused:
    such a run measures nothing."""
    refused = result.rejects and result.strategy == EmaCross.__name__
    if result.errors or refused:
        raise RuntimeError(f"{result.strategy}: {result.errors} errors, {result.rejects} rejects")
    position = result.position.get(INSTRUMENT.name, 0) // ORDER_UNITS
    return Outcome(result.events, result.elapsed_s, result.orders, result.cancels, result.fills, position)


def w1(events: int | None) -> Outcome:
    return outcome(run_of(EmaCross, 5, w1_source(events)).go())


def w2(events: int | None) -> Outcome:
    return outcome(run_of(QuotingOnPairs, 1, w2_source(events)).go())


def w2_two_callbacks(events: int | None) -> Outcome:
    return outcome(run_of(QuotingOnSides, 1, w2_source(events)).go())


WORKLOADS = {"W1": w1, "W2": w2, "W2-two-callbacks": w2_two_callbacks}

if __name__ == "__main__":
    main(build(), WORKLOADS)
