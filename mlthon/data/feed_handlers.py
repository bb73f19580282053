"""The contract with feed handlers, and how they are found.

A feed handler turns what an exchange sends into calls of `MarketEvents`. It does no I/O: bytes and their time of
receipt come in, calls go out, on a live socket as in a replay. A package offers one by an entry point in the group
`mlthon.feedhandlers` that names a module with the attributes of `FeedHandlerModule`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from mlthon.basics.defs import Exchange
from mlthon.basics.plugins import Plugins
from mlthon.data.rows import Kind
from mlthon.engine.faces import MarketEvents

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument

GROUP: Final = "mlthon.feedhandlers"

OnProblem = Callable[[str, bytes], None]
"""Told what was wrong with a message, and its bytes; the message is skipped."""


class FeedHandler(Protocol):
    """One connection's market data on its way up."""

    def message(self, data: bytes, recv_ts: int) -> None:
        """A message of a stream, received at `recv_ts` (ns)."""

    def snapshot(self, instrument: "Instrument", data: bytes, recv_ts: int) -> None:
        """The body of a book snapshot of `instrument` that was asked for."""

    def disconnected(self, recv_ts: int) -> None:
        """The connection is lost: whole books become stale and need snapshots."""

    def waiting(self) -> "Sequence[Instrument]":
        """The instruments whose book waits for a snapshot."""


class FeedHandlerModule(Protocol):
    """What the module behind an entry point must have."""

    @property
    def EXCHANGES(self) -> Collection[Exchange]:  # noqa: N802
        """The exchanges whose messages it reads."""

    @property
    def KINDS(self) -> Collection[Kind]:  # noqa: N802
        """The kinds of market data it gives."""

    def feed_handler(
        self, exchange: Exchange, receivers: "Mapping[Instrument, MarketEvents]", on_problem: OnProblem
    ) -> FeedHandler:
        """A feed handler that calls each instrument's receiver."""


class NoFeedHandler(LookupError):
    """No installed feed handler reads this exchange."""


_PLUGINS: Final = Plugins[FeedHandlerModule](GROUP)


def feed_handler_module(exchange: Exchange) -> FeedHandlerModule:
    """The installed module that reads `exchange`. Raises NoFeedHandler."""
    module = _PLUGINS.find(exchange)
    if module is None:
        known = _PLUGINS.exchanges()
        raise NoFeedHandler(f"no feed handler for {exchange.name} is installed; those installed read: {known}")
    return module
