"""The members of `Link`: the documented examples of the bot's side, and every form of the exchange calls."""

import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlthon.link.bot.link import Link
from mlthon.link.contract import Call, Health, Publish, Raised, Signalled, Started, StopTrading
from mlthon.link.errors import ApiError
from tests.link.bot.kit import INSTRUMENTS, T0, VENUES, Bot, envelope, running

PLAIN = "from profitview import Link, logger, http, cron\nclass Trading(Link):\n    pass\n"


def asked(bot: Bot) -> dict[str, Any]:
    """The arguments of the latest call."""
    return dict(bot.host.all(Call)[-1].arguments)


def test_every_form_of_every_exchange_call_says_the_same(tmp_path: Path) -> None:
    limit = {"venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": 100.0, "price": 20000.5}
    market = {name: limit[name] for name in ("venue", "sym", "side", "size")}
    amend = {"venue": "BitMEX", "order_id": "x", "size": 5.0, "price": 6.0}
    candles = {"venue": "BitMEX", "sym": "XBTUSD", "level": "1m", "since": T0}
    native = {"venue": "BitMEX", "path": "order", "version": "private", "method": "POST", "params": {"a": [1]}}
    forms: list[tuple[str, dict[str, Any]]] = [
        ("create_limit_order", limit),
        ("create_market_order", market),
        ("amend_order", amend),
        ("cancel_order", {"venue": "BitMEX", "order_id": "x", "sym": "XBTUSD"}),
        ("fetch_candles", candles),
        ("fetch_balances", {"venue": "BitMEX"}),
        ("fetch_open_orders", {"venue": "BitMEX"}),
        ("fetch_positions", {"venue": "BitMEX"}),
        ("call_endpoint", native),
    ]
    with running(tmp_path, PLAIN) as bot:
        bot.host.wait(Started)
        for name, given in forms:
            call, values, names = getattr(bot.it, name), list(given.values()), list(given)
            call(*values)
            assert asked(bot) == given
            call(**given)
            assert asked(bot) == given
            call(values[0], **{each: given[each] for each in names[1:]})
            assert asked(bot) == given
            assert bot.host.all(Call)[-1].name == name


def test_what_is_left_out_is_absent_and_numbers_leave_as_floats(tmp_path: Path) -> None:
    with running(tmp_path, PLAIN) as bot:
        bot.host.wait(Started)
        link = bot.it
        link.cancel_order("BitMEX")
        assert asked(bot) == {"venue": "BitMEX"}
        link.cancel_order("BitMEX", sym="XBTUSD")
        assert asked(bot) == {"venue": "BitMEX", "sym": "XBTUSD"}
        link.amend_order("BitMEX", "x", price=5)
        assert asked(bot) == {"venue": "BitMEX", "order_id": "x", "price": 5.0}
        link.fetch_candles("BitMEX", "XBTUSD")
        assert asked(bot) == {"venue": "BitMEX", "sym": "XBTUSD", "level": "1m"}
        link.fetch_candles("BitMEX", sym="XBTUSD", since=datetime(2023, 3, 9, tzinfo=UTC))
        assert asked(bot)["since"] == T0
        link.call_endpoint("BitMEX", "instrument", "public", params={"count": np.int64(5)})
        assert asked(bot)["params"] == {"count": 5}
        assert asked(bot)["method"] == "GET"
        for size in (1, "1", np.float64(1), np.int32(1)):
            link.create_market_order("WooPaper", "PERP_BTC_USDT", "sell", size)
            assert asked(bot) == {"venue": "WooPaper", "sym": "PERP_BTC_USDT", "side": "Sell", "size": 1.0}
            assert type(asked(bot)["size"]) is float


