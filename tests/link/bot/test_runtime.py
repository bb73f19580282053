"""The life of a bot: callbacks, threads, errors, webhooks, its end. Bots are written as the public ones are."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.link.bot.runtime import BotRuntime
from mlthon.link.contract import (
    Call,
    Failed,
    Health,
    Loaded,
    Logged,
    Private,
    Publish,
    Raised,
    Started,
    Stop,
    Stopped,
    StopTrading,
    ToHost,
    WebAnswer,
    WebRequest,
)
from tests.link.bot.kit import COLLECTING, T0, envelope, running, until

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


@pytest.mark.parametrize("where", ["__init__", "on_start"])
def test_a_bot_has_the_time_to_set_the_attributes_that_its_callbacks_read(tmp_path: Path, where: str) -> None:
    source = f"""
        from profitview import Link
        import time

        class Trading(Link):
            def __init__(self):
                super().__init__()
                if {where!r} == '__init__':
                    self.set_up()

            def on_start(self):
                if {where!r} == 'on_start':
                    self.set_up()

            def set_up(self):
                self.fetch_positions('BitMEX')
                time.sleep(0.05)
                self.seen = []

            def trade_update(self, src, sym, data):
                self.seen.append(data['price'])
    """
    with running(tmp_path, source) as bot:
        bot.runtime.trade(0, 1, 1.0, 1.0, T0)
        bot.host.wait(Started)
        bot.settle()
        assert bot.it.seen == [1.0]
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
