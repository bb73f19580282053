"""What the exchange's tests share: small instruments, a recorder of events, and orders in one line."""

from random import Random
from typing import Any

from mlthon.basics.defs import TIF, Exchange, ExecInstructions, OrderType, Quantification
from mlthon.basics.instrument import Instrument, Perpetual, Spot
from mlthon.engine.clock import Clock
from mlthon.engine.tracker import TrackedOrder
from mlthon.exchange.config import ExchangeConfig, LatencyConfig
from mlthon.exchange.exchange import EmbeddedExchange

NOW = LatencyConfig(ms=0)
COMMON: dict[str, Any] = {
    "exchange": Exchange.Bybit,
    "price_tick_rules": "0.5",
    "quantity_tick_rules": "0.01",
    "min_quantity": "0.02",
    "max_quantity": "100",
    "min_notional": "0.5",
}
LINEAR = Perpetual(
    **COMMON,
    instrument_id=1,
    mlt_symbol="one-usdt",
    base_currency="ONE",
    quote_currency="USDT",
    settle_currency="USDT",
    quantification=Quantification.Linear,
)
LINEAR2 = Perpetual(
    **COMMON,
    instrument_id=2,
    mlt_symbol="two-usdt",
    base_currency="TWO",
    quote_currency="USDT",
    settle_currency="USDT",
    quantification=Quantification.Linear,
)
INVERSE = Perpetual(
    exchange=Exchange.Bybit,
    price_tick_rules="0.5",
    quantity_tick_rules="1",
    instrument_id=3,
    mlt_symbol="one-usd",
    base_currency="ONE",
    quote_currency="USD",
    settle_currency="ONE",
    quantification=Quantification.Inverse,
)
SPOT = Spot(**COMMON, instrument_id=4, mlt_symbol="one-usdt", base_currency="ONE", quote_currency="USDT")
ALL = (LINEAR, LINEAR2, INVERSE, SPOT)


class Recorder:
    """Any face: notes what is called as (time, who, method, arguments)."""

    def __init__(self, who: str, clock: Clock, log: list[tuple[Any, ...]]) -> None:
        self._who, self._clock, self._log = who, clock, log

    def __getattr__(self, name: str) -> Any:
        def note(*args: Any) -> None:
            self._log.append((self._clock.now, self._who, name, args))

        return note


class Rig:
    """An exchange, its accounts and what they were told."""

    def __init__(self, accounts: tuple[str, ...] = ("a",), rng: int = 1, **config: Any) -> None:
        config.setdefault("entry_latency", NOW)
        config.setdefault("response_latency", NOW)
        self.clock = Clock(1_000_000_000)
        self.exchange = EmbeddedExchange(Exchange.Bybit, ALL, self.clock, ExchangeConfig(**config), Random(rng))
        self.log: list[tuple[Any, ...]] = []
        self.gateways = {name: self.exchange.gateway(name, Recorder(name, self.clock, self.log)) for name in accounts}
        self.orders: dict[str, TrackedOrder] = {}
        self.market = self.exchange.market(LINEAR)

    def order(
        self,
        side: int,
        price: int,
        qty: int,
        *,
        account: str = "a",
        instrument: Instrument = LINEAR,
        order_type: OrderType = OrderType.Limit,
        tif: TIF = TIF.GTC,
        exec_instr: ExecInstructions = ExecInstructions.Unset,
        stop: int | None = None,
        close: bool = False,
        wire_id: str | None = None,
    ) -> str:
        """Send an order; its wire id."""
        wire_id = wire_id or f"o{len(self.orders) + 1}"
        tracked = TrackedOrder(
            wire_id,
            wire_id,
            None,  # type: ignore[arg-type]
            account,
            instrument,
            side,
            order_type,
            tif,
            exec_instr,
            price,
            qty,
            stop,
            close,
            self.clock.now,
        )
        self.orders[wire_id] = tracked
        self.gateways[account].new_order(tracked)
        self.run()
        return wire_id

    def market_order(self, side: int, qty: int, **more: Any) -> str:
        return self.order(side, 0, qty, order_type=OrderType.Market, **more)

    def cancel(self, wire_id: str) -> None:
        self.gateways[self.orders[wire_id].account].cancel_order(self.orders[wire_id])
        self.run()

    def modify(self, wire_id: str, price: int | None, qty: int | None) -> None:
        self.gateways[self.orders[wire_id].account].modify_order(self.orders[wire_id], price, qty)
        self.run()

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, instrument: Instrument = LINEAR) -> None:
        self.exchange.market(instrument).on_quote(bid, bid_qty, ask, ask_qty, self.clock.now)
        self.run()

    def trade(self, price: int, qty: int, side: int, instrument: Instrument = LINEAR) -> None:
        self.exchange.market(instrument).on_trade(price, qty, side, self.clock.now)
        self.run()

    def run(self, ns: int = 0) -> None:
        self.clock.run_until(self.clock.now + ns)

    def names(self, wire_id: str) -> list[str]:
        """The events of an order, in order."""
        return [name for _, _, name, args in self.log if args and args[0] == wire_id]

    def fills(self, wire_id: str) -> list[tuple[int, int, bool]]:
        """Price, quantity and whether it made, of each fill."""
        return [
            (args[2], args[3], args[7])
            for _, _, name, args in self.log
            if name == "order_execution" and args[0] == wire_id
        ]

    def said(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of every event of this name."""
        return [args for _, _, event, args in self.log if event == name]

    def lots(self, instrument: Instrument = LINEAR, account: str = "a") -> int:
        position = self.exchange.account(account).position(instrument)
        return 0 if position is None else position.lots

    def check_conserved(self) -> None:
        """All money there is, is what was deposited."""
        deposits: dict[str, int] = {}
        for gateway in self.gateways.values():
            for coin, amount in gateway.ledger.deposits.items():
                deposits[coin] = deposits.get(coin, 0) + amount
        total = self.exchange.total()
        assert {coin: amount for coin, amount in total.items() if amount} == {
            coin: amount for coin, amount in deposits.items() if amount
        }
        for market in self.exchange.markets.values():
            assert market.outside.lots + sum(stake.position.lots for stake in market.stakes) == 0
