"""A local exchange in virtual time on which programs with a Crypto Arsenal strategy trade live, die and are begun anew.

Everything of a live run that decides is here as it is: journal, live gateway, the exchange's dialect; only sockets, the
wall clock and the strategy's market data are replaced by calls in the world's clock. A program that is killed does
nothing any more; what it has sent goes on its way.
"""

import logging
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, Final, cast

from mlthon.arsenal.assembly import WEBHOOK, Arsenals, arsenal_files
from mlthon.arsenal.market import Pair
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import GtwStatus, OrderType, Side
from mlthon.basics.money import UNIT
from mlthon.config import RunConfig, StrategyConfig
from mlthon.engine.candles import Candle
from mlthon.engine.clock import MS, SECOND, Clock, Handle, Send
from mlthon.engine.engine import Engine, EngineSettings
from mlthon.engine.journal import JournalStage
from mlthon.engine.risk import RiskBook
from mlthon.exchange.config import ExchangeConfig
from mlthon.exchange.dialects import find
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.records import NewOrder, ServedOrder
from mlthon.live.accounts import LiveAccount, restore
from mlthon.live.assembly import adopt_orders
from mlthon.live.journal_store import SqliteJournal
from mlthon.live.state_files import FileState
from mlthon.venue.codec import Credentials, gateway_module
from mlthon.venue.live_gateway import GatewaySettings, LiveGateway
from mlthon.venue.wire import Answered, HttpMessage
from tests.arsenal.kit import Lines
from tests.simulation.network import Network, Weather
from tests.simulation.venues import VENUES

START: Final = 1_735_689_600 * SECOND
ACCOUNT: Final = "main"
KEY: Final = ("test-key", "test-secret")
DEEP: Final = 10_000_000


