"""A strategy that does anything at any time, drawn from a seed."""

from random import Random
from typing import Any, Protocol

from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, GtwStatus, OrderType, Side
from mlthon.basics.instrument import Instrument
from tests.simulation.venues import Venue


class Market(Protocol):
    """Where it trades. `bid`: the best (ticks), the best ask is a tick higher; `quiet`: it is to send nothing of its
    own any more."""

    venue: Venue
    instrument: Instrument
    bid: int
    quiet: bool

    def price(self, ticks: int) -> Any: ...

    def qty(self, lots: int) -> Any: ...


class Gambler(IStrategy):
    """Sends, changes and cancels at random, on a timer of the simulation and from its callbacks."""

    def __init__(self, simulation: Market, name: str, rng: Random) -> None:
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
            chosen = rng.choice(mine)
            for _ in range(rng.choice((1, 1, 2, 3))):
                self._modify(chosen)
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
        elif style < 0.5:
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

    def rest(self) -> None:
        """Send an order so far from the market that it stays."""
        sim = self._simulation
        self._count += 1
        price, qty = sim.price(sim.bid - sim.bid // 20), sim.qty(5 * sim.venue.lots)
        self.env.send_new_order(
            f"{self.name}{self._count}", sim.venue.exchange, sim.instrument.number, Side.Buy, price, qty
        )

    def _modify(self, client_id: str) -> None:
        rng, sim = self._rng, self._simulation
        price = sim.price(sim.bid + rng.randint(-5, 6)) if rng.random() < 0.7 else None
        qty = sim.qty(rng.randint(1, 8) * sim.venue.lots) if price is None or rng.random() < 0.3 else None
        self.env.send_modify_order(sim.venue.exchange, client_id, price, qty)
