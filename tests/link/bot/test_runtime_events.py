"""What a running bot is told and what it tells: market data when it falls behind, bars, webhooks, channels, threads."""

import math
import threading
from pathlib import Path
from typing import Any

import pytest

from mlthon.link.bot.runtime import BotRuntime
from mlthon.link.contract import (
    Call,
    Dropped,
    Loaded,
    Private,
    Published,
    Raised,
    RedisPublish,
    RedisSubscribe,
    Started,
    WebAnswer,
    WebRequest,
)
from tests.link.bot.kit import COLLECTING, T0, envelope, running, until


def test_an_empty_side_of_a_quote_is_nan(tmp_path: Path) -> None:
    with running(tmp_path, COLLECTING) as bot:
        bot.host.wait(Started)
        bot.runtime.quote(0, math.nan, math.nan, 5.0, 1.0, T0)
        bot.settle()
        assert math.isnan(bot.it.quotes["bitmex"]["XBTUSD"]["bid"][0])


def test_a_bot_that_falls_behind_gets_the_newest_quote_and_all_trades_up_to_the_bound(tmp_path: Path) -> None:
    source = """
        from profitview import Link
        import threading

        class Trading(Link):
            def __init__(self):
                self.gate, self.inside = threading.Event(), threading.Event()
                self.bids, self.prices = [], []
                super().__init__()

            def quote_update(self, src, sym, data):
                self.bids.append((sym, data['bid'][0]))
                self.inside.set()
                self.gate.wait()

            def trade_update(self, src, sym, data):
                self.prices.append(data['price'])
    """
    with running(tmp_path, source, backlog=10) as bot:
        bot.host.wait(Started)
        bot.runtime.quote(0, 0.0, 1.0, 2.0, 1.0, T0)
        bot.it.inside.wait()
        for n in range(1, 16):
            bot.runtime.quote(0, float(n), 1.0, 99.0, 1.0, T0)
            bot.runtime.quote(1, float(-n), 1.0, 99.0, 1.0, T0)
            bot.runtime.trade(0, 1, float(n), 1.0, T0)
        bot.runtime.tell(Private("order_update", "bitmex", "XBTUSD", {}))
        bot.it.gate.set()
        bot.settle()
        assert bot.it.bids == [("XBTUSD", 0.0), ("XBTUSD", 15.0), ("ETHUSD", -15.0)]
        assert bot.it.prices == [float(n) for n in range(6, 16)], "the newest"
        assert "5 trades of bitmex XBTUSD were dropped" in bot.host.log()
        bot.runtime.tell(Dropped(0, 7))
        bot.settle()
        assert bot.it.health["dropped"] == [{"src": "bitmex", "sym": "XBTUSD", "trades": 12}]


def test_candles_roll_with_every_trade_and_history_counts_no_trade_twice(tmp_path: Path) -> None:
    """The host's history holds the trades that were sent before it."""
    source = """
        from profitview import Link

        class Signals(Link):
            def __init__(self):
                self.seen = []
                super().__init__()

            def candle_update_1m(self, src, sym, bars):
                self.seen.append((sym, bars.closes[-1], bars.volumes[-1], bars.volumes.shape))

            def trade_update(self, src, sym, data):
                self.seen.append(self.get_bars(src, sym, '1m')[-1]['close'])
    """

    def answer(call: Call, runtime: BotRuntime) -> dict[str, Any] | None:
        assert call.name == "history"
        assert call.arguments["count"] == 360
        rows = []
        if call.arguments["sym"] == "XBTUSD":
            for _ in range(3):  # on their way when the history was made
                runtime.trade(0, 1, 6.0, 10.0, T0 + 1000)
            rows = [{"time": T0, "open": 5.0, "high": 6.0, "low": 5.0, "close": 6.0, "volume": 130.0}]
        return envelope(rows)

    with running(tmp_path, source, answer) as bot:
        bot.host.wait(Started)
        bot.settle()
        assert bot.host.wait(Loaded).kind == "Signals"
        assert bot.it.seen[:6] == [6.0, ("XBTUSD", 6.0, 130.0, (360,))] * 3
        bot.runtime.trade(0, 1, 7.0, 5.0, T0 + 2000)
        bot.runtime.trade(0, -1, 7.5, 1.0, T0 + 61_000)
        bot.settle()
        assert bot.it.seen[6:] == [7.0, ("XBTUSD", 7.0, 135.0, (360,)), 7.5, ("XBTUSD", 7.5, 1.0, (360,))]
        assert len(bot.host.calls("history")) == 3


def test_get_bars_from_another_thread_misses_no_trade_that_comes_while_history_is_on_its_way(tmp_path: Path) -> None:
    source = "from profitview import Link\nclass Trading(Link):\n    pass\n"
    release = threading.Event()

    def answer(call: Call, runtime: BotRuntime) -> dict[str, Any] | None:
        runtime.trade(0, 1, 5.0, 1.0, T0)  # in the history
        until(lambda: runtime.idle)
        release.set()
        return envelope([{"time": T0, "open": 5.0, "high": 5.0, "low": 5.0, "close": 5.0, "volume": 1.0}])

    with running(tmp_path, source, answer) as bot:
        bot.host.wait(Started)
        got: list[Any] = []
        asking = [
            threading.Thread(target=lambda: got.append(bot.it.get_bars("bitmex", "XBTUSD", "5m"))) for _ in range(2)
        ]
        for each in asking:
            each.start()
        release.wait()
        bot.runtime.trade(0, 1, 6.0, 2.0, T0 + 5)
        for each in asking:
            each.join()
        bot.settle()
        assert got[0] is got[1]
        assert got[0][-1]["volume"] == 3.0
        assert got[0].closes[-1] == 6.0
        assert len(bot.host.calls("history")) == 1


