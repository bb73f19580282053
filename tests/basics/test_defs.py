import pytest

from mlthon.basics.defs import TIF, ExecInstructions

UNSET, PO, RO, BOTH = ExecInstructions


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [(UNSET, UNSET, UNSET), (UNSET, PO, PO), (PO, RO, BOTH), (RO, PO, BOTH), (BOTH, RO, BOTH)],
)
def test_instructions_are_joined(left: ExecInstructions, right: ExecInstructions, both: ExecInstructions) -> None:
    assert left | right is both


def test_instructions_join_to_nothing_else() -> None:
    with pytest.raises(TypeError):
        PO | TIF.GTC  # type: ignore[operator]
