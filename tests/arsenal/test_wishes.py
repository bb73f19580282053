"""The arguments of an order: which of them counts, how they may be written, and how much they come to."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mlthon.arsenal.market import Pair
from mlthon.arsenal.sizing import Funds, NothingToDo, lots_of, ticks_of
from mlthon.arsenal.wishes import Action, ArgumentError, action_of, loaded, number, wish_of
from mlthon.basics.money import UNIT
from tests.backtest.play import BTC, INVERSE, SPOT

D = Decimal


@pytest.mark.parametrize(
    ("given_", "amount", "percent", "notional"),
    [
        ({}, None, D(100), None),
        ({"amount": 2}, D(2), None, None),
        ({"percent": 30}, None, D(30), None),
        ({"notional": 500}, None, None, D(500)),
        ({"amount": 2, "percent": 30, "notional": 500}, D(2), None, None),
        ({"amount": 2, "notional": 500}, D(2), None, None),
        ({"amount": None, "percent": 30, "notional": 500}, None, D(30), None),
        ({"amount": "", "percent": None, "notional": "500"}, None, None, D(500)),
        ({"amount": "0.10", "percent": "90"}, D("0.10"), None, None),
        ({"percent": np.float64(12.5)}, None, D("12.5"), None),
        ({"amount": np.int64(3)}, D(3), None, None),
        ({"amount": 0.1}, D("0.1"), None, None),
    ],
)
def test_amount_beats_percent_beats_notional(
    given_: dict[str, Any], amount: Decimal | None, percent: Decimal | None, notional: Decimal | None
) -> None:
    wish = wish_of("open_long", **given_)
    assert (wish.amount, wish.percent, wish.notional) == (amount, percent, notional)


@pytest.mark.parametrize(("text", "action"), [(each.value, each) for each in Action])
def test_actions_in_snake_and_camel_case(text: str, action: Action) -> None:
    first, *rest = text.split("_")
    assert action_of(text) is action_of(first + "".join(map(str.capitalize, rest))) is action_of(text.upper()) is action


@pytest.mark.parametrize("bad", ["", None, 5, "openlong", "open long", True, "OPENLONG", "x" * 500])
def test_other_actions_are_refused(bad: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        action_of(bad)
    assert caught.value.argument == "action"
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "bad", ["x", "nan", "inf", float("nan"), float("-inf"), 0, "0", -1, True, [], {}, "1,5", "1e40"]
)
def test_what_is_no_number_above_0_is_refused(bad: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^price: "):
        number(bad, "price")


@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=30),
        st.binary(max_size=5),
        st.lists(st.integers()),
    )
)
def test_any_value_is_a_number_or_named(value: Any) -> None:
    found = numbered(value)
    if isinstance(found, ArgumentError):
        assert found.argument == "amount"
    else:
        assert found is None or (found.is_finite() and found > 0)


def numbered(value: Any) -> Decimal | ArgumentError | None:
    try:
        return number(value, "amount")
    except ArgumentError as error:
        return error


def test_a_wish_can_be_kept_and_read_back() -> None:
    wish = wish_of(
        "close_long",
        pair="BTC-USDT",
        percent="50",
        conditional_order_type="OTO",
        child_conditional_orders=[{"action": "openShort", "notional": 100, "profit": 90, "loss": "110.5"}],
    )
    assert loaded(wish.dump()) == wish


def pair(instrument: Any, bid: float, ask: float) -> Pair:
    found = Pair("There", instrument)
    scale = instrument.price_scale
    found.on_quote(scale.steps(bid), 1, scale.steps(ask), 1, 0, 0)
    return found


SPOT_FUNDS = Funds(available={"USDT": 1000 * UNIT, "BTC": 2 * UNIT}, fee=Fraction(1, 1000))
OF_VALUE = Funds(available={"USDT": 1000 * UNIT}, long=3000, short=500, leverage=Fraction(5), fee=Fraction(1, 1000))
FUNDS = evolve(OF_VALUE, of_margin=True)
INVERSE_FUNDS = Funds(available={"BTC": UNIT}, long=5000, leverage=Fraction(2), of_margin=True)


@pytest.mark.parametrize(
    ("instrument", "funds", "action", "size", "lots"),
    [
        # spot: lots of 0.00001 BTC, bid 99.99, ask 100
        (SPOT, SPOT_FUNDS, "buy", {"amount": "1.234567"}, 123_456),
        (SPOT, SPOT_FUNDS, "buy", {"notional": 250}, 250_000),
        (SPOT, SPOT_FUNDS, "buy", {"percent": 50, "limit": 80}, int(D(500) / (80 * D("1.001")) * 100_000)),
        (SPOT, SPOT_FUNDS, "buy", {}, int(D(1000) / (100 * D("1.002") * D("1.001")) * 100_000)),
        (SPOT, SPOT_FUNDS, "sell", {"percent": 25}, 50_000),
        (SPOT, SPOT_FUNDS, "sell", {}, 200_000),
        # linear: lots of 0.001 BTC, bid 99.9, ask 100
        (BTC, FUNDS, "open_long", {"amount": 2}, 2000),
        (BTC, FUNDS, "open_short", {"notional": 999}, 10_000),
        (BTC, FUNDS, "open_long", {"percent": 100}, int(D(1000) / (100 * D("1.002") * D("0.201")) * 1000)),
        (BTC, FUNDS, "open_short", {"percent": 10, "limit": 125}, int(D(100) / (125 * D("0.201")) * 1000)),
        (BTC, OF_VALUE, "open_long", {"percent": 500}, int(D(1000) / (100 * D("1.002") * D("0.201")) * 1000)),
        (BTC, OF_VALUE, "open_short", {"percent": 50, "limit": 125}, int(D(100) / (125 * D("0.201")) * 1000)),
        (BTC, FUNDS, "close_long", {"percent": 50}, 1500),
        (BTC, FUNDS, "close_long", {"amount": 9}, 3000),
        (BTC, FUNDS, "close_short", {}, 500),
        (BTC, FUNDS, "close_short", {"amount": "0.2"}, 200),
        # inverse: lots of 1 USD, bid 99.5, ask 100
        (INVERSE, INVERSE_FUNDS, "open_long", {"amount": 3}, 300),
        (INVERSE, INVERSE_FUNDS, "open_long", {"notional": 250}, 250),
        (INVERSE, INVERSE_FUNDS, "open_short", {"percent": 50, "limit": 100}, 100),
        (INVERSE, INVERSE_FUNDS, "close_long", {"percent": 10}, 500),
        (INVERSE, evolve(INVERSE_FUNDS, entries=(20_000, 0)), "close_long", {"amount": 5000 / 10_000.0}, 5000),
        (INVERSE, evolve(INVERSE_FUNDS, entries=(17_153, 0)), "close_long", {"amount": 4999 / 8576.5}, 4999),
    ],
)
def test_what_a_wish_comes_to(instrument: Any, funds: Funds, action: str, size: dict[str, Any], lots: int) -> None:
    tick = instrument.price_scale.step.to_float()
    market = pair(instrument, round(100 - tick, 8), 100)
    assert lots_of(wish_of(action, **size), market, funds) == lots


@pytest.mark.parametrize(
    ("action", "size", "text"),
    [
        ("open_long", {"amount": "0.0004"}, "smallest order of BTC-USDT, 0.001"),
        ("open_long", {"percent": "0.0001"}, "smallest order"),
        ("close_short", {}, "no short position in BTC-USDT"),
        ("close_long", {"percent": "0.01"}, "less than one lot"),
    ],
)
def test_what_comes_to_nothing_says_why(action: str, size: dict[str, Any], text: str) -> None:
    with pytest.raises(NothingToDo, match=text):
        lots_of(wish_of(action, **size), pair(BTC, 99.9, 100), Funds(available={"USDT": UNIT}, long=5))
    with pytest.raises(NothingToDo, match="no price yet"):
        lots_of(wish_of("open_long"), Pair("There", BTC), Funds(available={"USDT": UNIT}))


def test_prices_go_to_the_passive_tick() -> None:
    market = pair(BTC, 99.9, 100)
    assert [ticks_of(market, D("100.17"), side) for side in (1, -1, 0)] == [1001, 1002, 1002]
