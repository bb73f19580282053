"""Junk from a strategy never breaks the engine: it is refused by an event, or raises to the strategy alone."""

import logging
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, GtwStatus, OrderType, Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from tests.backtest.chaos import walk
from tests.backtest.play import BTC, SPOT, configured, play
from tests.backtest.test_run import check_conserved
from tests.engine.rig import Recorder

JUNK = (
    None,
    "",
    " ",
    "nonsense",
    "1e400",
    "-1",
    "0",
    "1",
    "nan",
    "\x00",
    "ü" * 500,
    0,
    -1,
    1,
    True,
    False,
    10**40,
    -(10**40),
    1 << 62,
    0.1,
    float("nan"),
    float("inf"),
    -0.0,
    1e308,
    Decimal("NaN"),
    Decimal("1e-30"),
    Price("-5"),
    Qty("1e17"),
    b"bytes",
    [],
    [None],
    [[]],
    {},
    {"a": 1},
    (),
    object(),
    Exchange.Oanda,
    Side.Buy,
    TIF.FOK,
    GtwStatus.Connecting,
    ExecInstructions.PostOnlyReduceOnly,
    OrderType.Unset,
    MDSub.OrderBook,
    lambda *_: None,
)
GOOD: dict[str, tuple[Any, ...]] = {
    "exchange": (Exchange.Bybit, "Bybit", Exchange.Binance),
    "instrument": (BTC.number, BTC, "BTCUSDT", SPOT.number),
    "side": (Side.Buy, Side.Sell),
    "price": ("100000", 100_001, Price("99999.5"), None),
    "qty": ("0.01", Qty("0.002")),
    "id": (1, "2", "mine", 7),
    "exec": tuple(ExecInstructions),
    "type": tuple(OrderType),
    "tif": tuple(TIF),
    "bool": (True, False),
    "subs": (list(MDSub), [MDSub.BBO], MDSub.PublicTrades, [3]),
    "text": ("hello", "12:00:00"),
    "number": (1, 50, 0.5),
    "call": (lambda *_: True, lambda *_: None),
}
METHODS: dict[str, tuple[str, ...]] = {
    "send_new_order": ("id", "exchange", "instrument", "side", "price", "qty", "exec", "type", "tif", "bool"),
    "send_modify_order": ("exchange", "id", "price", "qty"),
    "send_cancel_order": ("exchange", "instrument", "id"),
    "send_cancel_all": ("exchange", "instrument"),
    "fetch_order_status": ("exchange", "instrument", "id"),
    "fetch_orders_info": ("exchange", "instrument"),
    "fetch_position_info": ("exchange", "instrument"),
    "fetch_funding_info": ("exchange", "instrument"),
    "fetch_wallet_info": ("exchange", "text"),
    "fetch_account_info": ("exchange",),
    "subscribe_to_market_data": ("exchange", "instrument", "subs"),
    "unsubscribe_from_market_data": ("exchange", "instrument", "subs"),
    "request_execution_connection": ("exchange", "instrument"),
    "login": ("text",),
    "send_stop_ack": (),
    "setup_timer": ("number", "call"),
    "setup_daily_callback": ("text", "call"),
    "add_cmd_hook": ("text", "call"),
    "publish_telegram": ("text",),
}
REQUESTS = frozenset(name for name in METHODS if name.startswith(("send_new", "send_modify", "send_cancel", "fetch")))
ANSWERS = frozenset(
    (
        "on_new_order_ack",
        "on_new_order_reject",
        "on_modify_order_ack",
        "on_modify_order_reject",
        "on_cancel_order_ack",
        "on_cancel_order_reject",
        "on_cancel_all_ack",
        "on_cancel_all_reject",
        "on_order_status",
        "on_orders_info",
        "on_position_info",
        "on_funding_info",
        "on_wallet_info",
        "on_account_info",
        "on_request_reject",
    )
)
CALLBACKS = (
    "on_framework_connected",
    "on_start",
    "on_instruments",
    "on_gateway_status",
    "on_best_bid_level_update",
    "on_public_trade",
    "on_new_order_ack",
    "on_new_order_reject",
    "on_order_cancelled",
    "on_order_execution",
    "on_request_reject",
    "on_stop",
    "on_framework_disconnected",
)
LAST = "on_framework_disconnected"


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str, tuple[Any, ...]]:
    """(from which callback, which method, its arguments): some good, some junk."""
    method = draw(st.sampled_from(sorted(METHODS)))
    args = [
        draw(st.sampled_from(JUNK)) if draw(st.booleans()) else draw(st.sampled_from(GOOD[kind]))
        for kind in METHODS[method]
    ]
    return draw(st.sampled_from(CALLBACKS)), method, tuple(args)


