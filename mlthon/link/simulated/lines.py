"""What child and parent tell each other: lines of JSON over a pipe.

`job`       parent to child, on its standard input, once: the command line's options
`title`     the run is ready: its name, and what a user is to be shown at the start
`progress`  how it is getting on
`done`      its result as one line of JSON and as a summary for a person, and whether it was asked to end
`error`     what a user can mend
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict, fields, frozen

from mlthon.backtest.result import Holding, Progress

STOP: Final = "SIGUSR2"
"""The signal by which a parent asks its child to end the run: bots handle SIGINT and SIGTERM themselves."""


@frozen(kw_only=True)
class Job:
    """A backtest of bots, as on the command line; times and lengths in ns."""

    files: tuple[str, ...]
    config: str | None = None
    settings: tuple[str, ...] = ()
    venues: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    seed: int | None = None
    start: int | None = None
    end: int | None = None
    duration: int | None = None
    report: str | None = None
    verbosity: int = 0
    network: bool = False
    patience_s: float = 60.0

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> "Job":
        given: dict[str, Any] = json.loads(text)
        for name, value in given.items():
            if isinstance(value, list):
                given[name] = tuple(value)
        return cls(**given)

    @property
    def report_folder(self) -> Path | None:
        return None if self.report is None else Path(self.report)


def encode_progress(progress: Progress) -> dict[str, Any]:
    return asdict(progress)


def decode_progress(given: Mapping[str, Any]) -> Progress:
    holdings = tuple(Holding(**each) for each in given["holdings"])
    return Progress(**{each.name: given[each.name] for each in fields(Progress)} | {"holdings": holdings})
