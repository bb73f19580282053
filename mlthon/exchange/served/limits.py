"""What every dialect checks and how often it pushes: request windows, clocks, signatures, throttles."""

import hmac
from collections.abc import Callable
from hashlib import sha256

from attrs import frozen

from mlthon.engine.clock import Clock


@frozen
class Use:
    """What a request did to its window: whether it was within it, how many are left, when it starts anew (ns)."""

    allowed: bool
    limit: int
    remaining: int
    reset_ts: int


class RequestWindow:
    """At most `limit` of weight in each `interval` (ns). Windows begin at whole multiples of the interval, as exchanges
    count them."""

    __slots__ = ("_began", "_used", "interval", "limit")

    def __init__(self, limit: int, interval: int) -> None:
        self.limit = limit
        self.interval = interval
        self._began = -1
        self._used = 0

    def use(self, now: int, weight: int = 1) -> Use:
        """Count a request. One that is too much is not counted."""
        began = now - now % self.interval
        if began != self._began:
            self._began, self._used = began, 0
        allowed = self._used + weight <= self.limit
        if allowed:
            self._used += weight
        return Use(allowed, self.limit, self.limit - self._used, began + self.interval)

    @property
    def used(self) -> int:
        """The weight used in the last window that was looked at."""
        return self._used


class Windows:
    """A window for each (account or address, rule)."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], RequestWindow] = {}

    def use(self, who: str, rule: str, limit: int, interval: int, now: int, weight: int = 1) -> Use:
        """Count a request of `who` against a rule."""
        window = self._windows.get((who, rule))
        if window is None:
            window = self._windows[who, rule] = RequestWindow(limit, interval)
        return window.use(now, weight)


def hmac_hex(secret: str, text: str | bytes) -> str:
    """Hex HMAC-SHA256, as most exchanges sign."""
    return hmac.new(secret.encode(), text.encode() if isinstance(text, str) else text, sha256).hexdigest()


def same(given: str, right: str) -> bool:
    """Whether a signature is the right one, compared in constant time; any case of hex letters."""
    return hmac.compare_digest(given.lower().encode(), right.lower().encode())


def within(now_ms: int, sent_ms: int, window_ms: int, ahead_ms: int = 1000) -> bool:
    """Whether a request of this time is in time: not older than the window, and at most `ahead_ms` in the future.
    Exchanges check `server - window <= sent < server + 1 s`."""
    return now_ms - window_ms <= sent_ms < now_ms + ahead_ms


class Throttle:
    """Calls `push` at most once an interval (ns), after something was marked; never without."""

    __slots__ = ("_clock", "_interval", "_next", "_push", "_queued", "_stopped")

    def __init__(self, clock: Clock, interval: int, push: Callable[[], None]) -> None:
        self._clock = clock
        self._interval = interval
        self._push = push
        self._next = 0
        self._queued = False
        self._stopped = False

    def mark(self) -> None:
        """There is something to push."""
        if not self._queued and not self._stopped:
            self._queued = True
            self._clock.call_at(max(self._next, self._clock.now), self._due)

    def stop(self) -> None:
        """Nobody listens any more."""
        self._stopped = True

    def _due(self) -> None:
        self._queued = False
        if not self._stopped:
            self._next = self._clock.now + self._interval
            self._push()
