"""The life of a bot: callbacks, threads, errors, webhooks, its end. Bots are written as the public ones are."""

import math
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlthon.link.bot.runtime import BotRuntime
from mlthon.link.contract import (
    Call,
    Dropped,
    Failed,
    Health,
    Loaded,
    Logged,
    Private,
    Publish,
    Published,
    Raised,
    RedisPublish,
    RedisSubscribe,
    Started,
    Stop,
    Stopped,
    StopTrading,
    ToHost,
    WebAnswer,
    WebRequest,
)
from tests.link.bot.kit import T0, envelope, running, until

COLLECTING = """
    from profitview import Link, logger

    class Trading(Link):
        def on_start(self):
            self.seen = []

        def quote_update(self, src, sym, data):
            self.seen.append(('quote', src, sym, data))

        def trade_update(self, src, sym, data):
            self.seen.append(('trade', src, sym, data))

        def order_update(self, src, sym, data):
            self.seen.append(('order', src, sym, data))

        def fill_update(self, src, sym, data):
            self.seen.append(('fill', src, sym, data))

        def position_update(self, src, sym, data):
            self.seen.append(('position', src, sym, data))

        def on_stop(self):
            self.seen.append('stopped')
"""
ORDER = {"venue": "BitMEX", "side": "Buy", "order_price": 20500.0, "time": 1_678_320_346_997, "order_id": "e320"}


def test_a_bot_lives_from_loaded_to_stopped_and_gets_the_documented_payloads(tmp_path: Path) -> None:
    with running(tmp_path, COLLECTING) as bot:
        bot.host.wait(Started)
        bot.runtime.quote(0, 21601.0, 170000.0, 21601.5, 223000.0, 1_678_364_572_949)
        bot.runtime.trade(2, -1, 21611.5, 200.0, 1_678_364_683_876)
        for callback in ("order_update", "fill_update", "position_update"):
            bot.runtime.tell(Private(callback, "bitmex", "XBTUSD", ORDER))
        bot.settle()
        quote = {"bid": [21601.0, 170000.0], "ask": [21601.5, 223000.0], "time": 1_678_364_572_949}
        trade = {"side": "Sell", "price": 21611.5, "size": 200.0, "time": 1_678_364_683_876}
        assert bot.it.seen == [
            ("quote", "bitmex", "XBTUSD", quote),
            ("trade", "woo", "PERP_BTC_USDT", trade),
            ("order", "bitmex", "XBTUSD", ORDER),
            ("fill", "bitmex", "XBTUSD", ORDER),
            ("position", "bitmex", "XBTUSD", ORDER),
        ]
        assert bot.it.quotes["bitmex"]["XBTUSD"] == quote
        assert bot.it.trades["woo"]["PERP_BTC_USDT"] == trade
        bot.stop()
        assert bot.it.seen[-1] == "stopped"
        loaded = bot.host.wait(Loaded)
        assert loaded.kind == "Trading"
        own = {"quote_update", "trade_update", "order_update", "fill_update", "position_update", "on_start", "on_stop"}
        assert set(loaded.callbacks) == own
        kinds = [type(each) for each in bot.host.told]
        assert kinds == [Loaded, Started, Stopped]


def test_an_empty_side_of_a_quote_is_nan(tmp_path: Path) -> None:
    with running(tmp_path, COLLECTING) as bot:
        bot.host.wait(Started)
        bot.runtime.quote(0, math.nan, math.nan, 5.0, 1.0, T0)
        bot.settle()
        assert math.isnan(bot.it.quotes["bitmex"]["XBTUSD"]["bid"][0])