class Life(Clock):
    """The world's clock as one program knows it: nothing is due any more once it is dead."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock.now)
        self._world = clock
        self.alive = True

    @property
    def now(self) -> int:
        return self._world.now

    @now.setter
    def now(self, value: int) -> None:
        """Set by the base class alone: time is the world's."""

    def call_at(self, ts: int, call: Callable[..., object], *args: Any) -> None:
        self._world.call_at(ts, self._do, call, args)

    def after(self, delay: int) -> Send:
        return lambda call, *args: self.call_at(self.now + delay, call, *args)

    def schedule(self, ts: int, call: Callable[..., object], *args: Any) -> Handle:
        return self._world.schedule(ts, self._do, call, args)

    def _do(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self.alive:
            call(*args)


class MortalNetwork(Network):
    """A network whose user hears nothing any more once it is dead."""

    def http(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        super().http(message, timeout_s, lambda answer: None if self.dead else answered(answer))


class World:
    """One exchange with one account and one instrument. `bid`: the best (ticks); the best ask is a tick higher."""

    def __init__(self, venue: str, folder: Path, funds: Mapping[str, float]) -> None:
        self.venue = VENUES[venue]
        self.folder = folder
        self.clock = Clock(START)
        self.instrument = resolve(self.venue.exchange, self.venue.instrument)
        self.dialect = find(self.venue.dialect)
        config = ExchangeConfig(balances=dict(funds), maker_fee=0.0, taker_fee=0.0)
        ids = self.dialect.ids
        self.served = ServedExchange(self.venue.exchange, [self.instrument], self.clock, config, seed=1, ids=ids)
        self.account = self.served.add_account(ACCOUNT, [KEY])
        self.bid = self.venue.mid
        self.program: Program | None = None
        self._quote()

    def _quote(self) -> None:
        """Two quotes a second, and a trade at the price."""
        now, served = self.clock.now, self.served.markets[self.instrument]
        market = self.served.embedded.market(self.instrument)
        market.on_quote(self.bid, DEEP, self.bid + 1, DEEP, now)
        served.quote(self.bid, DEEP, self.bid + 1, DEEP, now, now)
        market.on_trade(self.bid, 1, -1, now)
        served.trade(self.bid, 1, -1, 1, now, now)
        if self.program is not None and self.program.clock.alive:
            self.program.feed.quote(self.bid, DEEP, self.bid + 1, DEEP, now, now)
            self.program.feed.trade(self.bid, 1, -1, 1, now, now)
        self.clock.call_at(now + SECOND // 2, self._quote)

    def price(self, ticks: int) -> float:
        return float(self.instrument.price_scale.values[ticks].to_float())

    def play(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + round(seconds * SECOND))

    def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Go on until something is so. Raises AssertionError where it does not come."""
        end = self.clock.now + round(seconds * SECOND)
        while not condition():
            if self.clock.now >= end:
                raise AssertionError("what was waited for did not come")
            self.clock.run_until(self.clock.now + MS)

    # -- the exchange's books ----------------------------------------------------------------------------------------

    @property
    def orders(self) -> list[ServedOrder]:
        return list(self.account.orders.values())

    @property
    def open(self) -> list[ServedOrder]:
        return [each for each in self.orders if each.is_open]

    @property
    def held(self) -> int:
        """The position in lots; on spot what there is of the base currency."""
        if self.venue.exchange.name == "Binance":
            return self.account.coin("BTC").cash // self.instrument.qty_scale.step_units
        return self.account.position(self.instrument).lots

    @property
    def fills(self) -> list[tuple[Side, int]]:
        return [(Side.Buy if each.order.side > 0 else Side.Sell, each.qty) for each in self.account.executions]

    def by_hand(self, lots: int) -> None:
        """The account's owner trades at the exchange's own site."""
        side = 1 if lots > 0 else -1
        new = NewOrder(instrument=self.instrument, side=side, qty=abs(lots), order_type=OrderType.Market)
        new.extra.update(type="MARKET", tif="GTC", working="CONTRACT_PRICE")
        self.account.place(new)
        self.play(1)

    # -- programs ----------------------------------------------------------------------------------------------------

    @contextmanager
    def running(self, code: str | None, **more: Any) -> Iterator["Program"]:
        """A program, until it is killed or, at the end, stopped."""
        if code is not None:
            (self.folder / "strategy.py").write_text(textwrap.dedent(code))
        strategy = WEBHOOK if code is None else str(self.folder / "strategy.py")
        program = self.program = Program(self, strategy, **more)
        log = logging.getLogger("mlthon.arsenal")
        log.addHandler(program.log)
        log.setLevel(logging.DEBUG)
        try:
            program.start()
            yield program
            if program.clock.alive:
                program.stop()
        finally:
            log.removeHandler(program.log)
            log.setLevel(logging.NOTSET)
            if program.clock.alive:
                program.kill()


class Program:
    """One life of a live run. `storm`: a seed for a network that fails; None: a calm one."""

    def __init__(
        self, world: World, strategy: str, *, params: Mapping[str, Any] | None = None, storm: str | None = None
    ) -> None:
        venue, instrument = world.venue, world.instrument
        self.world = world
        self.clock = clock = Life(world.clock)
        self.log = Lines()
        strategies = {"it": StrategyConfig(strategy=strategy, params=dict(params or {}))}
        self.arsenals = arsenals = Arsenals(
            RunConfig(),
            strategies,
            arsenal_files(strategies),
            pairs=[f"{venue.exchange.name}:{venue.instrument}"],
            mode="live",
            states=lambda name: FileState(world.folder / f"{name}.arsenal"),
        )
        self.journal = SqliteJournal(world.folder / "run.journal", now=clock.now)
        risk = RiskBook()
        identity = self.journal.run, None, self.journal.installation
        self.engine = engine = Engine(clock, [instrument], EngineSettings(), [risk], *identity)
        for name, (make, wanted) in arsenals.strategies.items():
            engine.add_strategy(name, make(), [venue.exchange], ACCOUNT, wanted.params)
        self.feed = engine.feed(instrument)
        port = engine.port(venue.exchange, ACCOUNT)
        stage = JournalStage(port, venue.exchange, ACCOUNT, clock, self.journal, port.find)
        module = gateway_module(venue.exchange)
        endpoints = module.environments(venue.exchange)["testnet"]
        dialect = world.dialect(world.served)
        rng = Random(storm or 1)
        self.network = MortalNetwork(world.clock, dialect, endpoints.urls, rng, Weather(), lambda message: None)
        if storm is None:
            self.network.be_calm()
        codec = module.codec(venue.exchange, ACCOUNT, [instrument], endpoints, Credentials(*KEY), venue.options)
        self.gateway = LiveGateway(codec, self.network, clock, stage, GatewaySettings(audit_s=5.0))
        stage.gateway = self.gateway
        port.gateway = stage
        port.holdings = lambda: {each: fact.position for each, fact in self.gateway.positions.items()}
        adopt_orders(engine, self.journal, {(venue.exchange, ACCOUNT): stage}, risk)
        account = SimpleNamespace(venue=SimpleNamespace(exchange=venue.exchange), gateway=self.gateway)
        restore(engine, self.journal, [cast(LiveAccount, account)])
        arsenals.attach(engine, None, self._fetch)
        self.trader: Any = arsenals.members[0].trader

    def _fetch(
        self,
        pair: Pair,
        period: int,
        count: int,
        done: Callable[[Sequence[Candle]], None],
        failed: Callable[[str], None],
    ) -> None:
        """The exchange's candles: flat."""
        end = self.clock.now - self.clock.now % period
        price = self.world.bid
        candles = [Candle(end - n * period, price, price, price, price, 1, UNIT, 1) for n in range(count, 0, -1)]
        self.clock.call_at(self.clock.now + 20 * MS, done, candles)

    def said(self, text: str) -> bool:
        return any(text in line for line in self.log.lines)

    def start(self) -> None:
        self.gateway.start()
        self.engine.start()
        self.world.until(lambda: self.gateway.status()[0] is GtwStatus.ReadyToTrade, 300)

    def kill(self) -> None:
        """It is gone in the middle of whatever it did."""
        self.clock.alive = False
        self.network.die()
        self.journal.close()
        self.trader.state.close()

    def stop(self) -> None:
        """A stop in order, which cancels what is open."""
        self.engine.stop()
        self.world.play(1)
        self.gateway.wind_down("the run ends")
        for order in [each for each in self.engine.tracker.orders.values() if each.is_open]:
            self.gateway.cancel_order(order)
        self.world.play(1)
        self.gateway.stop()
        self.world.play(1)
        self.gateway.close()
        self.engine.end()
        self.clock.alive = False
        self.network.die()
        self.journal.close()
