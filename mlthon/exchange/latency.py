"""How long a message takes, by a model: `sample()` gives nanoseconds, 0 or more.

`Wire` is one direction of one account. It queues calls on the clock, each after its latency and never before an
earlier one: what was sent first arrives first.
"""

from collections.abc import Callable
from math import exp, log
from random import Random
from typing import Any, Protocol

from mlthon.engine.clock import MS, Clock, Send
from mlthon.exchange.config import LatencyConfig


class Latency(Protocol):
    """A latency model."""

    def sample(self) -> int:
        """The latency of the next message in ns, 0 or more."""


class Constant:
    """Always the same."""

    __slots__ = ("_ns",)

    def __init__(self, ns: int) -> None:
        self._ns = ns

    def sample(self) -> int:
        return self._ns


class Lognormal:
    """A base plus a lognormal draw."""

    __slots__ = ("_base", "_mu", "_rng", "_sigma")

    def __init__(self, base_ns: int, median_ns: float, sigma: float, rng: Random) -> None:
        self._base = base_ns
        self._mu = log(median_ns)
        self._sigma = sigma
        self._rng = rng

    def sample(self) -> int:
        return self._base + int(exp(self._rng.gauss(self._mu, self._sigma)))


class Empirical:
    """A base plus one of the measured latencies, each as likely as another."""

    __slots__ = ("_base", "_rng", "_samples")

    def __init__(self, base_ns: int, samples_ns: tuple[int, ...], rng: Random) -> None:
        self._base = base_ns
        self._samples = samples_ns
        self._rng = rng

    def sample(self) -> int:
        return self._base + self._rng.choice(self._samples)


class Recorded:
    """A base plus a multiple of the feed latency that the data showed last."""

    __slots__ = ("_base", "_factor", "_observed")

    def __init__(self, base_ns: int, factor: float, observed: Callable[[], int]) -> None:
        self._base = base_ns
        self._factor = factor
        self._observed = observed

    def sample(self) -> int:
        return max(0, self._base + int(self._factor * self._observed()))


def latency(config: LatencyConfig, rng: Random, observed: Callable[[], int]) -> Latency:
    """The model that `config` names. `observed` gives the feed latency last seen, in ns."""
    base = round(config.ms * MS)
    if config.model == "lognormal":
        return Lognormal(base, config.median_ms * MS, config.sigma, rng)
    if config.model == "empirical":
        return Empirical(base, tuple(round(ms * MS) for ms in config.samples_ms), rng)
    if config.model == "recorded":
        return Recorded(base, config.factor, observed)
    return Constant(base)


class Wire:
    """One direction between one account and the exchange: first in, first out. `send(call, *args)`: make
    `call(*args)` when the message arrives."""

    __slots__ = ("_clock", "_last", "_sample", "send")

    def __init__(self, clock: Clock, model: Latency) -> None:
        self._clock = clock
        self._sample = model.sample
        self._last = 0
        # what always takes the same time is in order by itself
        self.send: Send = clock.after(model.sample()) if isinstance(model, Constant) else self._send

    def _send(self, call: Callable[..., object], *args: Any) -> None:
        ts = self._clock.now + self._sample()
        if ts < self._last:
            ts = self._last
        else:
            self._last = ts
        self._clock.call_at(ts, call, *args)

    def shift(self, length: int) -> None:
        """The clock and all that is queued leapt `length` ns."""
        self._last += length