def test_history_that_cannot_be_had_leaves_bars_that_begin_with_the_first_trade(tmp_path: Path) -> None:
    error = {"type": "api_error", "message": "no such market"}
    source = "from profitview import Link\nclass Trading(Link):\n    pass\n"
    with running(tmp_path, source, lambda call, bot: envelope(None, error)) as bot:
        bot.host.wait(Started)
        bars = bot.it.get_bars("bitmex", "XBTUSD", "1h")
        assert not bars
        assert "no history of 1h: no such market" in bot.host.log()
        bot.runtime.trade(0, 1, 6.0, 2.0, T0 + 5)
        bot.settle()
        assert bars[-1]["close"] == 6.0
        with pytest.raises(ValueError, match="not subscribed to bitmex XRPUSD"):
            bot.it.get_bars("bitmex", "XRPUSD", "1h")


def test_webhooks_answer_with_json_and_their_errors_with_a_status(tmp_path: Path) -> None:
    source = """
        from profitview import Link, http
        import numpy as np

        class Trading(Link):
            @http.route
            def get_balances(self, data):
                return self.fetch_balances(data['venue'])

            @http.route
            def post_cancel_order(self, data):
                return self.cancel_order(data['venue'], order_id=data['order_id'])

            @http.route
            def get_numbers(self, data):
                return (np.float64(1.5), np.arange(2), {1: np.int64(3)})

            @http.route
            def get_nothing(self, data):
                return object()
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        routes = {("get", "balances"), ("post", "cancel_order"), ("get", "numbers"), ("get", "nothing")}
        assert set(bot.host.wait(Loaded).routes) == routes
        asked = [
            ("get", "balances", {"venue": "BitMEX"}, 200),
            ("post", "cancel_order", {"venue": "BitMEX", "order_id": "x"}, 200),
            ("get", "numbers", {}, 200),
            ("get", "balances", {}, 500),
            ("get", "nothing", {}, 500),
            ("post", "balances", {}, 404),
            ("get", "balances", {"venue": "Bitmex"}, 500),
        ]
        for number, (method, name, data, _) in enumerate(asked):
            bot.runtime.tell(WebRequest(number, method, name, data))
        bot.host.wait(WebAnswer, len(asked))
        answers = {each.request: each for each in bot.host.all(WebAnswer)}
        assert [answers[number].status for number in range(len(asked))] == [each[3] for each in asked]
        assert answers[0].value["data"] == {"asked": "fetch_balances"}
        assert answers[2].value == [1.5, [0, 1], {"1": 3}]
        assert answers[3].value == {"error": "KeyError: 'venue'"}
        assert answers[5].value == {"error": "this bot has no webhook POST balances"}
        assert "did you mean 'BitMEX'?" in answers[6].value["error"]
        assert bot.host.calls("cancel_order")[0].arguments == {"venue": "BitMEX", "order_id": "x"}


def test_redis_joins_bots(tmp_path: Path) -> None:
    source = """
        from profitview import Link

        class Trading(Link):
            def on_start(self):
                self.redis.subscribe({'intent': self.trade, 7: self.note})

            def trade(self, data):
                self.create_market_order('WooPaper', data[1], data[0], 0.0001)

            def note(self, data):
                self.noted = data

            def trade_update(self, src, sym, data):
                self.redis.publish('intent', ('Buy', sym, data['price']))
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        assert bot.host.wait(RedisSubscribe).channels == ["intent", "7"]
        bot.runtime.trade(2, 1, 5.0, 1.0, T0)
        assert bot.host.wait(RedisPublish) == RedisPublish("intent", ["Buy", "PERP_BTC_USDT", 5.0])
        bot.runtime.tell(Published("intent", ["Buy", "PERP_BTC_USDT", 5.0]))
        bot.runtime.tell(Published("7", [1]))
        bot.settle()
        assert bot.it.noted == [1]
        order = {"venue": "WooPaper", "sym": "PERP_BTC_USDT", "side": "Buy", "size": 0.0001}
        assert bot.host.calls("create_market_order")[0].arguments == order


def test_threads_are_shown_run_later_and_survive_what_they_raise(tmp_path: Path) -> None:
    source = """
        from profitview import Link
        import threading

        class Trading(Link):
            def on_start(self):
                self.seen, self.gate = [], threading.Event()
                self.thread = self.create_thread(self.work, 1, two=2)
                self.timer = self.delay_thread(0.01, self.late, 'x')
                self.delay_thread(60, self.late, 'never').cancel()
                self.create_thread(self.failing)

            def work(self, one, two):
                self.gate.wait()
                self.seen.append((one, two))

            def late(self, what):
                self.seen.append(what)

            def failing(self):
                raise ValueError('in a thread')

            def trade_update(self, src, sym, data):
                self.dispatcher = threading.get_ident()
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        raised = bot.host.wait(Raised)
        assert (raised.where, raised.error) == ("thread failing", "ValueError: in a thread")
        until(lambda: bot.it.seen == ["x"])
        assert bot.it.background_threads[bot.it.thread.ident] == "work"
        bot.runtime.trade(0, 1, 5.0, 1.0, T0)
        bot.settle()
        assert bot.it.dispatcher not in bot.it.background_threads
        bot.it.gate.set()
        bot.it.thread.join()
        assert bot.it.thread.ident not in bot.it.background_threads
