"""A strategy that always has something under way, for runs that are killed: it sends, changes and cancels at random
around the best prices, several requests a second."""

from collections.abc import Iterable
from random import Random
from typing import Any

from mlthon.api.istrat_env import MDSub
from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import TIF, Exchange, FeedHandlerStatus, GtwStatus, OrderType, Side
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty

EVERY_MS = 150
REMEMBERED = 5


class Busy(IStrategy):
    """See the module. Every run does something else: nothing here has to be the same twice."""

    def __init__(self, cfg: dict[str, Any]) -> None:
        """`quiet`: it sends nothing."""
        self._quiet = bool(cfg.get("quiet"))
        self._env: Any = None
        self._rng = Random()
        self._instrument: Instrument | None = None
        self._ready = False
        self._stopped = False
        self._bid: Price | None = None
        self._ask: Price | None = None
        self._sent: list[str] = []

    def on_framework_connected(self, env: Any) -> None:
        self._env = env
        env.setup_timer(EVERY_MS, self._on_timer)
        env.login("busy")

    def on_stop(self, params: str) -> None:
        self._stopped = True
        self._env.send_stop_ack()

    def on_instruments(self, instruments: Iterable[Instrument]) -> None:
        self._instrument = instrument = next(iter(instruments))
        self._env.subscribe_to_market_data(instrument.venue, [instrument.number], [MDSub.BBO])
        self._env.request_execution_connection(instrument.venue, [instrument.number])

    def on_gateway_status(self, exchange: Exchange, status: GtwStatus, detail: str) -> None:
        self._ready = status is GtwStatus.ReadyToTrade

    def on_feed_handler_status(self, exchange: Exchange, status: FeedHandlerStatus, detail: str) -> None:
        if status is FeedHandlerStatus.Disconnected:
            self._bid = self._ask = None

    def on_best_bid_level_update(
        self, exchange: Exchange, instrument_id: int, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        self._bid = price

    def on_best_ask_level_update(
        self, exchange: Exchange, instrument_id: int, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        self._ask = price

    def _on_timer(self) -> bool:
        instrument, bid, ask = self._instrument, self._bid, self._ask
        if (
            self._ready
            and not (self._stopped or self._quiet)
            and instrument is not None
            and bid is not None
            and ask is not None
        ):
            self._act(instrument, bid, ask)
        return not self._stopped

    def _act(self, instrument: Instrument, bid: Price, ask: Price) -> None:
        rng = self._rng
        mine = self._sent[-REMEMBERED:]
        what = rng.random()
        if what < 0.6 or not mine:
            self._new(instrument, bid, ask)
        elif what < 0.75:
            self._env.send_modify_order(instrument.venue, rng.choice(mine), rng.choice((bid, ask)))
        else:
            self._env.send_cancel_order(instrument.venue, instrument.number, rng.choice(mine))

    def _new(self, instrument: Instrument, bid: Price, ask: Price) -> None:
        rng = self._rng
        side = rng.choice((Side.Buy, Side.Sell))
        takes = rng.random() < 0.4
        price = ask if (side is Side.Buy) is takes else bid
        tif = TIF.IOC if takes else TIF.GTC
        qty = instrument.qty_scale.values[self._smallest(instrument, bid) * rng.randint(1, 3)]
        sent = self._env.send_new_order(
            None, instrument.venue, instrument.number, side, price, qty, ord_type=OrderType.Limit, time_in_force=tif
        )
        self._sent.append(str(sent))

    def _smallest(self, instrument: Instrument, price: Price) -> int:
        """The lots of the smallest order that is worth enough to be taken."""
        least = instrument.min_notional
        if least is None or instrument.settle_currency == instrument.base_currency:
            return 1
        units = int(least * UNIT) * UNIT // price.units
        return units // instrument.qty_scale.step_units + 1
