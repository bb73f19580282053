"""Text to steps: against Decimal, and what is refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.protocols.decimals import KEPT, Steps, WholeSteps

UNIT = 10**18


@given(st.integers(0, 10**12), st.integers(0, 9), st.integers(0, 9))
def test_text_of_a_multiple_gives_its_steps(steps: int, digits: int, zeros: int) -> None:
    step = Decimal(1).scaleb(-digits) * 5
    text = f"{step * steps:f}"
    if "." in text:
        text += "0" * zeros
    assert Steps(int(step * UNIT))[text] == steps


@pytest.mark.parametrize("text", ["", ".", ".5", "-1", "+1", "1e3", "1_0", " 1", "1.2.3", "nan", "١", "0x1"])
def test_what_is_no_decimal_number_is_refused_and_not_kept(text: str) -> None:
    for steps in (Steps(UNIT // 10), WholeSteps(UNIT // 10)):
        with pytest.raises(ValueError, match="is not a decimal number"):
            steps[text]
        assert not steps.known


def test_off_the_step() -> None:
    with pytest.raises(ValueError, match=r"25\.426189 is not a multiple of 0\.00001"):
        Steps(UNIT // 10**5)["25.426189"]
    whole = WholeSteps(UNIT // 10**5)
    assert whole["25.42618900"] == 2542618
    assert whole["25.42618000"] == 2542618
    assert whole["0.000009"] == 0
    assert whole.cut == 2


def test_more_digits_than_units_only_as_zeros() -> None:
    steps = Steps(1)
    assert steps["0.0000000000000000010000"] == 1
    with pytest.raises(ValueError, match="more than 18"):
        steps["0.0000000000000000011"]


def test_memory_is_bounded() -> None:
    steps = Steps(UNIT)
    for number in range(KEPT + 10):
        steps[str(number)]
    assert len(steps.known) <= KEPT
    assert steps[str(KEPT + 5)] == KEPT + 5


def test_what_was_found_is_known() -> None:
    steps = Steps(UNIT // 10)
    known = steps.known
    assert steps["1.5"] == 15
    assert known == {"1.5": 15}
    known["x"] = 7
    assert steps["x"] == 7
