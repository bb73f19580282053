import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.basics import scale as scale_module
from mlthon.basics.money import UNIT
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.basics.scale import NotOnStep, Scale

TICKS = [UNIT // 10, UNIT // 2, UNIT, 1, UNIT // 4000, 25 * UNIT]


@given(st.sampled_from(TICKS), st.integers(-(10**12), 10**12))
def test_values_and_steps_are_inverse(step: int, n: int) -> None:
    scale = Scale(Price, step)
    value = scale.values[n]
    assert value.units == n * step
    assert scale.values[n] is value
    spellings: list[Price | str | Decimal] = [value, value.to_str(), value.to_decimal(), value.to_str()]
    assert {scale.steps(spelling) for spelling in spellings} == {n}


@given(st.sampled_from(TICKS), st.decimals(-(10**9), 10**9, places=18))
def test_what_is_between_two_steps_is_refused(step: int, number: Decimal) -> None:
    scale = Scale(Qty, step)
    units = Qty(number).units
    if units % step:
        with pytest.raises(NotOnStep, match="is not a multiple of"):
            scale.steps(number)
    else:
        assert scale.steps(number) == units // step


def test_everything_an_order_is_given_as() -> None:
    scale = Scale(Price, UNIT // 2)
    for value in ("9226.5", "9226.50000000", 9226.5, Decimal("9226.5"), Price("9226.5"), Qty("9226.5")):
        assert scale.steps(value) == 18453
        assert scale.steps(value) == 18453
    assert scale.steps(3) == 6
    assert scale.step == Price("0.5")


def test_the_error_names_value_and_step() -> None:
    for value in ("9226.3", 9226.3, Price("9226.3"), Decimal("9226.3")):
        with pytest.raises(NotOnStep, match=r"Price 9226\.3 is not a multiple of 0\.5"):
            Scale(Price, UNIT // 2).steps(value)
    assert issubclass(NotOnStep, ValueError)


@pytest.mark.parametrize("bad", ["abc", "nan", float("nan"), "1e-19", ""])
def test_what_is_no_number(bad: str | float) -> None:
    scale = Scale(Price, UNIT)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"not a|more than"):
            scale.steps(bad)


@pytest.mark.parametrize("bad", [None, True, [], b"1"])
def test_what_is_no_number_at_all(bad: object) -> None:
    scale = Scale(Price, UNIT)
    assert scale.steps(1) == 1  # True is equal to the 1 that is known from here on
    with pytest.raises(TypeError):
        scale.steps(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [0, -1])
def test_a_step_is_more_than_nothing(step: int) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Scale(Price, step)


def test_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_module, "CACHED", 10)
    scale = Scale(Price, UNIT)
    for n in range(100):
        assert scale.values[n] == Price(n)
        assert scale.steps(str(n)) == n
        assert len(scale.values.known) <= 10
        assert len(scale._known) <= 10


def test_a_pickled_scale_is_equal_and_empty() -> None:
    scale = Scale(Qty, UNIT // 1000)
    assert scale.values[5] == Qty("0.005")
    again = pickle.loads(pickle.dumps(scale))
    assert again == scale
    assert hash(again) == hash(scale)
    assert not again.values.known
    assert scale != Scale(Price, UNIT // 1000)
