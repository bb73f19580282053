"""What the two processes of a bot's backtest tell each other.

The options go to the child on its standard input; back come lines of JSON over a pipe:

    title     the run is ready: its name, and what a user is to be shown at the start
    progress  how it is getting on
    alive     the bot computes
    done      its result as one line of JSON and as a summary for a person, and whether it was asked to end
    error     what a user can mend, and the hint
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict

from mlthon.backtest.result import Holding, Progress
from mlthon.cli.run import Options

STOP: Final = "SIGUSR2"
"""The signal by which the parent asks for the end of the run: bots handle SIGINT and SIGTERM themselves."""
WHERE: Final = "SIGUSR1"
"""The signal that makes the child write down where it is, although it may hang in something that is not Python."""


def encode_options(options: Options) -> str:
    return json.dumps(asdict(options), default=str)


def decode_options(text: str) -> Options:
    given: dict[str, Any] = json.loads(text)
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(value)
    given["data"] = tuple(map(Path, given["data"]))
    for name in ("config", "report"):
        if given[name] is not None:
            given[name] = Path(given[name])
    return Options(**given)


def encode_progress(progress: Progress) -> dict[str, Any]:
    return asdict(progress)


def decode_progress(given: Mapping[str, Any]) -> Progress:
    return Progress(**{**given, "holdings": tuple(Holding(**each) for each in given["holdings"])})
