"""Accounts of one exchange share its edge without hearing of each other's lines."""

from typing import Any

import pytest

from mlthon.live.account_edge import AccountEdge
from mlthon.venue.wire import Line


class SharedEdge:
    """Keeps lines by name, as the real one does."""

    def __init__(self) -> None:
        self.users: dict[str, Any] = {}
        self.done: list[tuple[str, ...]] = []

    def open_line(self, line: Line, user: Any) -> None:
        assert line.name not in self.users
        self.users[line.name] = user

    def close_line(self, name: str) -> None:
        del self.users[name]

    def restart_line(self, name: str, reason: str) -> None:
        self.done.append((name, reason))

    def send(self, name: str, text: str) -> bool:
        self.done.append((name, text))
        return name in self.users

    def http(self, *_: Any) -> None:
        self.done.append(("http",))


class User:
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def line_opened(self, *told: Any) -> None:
        self.heard.append(told)

    line_message = line_closed = line_opened


@pytest.mark.parametrize("names", [("account1", "account2"), ("Wóo X", "")])
def test_lines_of_one_name_are_kept_apart(names: tuple[str, str]) -> None:
    shared = SharedEdge()
    one, two = (AccountEdge(shared, name) for name in names)
    users = User(), User()
    line = Line("private", lambda _: "ws://here")
    for edge, user in zip((one, two), users, strict=True):
        edge.open_line(line, user)
    for number, (name, user) in enumerate(shared.users.items()):
        user.line_opened(name)
        user.line_message(name, b"%d" % number, 5)
        user.line_closed(name, "lost")
    assert users[0].heard == [("private",), ("private", b"0", 5), ("private", "lost")]
    assert users[1].heard == [("private",), ("private", b"1", 5), ("private", "lost")]
    first, second = shared.users
    one.close_line("private")
    assert not one.send("private", "a")
    assert two.send("private", "b")
    two.restart_line("private", "why")
    two.http()  # type: ignore[call-arg]
    assert shared.done == [(first, "a"), (second, "b"), (second, "why"), ("http",)]
