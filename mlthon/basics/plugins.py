"""Modules that other packages offer, one an exchange, found by entry points.

A package announces a module in a group of entry points; the module's `EXCHANGES` says for which exchanges it is. Where
two offer the same exchange, the entry point whose name comes first counts, so that the choice does not depend on the
order in which packages were installed.
"""

from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from mlthon.basics.defs import Exchange

T = TypeVar("T")


class Plugins(Generic[T]):
    """The modules of one group; `T` is the contract that they keep. They are imported when first asked for."""

    def __init__(self, group: str) -> None:
        self.group = group

    def find(self, exchange: Exchange) -> T | None:
        """The module for this exchange; None when none is installed."""
        return self._modules.get(exchange)

    def exchanges(self) -> str:
        """The exchanges that installed modules are for, as text for a message."""
        return ", ".join(sorted(exchange.name for exchange in self._modules)) or "none"

    @cached_property
    def _modules(self) -> dict[Exchange, T]:
        found: dict[Exchange, T] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: (point.name, point.value)):
            module: Any = point.load()
            for exchange in module.EXCHANGES:
                found.setdefault(exchange, module)
        return found