@pytest.mark.parametrize(
    ("name", "given", "kind", "message"),
    [
        ("fetch_balances", (None,), TypeError, "fetch_balances: venue is missing"),
        ("fetch_balances", (5,), TypeError, "venue must be a text, not 5"),
        ("create_market_order", ("BitMEX", None, "Buy", 1), TypeError, "create_market_order: sym is missing"),
        ("create_market_order", ("BitMEX",), TypeError, "sym is missing"),
        ("create_market_order", ("BitMEX", "X", "Long", 1), ValueError, "side must be 'Buy' or 'Sell', not 'Long'"),
        ("create_market_order", ("BitMEX", "X", "Buy", math.nan), ValueError, "size is nan: wait until"),
        ("create_market_order", ("BitMEX", "X", "Buy", "much"), TypeError, "size must be a number, not 'much'"),
        ("create_market_order", ("BitMEX", "X", "Buy", True), TypeError, "size must be a number, not True"),
        ("create_limit_order", ("BitMEX", "X", "Buy", 1, math.inf), ValueError, "price is inf"),
        ("create_limit_order", ("BitMEX", "X", "Buy", 1), TypeError, "price is missing"),
        ("amend_order", ("BitMEX", "x"), ValueError, "there is nothing to amend"),
        ("amend_order", ("BitMEX", None, 1), TypeError, "order_id is missing"),
        ("fetch_candles", ("BitMEX", "X", "7m"), ValueError, "'7m' is no candle level"),
        ("fetch_candles", ("BitMEX",), TypeError, "sym is missing"),
        ("fetch_candles", ("BitMEX", "X", "1m", 1.7e18), ValueError, "since must be milliseconds since 1970"),
        ("fetch_candles", ("BitMEX", "X", "1m", 1e300), ValueError, "since must be milliseconds since 1970"),
        ("call_endpoint", ("BitMEX", "order", "v1"), ValueError, "version must be 'public' or 'private', not 'v1'"),
        ("call_endpoint", ("BitMEX", "order", "public", "GET", "a=1"), TypeError, "params must be a dict"),
        ("get_bars", ("bitmex", "XBTUSD", "1x"), ValueError, "'1x' is no candle level"),
        ("signal", ("bitmex", None), type(None), ""),
    ],
)
def test_arguments_that_cannot_be_right_are_refused_before_anything_is_sent(
    tmp_path: Path, name: str, given: tuple[Any, ...], kind: type[Exception], message: str
) -> None:
    with running(tmp_path, PLAIN) as bot:
        bot.host.wait(Started)
        if kind is type(None):
            getattr(bot.it, name)(*given)
        else:
            with pytest.raises(kind, match=message):
                getattr(bot.it, name)(*given)
        assert not bot.host.all(Call)


def test_api_errors_raise_and_carry_the_envelope_and_rate_limits_do_not(tmp_path: Path) -> None:
    refused = {"type": "api_error", "message": "The symbol 'DOGGUSD' does not exist"}
    limited = {"type": "rate_limits", "message": "too many requests"}

    def answer(call: Call, runtime: Any) -> dict[str, Any]:
        return envelope(None, refused if call.name == "fetch_candles" else limited)

    with running(tmp_path, PLAIN, answer) as bot:
        bot.host.wait(Started)
        with pytest.raises(ApiError, match="BitMEX: The symbol 'DOGGUSD' does not exist") as caught:
            bot.it.fetch_candles("BitMEX", sym="DOGGUSD", level="1m")
        assert caught.value.envelope == envelope(None, refused)
        assert caught.value.error == refused
        found = bot.it.fetch_balances("BitMEX")
        assert found == envelope(None, limited)
        assert found["rate_limits"]["reset"] < 10**10  # seconds
        with pytest.raises(ApiError, match=r"'Bitmex' is not configured; did you mean 'BitMEX'\?") as caught:
            bot.it.fetch_balances("Bitmex")
        assert set(caught.value.envelope) == {"src", "venue", "error", "data", "rate_limits"}


def test_time_properties(tmp_path: Path) -> None:
    with running(tmp_path, PLAIN) as bot:
        bot.host.wait(Started)
        link, before = bot.it, time.time()
        assert link.now.utcoffset() is not None
        assert abs(link.now.timestamp() - before) < 5
        assert type(link.unix_now) is int
        assert type(link.epoch_now) is int
        assert abs(link.epoch_now / 1000 - link.unix_now) < 5
        assert 0 <= link.second < 60
        assert isinstance(link.second, float)
        assert datetime.fromisoformat(link.iso_now).utcoffset() == link.now.utcoffset()
        assert link.candle_bin(T0 + 61_000, "1m") == T0 + 60_000
        assert link.candle_bin(T0 + 61_000, "1m", ceil=True) == T0 + 120_000
        assert link.time_range(T0, T0 + 60_000, "1m", include_start=False) == [T0 + 60_000]


def test_the_documented_examples_of_what_a_bot_has(tmp_path: Path) -> None:
    with running(tmp_path, PLAIN) as bot:
        bot.host.wait(Started)
        link = bot.it
        assert link.venues == VENUES
        assert link.instruments["bitmex"]["XBTUSD"]["tickSize"] == 0.5
        assert link.instruments == INSTRUMENTS
        assert link.market_streams == {"bitmex": ["XBTUSD", "ETHUSD"], "woo": ["PERP_BTC_USDT"]}
        assert link.last_trade("bitmex", "XBTUSD") is None
        assert link.last_quote("bitmex", "XBTUSD", "bid") is None
        assert link.last_quote("nowhere", "XBTUSD") is None
        bot.runtime.trade(0, 1, 121611.5, 200.0, 1_678_364_683_876)
        bot.runtime.quote(0, 21601.0, 170000.0, 21601.5, 223000.0, 1_678_364_572_949)
        bot.settle()
        latest_trade = link.trades["bitmex"]["XBTUSD"]
        assert (latest_trade["price"], latest_trade["size"], latest_trade["side"]) == (121611.5, 200.0, "Buy")
        assert link.quotes["bitmex"]["XBTUSD"]["ask"][0] - link.quotes["bitmex"]["XBTUSD"]["bid"][0] == 0.5
        assert link.last_trade("bitmex", "XBTUSD") == latest_trade
        assert link.last_trade("bitmex", "XBTUSD", "price") == 121611.5
        assert link.last_quote("bitmex", "XBTUSD", "bid")[0] == 21601.0
        assert link.health == {"public": [], "private": [], "dropped": []}
        bot.runtime.tell(Health([{"src": "bitmex", "live": False}], [{"src": "bitmex", "live": True}]))
        assert [feed["src"] for feed in link.health["public"] if not feed["live"]] == ["bitmex"]
        assert link.background_threads.keys() >= set()


