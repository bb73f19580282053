"""All market data of one exchange: who reads what, which books are whole, and what subscribers are told of it.

A strategy hears of books per exchange and clears all of them on `Disconnected`, while a gap concerns one instrument. So
a book that goes stale shuts the gate of every strategy that reads it: `Disconnected`, then no book updates of that
exchange, and when every book it reads is whole again, `SnapshotStart`, all of them from the engine's own copy,
`SnapshotEnd`. `detail` names the instrument. Quotes and trades flow on throughout.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import Exchange, FeedHandlerStatus
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, Clock
from mlthon.engine.feed import InstrumentFeed, Subscription

if TYPE_CHECKING:
    from mlthon.engine.session import Session


class ExchangeFeed:
    """The market data of one exchange: its instruments' feeds, its subscriptions, and what was said of their state."""

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        self.exchange = exchange
        self.instruments: dict[Instrument, InstrumentFeed] = {}
        self.subscriptions: dict[Session, Subscription] = {}
        self.connected = True
        self.on_change: Callable[[], None] | None = None
        """Called when what is wanted may have changed; set by who opens lines for it."""
        self.gaps = 0
        """How often a book lost its thread."""
        self._gone: set[Instrument] = set()
        self._said: dict[Session, FeedHandlerStatus] = {}
        self.clock = clock

    def feed(self, instrument: Instrument) -> InstrumentFeed:
        found = self.instruments.get(instrument)
        if found is None:
            found = self.instruments[instrument] = InstrumentFeed(instrument, self)
        return found

    def subscribe(self, session: "Session", wanted: dict[Instrument, set[MDSub]]) -> bool:
        """Add to what `session` reads; `tell_present` must follow. Whether it reads anything more now."""
        subscription = self.subscriptions.setdefault(session, Subscription(session))
        more = False
        for instrument, kinds in wanted.items():
            read = subscription.kinds.setdefault(self.feed(instrument), set())
            more |= not kinds <= read
            read |= kinds
        self.bind()
        return more

    def unsubscribe(self, session: "Session", unwanted: dict[Instrument, set[MDSub]]) -> None:
        subscription = self.subscriptions.get(session)
        if subscription is None:
            return
        for instrument, kinds in unwanted.items():
            left = subscription.kinds.get(self.feed(instrument))
            if left is not None:
                left -= kinds
                if not left:
                    del subscription.kinds[self.feed(instrument)]
        if not subscription.kinds:
            del self.subscriptions[session]
        self.bind()

    def drop(self, session: "Session") -> dict[Instrument, set[MDSub]]:
        """`session` reads nothing any more; what it read."""
        self._said.pop(session, None)
        subscription = self.subscriptions.pop(session, None)
        if subscription is None:
            return {}
        self.bind()
        return {feed.instrument: kinds for feed, kinds in subscription.kinds.items()}

    def bind(self) -> None:
        for feed in self.instruments.values():
            feed.bind()
        if self.on_change is not None:
            self.on_change()

    def wanted(self) -> dict[Instrument, set[MDSub]]:
        """Everything that some strategy reads."""
        wanted: dict[Instrument, set[MDSub]] = {}
        for subscription in self.subscriptions.values():
            for feed, kinds in subscription.kinds.items():
                wanted.setdefault(feed.instrument, set()).update(kinds)
        return wanted

    # -- status ----------------------------------------------------------------------------------------------------

    def tell_present(self, session: "Session") -> None:
        """The present state, for one who has just subscribed: everything it reads, between start and end."""
        subscription = self.subscriptions.get(session)
        if subscription is None:
            return
        waiting = self._waiting(subscription)
        if waiting is not None:
            subscription.live = False
            # who subscribes anew on hearing it would hear it for ever
            if self._said.get(session) is not FeedHandlerStatus.Disconnected:
                self._say(subscription, FeedHandlerStatus.Disconnected, waiting)
            return
        if subscription.live and subscription.books():
            self._shut(subscription, "subscriptions changed")
        self._show(subscription, "")

    def became_stale(self, feed: InstrumentFeed) -> None:
        self.gaps += 1
        for subscription in list(self.subscriptions.values()):
            if subscription.live and feed in subscription.books():
                self._shut(subscription, f"{feed.instrument.name}: gap in the book")

    def became_whole(self, feed: InstrumentFeed) -> None:
        for subscription in list(self.subscriptions.values()):
            if feed in subscription.books() and self._waiting(subscription) is None:
                if subscription.live:
                    self._shut(subscription, f"{feed.instrument.name}: new snapshot")
                self._show(subscription, feed.instrument.name)

    def disconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None:
        """The source is gone, or of these instruments only: nothing that was known of their books holds any more."""
        if instruments is None:
            self.connected = False
            lost = set(self.instruments.values())
        else:
            self._gone.update(instruments)
            lost = {self.feed(each) for each in instruments}
        for feed in lost:
            feed.lose()
        for subscription in list(self.subscriptions.values()):
            if instruments is None or not lost.isdisjoint(subscription.kinds):
                self._shut(subscription, detail)

    def reconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None:
        """The source is back, or these instruments are. Books that need a snapshot stay shut until it has come."""
        if instruments is None:
            self.connected = True
        else:
            self._gone.difference_update(instruments)
        for subscription in list(self.subscriptions.values()):
            if not subscription.live and self._waiting(subscription) is None:
                self._show(subscription, detail)

    def _waiting(self, subscription: Subscription) -> str | None:
        """Why this subscription cannot be shown its books yet; None if it can."""
        if not self.connected:
            return "the feed is disconnected"
        gone = [feed.instrument.name for feed in subscription.kinds if feed.instrument in self._gone]
        if gone:
            return f"not connected: {', '.join(gone)}"
        missing = [feed.instrument.name for feed in subscription.books() if not feed.whole]
        return f"waiting for a snapshot of {', '.join(missing)}" if missing else None

    def _shut(self, subscription: Subscription, detail: str) -> None:
        subscription.live = False
        self._say(subscription, FeedHandlerStatus.Disconnected, detail)

    def _show(self, subscription: Subscription, detail: str) -> None:
        self._say(subscription, FeedHandlerStatus.SnapshotStart, detail)
        now = self.clock.now // MS
        for feed in subscription.books():
            feed.deliver_book(subscription, now)
        subscription.live = True
        self._say(subscription, FeedHandlerStatus.SnapshotEnd, detail)

    def _say(self, subscription: Subscription, status: FeedHandlerStatus, detail: str) -> None:
        self._said[subscription.session] = status
        subscription.session.feed_status(self.exchange, status, detail)
