"""A message as a command and its words."""

import pytest

from mlthon.errors import UserError
from mlthon.ops.telegram.said import Command, first_word, read_command, read_update, words


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/status", Command("status", "")),
        ("/status@trader_bot", Command("status", "")),
        ("/Status@TRADER_BOT now", Command("Status", "now")),
        ("/status@other_bot", None),
        ("/start grid  qty=5 ", Command("start", "grid  qty=5")),
        ("/size\n5", Command("size", "5")),
        ("hello", None),
        ("say /status", None),
        ("/", None),
        ("/ status", None),
        ("", None),
    ],
)
def test_commands(text: str, command: Command | None) -> None:
    assert read_command(text, "trader_bot") == command


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ("", []),
        ("a  b\nc", ["a", "b", "c"]),
        ("""'a b' "c d" e\\ f""", ["a b", "c d", "e f"]),
        ("“a b” „c”", ["a b", "c"]),
        ("-5 qty=0.1 ''", ["-5", "qty=0.1", ""]),
    ],
)
def test_words_as_a_shell_splits_them(rest: str, found: list[str]) -> None:
    assert words(rest) == found


@pytest.mark.parametrize(
    ("rest", "told"), [("don't", "a quote is not closed: don't"), ('"a', "not closed"), ("a\\", "a backslash")]
)
def test_quotes_that_are_not_closed_get_a_clear_answer(rest: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        words(rest)


@pytest.mark.parametrize(
    ("rest", "found"), [("grid a b", ("grid", "a b")), ("grid\na b", ("grid", "a b")), ("", ("", "")), ("a", ("a", ""))]
)
def test_the_first_word_and_the_rest(rest: str, found: tuple[str, str]) -> None:
    assert first_word(rest) == found


@pytest.mark.parametrize("raw", [None, 5, {}, {"update_id": "5"}, {"update_id": 5, "message": {"chat": 7}}])
def test_what_is_no_update(raw: object) -> None:
    with pytest.raises(ValueError, match=r"Expected|missing"):
        read_update(raw)
