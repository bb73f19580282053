"""nautilus_trader: compiled engine (Cython and Rust), strategy in Python, through `BacktestEngine` and its objects.

It has order-entry latency but no response latency, and no queue position in this version: a resting order is filled as
soon as a trade or the opposite touch reaches its price, so W2 gives other counts. Logging is off and the analysis after
the run is not counted.
"""

# mypy: disable-error-code="import-not-found,import-untyped", disallow-subclassing-any=False

import time
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import QuoteTick, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from benchmarks import inputs
from benchmarks.outcome import Outcome, main, quotes_of

MS = 1_000_000
VENUE = Venue("SIM")
INSTRUMENT = InstrumentId(Symbol("BTCUSDT-PERP"), VENUE)
ORDER = Quantity.from_str("0.010")
TWICE = Quantity.from_str("0.020")


def perpetual() -> Any:
    return CryptoPerpetual(
        instrument_id=INSTRUMENT,
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=1,
        price_increment=Price.from_str("0.1"),
        size_precision=3,
        size_increment=Quantity.from_str("0.001"),
        margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.025"),
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
        ts_event=0,
        ts_init=0,
    )


def engine_with(latency: int, strategy: Any, *data: list[Any]) -> Any:
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money(10_000_000, USDT)],
        latency_model=LatencyModel(base_latency_nanos=latency),
        trade_execution=True,
    )
    engine.add_instrument(perpetual())
    for rows in data:
        engine.add_data(rows)
    engine.add_strategy(strategy)
    return engine


def trade_ticks(trades: inputs.Trades) -> list[Any]:
    ts = trades.ts.astype(np.uint64)
    sides = np.where(trades.side > 0, int(AggressorSide.BUYER), int(AggressorSide.SELLER)).astype(np.uint8)
    ids = [str(i) for i in range(len(ts))]
    price, qty = trades.price * inputs.TICK, trades.qty * inputs.LOT
    ticks: list[Any] = TradeTick.from_raw_arrays_to_list(INSTRUMENT, 1, 3, price, qty, sides, ids, ts, ts)
    return ticks


def quote_ticks(quotes: inputs.Quotes) -> list[Any]:
    ts = quotes.ts.astype(np.uint64)
    bid, ask = quotes.bid * inputs.TICK, quotes.ask * inputs.TICK
    bid_qty, ask_qty = quotes.bid_qty * inputs.LOT, quotes.ask_qty * inputs.LOT
    ticks: list[Any] = QuoteTick.from_raw_arrays_to_list(INSTRUMENT, 1, 3, bid, ask, bid_qty, ask_qty, ts, ts)
    return ticks


class Counting(Strategy):
    def __init__(self) -> None:
        super().__init__()
        self.sent = self.cancels = self.fills = 0
        self.net = 0

    def on_order_filled(self, event: Any) -> None:
        self.fills += 1
        self.net += round(float(event.last_qty) * 100) * (1 if event.order_side == OrderSide.BUY else -1)


class Cross(Counting):
    def on_start(self) -> None:
        self.fast = self.slow = 0.0
        self.seen = self.side = 0
        self.subscribe_trade_ticks(INSTRUMENT)

    def on_trade_tick(self, tick: Any) -> None:
        price = float(tick.price)
        if not self.seen:
            self.fast = self.slow = price
        self.seen += 1
        self.fast += 2 / 151 * (price - self.fast)
        self.slow += 2 / 601 * (price - self.slow)
        if self.seen < 600:
            return
        side = 1 if self.fast > self.slow else -1 if self.fast < self.slow else self.side
        if side != self.side:
            qty = TWICE if self.side else ORDER
            self.side = side
            self.sent += 1
            self.submit_order(self.order_factory.market(INSTRUMENT, OrderSide.BUY if side > 0 else OrderSide.SELL, qty))


class Quote(Counting):
    def on_start(self) -> None:
        self.anchor: float | None = None
        self.subscribe_quote_ticks(INSTRUMENT)

    def on_quote_tick(self, tick: Any) -> None:
        middle = float(tick.bid_price) + float(tick.ask_price)
        if self.anchor is not None and abs(middle - self.anchor) < 0.99:
            return
        self.anchor = middle
        for order in self.cache.orders_open():
            if not order.is_pending_cancel:
                self.cancels += 1
                self.cancel_order(order)
        ticks = round(middle * 10)
        if self.net < 50:
            self.send(OrderSide.BUY, ticks // 2 - 3)
        if self.net > -50:
            self.send(OrderSide.SELL, -(-ticks // 2) + 3)

    def send(self, side: Any, price: int) -> None:
        self.sent += 1
        self.submit_order(self.order_factory.limit(INSTRUMENT, side, ORDER, Price(price * 0.1, 1), post_only=True))


def run(engine: Any, strategy: Counting, events: int) -> Outcome:
    start = time.perf_counter()
    engine.run()
    run_s = time.perf_counter() - start
    return Outcome(events, run_s, strategy.sent, strategy.cancels, strategy.fills, strategy.net)


def w1(events: int | None) -> Outcome:
    ticks = trade_ticks(inputs.w1(events or inputs.W1_TRADES))
    strategy = Cross()
    return run(engine_with(5 * MS, strategy, ticks), strategy, len(ticks))


def w2(events: int | None) -> Outcome:
    quotes, trades = inputs.w2(quotes_of(events, inputs.W2_QUOTES))
    strategy = Quote()
    engine = engine_with(MS, strategy, quote_ticks(quotes), trade_ticks(trades))
    return run(engine, strategy, len(quotes.ts) + len(trades.ts))


if __name__ == "__main__":
    main(f"nautilus_trader {version('nautilus_trader')}", {"W1": w1, "W2": w2})
