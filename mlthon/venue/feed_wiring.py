"""The contract with a feed handler module for live data: which lines and topics give what.

The module behind an entry point in `mlthon.feedhandlers` (`mlthon.data.feed_handlers`) offers these beside what a
replay needs. `mlthon.venue.live_feed` does the rest, once for all exchanges: one feed handler a line, subscriptions
replayed at each connect, snapshots asked for, silence noticed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from mlthon.basics.defs import Exchange
from mlthon.data.feed_handlers import FeedHandler, FeedHandlerModule
from mlthon.data.rows import Kind
from mlthon.venue.codec import Endpoints
from mlthon.venue.rate_rules import RateRule
from mlthon.venue.wire import Line, Request

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument

DEFAULT_DEPTH: Final = 50
"""How many levels a side a book has where the exchange offers several depths."""

SUBSCRIPTIONS: Final = "subscriptions"
"""The name of the rate rule that each subscribing or unsubscribing message counts against, where there is one."""


class LiveFeedHandler(FeedHandler, Protocol):
    """A feed handler that can say whether it still hears something."""

    def heard(self, instrument: "Instrument", kind: Kind) -> int:
        """How many messages of this kind have come for the instrument so far."""


class LiveFeedModule(FeedHandlerModule, Protocol):
    """What a feed handler module has for live data.

    `SILENCE_S`: kind -> after how many seconds without a message of a subscribed topic it counts as silent and its
    line is connected anew; a kind that may rightly be quiet for hours is left out. `RULES`: rate rules that
    subscriptions and snapshot requests count against. `MOST_TOPICS`: how many topics one connection takes.
    """

    @property
    def SILENCE_S(self) -> Mapping[Kind, float]: ...  # noqa: N802

    @property
    def RULES(self) -> Sequence[RateRule]: ...  # noqa: N802

    @property
    def MOST_TOPICS(self) -> int: ...  # noqa: N802

    def environments(self, exchange: Exchange) -> Mapping[str, Endpoints]:
        """Where the exchange's market data is: `main`, `testnet`, ..."""

    def line_name(self, exchange: Exchange, instrument: "Instrument") -> str:
        """Which of the exchange's public endpoints serves the instrument (`linear`, `spot`, `public`)."""

    def line(self, exchange: Exchange, endpoints: Endpoints, name: str, connection: str) -> Line:
        """A connection to that endpoint; `connection` is the name it is to bear (there may be several)."""

    def topic(self, exchange: Exchange, instrument: "Instrument", kind: Kind, depth: int) -> str:
        """What to subscribe to. One topic may serve two kinds. Raises ValueError for a kind it has not."""

    def subscribe(self, exchange: Exchange, topics: Sequence[str], number: int) -> Iterable[str]:
        """The messages that subscribe to the topics, cut as the exchange wants. `number`: the id of the first; each
        next one counts one more."""

    def unsubscribe(self, exchange: Exchange, topics: Sequence[str], number: int) -> Iterable[str]:
        """The messages that end the subscriptions."""

    def snapshot_request(self, exchange: Exchange, instrument: "Instrument", depth: int) -> Request | None:
        """How to ask for a book snapshot over HTTP; None where snapshots come over the line by themselves."""
