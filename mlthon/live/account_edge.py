"""`AccountEdge`: the connections to one exchange as one of its accounts sees them.

Every account of an exchange opens lines of the same names (`private`), and all of them go over one edge, which tells
lines apart by name. So an account's lines bear the account's name there too; the account itself does not notice.
"""

from attrs import evolve

from mlthon.venue.wire import Edge, Line, LineUser


class AccountEdge:
    """An `Edge`; see the module."""

    def __init__(self, edge: Edge, account: str) -> None:
        self._edge = edge
        self._account = account
        self.http = edge.http

    def _full(self, name: str) -> str:
        return f"{self._account}: {name}"

    def open_line(self, line: Line, user: LineUser) -> None:
        self._edge.open_line(evolve(line, name=self._full(line.name)), _AccountLine(user, line.name))

    def close_line(self, name: str) -> None:
        self._edge.close_line(self._full(name))

    def restart_line(self, name: str, reason: str) -> None:
        self._edge.restart_line(self._full(name), reason)

    def send(self, name: str, text: str) -> bool:
        return self._edge.send(self._full(name), text)


class _AccountLine:
    """The user of one line, who hears of it by the name it has for the account."""

    def __init__(self, user: LineUser, name: str) -> None:
        self._user = user
        self._name = name

    def line_opened(self, name: str) -> None:
        self._user.line_opened(self._name)

    def line_message(self, name: str, data: bytes, recv_ts: int) -> None:
        self._user.line_message(self._name, data, recv_ts)

    def line_closed(self, name: str, reason: str) -> None:
        self._user.line_closed(self._name, reason)
