"""The error that is the user's to mend: bad input, named with its place and the way out, shown without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input. `message` says what is wrong and where (the file, the key, the option); `hint` says what to do, and
    may be empty. The command line prints both and exits with status 2."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the names in `known` that are spelled like `word`, or nothing."""
    by_fold = {name.casefold(): name for name in known}
    found = [repr(by_fold[fold]) for fold in get_close_matches(word.casefold(), by_fold, n=3, cutoff=0.7)]
    return f"; did you mean {' or '.join(found)}?" if found else ""
