"""Whatever a strategy gives `CA`, it gets an answer or an error that names the argument, the log has a line of it, and
the engine goes on."""

import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlthon.arsenal.placing import TooManyOrders
from mlthon.arsenal.wishes import Action, ArgumentError
from mlthon.live.state_files import FileState
from tests.arsenal.kit import FREE, FREE_SPOT, HEAD, Lines, minutes, play
from tests.backtest.play import BTC, SPOT

ARGUMENTS = {
    "exchange",
    "pair",
    "action",
    "limit",
    "amount",
    "percent",
    "client_order_id",
    "profit",
    "loss",
    "conditional_order_type",
    "child_conditional_orders",
    "notional",
    "order_type",
    "price",
    "currency",
    "position_side",
    "length",
    "period",
    "get_history_candles",
    "status",
    "key",
    "value",
    "order",
    "side",
}
IDLE = HEAD + "    def trade(self, candles): pass\n"
HUGE = 10**5000
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.decimals(),
    st.sampled_from([0, -1, HUGE, -HUGE, "1e400", "-0", " 7 ", "٣", "1_000", "0x10", np.float64(2), np.int32(3)]),
    st.integers(1, 200),
    st.decimals(Decimal("0.001"), 5, allow_nan=False).map(str),
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=80),
    st.binary(max_size=3),
    st.sampled_from([np.array([1.0, 2.0]), np.array(["a", "b"]), np.array(5), object(), Action.BUY]),
    st.sampled_from([[], [1], {}, (), {1}]),
    st.sampled_from(["\ud800", "x" * 10_000, "\x00", "OTO", "LONG", "FILLED", "MARKET", "LIMIT", "USDT", "first"]),
)
ANY = NUMBERS | ODD
NAMES = st.sampled_from([each.value for each in Action] + ["openLong", "closeShort", "OPEN_LONG"]) | ODD
WHERE = {"exchange": st.none() | ODD, "pair": st.sampled_from([None, "BTC-USDT", "btc/usdt"]) | ODD}
SIZED = {"limit": ANY, "amount": ANY, "percent": ANY, "profit": ANY, "loss": ANY, "notional": ANY}


def orders(children: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Keywords of `place_order`: most of them left out."""
    more = {
        "client_order_id": ANY,
        "conditional_order_type": st.just("OTO") | ODD,
        "child_conditional_orders": children,
    }
    return st.fixed_dictionaries({"action": NAMES}, optional={**WHERE, **SIZED, **more, "side": ODD})


CHILDREN = st.recursive(
    ODD, lambda children: st.lists(orders(children) | ODD | st.just({"side": 1}), max_size=3), max_leaves=6
)
CALLS = st.one_of(
    st.tuples(st.just("place_order"), orders(CHILDREN)),
    st.tuples(
        st.sampled_from([each.value for each in Action]),
        st.fixed_dictionaries({"amount": ANY}, optional={**WHERE, "order_type": ODD, "price": ANY}),
    ),
    st.tuples(st.just("get_balance"), st.fixed_dictionaries({}, optional={"exchange": ODD, "currency": ODD})),
    st.tuples(st.just("get_position"), st.fixed_dictionaries({}, optional={**WHERE, "position_side": ODD})),
    st.tuples(st.just("get_orders"), st.fixed_dictionaries({}, optional={"status": ANY, "limit": ANY})),
    st.tuples(st.just("get_history_candles"), st.fixed_dictionaries({}, optional={"length": ANY, "period": ANY})),
    st.tuples(st.just("cancel_order"), st.fixed_dictionaries({}, optional={"order": ANY})),
    st.tuples(st.just("cancel_order_by_client_order_id"), st.fixed_dictionaries({"client_order_id": ANY})),
    st.tuples(st.just("storage"), st.fixed_dictionaries({"key": ANY}, optional={"value": ANY})),
    st.tuples(st.just("log"), st.fixed_dictionaries({"message": ANY}, optional={"log_type": ANY})),
)


def asked(trader: Any, name: str, arguments: dict[str, Any]) -> None:
    """Make the call as a callback of the strategy makes it."""
    lines = Lines()
    logging.getLogger("mlthon.arsenal").addHandler(lines)
    trader.placing._counted = (0, 0)
    found: list[BaseException] = []

    def call() -> None:
        try:
            getattr(trader.ca, name)(**arguments)
        except Exception as error:  # noqa: BLE001 - which ones there may be is what is looked at
            found.append(error)

    try:
        trader.in_callback("fuzz", call)
    finally:
        logging.getLogger("mlthon.arsenal").removeHandler(lines)
    for error in found:
        if isinstance(error, TooManyOrders):
            continue
        assert isinstance(error, ArgumentError), repr(error)
        assert error.argument.rpartition(".")[2].partition("[")[0] in ARGUMENTS
        assert len(str(error)) < 1000
        assert any(str(error) in line for line in lines.lines)


def fuzzed(trader: Any) -> None:
    @given(CALLS)
    @hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    def any_call(call: tuple[str, dict[str, Any]]) -> None:
        asked(trader, *call)

    any_call()


def failing(check: Callable[[Any], None], found: list[BaseException]) -> Callable[[Any], None]:
    """The check, whose failure is kept: the engine outlives what a call raises."""

    def call(trader: Any) -> None:
        try:
            check(trader)
        except Exception as error:  # noqa: BLE001 - it is raised again
            found.append(error)

    return call


def test_any_argument_of_futures_and_spot(tmp_path: Path) -> None:
    for instrument, exchanges in ((BTC, FREE), (SPOT, FREE_SPOT)):
        found: list[BaseException] = []
        state = FileState(tmp_path / f"{instrument.instrument_id}.arsenal")
        calls = {90.0: failing(fuzzed, found)}
        played = play(IDLE, minutes([100.0] * 3, instrument), tmp_path, exchanges=exchanges, calls=calls, state=state)
        if found:
            raise found[0]
        assert played.result.errors == 0


def test_children_of_children_without_end_are_refused_at_once(tmp_path: Path) -> None:
    def check(trader: Any) -> None:
        endless: dict[str, Any] = {"action": "open_long", "amount": 1, "conditional_order_type": "OTO"}
        endless["child_conditional_orders"] = [endless] * 10
        asked(trader, "place_order", endless)
        assert trader.tickets.open() == []

    found: list[BaseException] = []
    play(IDLE, minutes([100.0] * 3), tmp_path, exchanges=FREE, calls={90.0: failing(check, found)})
    assert found == []