def test_callbacks_come_before_on_start_and_what_they_raise_is_logged_told_and_survived(tmp_path: Path) -> None:
    source = """
        from profitview import Link
        import time

        class Trading(Link):
            def on_start(self):
                while not self.quotes['bitmex']:
                    time.sleep(0.001)
                self.count = 0
                self.started_with = dict(self.quotes['bitmex'])

            def quote_update(self, src, sym, data):
                self.count += 1
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Loaded)
        bot.runtime.quote(0, 1.0, 1.0, 2.0, 1.0, T0)
        bot.host.wait(Started)
        bot.settle()
        raised = bot.host.wait(Raised)
        assert raised.where == "quote_update"
        assert raised.error == "AttributeError: 'Trading' object has no attribute 'count'"
        assert "bot.py" in raised.text
        assert "runtime.py" not in raised.text
        assert "quote_update raised AttributeError" in bot.host.log()
        bot.runtime.quote(0, 1.0, 1.0, 2.0, 1.0, T0)
        bot.settle()
        assert bot.it.count == 1
        assert bot.it.started_with["XBTUSD"]["time"] == T0


def test_an_error_that_keeps_coming_is_told_each_time_but_logged_ever_less(tmp_path: Path) -> None:
    source = """
        from profitview import Link

        class Trading(Link):
            def trade_update(self, src, sym, data):
                1 / 0
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        for _ in range(100):
            bot.runtime.trade(0, 1, 5.0, 1.0, T0)
        bot.settle()
        assert len(bot.host.all(Raised)) == 100
        assert len(bot.host.all(Logged)) == 7
        assert "(64 times)" in bot.host.log()


def test_a_constructor_that_never_returns_gets_callbacks_webhooks_answers_and_an_end(tmp_path: Path) -> None:
    source = """
        from profitview import Link, http
        import asyncio

        class Trading(Link):
            def __init__(self, *args, **kwargs):
                super().__init__()
                self.price = None
                self.ended = False
                self.balances = self.fetch_balances('BitMEX')['data']
                asyncio.run(self.forever())

            async def forever(self):
                while not self.ended:
                    await asyncio.sleep(0.002)

            def quote_update(self, src, sym, data):
                self.price = data['bid'][0]

            @http.route
            def get_price(self, data):
                return {'price': self.price}

            def on_stop(self):
                self.stopped_in = True
    """
    with running(tmp_path, source) as bot:
        until(lambda: hasattr(bot.it, "balances"))
        assert bot.it.balances == {"asked": "fetch_balances"}
        bot.runtime.quote(0, 7.0, 1.0, 8.0, 1.0, T0)
        bot.settle()
        bot.runtime.tell(WebRequest(1, "get", "price", {}))
        assert bot.host.wait(WebAnswer) == WebAnswer(1, 200, {"price": 7.0})
        assert not bot.host.all(Started)
        bot.stop()
        assert bot.it.stopped_in
        bot.it.ended = True


def test_on_start_may_run_asyncio_and_may_raise(tmp_path: Path) -> None:
    source = """
        from profitview import Link
        import asyncio

        class Trading(Link):
            def on_start(self):
                async def work():
                    await asyncio.sleep(0)
                    return 'worked'
                self.first = asyncio.run(work())
                loop = asyncio.new_event_loop()
                asyncio.set_event_loop(loop)
                self.second = asyncio.get_event_loop().run_until_complete(work())
                loop.close()
                raise RuntimeError('after all')
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        assert bot.it.first == bot.it.second == "worked"
        assert bot.host.wait(Raised).error == "RuntimeError: after all"


def test_nothing_is_dispatched_before_the_base_constructor_and_early_events_wait_for_it(tmp_path: Path) -> None:
    source = """
        from profitview import Link
        import time

        class Trading(Link):
            def __init__(self):
                time.sleep(0.05)
                self.seen = []
                super().__init__()

            def trade_update(self, src, sym, data):
                self.seen.append(data['price'])
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Loaded)
        for price in (1.0, 2.0, 3.0):
            bot.runtime.trade(0, 1, price, 1.0, T0)
        bot.host.wait(Started)
        bot.settle()
        assert bot.it.seen == [1.0, 2.0, 3.0]
        assert not bot.host.all(Raised)


@pytest.mark.parametrize(
    ("body", "problem", "hint"),
    [
        ("def __init__(self):\n        pass", "never calls Link.__init__", "super().__init__()"),
        (
            "def __init__(self):\n        super().__init__()\n        1 / 0",
            "bot.py:5: Trading.__init__: ZeroDivision",
            "",
        ),
        ("def __init__(self):\n        raise SystemExit(3)", "bot.py:4: Trading.__init__: SystemExit: 3", ""),
        ("def __init__(self, key):\n        super().__init__()", "missing 1 required positional argument: 'key'", ""),
    ],
)
def test_a_constructor_that_fails_is_told_with_its_line(tmp_path: Path, body: str, problem: str, hint: str) -> None:
    with running(tmp_path, f"from profitview import Link\nclass Trading(Link):\n    {body}\n") as bot:
        failed = bot.host.wait(Failed)
        assert problem in failed.problem
        assert hint in failed.hint
        assert not bot.host.all(Stopped)


