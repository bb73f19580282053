"""A strategy that orders on quotes and tells Telegram of each: what is measured is how soon its orders are out."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlthon.api.istrat_env import IStratEnv, MDSub
from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, GtwStatus, OrderType, Side
from mlthon.basics.instrument import Instrument
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty


class Busy(IStrategy):
    """One order at a time, far below the market, cancelled as soon as it is there."""

    def __init__(self, cfg: dict[str, Any]) -> None:
        self._env: IStratEnv
        self._instrument: Instrument
        self._ready = False
        self._count = 0
        self._took: list[int] = []
        self._out = Path(cfg["out"])

    def on_stop(self, params: str) -> None:
        self._out.write_text(json.dumps(self._took))
        self._env.send_stop_ack()

    def on_framework_connected(self, env: IStratEnv) -> None:
        self._env = env
        env.login("busy")

    def on_instruments(self, instruments: Iterable[Instrument]) -> None:
        self._instrument = next(each for each in instruments if each.get_mlt_symbol() == "btc-usdt")
        number = self._instrument.number
        self._env.subscribe_to_market_data(self._instrument.venue, [number], [MDSub.BBO])
        self._env.request_execution_connection(self._instrument.venue, [number])

    def on_gateway_status(self, exchange: Exchange, status: GtwStatus, detail: str) -> None:
        self._ready = status is GtwStatus.ReadyToTrade

    def on_best_bid_level_update(
        self, exchange: Exchange, instrument_id: int, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        if self._ready:
            began = time.perf_counter_ns()
            self._ready = False
            self._count += 1
            self._env.send_new_order(
                str(self._count),
                exchange,
                instrument_id,
                Side.Buy,
                Price("20000"),
                Qty("0.01"),
                ExecInstructions.PostOnly,
                OrderType.Limit,
                TIF.GTC,
                False,
            )
            self._env.publish_telegram(f"order {self._count} at bid {price.to_str()}")
            self._took.append(time.perf_counter_ns() - began)

    def on_new_order_ack(self, exchange: Exchange, client_id: str, *more: Any) -> None:
        self._env.send_cancel_order(exchange, self._instrument.number, client_id)

    def on_order_cancelled(self, exchange: Exchange, client_id: str, *more: Any) -> None:
        self._ready = True
