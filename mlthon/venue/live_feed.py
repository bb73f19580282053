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
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Final, Protocol, cast

from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.rows import Kind
from mlthon.engine.clock import NEVER, SECOND, Clock, Handle
from mlthon.engine.faces import STALE, MarketEvents
from mlthon.venue.codec import Endpoints
from mlthon.venue.feed_wiring import DEFAULT_DEPTH, SUBSCRIPTIONS, LiveFeedHandler, LiveFeedModule
from mlthon.venue.throttle import Throttle, Window
from mlthon.venue.wire import Answer, Edge, HttpAnswer, Request

log = logging.getLogger("mlthon.venue")

LOOK_EVERY: Final = SECOND // 4
FIRST_UPDATE_WAIT: Final = 3 * SECOND
"""A snapshot is asked for when the first change has come, which it must not be older than; so long is waited for it."""
OWN_SNAPSHOT_WAIT: Final = 10 * SECOND
"""How long a snapshot that comes by itself is waited for."""
FIRST_PAUSE: Final = SECOND
LONGEST_PAUSE: Final = 60 * SECOND
MOST_DOUBLINGS: Final = 5
OK: Final = 200

PROBLEMS_TOLD: Final = 20
"""How many messages that cannot be read are logged a minute and line; the others are counted."""
BYTES_TOLD: Final = 1000
MINUTE: Final = 60 * SECOND

KINDS: Final = {
    MDSub.BBO: Kind.QUOTE,
    MDSub.PublicTrades: Kind.TRADE,
    MDSub.PriceLevelBook: Kind.BOOK,
    MDSub.LevelBook: Kind.BOOK,
    MDSub.OrderBook: Kind.BOOK,
}

Reading = tuple[Instrument, Kind]


class Statuses(Protocol):
    """Who is told how the feed stands, and knows what strategies want: `mlthon.engine.feed.ExchangeFeed`."""

    on_change: Callable[[], None] | None

    def wanted(self) -> Mapping[Instrument, Collection[MDSub]]: ...

    def disconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None: ...

    def reconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None: ...


class _Recovery:
    """A book that waits for its snapshot."""

    __slots__ = ("asked", "at", "pause")

    def __init__(self, at: int) -> None:
        self.at = at
        self.asked = False
        self.pause = FIRST_PAUSE


class _Ear:
    """How long a subscription has been silent."""

    __slots__ = ("count", "doublings", "since")

    def __init__(self, count: int, since: int) -> None:
        self.count = count
        self.since = since
        self.doublings = 0