def test_what_a_bot_says(tmp_path: Path) -> None:
    with running(tmp_path, PLAIN) as bot:
        bot.host.wait(Started)
        link, host = bot.it, bot.host
        link.publish("status", {"active": True, "timestamp": T0, 1: (np.float64(0.5), {2})})
        assert host.all(Publish) == [Publish("status", {"active": True, "timestamp": T0, "1": [0.5, [2]]})]
        link.publish("empty")
        assert host.all(Publish)[-1] == Publish("empty", None)
        with pytest.raises(TypeError, match="a object is nothing that JSON can say"):
            link.publish("x", object())
        for intent in ({"size": 0.5}, {"mid": 30000}, {"bid": 29500}, {"quote": [29950, 30050]}, {"size": "0.5"}):
            link.signal("bitmex", "XBTUSD", **intent)
            assert host.all(Signalled)[-1] == Signalled("bitmex", "XBTUSD", intent)
        link.signal("bitmex", "XBTUSD", quote=(np.float64(1), 2), size=None)
        assert host.all(Signalled)[-1].intents == {"quote": [1.0, 2]}
        count = len(host.all(Signalled))
        link.signal("bitmex", "XBTUSD", size=None)
        assert len(host.all(Signalled)) == count
        for wrong in ({"size": math.nan}, {"quote": [1.0, np.nan]}):
            with pytest.raises(ValueError, match="is NaN"):
                link.signal("bitmex", "XBTUSD", **wrong)
        link.stop_trading("Critical error detected")
        assert host.wait(StopTrading) == StopTrading("Critical error detected")
        link.stop_trading()
        assert host.wait(StopTrading, 2) == StopTrading("")


def test_the_logger_takes_anything(tmp_path: Path) -> None:
    source = """
        from profitview import Link, logger
        import logging

        class Trading(Link):
            def on_start(self):
                assert isinstance(logger, logging.Logger)
                logger.info(('get_button', {'a': 1}))
                logger.warning({'a': 'b'})
                logger.info('%s of %d', 'one', 2)
                logger.info('does not fit', 5)
                logger.debug('not shown')
                logger.setLevel(logging.DEBUG)
                logger.debug('shown')
                try:
                    1 / 0
                except ZeroDivisionError:
                    logger.error('oh', exc_info=True)
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        log = bot.host.log()
        for line in ("('get_button', {'a': 1})", "{'a': 'b'}", "one of 2", "does not fit (5,)", "\nshown", "oh\nTrace"):
            assert line in log
        assert "ZeroDivisionError" in log
        assert "not shown" not in log
        assert not bot.host.all(Raised)


def test_the_documented_rsi_signal(tmp_path: Path) -> None:
    pytest.importorskip("talib")
    source = """
        from profitview import Link
        import talib

        class Signals(Link):
            def candle_update_1m(self, src, sym, bars):
                rsi = talib.RSI(bars.closes, timeperiod=14)[-1]
                if rsi > 70:
                    self.signal(src, sym, size=-0.5)
    """

    def answer(call: Call, runtime: Any) -> dict[str, Any]:
        prices = [100.0 + n for n in range(360)]
        rows = [
            {"time": T0 + n * 60_000, "open": p, "high": p, "low": p, "close": p, "volume": 1.0}
            for n, p in enumerate(prices)
        ]
        return envelope(rows)

    with running(tmp_path, source, answer) as bot:
        bot.host.wait(Started)
        bot.runtime.trade(0, 1, 500.0, 1.0, T0 + 360 * 60_000)
        assert bot.host.wait(Signalled) == Signalled("bitmex", "XBTUSD", {"size": -0.5})


def test_a_link_outside_of_a_run_says_how_to_run_it() -> None:
    class Trading(Link):
        pass

    with pytest.raises(RuntimeError, match="python -m mlthon FILE"):
        Trading()
    Trading.__new__(Trading).__del__()
