"""One simulated run: strategies trade through a live gateway on a local exchange over a network that fails, and at the
end both sides' books are compared.

While it runs what may never happen is watched for: a new order sent twice under one id, a fill told twice, an order
acknowledged or ended twice. When the faults are over the gateway is given time to check the account; then every
order's state and fills, each strategy's sum and the position must be the exchange's own.
"""

import json
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl

from attrs import Factory, define, frozen

from mlthon.api.istrategy import IStrategy
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, GtwStatus, InstrumentType, OrderStatus, OrderType, Side
from mlthon.basics.money import UNIT
from mlthon.engine.clock import MS, SECOND, Clock, Handle
from mlthon.engine.engine import Engine, EngineSettings
from mlthon.engine.tracker import TrackedOrder
from mlthon.exchange.config import ExchangeConfig
from mlthon.exchange.dialects import find
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.records import ServedExecution, ServedOrder
from mlthon.venue.codec import Credentials, gateway_module
from mlthon.venue.live_gateway import GatewaySettings, LiveGateway
from mlthon.venue.wire import HttpMessage
from tests.simulation.network import Network, Weather

START: Final = 1_735_689_600 * SECOND
AUDIT_S: Final = 30.0
ACCOUNT: Final = "main"
FUNDS: Final = {"BTC": 100.0, "USDT": 1_000_000.0}
MAX_SKEW_MS: Final = 20_000
"""The exchange's clock is up to so much ahead of ours, or behind: more than any window for requests."""
KEY: Final = ("test-key", "test-secret")


@frozen
class Venue:
    """An exchange that is simulated. `mid`: the price at the start (ticks). `path`, `id_field`: of a request for a new
    order, and where its id is. `form`: it is a Binance: requests are forms, not JSON."""

    exchange: Exchange
    dialect: str
    instrument: str
    mid: int
    path: str
    id_field: str
    form: bool = False
    options: dict[str, Any] = Factory(dict)
    """Of the gateway."""
    stops: bool = False
    """Stop orders are sent too."""
    lots: int = 1
    """Orders are of one to eight times so many."""


VENUES: Final = {
    "binance-usdm": Venue(
        Exchange.BinanceUsdm,
        "binance-usdm",
        "bnu:perp:btc-usdt",
        650_000,
        "/fapi/v1/order",
        "newClientOrderId",
        form=True,
    ),
    "binance": Venue(
        Exchange.Binance,
        "binance",
        "bin:spot:btc-usdt",
        6_500_000,
        "/api/v3/order",
        "newClientOrderId",
        form=True,
        lots=100,
    ),
    "bitmex": Venue(Exchange.BitMEX, "bitmex", "XBTUSD", 100_000, "/api/v1/order", "clOrdID", stops=True),
    "bybit": Venue(
        Exchange.Bybit, "bybit", "byt:perp:btc-usdt", 650_000, "/v5/order/create", "orderLinkId", stops=True
    ),
    "bybit-websocket": Venue(
        Exchange.Bybit,
        "bybit",
        "byt:perp:btc-usdt",
        650_000,
        "/v5/order/create",
        "orderLinkId",
        options={"orders": "websocket"},
    ),
}


@frozen(kw_only=True)
class Plan:
    """How long (s) faults last, what they are, and how long the quiet after them is."""

    stormy_s: int = 60
    calm_s: int = 120
    weather: Weather = Factory(Weather)


