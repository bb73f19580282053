"""Bybit v5's market data messages.

Every message names its topic first, `{"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": ..., "data": ...}`.
The structs leave out what nobody reads. Prices and quantities are decimal text, times milliseconds: `ts` when the
message was made, `cts` and a trade's `T` the time of the matching engine.

- `orderbook.50|200|1000`: a snapshot, then deltas of consecutive `u`; quantity 0 deletes a level. Any later snapshot
  replaces the book (`u` is 1 after a restart of the service). There is no checksum.
- `orderbook.1`: snapshots only, sent again unchanged when nothing happened for three seconds.
- `tickers`: a snapshot, then deltas with the fields that changed. On spot it has no bid and ask.
- trade ids are numbers on spot and UUIDs elsewhere.

Source: https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook (.../trade, .../ticker); each field was also
checked against recordings.
"""

from typing import Final, Literal

import msgspec
from msgspec import Struct, field

Level = tuple[str, str]
"""Price and quantity as text; quantity 0 deletes the level."""

SNAPSHOT: Final = "snapshot"
DELTA: Final = "delta"

ID_DIGITS: Final = 12
"""How many hexadecimal digits of a UUID make a trade id: 48 bits, its last group."""


class UnnamedTrade(Struct, gc=False):
    """One public trade, its id not read; `side` is the taker's."""

    time: int = field(name="T")
    side: Literal["Buy", "Sell"] = field(name="S")
    qty: str = field(name="v")
    price: str = field(name="p")
    block: bool = field(name="BT", default=False)
    """A block trade: agreed outside the order book."""


class Trade(UnnamedTrade, gc=False, kw_only=True):
    """The same with its id."""

    id: str = field(name="i")


class TradeMessage(Struct, gc=False):
    data: list[Trade]


class UnnamedTradeMessage(Struct, gc=False):
    data: list[UnnamedTrade]


class Levels(Struct, gc=False):
    bids: list[Level] = field(name="b")
    asks: list[Level] = field(name="a")
    update_id: int = field(name="u")


class BookMessage(Struct, gc=False):
    """A snapshot or delta of the book; `engine_ts` is missing in archives."""

    type: Literal["snapshot", "delta"]
    ts: int
    data: Levels
    engine_ts: int = field(name="cts", default=0)


class Ticker(Struct, gc=False):
    """What of a ticker is read: the best bid and ask; None where a delta leaves them unchanged, or on spot."""

    bid: str | None = field(name="bid1Price", default=None)
    bid_qty: str | None = field(name="bid1Size", default=None)
    ask: str | None = field(name="ask1Price", default=None)
    ask_qty: str | None = field(name="ask1Size", default=None)


class TickerMessage(Struct, gc=False):
    type: str
    ts: int
    data: Ticker


class Envelope(Struct):
    """What can be told of a message of unknown kind: `topic` of market data; `op` and `success` of an answer. On spot
    and in answers to pings `ret_msg` says more."""

    topic: str = ""
    op: str = ""
    success: bool | None = None
    ret_msg: str = ""


decode_trades: Final = msgspec.json.Decoder(TradeMessage).decode
decode_unnamed_trades: Final = msgspec.json.Decoder(UnnamedTradeMessage).decode
decode_book: Final = msgspec.json.Decoder(BookMessage).decode
decode_ticker: Final = msgspec.json.Decoder(TickerMessage).decode
decode_envelope: Final = msgspec.json.Decoder(Envelope).decode


def trade_id(text: str) -> int:
    """A trade's id as a number: itself on spot, elsewhere the last 48 bits of the UUID. Raises ValueError."""
    return int(text) if text.isdigit() else int(text[-ID_DIGITS:], 16)
