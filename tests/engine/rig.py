"""An engine with a scripted gateway in the exchange's place, and a strategy that writes down what it is called with."""

from typing import Any

from mlthon.api.istrategy import IStrategy
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import CancelCode, Exchange, GtwStatus
from mlthon.engine.clock import MS, Clock
from mlthon.engine.engine import Engine, EngineSettings

BTC = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
ETH = resolve(Exchange.Bybit, "byt:perp:eth-usdt")
USDM_BTC = resolve(Exchange.BinanceUsdm, "BTCUSDT")

START = 1_735_689_600_000 * MS
"""2025-01-01 00:00 UTC."""


class ScriptedGateway:
    """Writes requests down; acknowledges by itself, one ms later, unless `silent`."""

    def __init__(self, exchange: Exchange, account: str, clock: Clock, port: Any) -> None:
        self.exchange = exchange
        self.account = account
        self.clock = clock
        self.port = port
        self.requests: list[tuple[Any, ...]] = []
        self.now_status = (GtwStatus.ReadyToTrade, "")
        self.silent = False
        self.count = 0

    def status(self) -> tuple[GtwStatus, str]:
        return self.now_status

    def answer(self, call: Any, *args: Any) -> None:
        if not self.silent:
            self.clock.call_at(self.clock.now + MS, call, *args)

    def new_order(self, order: Any) -> None:
        self.requests.append(("new", order))
        self.count += 1
        self.answer(
            self.port.new_order_ack, order.wire_id, f"X{self.count}", order.price, order.qty, order.qty, self.clock.now
        )

    def modify_order(self, order: Any, price: int | None, qty: int | None) -> None:
        self.requests.append(("modify", order, price, qty))
        self.answer(self.port.modify_order_ack, order.wire_id, price, qty, order.leaves if qty is None else qty)

    def cancel_order(self, order: Any) -> None:
        self.requests.append(("cancel", order))
        self.answer(self.cancelled, order.wire_id)

    def cancelled(self, wire_id: str) -> None:
        self.port.cancel_order_ack(wire_id)
        self.port.order_cancelled(wire_id, False, self.clock.now, CancelCode.CanceledByUser, "")

    def cancel_all(self, instrument: Any) -> None:
        self.requests.append(("cancel_all", instrument))
        self.answer(self.port.cancel_all_ack, instrument)

    def fetch_order_status(self, request_id: int, order: Any) -> None:
        self.requests.append(("order_status", request_id, order))
        self.answer(self.port.order_status, request_id, order.wire_id, order.state, order.price, order.leaves)

    def fetch_orders_info(self, request_id: int, instrument: Any) -> None:
        self.requests.append(("orders_info", request_id, instrument))
        self.answer(self.port.orders_info, request_id, [each[1].wire_id for each in self.requests if each[0] == "new"])

    def fetch_position_info(self, request_id: int, instrument: Any) -> None:
        self.answer(self.port.position_info, request_id, instrument, -3, 1.0, 1.0, None)

    def fetch_wallet_info(self, request_id: int, coin: str) -> None:
        self.answer(self.port.wallet_info, request_id, coin, 5 * 10**18, 4 * 10**18)

    def fetch_funding_info(self, request_id: int, instrument: Any) -> None:
        self.answer(self.port.funding_info, request_id, instrument, 0.0001, START + 8 * 3600 * 1000 * MS)

    def fetch_account_info(self, request_id: int) -> None:
        self.answer(self.port.account_info, request_id, "user-1")


class Recorder(IStrategy):
    """Writes down every callback as `(name, *args)`; logs in at once; `then` maps a callback to what to do in it."""

    def __init__(self) -> None:
        self.env: Any = None
        self.calls: list[tuple[Any, ...]] = []
        self.then: dict[str, Any] = {}
        self.login_at_once = True

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_") or name == "on_best_levels_update":
            return super().__getattribute__(name)

        def note(*args: Any) -> Any:
            self.calls.append((name, *args))
            if name == "on_framework_connected":
                self.env = args[0]
            act = self.then.get(name)
            outcome = act(*args) if act is not None else None
            if name == "on_framework_connected" and self.login_at_once:
                self.env.login("recorder")
            return outcome

        return note

    def names(self) -> list[str]:
        return [each[0] for each in self.calls]

    def of(self, *names: str) -> list[tuple[Any, ...]]:
        return [each[1:] for each in self.calls if each[0] in names]


class Rig:
    """An engine on Bybit (and more exchanges if asked for), with one strategy or several that share the account."""

    def __init__(
        self,
        *strategies: Any,
        exchanges: tuple[Exchange, ...] = (Exchange.Bybit,),
        params: dict[str, Any] | None = None,
        settings: EngineSettings | None = None,
        taps: tuple[Any, ...] = (),
        start: int = START,
    ) -> None:
        self.clock = Clock(start)
        self.published: list[tuple[str, str]] = []
        self.engine = Engine(
            self.clock,
            [BTC, ETH, USDM_BTC],
            settings or EngineSettings(),
            taps,
            publish=lambda name, message: self.published.append((name, message)),
        )
        self.gateways: dict[Exchange, ScriptedGateway] = {}
        for exchange in exchanges:
            port = self.engine.port(exchange, "main")
            port.gateway = self.gateways[exchange] = ScriptedGateway(exchange, "main", self.clock, port)
        self.strategies = strategies or (Recorder(),)
        self.sessions = [
            self.engine.add_strategy(f"s{number}", each, exchanges, "main", params or {"size": 1})
            for number, each in enumerate(self.strategies)
        ]
        self.engine.start()
        self.wait(0)

    @property
    def strategy(self) -> Any:
        return self.strategies[0]

    @property
    def env(self) -> Any:
        return self.strategy.env

    @property
    def session(self) -> Any:
        return self.sessions[0]

    @property
    def gateway(self) -> ScriptedGateway:
        return self.gateways[Exchange.Bybit]

    def wait(self, ms: float) -> None:
        self.clock.run_until(self.clock.now + round(ms * MS))