def test_a_call_under_way_ends_when_the_engine_goes(tmp_path: Path) -> None:
    source = """
        from profitview import Link

        class Trading(Link):
            def on_start(self):
                self.result = 'none'
                try:
                    self.fetch_balances('BitMEX')
                except Exception as error:
                    self.result = type(error).__name__
    """
    with running(tmp_path, source, lambda call, bot: None) as bot:
        bot.host.wait(Call)
        bot.runtime.lose("connection reset")
        until(lambda: bot.it.result != "none")
        assert bot.it.result == "LinkClosed"
        bot.host.wait(Stopped)
        assert "the engine has gone (connection reset)" in bot.host.log()


def test_exchange_calls_work_in_on_stop(tmp_path: Path) -> None:
    source = """
        from profitview import Link

        class Trading(Link):
            def on_stop(self):
                self.cancel_order('BitMEX')
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        bot.stop()
        assert [each.arguments for each in bot.host.calls("cancel_order")] == [{"venue": "BitMEX"}]


def test_the_platform_calls_no_overridden_method_and_minds_no_assigned_name(tmp_path: Path) -> None:
    source = """
        from profitview import Link, logger

        class Trading(Link):
            def __init__(self):
                super().__init__()
                for name in ('src', 'venue', 'orders', 'candles', 'positions', 'state', 'start', 'quotes', 'trades',
                             'venues', 'instruments', 'health', 'redis', 'now', 'second', 'call', 'host', 'logger'):
                    setattr(self, name, name)
                self.seen = []

            def create_market_order(self, venue, sym, side, size):
                self.seen.append('mine')
                return super().create_market_order(venue, sym=sym, side=side, size=size)

            def signal(self, direction, sym, price):
                self.seen.append((direction, sym, price))

            def candle_bin(self, *args):
                raise AssertionError('called by the platform')

            last_quote = last_trade = get_bars = publish = fetch_candles = time_range = create_thread = candle_bin

            def trade_update(self, src, sym, data):
                self.signal('Buy', sym, data['price'])
                self.seen.append(self.create_market_order('BitMEX', sym, 'Buy', 100)['data'])

            def candle_update_1m(self, src, sym, bars):
                self.seen.append(bars.closes[-1])
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        bot.runtime.quote(0, 1.0, 1.0, 2.0, 1.0, T0)
        bot.runtime.trade(0, 1, 5.0, 1.0, T0)
        bot.runtime.tell(Health([{"src": "bitmex", "live": True}], []))
        bot.settle()
        assert bot.it.seen == [("Buy", "XBTUSD", 5.0), "mine", {"asked": "create_market_order"}, 5.0]
        assert bot.it.quotes == "quotes"
        assert not bot.host.all(Raised)
        bot.stop()


