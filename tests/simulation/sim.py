"""One simulated run: strategies trade through a live gateway on a local exchange over a network that fails, and at the
end both sides' books are compared.

While it runs what may never happen is watched for: a new order sent twice under one id, a fill told twice, an order
acknowledged or ended twice. When the faults are over the gateway is given time to check the account; then every
order's state and fills, each strategy's sum and the position must be the exchange's own.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl

from attrs import Factory, define, frozen

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import GtwStatus, InstrumentType, OrderStatus
from mlthon.basics.money import UNIT
from mlthon.engine.clock import MS, SECOND, Clock, Handle, Send
from mlthon.engine.engine import Engine, EngineSettings
from mlthon.engine.tracker import TrackedOrder
from mlthon.exchange.config import ExchangeConfig
from mlthon.exchange.dialects import find
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.records import ServedExecution, ServedOrder
from mlthon.venue.codec import Codec, Credentials, Endpoints, gateway_module
from mlthon.venue.live_gateway import GatewaySettings, LiveGateway
from mlthon.venue.wire import HttpMessage
from tests.simulation.gambler import Gambler
from tests.simulation.network import Network, Weather
from tests.simulation.venues import VENUES, Venue
from tests.simulation.watch import Watch

START: Final = 1_735_689_600 * SECOND
AUDIT_S: Final = 30.0
ACCOUNT: Final = "main"
FUNDS: Final = {"BTC": 100.0, "USDT": 1_000_000.0}
MAX_SKEW_MS: Final = 20_000
"""The exchange's clock is up to so much ahead of ours, or behind: more than any window for requests."""
KEY: Final = ("test-key", "test-secret")


@frozen(kw_only=True)
class Plan:
    """How long (s) faults last, what they are, and how long the quiet after them is. `dead_man_s`: the exchange's own
    switch is armed with it."""

    stormy_s: int = 60
    calm_s: int = 120
    weather: Weather = Factory(Weather)
    dead_man_s: float = 0.0


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

    def after(self, delay: int) -> Send:
        return lambda call, *args: self.call_at(self.now + delay, call, *args)

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
        self.dialect = dialect(self.served)
        self.watch = Watch()
        self._seed = seed
        self._build()

    def _build(self) -> None:
        """The program: strategies, engine and gateway, on a network of their own."""
        self.network = Network(self.clock, self.dialect, self.urls, self._rng, self.plan.weather, self._left)
        self.network.on_send = self._said
        self.engine = Engine(self.clock, [self.instrument], EngineSettings(), [self.watch])
        names = ["a", "b"][: self._rng.randint(1, 2)]
        self._add_strategies(names, str(self._seed))
        settings = GatewaySettings(audit_s=AUDIT_S, dead_man_s=self.plan.dead_man_s)
        self.gateway = LiveGateway(self._codec(), self.network, self.clock, self.port, settings)
        self.port.gateway = self.gateway

    @property
    def urls(self) -> Mapping[str, str]:
        return self._endpoints.urls

    @property
    def _endpoints(self) -> Endpoints:
        return gateway_module(self.venue.exchange).environments(self.venue.exchange)["testnet"]

    def _codec(self) -> Codec:
        venue, keys = self.venue, Credentials(*KEY)
        module = gateway_module(venue.exchange)
        return module.codec(venue.exchange, ACCOUNT, [self.instrument], self._endpoints, keys, venue.options)

    def _add_strategies(self, names: Sequence[str], seed: str) -> None:
        self.gamblers = [Gambler(self, name, Random(f"{seed} {name}")) for name in names]
        for gambler in self.gamblers:
            self.engine.add_strategy(gambler.name, gambler, [self.venue.exchange], ACCOUNT, {})
        self.port = self.engine.port(self.venue.exchange, ACCOUNT)

    def price(self, ticks: int) -> Any:
        return self.instrument.price_scale.values[ticks]

    def qty(self, lots: int) -> Any:
        return self.instrument.qty_scale.values[lots]

    def _left(self, message: HttpMessage) -> None:
        """A request leaves; a new order's id is noted."""
        path, _, query = message.target.partition("?")
        name = self.venue.new.get(path)
        if message.method != "POST" or name is None:
            return
        fields = dict(parse_qsl(query or message.body.decode())) if self.venue.form else json.loads(message.body)
        self._sent_new(fields[name])

    def _said(self, text: str) -> None:
        """A message leaves over a line; of new orders the ids are noted."""
        if '"op":"order.create"' in text:
            for new in json.loads(text)["args"]:
                self._sent_new(new["orderLinkId"])

    def _sent_new(self, wire_id: str) -> None:
        """A request for a new order leaves."""
        self.watch.sent_new(wire_id)

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
        return self.watch.problems + self.watch.unanswered() + self._compare()

    # -- the books ---------------------------------------------------------------------------------------------------

    def _compare(self) -> list[str]:
        status, detail = self.gateway.status()
        found = [] if status is GtwStatus.ReadyToTrade else [f"the gateway is {status.name}: {detail}"]
        if self.port.strange_events:
            found.append(f"{self.port.strange_events} events of orders that are not known")
        if self.gateway.position_differences:
            found.append(f"{self.gateway.position_differences} positions were not what the executions make of them")
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
        return self._in_lots(self.account.coin("BTC").cash - round(FUNDS["BTC"]) * UNIT)

    def _in_lots(self, units: int) -> int:
        return units // self.instrument.qty_scale.step_units

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
        there = self._in_lots(self.account.coin("BTC").cash) if self.spot else held
        if told != there:
            found.append(f"the gateway knows a position of {told} lots; the account holds {there}")
        return found


def simulate(venue: str, seed: int, plan: Plan | None = None) -> Outcome:
    """One run: the same for the same seed, venue and plan."""
    return Simulation(VENUES[venue], seed, plan).run()