class Ahead(Clock):
    """The exchange's clock: ours, and as much ahead of it (behind it, below 0) as `skew` (ns) says. What is queued in
    it is queued in ours."""

    def __init__(self, clock: Clock, skew: int) -> None:
        super().__init__(clock.now + skew)
        self._ours = clock
        self._skew = skew

    @property
    def now(self) -> int:
        return self._ours.now + self._skew

    @now.setter
    def now(self, value: int) -> None:
        """Set by the base class alone: time is ours."""

    def call_at(self, ts: int, call: Callable[..., object], *args: Any) -> None:
        self._ours.call_at(ts - self._skew, call, *args)

    def post(self, ts: int, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._ours.post(ts - self._skew, call, args)

    def call_soon(self, call: Callable[..., object], *args: Any) -> None:
        self._ours.call_soon(call, *args)

    def schedule(self, ts: int, call: Callable[..., object], *args: Any) -> Handle:
        return self._ours.schedule(ts - self._skew, call, *args)


@define
class Outcome:
    """What came of a run. `problems`: everything that should not be, in words."""

    venue: str
    seed: int
    problems: list[str]
    faults: Counter[str]
    counts: Counter[str]


class Watch:
    """The tap on the order flow: what was told, and what of it may never be."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.fills: dict[str, tuple[TrackedOrder, int]] = {}
        self.orders: dict[str, TrackedOrder] = {}
        self.asked: dict[str, int] = {}
        self._once: set[tuple[str, str]] = set()
        self._new: set[str] = set()

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        self.counts[kind] += 1
        if order is None:
            return
        if kind == "new":
            self.orders[order.wire_id] = order
            self.asked[order.wire_id] = order.qty
        elif kind == "fill":
            exec_id, _, qty = detail[:3]
            if exec_id in self.fills:
                self.problems.append(f"fill {exec_id} of {order!r} was told twice")
            self.fills[exec_id] = order, qty
        elif kind in ("ack", "cancelled", "reject"):
            what = "ack" if kind == "ack" else "end"
            if (order.wire_id, what) in self._once:
                self.problems.append(f"{order!r} was told its {what} twice ({kind})")
            self._once.add((order.wire_id, what))

    def sent_new(self, wire_id: str) -> None:
        """A request for a new order left."""
        if wire_id in self._new:
            self.problems.append(f"the new order {wire_id} was sent twice")
        self._new.add(wire_id)


class Gambler(IStrategy):
    """Sends, changes and cancels at random, on a timer of the simulation and from its callbacks."""

    def __init__(self, simulation: "Simulation", name: str, rng: Random) -> None:
        self.env: Any = None
        self.name = name
        self._simulation = simulation
        self._rng = rng
        self._count = 0
        self._ready = False
        self._open: list[str] = []

    def on_framework_connected(self, env: Any) -> None:
        self.env = env
        env.login(self.name)

    def on_gateway_status(self, exchange: Exchange, status: GtwStatus, detail: str) -> None:
        self._ready = status is GtwStatus.ReadyToTrade

    def on_order_execution(self, exchange: Exchange, client_id: str, *rest: Any) -> None:
        if self._rng.random() < 0.2 and not self._simulation.quiet:
            self._send()

    def act(self) -> None:
        """Do something, if the gateway is ready (and now and then though it is not)."""
        rng, venue = self._rng, self._simulation
        if not self._ready and rng.random() < 0.9:
            return
        what = rng.random()
        mine = self._open[-6:]
        exchange, number = venue.venue.exchange, venue.instrument.number
        if what < 0.5 or not mine:
            self._send()
        elif what < 0.68:
            self._modify(rng.choice(mine))
        elif what < 0.9:
            self.env.send_cancel_order(exchange, number, rng.choice(mine))
        elif what < 0.92:
            self.env.send_cancel_all(exchange, number)
        elif what < 0.95:
            self.env.fetch_order_status(exchange, number, rng.choice(mine))
        elif what < 0.97:
            self.env.fetch_orders_info(exchange)
        else:
            self.env.fetch_position_info(exchange, number)

    def _send(self) -> None:
        rng, sim = self._rng, self._simulation
        self._count += 1
        client_id = f"{self.name}{self._count}"
        buy = rng.random() < 0.5
        away = rng.randint(-1, 6)
        price = sim.bid + 1 - away if buy else sim.bid + away
        kind, tif, instr = OrderType.Limit, TIF.GTC, ExecInstructions.Unset
        stop: int | None = None
        style = rng.random()
        if style < 0.15:
            kind, tif = OrderType.Market, TIF.IOC
        elif style < 0.3:
            instr = ExecInstructions.PostOnly
        elif style < 0.4:
            tif = TIF.IOC
        elif style < 0.45:
            instr = ExecInstructions.ReduceOnly
        elif style < 0.5 and sim.venue.stops:
            kind, stop = OrderType.Stop, sim.bid + rng.randint(2, 8) * (1 if buy else -1)
        self._open.append(client_id)
        self.env.send_new_order(
            client_id,
            sim.venue.exchange,
            sim.instrument.number,
            Side.Buy if buy else Side.Sell,
            sim.price(price) if kind is OrderType.Limit else None,
            sim.qty(rng.randint(1, 8) * sim.venue.lots),
            exec_instr=instr,
            ord_type=kind,
            time_in_force=tif,
            stop_price=None if stop is None else sim.price(stop),
        )

    def _modify(self, client_id: str) -> None:
        rng, sim = self._rng, self._simulation
        price = sim.price(sim.bid + rng.randint(-5, 6)) if rng.random() < 0.7 else None
        qty = sim.qty(rng.randint(1, 8) * sim.venue.lots) if price is None or rng.random() < 0.3 else None
        self.env.send_modify_order(sim.venue.exchange, client_id, price, qty)


class Simulation:
    """One run of one seed. `quiet`: the strategies send nothing of their own any more."""

    def __init__(self, venue: Venue, seed: int, plan: Plan | None = None) -> None:
        self.venue = venue
        self.plan = plan or Plan()
        self.quiet = False
        self.clock = clock = Clock(START)
        self._rng = Random(f"{seed} {venue.dialect}")
        self.instrument = resolve(venue.exchange, venue.instrument)
        self.bid = venue.mid
        self._cuts_at_the_end = self._rng.random() < 0.5
        self.spot = self.instrument.instrument_type is InstrumentType.Spot
        config = ExchangeConfig(balances=FUNDS)
        dialect = find(venue.dialect)
        theirs = Ahead(clock, self._rng.randint(-MAX_SKEW_MS, MAX_SKEW_MS) * MS)
        self.served = ServedExchange(venue.exchange, [self.instrument], theirs, config, seed=seed, ids=dialect.ids)
        self.account = self.served.add_account(ACCOUNT, [KEY])
        self.watch = Watch()
        module = gateway_module(venue.exchange)
        endpoints = module.environments(venue.exchange)["testnet"]
        self.network = Network(clock, dialect(self.served), endpoints.urls, self._rng, self.plan.weather, self._left)
        self.network.on_send = self._said
        codec = module.codec(venue.exchange, ACCOUNT, [self.instrument], endpoints, Credentials(*KEY), venue.options)
        self.engine = Engine(clock, [self.instrument], EngineSettings(), [self.watch])
        names = ["a", "b"][: self._rng.randint(1, 2)]
        self.gamblers = [Gambler(self, name, Random(f"{seed} {name}")) for name in names]
        for gambler in self.gamblers:
            self.engine.add_strategy(gambler.name, gambler, [venue.exchange], ACCOUNT, {})
        self.port = self.engine.port(venue.exchange, ACCOUNT)
        settings = GatewaySettings(audit_s=AUDIT_S)
        self.gateway = LiveGateway(codec, self.network, clock, self.port, settings)
        self.port.gateway = self.gateway
        self._seed = seed

    def price(self, ticks: int) -> Any:
        return self.instrument.price_scale.values[ticks]

    def qty(self, lots: int) -> Any:
        return self.instrument.qty_scale.values[lots]

    def _left(self, message: HttpMessage) -> None:
        """A request leaves; a new order's id is noted."""
        path, _, query = message.target.partition("?")
        if message.method != "POST" or path != self.venue.path:
            return
        fields = dict(parse_qsl(query or message.body.decode())) if self.venue.form else json.loads(message.body)
        self.watch.sent_new(fields[self.venue.id_field])

    def _said(self, text: str) -> None:
        """A message leaves over a line; of new orders the ids are noted."""
        if '"op":"order.create"' in text:
            for new in json.loads(text)["args"]:
                self.watch.sent_new(new[self.venue.id_field])

    # -- the market --------------------------------------------------------------------------------------------------

    def _market(self) -> None:
        rng, now = self._rng, self.served.clock.now
        self.bid += rng.choice((-2, -1, -1, 0, 0, 0, 1, 1, 2))
        served = self.served.markets[self.instrument]
        market = self.served.embedded.market(self.instrument)
        bid_qty, ask_qty = (rng.randint(1, 40) * self.venue.lots for _ in "ba")
        market.on_quote(self.bid, bid_qty, self.bid + 1, ask_qty, now)
        served.quote(self.bid, bid_qty, self.bid + 1, ask_qty, now, now)
        if rng.random() < 0.5:
            side = rng.choice((1, -1))
            price, qty = self.bid + (side > 0), rng.randint(1, 20) * self.venue.lots
            market.on_trade(price, qty, side, now)
            served.trade(price, qty, side, 1, now, now)
        self.clock.call_at(self.clock.now + rng.randint(50, 400) * MS, self._market)

    def _act(self, gambler: Gambler) -> None:
        if not self.quiet:
            gambler.act()
            self.clock.call_at(self.clock.now + self._rng.randint(20, 1000) * MS, self._act, gambler)

    # -- the run -----------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Play the storm and the calm; compare."""
        clock, plan = self.clock, self.plan
        self._market()
        self.engine.start()
        self.gateway.start()
        for gambler in self.gamblers:
            clock.call_at(clock.now + SECOND, self._act, gambler)
        clock.run_until(clock.now + plan.stormy_s * SECOND)
        self.quiet = True
        self.network.be_calm()
        if self._cuts_at_the_end:
            self.network.cut("the last")
        clock.run_until(clock.now + plan.calm_s * SECOND)
        self.served.halt("the market rests")
        return Outcome(self.venue.dialect, self._seed, self.problems(), self.network.faults, self.watch.counts)

    def problems(self) -> list[str]:
        """What went wrong on the way, and where the two sides' books differ now."""
        return self.watch.problems + self._compare()

    # -- the books ---------------------------------------------------------------------------------------------------

    def _compare(self) -> list[str]:
        status, detail = self.gateway.status()
        found = [] if status is GtwStatus.ReadyToTrade else [f"the gateway is {status.name}: {detail}"]
        if self.port.strange_events:
            found.append(f"{self.port.strange_events} events of orders that are not known")
        theirs = {order.client_id: order for order in self.account.orders.values()}
        for wire_id, order in self.watch.orders.items():
            found += self._compare_order(order, theirs.pop(wire_id, None))
        found += [f"the exchange has an order that nobody here sent: {each}" for each in theirs]
        return found + self._compare_fills()

    def _compare_order(self, mine: TrackedOrder, theirs: ServedOrder | None) -> list[str]:
        told = sum(qty for order, qty in self.watch.fills.values() if order is mine)
        if theirs is None:
            refused = not mine.is_open and not mine.filled and not told
            return [] if refused else [f"{mine!r} was never at the exchange"]
        found = []
        if (mine.filled, told) != (theirs.filled, theirs.filled):
            found.append(f"{mine!r} has filled {mine.filled}, was told {told}; the exchange says {theirs.filled}")
        if mine.is_open != theirs.is_open or not (mine.is_open or self._same_end(mine, theirs)):
            found.append(f"{mine!r} is {theirs.status.name} at the exchange ({theirs.reason})")
        if mine.is_open and (mine.price, mine.qty, mine.leaves) != (theirs.price, theirs.qty, theirs.leaves):
            found.append(f"{mine!r} is {theirs.leaves}/{theirs.qty} @ {theirs.price} at the exchange")
        return found

    def _same_end(self, mine: TrackedOrder, theirs: ServedOrder) -> bool:
        """Whether two words for an order's end mean the same: a post-only order that would take is cancelled in one
        exchange's words, refused in another's. An order that was cut down to what it had traded already is filled over
        there, and here cancelled: there was no fill left with which to tell it."""
        if mine.state is theirs.status:
            return True
        if OrderStatus.Filled in (mine.state, theirs.status):
            return theirs.status is OrderStatus.Filled and theirs.qty != self.watch.asked[mine.wire_id]
        return True

    def _held(self) -> int:
        """What the account got hold of (lots): its position, on spot what there is more of the coin."""
        if not self.spot:
            return self.account.position(self.instrument).lots
        more = self.account.coin("BTC").cash - round(FUNDS["BTC"]) * UNIT
        return more // self.instrument.qty_scale.step_units

    def _execution_id(self, execution: ServedExecution) -> str:
        """As the gateway tells it: on Binance a trade between two orders of one account has one number, so the gateway
        adds the side."""
        side = ("b" if execution.order.side > 0 else "s") if self.venue.form else ""
        return execution.exec_id + side

    def _compare_fills(self) -> list[str]:
        theirs = {self._execution_id(each): each.qty for each in self.account.executions}
        mine = {exec_id: qty for exec_id, (_, qty) in self.watch.fills.items()}
        found = [f"fill {each} was lost" for each in sorted(theirs.keys() - mine.keys())]
        found += [f"fill {each} never happened" for each in sorted(mine.keys() - theirs.keys())]
        held = self._held()
        by_strategy = sum(order.side * qty for order, qty in self.watch.fills.values())
        if by_strategy != held:
            found.append(f"the strategies' fills make up {by_strategy} lots; the account holds {held}")
        fact = self.gateway.positions.get(self.instrument)
        told = 0 if fact is None else fact.position
        # on spot it is the wallet as it was last asked for
        if told != held and not self.spot:
            found.append(f"the gateway knows a position of {told} lots; the account holds {held}")
        return found


def simulate(venue: str, seed: int, plan: Plan | None = None) -> Outcome:
    """One run: the same for the same seed, venue and plan."""
    return Simulation(VENUES[venue], seed, plan).run()
