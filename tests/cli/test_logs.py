"""How a line of the log looks to a person."""

import logging
from collections.abc import Iterator

import pytest

from mlthon.cli.logs import BOTS, set_up


@pytest.fixture(autouse=True)
def logs_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def shown(capsys: pytest.CaptureFixture[str], logger: str, text: str) -> str:
    """A line without its time of day."""
    set_up(1)
    logging.getLogger(logger).warning(text)
    return capsys.readouterr().err.partition(" ")[2]


def test_a_line_of_a_bot_ends_with_what_the_bot_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, BOTS, "grid: two\nlines\n\n") == "[warning  ] grid: two\nlines\n"


def test_a_line_of_mlthons_own_names_who_said_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "mlthon.live", "late") == "[warning  ] late [mlthon.live]\n"