class _Connection:
    """One line with its topics and its feed handler."""

    def __init__(self, feed: "LiveFeed", line_name: str, name: str) -> None:
        self.line_name = line_name
        self.name = name
        self.topics: dict[str, frozenset[Reading]] = {}
        self.open = False
        self._feed = feed
        self._handler = cast(LiveFeedHandler, feed.module.feed_handler(feed.exchange, feed.receivers, self._problem))
        self._message = self._handler.message
        self._ears: dict[Reading, _Ear] = {}
        self._recoveries: dict[Instrument, _Recovery] = {}
        self._whole: set[Instrument] = set()
        self._ended: set[Instrument] = set()
        """Whose book was unsubscribed from while the line was open: the handler still thinks it whole."""
        self._epoch = 0
        self._subscribed: dict[Instrument, tuple[int, int]] = {}
        """Of each book when it was subscribed to, and how many messages of it had come before."""
        self._outbox: deque[str] = deque()
        self._pump_at: Handle | None = None
        self._window = feed.window
        self._told = deque[int](maxlen=PROBLEMS_TOLD)

    # -- the line ----------------------------------------------------------------------------------------------------

    def line_opened(self, _name: str) -> None:
        self.open = True
        self._epoch += 1
        self._ended.clear()
        self._recoveries.clear()
        self._whole.clear()
        now = self._feed.clock.now
        for ear in self._ears.values():
            ear.since = now
        self._post_subscribe(self.topics)
        self._feed.settle_presence(f"{self.name} is connected")

    def line_message(self, _name: str, data: bytes, recv_ts: int) -> None:
        try:
            self._message(data, recv_ts)
        except Exception:
            # a fault of the feed handler: what it holds of its books cannot be trusted any more
            self._feed.faults += 1
            log.exception("%s: the feed handler raised; message %r", self.name, data[:BYTES_TOLD])
            self._feed.edge.restart_line(self.name, "the feed handler raised")

    def line_closed(self, _name: str, reason: str) -> None:
        if not self.open:
            return
        self._cut(f"{self.name}: {reason}")

    def close(self) -> None:
        """It is not wanted any more."""
        self._feed.edge.close_line(self.name)
        if self.open:
            self._cut(f"{self.name} is closed")

    def _cut(self, detail: str) -> None:
        self.open = False
        self._outbox.clear()
        if self._pump_at is not None:
            self._pump_at.cancel()
        # the feed first: it tells everyone once, and not again of each book
        self._feed.settle_presence(detail)
        self._handler.disconnected(self._feed.clock.now)

    def _problem(self, what: str, data: bytes) -> None:
        """A message could not be read."""
        feed = self._feed
        feed.problems += 1
        now = feed.clock.now
        if len(self._told) < PROBLEMS_TOLD or self._told[0] <= now - MINUTE:
            self._told.append(now)
            log.warning("%s: %s; message %r", self.name, what, data[:BYTES_TOLD])

    # -- topics ------------------------------------------------------------------------------------------------------

    def change(self, topics: Mapping[str, frozenset[Reading]]) -> None:
        """From now on these topics."""
        # a topic that is to bring a book from now on is subscribed to anew, for the snapshot
        new = {
            topic: each
            for topic, each in topics.items()
            if topic not in self.topics or any(kind is Kind.BOOK for _, kind in each - self.topics[topic])
        }
        gone = [topic for topic in self.topics if topic not in topics or topic in new]
        before = self._readings()
        self.topics = dict(topics)
        after = self._readings()
        for reading in before - after:
            self._ears.pop(reading, None)
            if reading[1] is Kind.BOOK:
                self._end_book(reading[0])
        now = self._feed.clock.now
        for instrument, kind in after - before:
            if kind in self._feed.module.SILENCE_S:
                self._ears[instrument, kind] = _Ear(self._handler.heard(instrument, kind), now)
        if not self.open:
            return
        self._post(self._feed.unsubscribe(gone))
        if self._stuck(after - before):
            self._feed.edge.restart_line(self.name, "a book is subscribed to again")
        else:
            self._post_subscribe(new)

    def _readings(self) -> set[Reading]:
        return {reading for readings in self.topics.values() for reading in readings}

    def _end_book(self, instrument: Instrument) -> None:
        now = self._feed.clock.now
        self._recoveries.pop(instrument, None)
        self._subscribed.pop(instrument, None)
        self._whole.discard(instrument)
        self._ended.add(instrument)
        self._feed.receivers[instrument].book(STALE, 0, 0, 0, now, now)

    def _stuck(self, new: Iterable[Reading]) -> bool:
        """Whether a book is to come back of which the handler still has the old one, and no snapshot would come by
        itself to replace it."""
        return any(
            kind is Kind.BOOK and instrument in self._ended and self._feed.snapshot_request(instrument) is not None
            for instrument, kind in new
        )

    def _post_subscribe(self, topics: Mapping[str, frozenset[Reading]]) -> None:
        now = self._feed.clock.now
        for readings in topics.values():
            for instrument, kind in readings:
                if kind is Kind.BOOK:
                    self._subscribed[instrument] = (now, self._handler.heard(instrument, kind))
        self._post(self._feed.subscribe(topics))

    def _post(self, messages: Iterable[str]) -> None:
        self._outbox.extend(messages)
        self._pump()

    def _pump(self) -> None:
        """Send what the rate rule lets through, and come back for the rest."""
        clock = self._feed.clock
        while self._outbox and self.open:
            at = clock.now if self._window is None else self._window.free_at(1, clock.now)
            if at > clock.now:
                if self._pump_at is not None:
                    self._pump_at.cancel()
                self._pump_at = None if at >= NEVER else clock.schedule(at, self._pump)
                return
            if self._window is not None:
                self._window.count(1, clock.now)
            self._feed.edge.send(self.name, self._outbox.popleft())

    # -- what is missing ---------------------------------------------------------------------------------------------

    def look(self, now: int) -> None:
        if self.open:
            self._look_at_books(now)
            self._listen(now)

    def _look_at_books(self, now: int) -> None:
        waiting = set(self._handler.waiting())
        for instrument in self._subscribed:
            if instrument not in waiting:
                self._whole.add(instrument)
                self._recoveries.pop(instrument, None)
                continue
            recovery = self._recoveries.get(instrument)
            if recovery is None:
                recovery = self._recoveries[instrument] = _Recovery(self._recover_from(instrument, now))
            if not recovery.asked and now >= recovery.at:
                self._recover(instrument, recovery, now)

    def _recover_from(self, instrument: Instrument, now: int) -> int:
        """From when on to do something for a book that waits."""
        if instrument in self._whole:
            self._whole.discard(instrument)
            return now
        since, _ = self._subscribed[instrument]
        asks = self._feed.snapshot_request(instrument) is not None
        return since if asks else since + OWN_SNAPSHOT_WAIT

    def _recover(self, instrument: Instrument, recovery: _Recovery, now: int) -> None:
        request = self._feed.snapshot_request(instrument)
        if request is None:
            log.info("%s: the book of %s waits; subscribing anew", self.name, instrument.name)
            self._put_off(recovery, now)
            topics = {topic: each for topic, each in self.topics.items() if (instrument, Kind.BOOK) in each}
            self._post([*self._feed.unsubscribe(topics), *self._feed.subscribe(topics)])
            return
        since, heard = self._subscribed[instrument]
        if self._handler.heard(instrument, Kind.BOOK) == heard and now < since + FIRST_UPDATE_WAIT:
            return
        recovery.asked = True
        self._feed.throttle.send(request, partial(self._answered, self._epoch, instrument, recovery))

    def _answered(self, epoch: int, instrument: Instrument, recovery: _Recovery, answer: Answer) -> None:
        if epoch != self._epoch or not self.open or self._recoveries.get(instrument) is not recovery:
            return
        recovery.asked = False
        self._put_off(recovery, self._feed.clock.now)
        if isinstance(answer, HttpAnswer) and answer.status == OK:
            self._handler.snapshot(instrument, answer.body, answer.recv_ts or self._feed.clock.now)
            return
        told = f"HTTP {answer.status}: {answer.body[:200]!r}" if isinstance(answer, HttpAnswer) else answer.reason
        log.warning("%s: no snapshot of %s: %s", self.name, instrument.name, told)

    @staticmethod
    def _put_off(recovery: _Recovery, now: int) -> None:
        recovery.at = now + recovery.pause
        recovery.pause = min(2 * recovery.pause, LONGEST_PAUSE)

    def _listen(self, now: int) -> None:
        for (instrument, kind), ear in self._ears.items():
            count = self._handler.heard(instrument, kind)
            if count != ear.count:
                ear.count, ear.since, ear.doublings = count, now, 0
                continue
            limit = self._feed.module.SILENCE_S[kind] * 2**ear.doublings
            if now - ear.since > limit * SECOND:
                ear.since = now
                ear.doublings = min(ear.doublings + 1, MOST_DOUBLINGS)
                reason = f"no {kind.name.lower()} of {instrument.name} for {limit:g} s"
                self._feed.edge.restart_line(self.name, reason)
                return


class LiveFeed:
    """See the module. `start` opens lines, `stop` closes them.

    `receivers`: every instrument that may be wanted, and who takes its market data. `depth`: of books, in levels a
    side, where the exchange offers several. `problems`: messages that could not be read; `faults`: exceptions of feed
    handlers.
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
        self.problems = 0
        self.faults = 0
        self.throttle = Throttle(clock, edge, module.RULES, lambda _request, _answer: (), self._used)
        self._endpoints = endpoints
        self._statuses = statuses
        self._depth = depth
        self._number = 0
        self._opened = 0
        self._wants: dict[str, dict[Instrument, frozenset[Kind]]] = {}
        self._connections: list[_Connection] = []
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
        shares: dict[_Connection, dict[str, frozenset[Reading]]] = {each: {} for each in self._connections}
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
        self, shares: dict[_Connection, dict[str, frozenset[Reading]]], line_name: str, readings: Iterable[Reading]
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
        connection = _Connection(self, line_name, f"{self.exchange.name}-{line_name}-{self._opened}")
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
