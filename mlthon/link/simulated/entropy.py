"""Randomness from the run's seed: whatever a bot or a library draws is the same in every run.

What the operating system gives is replaced (`os.urandom`, and with it `secrets`, `uuid` and numpy's generators without
a seed), and generators that ask it without going through Python are seeded: `random`, each `random.Random()`, numpy's
global generator. Hashes of strings are fixed by the parent, which sets PYTHONHASHSEED.
"""

import hashlib
import os
import sys
from typing import Any

from mlthon.link.simulated.primitives import mend

BLOCK = 64


class Stream:
    """As many bytes as anybody asks for, from a seed."""

    def __init__(self, seed: int) -> None:
        self._key = f"mlthon bot {seed}".encode()
        self._blocks = 0
        self._left = b""

    def urandom(self, size: int, /) -> bytes:
        if size < 0:
            raise ValueError("negative argument not allowed")
        while len(self._left) < size:
            number = self._blocks.to_bytes(8, "little")
            self._left += hashlib.blake2b(number, key=self._key[:BLOCK]).digest()
            self._blocks += 1
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def getrandom(self, size: int, flags: int = 0) -> bytes:
        return self.urandom(size)


def install(seed: int) -> None:
    """Seed all there is."""
    import random

    stream = Stream(seed)
    before = (os.urandom, getattr(os, "getrandom", None))
    os.urandom = stream.urandom
    if before[1] is not None:
        os.getrandom = stream.getrandom
    mend(
        {id(before[0]): stream.urandom, id(before[1]): stream.getrandom}
        if before[1]
        else {id(before[0]): stream.urandom}
    )
    _seed_random(random, stream)
    import numpy

    numpy.random.seed(int.from_bytes(stream.urandom(4), "little"))
    if "uuid" in sys.modules:
        _still_uuid(sys.modules["uuid"])


def _seed_random(random: Any, stream: Stream) -> None:
    """A generator seeded with nothing asks the system, in C: give it something."""
    plain = random.Random.seed

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        plain(self, int.from_bytes(stream.urandom(32), "little") if a is None else a, version)

    random.Random.seed = seed
    random.seed = random._inst.seed
    random.seed()


def _still_uuid(uuid: Any) -> None:
    """`uuid1` names the machine: name none."""
    uuid._node = 0x010000000000  # the bit that says that it is no network card's (RFC 9562, section 6.10)
    uuid._generate_time_safe = None
