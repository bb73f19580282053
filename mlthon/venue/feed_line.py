"""One line of a live feed: its topics, its feed handler, and what it does when something is missing.

`mlthon.venue.live_feed` decides which topics a line has; the line subscribes to them at each connect, asks for
snapshots, notices silence, and keeps what cannot be read from doing harm.
"""

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from mlthon.basics.instrument import Instrument
from mlthon.data.rows import Kind
from mlthon.engine.clock import NEVER, SECOND, Handle
from mlthon.engine.faces import STALE
from mlthon.venue.feed_streams import HEAD, StreamHandler
from mlthon.venue.feed_wiring import LiveFeedHandler
from mlthon.venue.wire import Answer, HttpAnswer

if TYPE_CHECKING:
    from mlthon.venue.live_feed import LiveFeed

log = logging.getLogger("mlthon.venue")

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

Reading = tuple[Instrument, Kind]
"""What a topic serves."""


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


class FeedLine:
    """One line with its topics and its feed handler."""

    def __init__(self, feed: "LiveFeed", line_name: str, name: str) -> None:
        self.line_name = line_name
        self.name = name
        self.topics: dict[str, frozenset[Reading]] = {}
        self.open = False
        self._feed = feed
        # an exchange may use one symbol on several lines, each for an instrument of its own
        mine = {
            each: receiver
            for each, receiver in feed.receivers.items()
            if feed.module.line_name(feed.exchange, each) == line_name
        }
        self._handler = cast(LiveFeedHandler, feed.module.feed_handler(feed.exchange, mine, self._problem))
        self._message = self._handler.message
        self._ways = self._handler.ways if isinstance(self._handler, StreamHandler) else {}
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

    def line_message(self, name: str, data: bytes, recv_ts: int) -> None:
        self.line_messages(name, (data,), 0, recv_ts)

    def line_messages(self, _name: str, messages: Sequence[bytes], first: int, recv_ts: int) -> int:
        """See `mlthon.venue.wire.BatchUser`."""
        message, ways, clock = self._message, self._ways, self._feed.clock
        heard = first
        try:
            for data in messages[first:] if first else messages:
                heard += 1
                try:
                    way = ways[data[HEAD]]
                except KeyError:
                    message(data, recv_ts)
                else:
                    way(data, recv_ts)
                if clock.due <= recv_ts:
                    break
        except Exception:
            # a fault of the feed handler: what it holds of its books cannot be trusted any more
            self._feed.faults += 1
            log.exception("%s: the feed handler raised; message %r", self.name, messages[heard - 1][:BYTES_TOLD])
            self._feed.edge.restart_line(self.name, "the feed handler raised")
        self._feed.messages += heard - first
        return heard

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