DATA = walk(1, 40)


class Junk(Recorder):
    """Makes each call once, from the first run of its callback. `sent`: the requests that did not raise, those apart
    that went out when nobody can answer any more; `raised`: what the others raised."""

    def __init__(self, script: list[tuple[str, str, tuple[Any, ...]]]) -> None:
        super().__init__()
        self.sent = 0
        self.raised: list[BaseException] = []
        for callback in CALLBACKS:
            mine = [(method, args) for when, method, args in script if when == callback]
            self.then[callback] = self._act(callback, mine)

    def _act(self, callback: str, mine: list[tuple[str, tuple[Any, ...]]]) -> Any:
        def act(*given: Any) -> None:
            env = self.env
            while mine:
                method, args = mine.pop()
                try:
                    getattr(env, method)(*args)
                except (TypeError, ValueError) as error:
                    self.raised.append(error)
                else:
                    self.sent += method in REQUESTS and callback != LAST

        return act


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=st.lists(calls(), min_size=1, max_size=12))
def test_junk_is_refused_or_raises_to_the_strategy_alone(script: list[tuple[str, str, tuple[Any, ...]]]) -> None:
    strategy = Junk(script)
    logging.disable(logging.CRITICAL)
    try:
        played = play(strategy, DATA, configured(1.0, stop_ack_timeout_s=0.05))
    finally:
        logging.disable(logging.NOTSET)
    assert played.result.errors == 0, "an environment's method raised something that is no clear error"
    assert sum(name in ANSWERS for name in strategy.names()) >= strategy.sent
    assert all(map(str, strategy.raised)), "an error without a word"
    check_conserved(played)


@pytest.mark.parametrize("method", sorted(REQUESTS))
def test_each_request_is_refused_or_answered_whichever_argument_is_junk(method: str) -> None:
    kinds = METHODS[method]
    good = [GOOD[kind][0] for kind in kinds]
    script = [
        ("on_instruments", method, (*good[:place], junk, *good[place + 1 :]))
        for place in range(len(kinds))
        for junk in JUNK
    ]
    strategy = Junk(script)
    played = play(strategy, DATA, configured(1.0))
    assert strategy.raised == []
    assert strategy.sent == len(script)
    assert sum(name in ANSWERS for name in strategy.names()) >= strategy.sent
    assert played.result.errors == 0
    check_conserved(played)


@pytest.mark.parametrize(
    ("method", "args", "told"),
    [
        ("setup_timer", (None, print), "milliseconds over 0, not None"),
        ("setup_timer", (float("inf"), print), "milliseconds over 0, not inf"),
        ("setup_timer", (float("nan"), print), "milliseconds over 0, not nan"),
        ("setup_timer", ("soon", print), "milliseconds over 0, not 'soon'"),
        ("setup_timer", (5, None), "setup_timer: the callback must be callable, not None"),
        ("setup_daily_callback", ("25:00:00", print), "'25:00:00' is no time of day"),
        ("setup_daily_callback", (None, print), "None is no time of day"),
        ("setup_daily_callback", ("12:00:00", "f"), "setup_daily_callback: the callback must be callable, not 'f'"),
        ("add_cmd_hook", (None, print), "a command needs a name, not None"),
        ("add_cmd_hook", (" ", print), "a command needs a name, not ' '"),
        ("add_cmd_hook", ("go", 1), "add_cmd_hook: the callback must be callable, not 1"),
    ],
)
def test_what_has_no_answer_raises_to_the_strategy(method: str, args: tuple[Any, ...], told: str) -> None:
    strategy = Junk([("on_instruments", method, args)])
    played = play(strategy, DATA, configured(1.0))
    assert [told in str(error) for error in strategy.raised] == [True]
    assert played.result.errors == 0
