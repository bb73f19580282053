"""/kill: its confirmation, and the way to the guard process when the engine does not answer.

A kill needs a second word: a button, or `/kill CODE`, within a minute, once, by the one who asked, where he asked. It
is carried out by the engine, which stops every strategy and has the guard cancel. An engine that hangs reads nothing,
so then the guard is told from here; and the engine, when it comes round again, still finds the kill.
"""

import secrets
from pathlib import Path
from typing import Final

from attrs import frozen

from mlthon.errors import UserError
from mlthon.live.guard_process import fire_guard


@frozen
class _Asked:
    chat: int
    user: int
    until: float


class Confirmations:
    """The kills that wait for their second word; times are s of one clock."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s: Final = wait_s
        self._asked: dict[str, _Asked] = {}

    def ask(self, chat: int, user: int, now: float) -> str:
        """A new code; the user's earlier ones are void."""
        self._asked = {code: each for code, each in self._asked.items() if each.user != user and each.until > now}
        code = f"{secrets.randbelow(10_000):04}"
        while code in self._asked:
            code = f"{secrets.randbelow(10_000):04}"
        self._asked[code] = _Asked(chat, user, now + self.wait_s)
        return code

    def confirm(self, code: str, chat: int, user: int, now: float) -> None:
        """Take the code, which is void from then on. Raises `UserError` where it does not hold."""
        asked = self._asked.get(code)
        if asked is None or asked.user != user or asked.chat != chat:
            # a wrong guess ends the question: four digits bear no guessing
            self.forget(user)
            raise UserError("nothing was confirmed: this code is not valid, or not any more", "Send /kill again.")
        del self._asked[code]
        if now > asked.until:
            raise UserError(f"nothing was confirmed: {self.wait_s:g} s are over", "Send /kill again.")

    def forget(self, user: int) -> None:
        """The user does not want it any more."""
        self._asked = {code: each for code, each in self._asked.items() if each.user != user}


def tell_guard(file: Path | None, failure: str) -> int:
    """Have the guard, whose process id stands in the file, cancel every open order now; its id. `failure`: why the
    engine did not. Raises `UserError`."""
    if file is None:
        raise UserError(f"NOT KILLED: {failure}, and this run has no guard process", "Cancel at the exchange itself.")
    try:
        return fire_guard(file)
    except UserError as error:
        raise UserError(f"NOT KILLED: {failure}; {error.message}", error.hint) from None