def test_callbacks_replaced_on_the_instance_are_called(tmp_path: Path) -> None:
    source = """
        from profitview import Link

        class Trading(Link):
            def on_start(self):
                self.seen = []
                self.trade_update = lambda src, sym, data: self.seen.append(data['size'])
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        bot.runtime.trade(0, 1, 5.0, 3.0, T0)
        bot.settle()
        assert bot.it.seen == [3.0]


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
    with running(tmp_path, source, trades_kept=10) as bot:
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
        assert bot.it.prices == [float(n) for n in range(1, 11)]
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


def test_sys_exit_in_a_callback_asks_for_the_end(tmp_path: Path) -> None:
    source = """
        from profitview import Link
        import sys

        class Trading(Link):
            def trade_update(self, src, sym, data):
                sys.exit('enough')

            def on_start(self):
                self.stop_trading('End of trading day')
    """
    with running(tmp_path, source) as bot:
        assert bot.host.wait(StopTrading).message == "End of trading day"
        bot.runtime.trade(0, 1, 5.0, 1.0, T0)
        assert bot.host.wait(StopTrading, 2).message == "trade_update called sys.exit(enough)"


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
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        raised = bot.host.wait(Raised)
        assert (raised.where, raised.error) == ("thread failing", "ValueError: in a thread")
        until(lambda: bot.it.seen == ["x"])
        assert bot.it.background_threads[bot.it.thread.ident] == "work"
        assert "dispatcher" not in bot.it.background_threads.values()
        bot.it.gate.set()
        bot.it.thread.join()
        assert bot.it.thread.ident not in bot.it.background_threads


def test_an_empty_callback_costs_little() -> None:
    """The figure asked for is a million a second; here a third of that, because the machine may be busy."""
    from mlthon.link.bot.link import Link
    from mlthon.link.contract import Hello
    from tests.link.bot.kit import INSTRUMENTS, MARKETS, VENUES, FakeHost

    runtime = BotRuntime(Hello("x", "x.py", VENUES, MARKETS, INSTRUMENTS), FakeHost())
    runtime._bot = Link.__new__(Link)
    best = math.inf
    for _ in range(10):
        began = time.perf_counter()
        for _ in range(5000):
            runtime.handle_quote(0, 1.0, 2.0, 3.0, 4.0, T0)
        best = min(best, (time.perf_counter() - began) / 5000)
    assert best < 3e-6


def test_stop_is_heard_once_and_nothing_is_told_after_stopped(tmp_path: Path) -> None:
    with running(tmp_path, COLLECTING) as bot:
        bot.host.wait(Started)
        for _ in range(3):
            bot.runtime.tell(Stop("again"))
        bot.host.wait(Stopped)
        bot.main.join(5)
        told: list[ToHost] = bot.host.told
        assert isinstance(told[-1], Stopped)
        assert bot.it.seen == ["stopped"]


def test_a_constructor_that_is_at_work_when_the_end_comes_may_finish_first(tmp_path: Path) -> None:
    source = """
        from profitview import Link

        class Trading(Link):
            def __init__(self):
                super().__init__()
                self.first = self.fetch_balances('BitMEX')['data']
                self.second = self.fetch_positions('BitMEX')['data']

            def on_stop(self):
                self.publish('had', [self.first, self.second])
    """

    def answer(call: Call, runtime: BotRuntime) -> dict[str, Any] | None:
        runtime.tell(Stop("at once"))
        return envelope(call.name)

    with running(tmp_path, source, answer) as bot:
        bot.host.wait(Stopped)
        assert bot.host.wait(Publish).data == ["fetch_balances", "fetch_positions"]
        assert not bot.host.all(Raised)
        assert not bot.host.all(Failed)


def test_a_constructor_that_the_end_cuts_off_has_not_failed(tmp_path: Path) -> None:
    source = """
        from profitview import Link

        class Trading(Link):
            def __init__(self):
                super().__init__()
                self.fetch_balances('BitMEX')
    """

    def answer(call: Call, runtime: BotRuntime) -> dict[str, Any] | None:
        runtime.tell(Stop("at once"))
        return None

    with running(tmp_path, source, answer) as bot:
        bot.host.wait(Stopped)
        bot.main.join(5)
        assert not bot.main.is_alive()
        assert not bot.host.all(Failed)


def test_whatever_a_callback_raises_the_next_one_is_called(tmp_path: Path) -> None:
    source = """
        from profitview import Link
        import asyncio

        class Nameless(Exception):
            def __str__(self):
                raise RuntimeError('no text')

        class Trading(Link):
            def trade_update(self, src, sym, data):
                raise [asyncio.CancelledError('c'), Nameless(), LookupError('\\ud800')][int(data['price'])]
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        for price in (0.0, 1.0, 2.0):
            bot.runtime.trade(0, 1, price, 1.0, T0)
        bot.settle()
        told = [each.error for each in bot.host.all(Raised)]
        assert told == ["CancelledError: c", "Nameless (its text raised RuntimeError)", "LookupError: \ud800"]


def test_a_bot_that_is_stopped_while_it_is_constructed_is_not_started(tmp_path: Path) -> None:
    source = """
        from profitview import Link, cron

        class Trading(Link):
            def __init__(self):
                super().__init__()
                self.fetch_balances('BitMEX')

            def on_start(self):
                self.publish('started')

            @cron.run(every=1)
            def job(self):
                self.publish('ran')
    """

    def answer(call: Call, runtime: BotRuntime) -> dict[str, Any] | None:
        runtime.tell(Stop("at once"))
        return envelope(None)

    with running(tmp_path, source, answer) as bot:
        bot.host.wait(Stopped)
        assert not bot.host.all(Publish)
        assert not bot.host.all(Started)
