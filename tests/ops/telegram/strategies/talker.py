"""A strategy that is commanded and heard by Telegram: it rests an order, tells what it is told, can sleep."""

import time
from collections.abc import Iterable
from typing import Any

from mlthon.api.istrat_env import IStratEnv
from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, GtwStatus, OrderType, Side
from mlthon.basics.instrument import Instrument
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty


class Talker(IStrategy):
    """Rests a buy far below the market as soon as it may trade."""

    def __init__(self, cfg: dict[str, Any]) -> None:
        self._env: IStratEnv
        self._instrument: Instrument

    def on_framework_connected(self, env: IStratEnv) -> None:
        self._env = env
        env.add_cmd_hook("say", self._say)
        env.add_cmd_hook("sleep", self._sleep)
        env.login("talker")

    def on_instruments(self, instruments: Iterable[Instrument]) -> None:
        self._instrument = next(each for each in instruments if each.get_mlt_symbol() == "btc-usdt")
        self._env.request_execution_connection(self._instrument.venue, [self._instrument.number])

    def on_gateway_status(self, exchange: Exchange, status: GtwStatus, detail: str) -> None:
        if status is GtwStatus.ReadyToTrade:
            number, price, qty = self._instrument.number, Price("20000"), Qty("0.01")
            unset = ExecInstructions.PostOnly
            self._env.send_new_order(
                "1", exchange, number, Side.Buy, price, qty, unset, OrderType.Limit, TIF.GTC, False
            )

    def on_stop(self, params: str) -> None:
        self._env.publish_telegram(f"stopping: {params}")
        self._env.send_stop_ack()

    def _say(self, words: list[str]) -> None:
        for word in words:
            self._env.publish_telegram(word)

    def _sleep(self, words: list[str]) -> None:
        time.sleep(float(words[0]))
