"""What a strategy keeps over a restart: its own storage, its positions, signals. Keys and JSON texts.

Live and on paper it is a file (`mlthon.live.state_files`), in a backtest memory.
"""

from collections.abc import Iterator
from typing import Protocol


class State(Protocol):
    """See the module. What is put is there when the call returns."""

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, value: str | None) -> None:
        """None: forget the key."""

    def items(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Keys that begin so, and their values, in the order of the keys."""

    def close(self) -> None: ...


class MemoryState:
    """Lives as long as the run."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self._values.get(key)

    def put(self, key: str, value: str | None) -> None:
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value

    def items(self, prefix: str) -> Iterator[tuple[str, str]]:
        yield from [each for each in sorted(self._values.items()) if each[0].startswith(prefix)]

    def close(self) -> None:
        """There is nothing to close."""
