"""A strategy that sends requests of every kind at random, and an audit of what it is told of its orders.

The audit follows each order by its events alone and writes down whatever they do not explain: an event before the
order was answered, one after it was over, fills and leaves that do not add up to its quantity.
"""

from random import Random
from typing import Any

from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import (
    TIF,
    ExecInstructions,
    OrderType,
    Side,
)
from mlthon.basics.instrument import Instrument
from mlthon.basics.qty import Qty
from mlthon.data.rows import Columns, Kind, MemorySource, Stream
from mlthon.engine.clock import MS
from tests.backtest.play import BTC, INVERSE, SPOT, START
from tests.data.made import columns

MARKETS = (BTC, INVERSE, SPOT)
MIDS = {BTC: 1_000_000, INVERSE: 200_000, SPOT: 10_000_000}
LOTS = {BTC: 60, INVERSE: 6_000, SPOT: 6_000}
TYPES = (OrderType.Limit,) * 6 + (OrderType.Market,) * 2 + (OrderType.Stop, OrderType.StopLimit, OrderType.TakeProfit)
STOPS = (OrderType.Stop, OrderType.StopLimit, OrderType.TakeProfit)
NONE = Qty(0)


def walk(seed: int, rows: int = 400, step_ms: int = 50) -> MemorySource:
    """Quotes and trades of a linear, an inverse and a spot instrument whose prices wander."""
    rng = Random(seed)
    mids = dict(MIDS)
    made: dict[Stream, list[tuple[int, ...]]] = {}
    for number in range(rows):
        ts = START + number * step_ms * MS
        instrument = rng.choice(MARKETS)
        mids[instrument] = mid = mids[instrument] + rng.choice((-9, -3, -1, 0, 0, 1, 3, 9))
        lots = LOTS[instrument]
        if rng.random() < 0.6:
            values = (mid - rng.randint(0, 2), rng.randint(1, lots), mid + rng.randint(1, 3), rng.randint(1, lots))
            made.setdefault(Stream(instrument, Kind.QUOTE), []).append((ts, ts, *values))
        else:
            trade = (mid + rng.randint(-4, 4), rng.randint(1, lots), rng.choice((1, -1)), number)
            made.setdefault(Stream(instrument, Kind.TRADE), []).append((ts, ts, *trade))
    return MemorySource({stream: columns(values) for stream, values in made.items()})


