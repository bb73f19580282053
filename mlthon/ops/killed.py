"""What comes of a kill, for whoever asked for it: how many orders were cancelled, and what stays open.

The kill itself is answered at once. Then its progress is looked at every `LOOK_S`: what the guard process says of it
(`mlthon.live.guard_report`), or on paper how many orders the engine still has open. `Follow` says when something is to
be told of it: when nothing is open any more, and when that takes longer than `SOON_S`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from mlthon.live.guard_report import GuardReport, read_report, report_path
from mlthon.ops.contract import Status

LOOK_S: Final = 0.5
SOON_S: Final = 5.0
LAST_S: Final = 600.0
"""After so long it is not looked at any more."""


@frozen
class Progress:
    """So many orders are known to be `cancelled` (None: nobody counts them) or to have been over already (`gone`), of
    `left` it is not known; `names`: the first of those."""

    cancelled: int | None
    gone: int
    left: int
    names: Sequence[str] = ()

    @property
    def told(self) -> str:
        """In a sentence."""
        done = self._done
        if not self.left:
            return f"{done}nothing is open any more"
        more = f" and {self.left - len(self.names):,} more" if self.names and self.left > len(self.names) else ""
        which = f": {', '.join(self.names)}{more}" if self.names else ""
        return f"{done}{self.left:,} MAY STILL BE OPEN{which}"

    @property
    def _done(self) -> str:
        if self.cancelled is None:
            return ""
        if self.gone and not self.cancelled:
            return f"{_orders(self.gone)} over already; "
        over = f" ({self.gone:,} were over already)" if self.gone else ""
        return f"{_orders(self.cancelled)} cancelled{over}; "


def _orders(count: int) -> str:
    return f"{count:,} order was" if count == 1 else f"{count:,} orders were"


def progress_of_guard(pid_file: Path, since: int) -> Progress | None:
    """What the guard has come to since a time (ns)."""
    told: GuardReport | None = read_report(report_path(pid_file), since)
    return None if told is None else Progress(told.cancelled, told.gone, told.left, told.names)


def progress_of_engine(status: Status) -> Progress:
    """What an engine without a guard has come to."""
    return Progress(None, 0, sum(each.open_orders for each in status.strategies))


class Follow:
    """Says what is to be told of a kill. `over`: there is nothing more to tell. `began`, `now`: s of one clock."""

    def __init__(self, began: float) -> None:
        self.over = False
        self._began = began
        self._told = False

    def take(self, progress: Progress | None, now: float) -> Iterator[str]:
        """How it stands now; None where nobody says."""
        took = now - self._began
        if progress is not None and not progress.left:
            self.over = True
            yield f"{progress.told}."
        elif took > LAST_S:
            self.over = True
            yield self._standing(progress, "nobody looks any more; look at the exchange itself")
        elif took > SOON_S and not self._told:
            self._told = True
            yield self._standing(progress, "it is being tried again and again")

    def _standing(self, progress: Progress | None, then: str) -> str:
        if progress is None:
            return "⚠ Nobody says what came of the kill: look at the exchange itself."
        return f"⚠ {progress.told}; {then}."
