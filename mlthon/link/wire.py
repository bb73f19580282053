"""How the two faces of a bot cross a stream of bytes: pure, no socket in sight.

A stream is a row of frames: four bytes of length (big endian), then a MessagePack array of **items**. An item is a
market datum, itself a bare array because there are many (six elements: a quote, five: a trade), or a message, a map
tagged with its type's name. Items are encoded one by one and put into as few frames as their sender likes: whoever has
many ready sends them in few (`frames`).

    sender      frame([encode_quote(0, 1.0, 5.0, 1.5, 4.0, 1700000000000), encode(Stop("asked to"))])
    receiver    for item in decoder.feed(chunk): ...      decoder = to_bot() on the bot's side, to_host() on the host's

What a frame says wrongly raises `WireError`: both ends are ours, so a stream that does not parse is broken for good.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from mlthon.link.contract import ToBot, ToHost

Quote: TypeAlias = tuple[int, float, float, float, float, int]
"""market, bid, bid size, ask, ask size, time: the arguments of `BotFace.quote`."""
Trade: TypeAlias = tuple[int, int, float, float, int]
"""market, side, price, size, time: the arguments of `BotFace.trade`."""

QUOTE_LENGTH: Final = 6
TRADE_LENGTH: Final = 5
LARGEST_FRAME: Final = 64 * 2**20
"""Bytes; a longer frame is a fault. (The instruments of a whole exchange are about 1 MiB.)"""
LARGEST_ITEM: Final = LARGEST_FRAME // 2
"""Bytes; a longer message is not sent."""
ENOUGH: Final = 1 << 18
"""Bytes after which a frame is closed."""
CALL_LINES: Final = 2
"""So many connections a bot may have beside its first one, each for one call at a time: a `Call`, then its `Answer`.
Few, for who asks by one is answered at once, however often: with a bot's many threads nobody else would have a turn."""

_ARRAY_32: Final = b"\xdd"
"""MessagePack's head of an array whose length follows in four bytes."""

Message = TypeVar("Message")


class WireError(Exception):
    """The stream is broken: what is wrong with it."""


_encoder: Final = msgspec.msgpack.Encoder()
_encode: Final = _encoder.encode


def encode(message: msgspec.Struct) -> bytes:
    """The item of a message. Raises `WireError`, which names the message, for a value that JSON could not say, and for
    one that is too large."""
    try:
        item = _encode(message)
    except (TypeError, OverflowError, ValueError, RecursionError) as error:
        raise WireError(f"{type(message).__name__} cannot be sent: {error}") from error
    if len(item) > LARGEST_ITEM:
        raise WireError(f"{type(message).__name__} cannot be sent: {len(item)} bytes are more than {LARGEST_ITEM}")
    return item


def encode_quote(market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> bytes:
    """The item of a quote, as `BotFace.quote` takes it."""
    return _encode((market, bid, bid_size, ask, ask_size, time))


def encode_trade(market: int, side: int, price: float, size: float, time: int) -> bytes:
    """The item of a trade, as `BotFace.trade` takes it."""
    return _encode((market, side, price, size, time))


def frame(items: Sequence[bytes]) -> bytes:
    """One frame of encoded items."""
    body = b"".join(items)
    return b"".join(
        (
            (len(body) + 5).to_bytes(4, "big"),
            _ARRAY_32,
            len(items).to_bytes(4, "big"),
            body,
        )
    )


def frames(items: Iterable[bytes], enough: int = ENOUGH) -> Iterator[bytes]:
    """Frames of encoded items, none of them too large to be taken: each is closed at `enough` bytes."""
    batch: list[bytes] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item)
        if size >= enough:
            yield frame(batch)
            batch, size = [], 0
    if batch:
        yield frame(batch)


class Decoder(Generic[Message]):
    """Cuts a stream into items; `to_bot` and `to_host` make one for either direction."""

    def __init__(self, items: msgspec.msgpack.Decoder[list[Message]], largest: int = LARGEST_FRAME) -> None:
        """`largest`: bytes; a longer frame is refused before it has come."""
        self._items = items
        self._largest = largest
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[Message]:
        """The items that are whole now that `data` has arrived, in order. Raises `WireError`."""
        buffer = self._buffer
        buffer += data
        found: list[Message] = []
        at = 0
        with memoryview(buffer) as view:
            while len(view) - at >= 4:
                length = int.from_bytes(view[at : at + 4], "big")
                if length > self._largest:
                    raise WireError(f"a frame of {length} bytes: more than {self._largest}")
                end = at + 4 + length
                if end > len(view):
                    break
                found += self._decode(view[at + 4 : end])
                at = end
        del buffer[:at]
        return found

    def _decode(self, body: memoryview) -> Iterable[Message]:
        try:
            return self._items.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WireError(f"a frame that is no list of messages: {error}") from error
        except RecursionError:
            raise WireError("a frame whose values are nested too deeply") from None


def to_bot() -> Decoder[tuple[Any, ...] | ToBot]:
    """What reads on the bot's side: quotes (tuples of six), trades (tuples of five) and messages."""
    return Decoder(msgspec.msgpack.Decoder(list[tuple[Any, ...] | ToBot]))


def to_host() -> Decoder[ToHost]:
    """What reads on the host's side."""
    return Decoder(msgspec.msgpack.Decoder(list[ToHost]))