def changed(source: MemorySource) -> MemorySource:
    """The same rows but for one, which is one lot larger."""
    rows: dict[Stream, Columns] = {stream: next(source.chunks(stream)) for stream in source.streams()}
    one = next(iter(rows.values()))
    one.b[len(one) // 2] += 1
    return MemorySource(rows)


class Followed:
    """What the events of one order say of it."""

    def __init__(self, qty: Any) -> None:
        self.state = "sent"
        self.qty = qty
        self.filled = NONE
        self.events: list[Any] = []


class Audit(IStrategy):
    """Follows every order it sends. `faults` must stay empty; `held` is the position by instrument id."""

    def __init__(self) -> None:
        self.env: Any = None
        self.orders: dict[str, Followed] = {}
        self.instrument_of: dict[str, int] = {}
        self.faults: list[str] = []
        self.held: dict[int, Qty] = {}
        self.instruments: list[Instrument] = []
        self.refused = 0

    def send(self, client_id: str, instrument: Instrument, side: Any, price: Any, qty: Any, **more: Any) -> None:
        self.orders[client_id] = Followed(qty)
        self.instrument_of[client_id] = instrument.number
        self.env.send_new_order(client_id, instrument.venue, instrument.number, side, price, qty, **more)

    def _event(self, client_id: str, event: str, allowed: tuple[str, ...], then: str | None = None) -> Followed:
        order = self.orders.get(client_id)
        if order is None:
            order = Followed(None)
            self.faults.append(f"{event} of {client_id}, which was never sent")
        order.events.append(event)
        if order.state not in allowed:
            self.faults.append(f"{client_id}: {event} while {order.state}: {order.events}")
        if then is not None:
            order.state = then
        return order

    def on_instruments(self, instruments: Any) -> None:
        self.instruments = list(instruments)

    def on_new_order_ack(
        self,
        exchange: Any,
        client_id: Any,
        exchange_id: Any,
        instrument_id: Any,
        side: Any,
        price: Any,
        qty: Any,
        leaves_qty: Any,
        *_: Any,
    ) -> None:
        order = self._event(client_id, f"ack {qty}", ("sent",), "open")
        order.qty = qty
        if leaves_qty != qty:
            self.faults.append(f"{client_id}: acknowledged with {leaves_qty} of {qty} left")

    def on_new_order_reject(self, exchange: Any, client_id: Any, code: Any, reason: Any) -> None:
        self._event(client_id, "reject", ("sent",), "over")

    def on_modify_order_ack(self, exchange: Any, client_id: Any, price: Any, qty: Any, leaves_qty: Any) -> None:
        order = self._event(client_id, f"modify ack {qty} {leaves_qty}", ("open",))
        if qty is not None:
            order.qty = qty
        if order.filled + leaves_qty != order.qty:
            self.faults.append(f"{client_id}: {order.filled} + {leaves_qty} after a modification to {order.qty}")

    def on_modify_order_reject(self, exchange: Any, client_id: Any, code: Any, reason: Any) -> None:
        self._event(client_id, "modify reject", ("sent", "open", "over"))

    def on_cancel_order_ack(self, exchange: Any, client_id: Any) -> None:
        self._event(client_id, "cancel ack", ("open",))

    def on_cancel_order_reject(self, exchange: Any, client_id: Any, code: Any, reason: Any) -> None:
        self._event(client_id, "cancel reject", ("sent", "open", "over"))

    def on_order_cancelled(self, exchange: Any, client_id: Any, unsolicited: bool, *rest: Any) -> None:
        self._event(client_id, f"cancelled {rest[2]}", ("open",), "over")

    def on_order_execution(
        self, exchange: Any, client_id: Any, side: Any, price: Any, fill_qty: Any, leaves_qty: Any, *_: Any
    ) -> None:
        order = self._event(client_id, f"fill {fill_qty} {leaves_qty}", ("open",), None if leaves_qty else "over")
        order.filled += fill_qty
        if order.filled + leaves_qty != order.qty:
            self.faults.append(f"{client_id}: {order.filled} + {leaves_qty} of {order.qty}: {order.events}")
        number = self.instrument_of.get(client_id, -1)
        self.held[number] = self.held.get(number, NONE) + (fill_qty if side is Side.Buy else -fill_qty)

    def on_request_reject(self, exchange: Any, code: Any, detail: Any, request_type: Any) -> None:
        self.refused += request_type == "NewOrder"

    def unfinished(self) -> dict[str, list[Any]]:
        """Orders whose events never said what became of them. Those that were refused because the strategy is stopped
        have none: `on_request_reject` names no order."""
        return {name: order.events for name, order in self.orders.items() if order.state != "over"}


class Chaos(Audit):
    """`cfg`: `seed`, and `every_ms`, the time between two requests."""

    def __init__(self, cfg: dict[str, Any]) -> None:
        super().__init__()
        self.rng = Random(cfg["seed"])
        self.every_ms = cfg.get("every_ms", 23)
        self.count = 0

    def on_framework_connected(self, env: Any) -> None:
        self.env = env
        env.login("chaos")
        env.setup_timer(self.every_ms, self._act)

    def on_stop(self, params: Any) -> None:
        if self.rng.random() < 0.7:
            self.env.send_stop_ack()

    def _act(self) -> bool:
        rng, env = self.rng, self.env
        instrument = rng.choice(self.instruments)
        kind = rng.random()
        if kind < 0.7 or not self.orders:
            self._order(instrument)
            return True
        name = rng.choice(list(self.orders)[-8:])
        if kind < 0.82:
            env.send_cancel_order(instrument.venue, instrument.number, name)
        elif kind < 0.94:
            price = rng.choice((None, self._price(instrument, 9)))
            env.send_modify_order(instrument.venue, name, price, rng.choice((None, self._qty(instrument))))
        elif kind < 0.97:
            env.send_cancel_all(instrument.venue, instrument.number)
        else:
            env.fetch_orders_info(instrument.venue)
            env.fetch_position_info(instrument.venue, instrument.number)
            env.fetch_order_status(instrument.venue, instrument.number, name)
        return True

    def _price(self, instrument: Instrument, off: int, direction: int = 0) -> Any:
        ticks = MIDS[instrument] + (self.rng.randint(-off, off) if not direction else direction * off)
        return instrument.price_scale.values[ticks]

    def _qty(self, instrument: Instrument) -> Any:
        return instrument.qty_scale.values[self.rng.randint(0, LOTS[instrument])]

    def _order(self, instrument: Instrument) -> None:
        rng = self.rng
        self.count += 1
        order_type = rng.choice(TYPES)
        side = rng.choice((Side.Buy, Side.Sell))
        more: dict[str, Any] = {
            "ord_type": order_type,
            "time_in_force": rng.choice((TIF.GTC,) * 5 + (TIF.IOC, TIF.FOK, TIF.Day)),
            "exec_instr": rng.choice((ExecInstructions.Unset,) * 3 + tuple(ExecInstructions)),
            "close_position": rng.random() < 0.1,
        }
        price = None if order_type is OrderType.Market else self._price(instrument, 12)
        if order_type in STOPS:
            up = (side is Side.Buy) is (order_type is not OrderType.TakeProfit)
            more["stop_price"] = self._price(instrument, rng.randint(1, 20), 1 if up else -1)
        self.send(str(self.count), instrument, side, price, self._qty(instrument), **more)
