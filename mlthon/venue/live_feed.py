"""One exchange's live market data: what is wanted, the lines that bring it, and what is done when something is missing.

What is wanted is a set of (instrument, kind) and may change at any time: strategies' subscriptions
(`ExchangeFeed.wanted`) and what others want (`want`: a recorder, the embedded exchange). It becomes topics, topics are
spread over lines of at most `MOST_TOPICS`, and each line has a feed handler of its own. At each connect all topics of
the line are subscribed to anew. Several times a second it is looked whether

- a book waits for a snapshot: it is asked for over HTTP, or where snapshots come over the line the topic is subscribed
  to anew, again and again with growing pauses;
- a subscription has been silent for longer than `SILENCE_S`: its line is connected anew. An instrument may rightly be
  quiet, so each time without success doubles how long is waited.

When a line is lost its instruments alone are: the feed says so to who reads them, and that they are back when the
subscriptions have gone out. A message that cannot be read is logged with its bytes, counted and skipped.

Pure: time comes from the clock, bytes pass through an `Edge`.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Protocol

from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.rows import Kind
from mlthon.engine.clock import SECOND, Clock
from mlthon.engine.faces import MarketEvents
from mlthon.venue.codec import Endpoints
from mlthon.venue.feed_line import FeedLine, Reading
from mlthon.venue.feed_wiring import DEFAULT_DEPTH, SUBSCRIPTIONS, LiveFeedModule
from mlthon.venue.throttle import Throttle, Window
from mlthon.venue.wire import Edge, Request

log = logging.getLogger("mlthon.venue")

LOOK_EVERY: Final = SECOND // 4

KINDS: Final = {
    MDSub.BBO: Kind.QUOTE,
    MDSub.PublicTrades: Kind.TRADE,
    MDSub.PriceLevelBook: Kind.BOOK,
    MDSub.LevelBook: Kind.BOOK,
    MDSub.OrderBook: Kind.BOOK,
}


class Statuses(Protocol):
    """Who is told how the feed stands, and knows what strategies want: `mlthon.engine.feed.ExchangeFeed`."""

    on_change: Callable[[], None] | None

    def wanted(self) -> Mapping[Instrument, Collection[MDSub]]: ...

    def disconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None: ...

    def reconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None: ...


class LiveFeed:
    """See the module. `start` opens lines, `stop` closes them.

    `receivers`: every instrument that may be wanted, and who takes its market data. `depth`: of books, in levels a
    side, where the exchange offers several. `messages`: how many have come; `problems`: those that could not be read;
    `faults`: exceptions of feed handlers.
    """

    def __init__(
        self,
        exchange: Exchange,
        module: LiveFeedModule,
        endpoints: Endpoints,
        edge: Edge,
        clock: Clock,
        statuses: Statuses,
        receivers: Mapping[Instrument, MarketEvents],
        depth: int = DEFAULT_DEPTH,
    ) -> None:
        self.exchange = exchange
        self.module = module
        self.edge = edge
        self.clock = clock
        self.receivers = receivers
        self.messages = 0
        self.problems = 0
        self.faults = 0
        self.throttle = Throttle(clock, edge, module.RULES, lambda _request, _answer: (), self._used)
        self._endpoints = endpoints
        self._statuses = statuses
        self._depth = depth
        self._number = 0
        self._opened = 0
        self._wants: dict[str, dict[Instrument, frozenset[Kind]]] = {}
        self._connections: list[FeedLine] = []
        self._present: set[Instrument] = set()
        self._refused: set[Reading] = set()
        self._running = False
        self._queued = False
        rules = [rule for rule in module.RULES if rule.name == SUBSCRIPTIONS]
        self.window = Window(rules[0]) if rules else None
        """What subscribing messages count against, whichever line they go out on."""

    def start(self) -> None:
        """Follow what is wanted from now on."""
        self._running = True
        self._statuses.disconnect(f"{self.exchange.name} is not connected yet", list(self.receivers))
        self._statuses.on_change = self._changed
        self._changed()
        self.clock.call_at(self.clock.now + LOOK_EVERY, self._look)

    def stop(self) -> None:
        """Close every line."""
        self._running = False
        self._statuses.on_change = None
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    def want(self, owner: str, wanted: Mapping[Instrument, Collection[Kind]]) -> None:
        """What `owner` wants from now on, beside strategies. Raises ValueError for an instrument without receiver."""
        for instrument in wanted:
            if instrument not in self.receivers:
                raise ValueError(f"{instrument.name} is none of the instruments of this feed")
        self._wants[owner] = {instrument: frozenset(kinds) for instrument, kinds in wanted.items()}
        self._changed()

    def connected(self, instrument: Instrument) -> bool:
        """Whether everything that is wanted of the instrument is subscribed to."""
        return instrument in self._present

    def lines(self) -> Mapping[str, int]:
        """The names of the lines, and how many topics each has."""
        return {each.name: len(each.topics) for each in self._connections}

    # -- what is wanted ----------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        """Something may be wanted that was not, or the reverse: see to it once the present event is over."""
        if self._running and not self._queued:
            self._queued = True
            self.clock.call_soon(self._settle)

    def _wanted(self) -> dict[Instrument, set[Kind]]:
        wanted: dict[Instrument, set[Kind]] = {}
        for instrument, subs in self._statuses.wanted().items():
            if instrument in self.receivers:
                wanted.setdefault(instrument, set()).update(KINDS[sub] for sub in subs)
        for wants in self._wants.values():
            for instrument, kinds in wants.items():
                wanted.setdefault(instrument, set()).update(kinds)
        return wanted

    def _topics(self) -> dict[tuple[str, str], set[Reading]]:
        """(name of the endpoint, topic) -> what it serves, of everything that is wanted."""
        topics: dict[tuple[str, str], set[Reading]] = {}
        for instrument, kinds in self._wanted().items():
            line_name = self.module.line_name(self.exchange, instrument)
            for kind in sorted(kinds, key=lambda kind: kind.name):
                # where there are no books, one of a single level follows from the quotes
                served = Kind.QUOTE if kind is Kind.BOOK and Kind.BOOK not in self.module.KINDS else kind
                try:
                    topic = self.module.topic(self.exchange, instrument, served, self._depth)
                except ValueError as error:
                    if (instrument, kind) not in self._refused:
                        self._refused.add((instrument, kind))
                        log.warning("%s: no %s: %s", instrument.name, kind.name.lower(), error)
                    continue
                topics.setdefault((line_name, topic), set()).add((instrument, served))
        return topics

    def _settle(self) -> None:
        self._queued = False
        if not self._running:
            return
        topics = self._topics()
        shares: dict[FeedLine, dict[str, frozenset[Reading]]] = {each: {} for each in self._connections}
        for connection, share in shares.items():
            for topic in connection.topics:
                readings = topics.pop((connection.line_name, topic), None)
                if readings is not None:
                    share[topic] = frozenset(readings)
        for (line_name, topic), readings in topics.items():
            self._place(shares, line_name, readings)[topic] = frozenset(readings)
        for connection, share in shares.items():
            if share:
                connection.change(share)
            else:
                self._connections.remove(connection)
                connection.close()
        self.settle_presence("subscriptions changed")

    def _place(
        self, shares: dict[FeedLine, dict[str, frozenset[Reading]]], line_name: str, readings: Iterable[Reading]
    ) -> dict[str, frozenset[Reading]]:
        """Where a new topic goes: to a line that has its instrument, else to any with room, else to a new one."""
        mine = {instrument for instrument, _ in readings}
        roomy = [
            share
            for connection, share in shares.items()
            if connection.line_name == line_name and len(share) < self.module.MOST_TOPICS
        ]
        for share in roomy:
            if any(instrument in mine for each in share.values() for instrument, _ in each):
                return share
        if roomy:
            return roomy[0]
        self._opened += 1
        connection = FeedLine(self, line_name, f"{self.exchange.name}-{line_name}-{self._opened}")
        self._connections.append(connection)
        self.edge.open_line(self.module.line(self.exchange, self._endpoints, line_name, connection.name), connection)
        share = shares[connection] = {}
        return share

    def settle_presence(self, detail: str) -> None:
        """Tell the feed which instruments are gone, and which are back."""
        served: dict[Instrument, bool] = {}
        for connection in self._connections:
            for readings in connection.topics.values():
                for instrument, _ in readings:
                    served[instrument] = served.get(instrument, True) and connection.open
        present = {instrument for instrument, whole in served.items() if whole}
        lost, back = self._present - present, present - self._present
        self._present = present
        if lost:
            self._statuses.disconnect(detail, lost)
        if back:
            self._statuses.reconnect(detail, back)

    # -- for connections ---------------------------------------------------------------------------------------------

    def subscribe(self, topics: Collection[str]) -> list[str]:
        messages = list(self.module.subscribe(self.exchange, list(topics), self._number + 1)) if topics else []
        self._number += len(messages)
        return messages

    def unsubscribe(self, topics: Collection[str]) -> list[str]:
        messages = list(self.module.unsubscribe(self.exchange, list(topics), self._number + 1)) if topics else []
        self._number += len(messages)
        return messages

    def snapshot_request(self, instrument: Instrument) -> Request | None:
        return self.module.snapshot_request(self.exchange, instrument, self._depth)

    def _used(self, percent: int, _reset_ts: int) -> None:
        log.info("%s: snapshots have used %d %% of their rate limit", self.exchange.name, percent)

    def _look(self) -> None:
        if not self._running:
            return
        now = self.clock.now
        for connection in list(self._connections):
            connection.look(now)
        self.clock.call_at(now + LOOK_EVERY, self._look)
