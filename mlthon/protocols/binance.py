"""Binance's public market data messages: spot, USD-M futures and COIN-M futures.

Streams arrive combined, `{"stream": "btcusdt@trade", "data": {...}}`. Field names are one letter; the structs give
them names and leave out what nobody reads. Prices and quantities are decimal text, times are milliseconds.

Where the three markets differ:

- spot diffs have `U` and `u`; futures diffs also `pu`, the `u` of the diff before, and `T`, the time of the matching
  engine (`E` is when the message was built);
- spot's bookTicker has no `e`, no `E` and no `T`: it carries no time at all;
- futures trades have `X`, the kind: `MARKET` is a trade in the order book. In the recordings one `INSURANCE_FUND`
  trade stands 2 % away from the market: such a trade never met the book. The field is not in the documentation;
- COIN-M messages name the pair (`ps`, in a snapshot `pair`) beside the symbol.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams,
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams and
.../coin-margined-futures/websocket-market-streams; each field was also checked against recordings of the three.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct, field

from mlthon.basics.defs import Exchange

Level = tuple[str, str]
"""Price and quantity as text; quantity 0 deletes the level."""

TRADE: Final = "trade"
BOOK_TICKER: Final = "bookTicker"
DEPTH: Final = "depth"
MARK_PRICE: Final = "markPrice"

COINM_ENDPOINTS: Final = {
    "main": {"rest": "https://dapi.binance.com", "public": "wss://dstream.binance.com"},
    "testnet": {"rest": "https://testnet.binancefuture.com", "public": "wss://dstream.binancefuture.com"},
}
"""Where COIN-M futures are, as `binance_rules.ENDPOINTS` has it of the others; `/stream` is added to `public`.
https://developers.binance.com/docs/derivatives/coin-margined-futures/general-info"""

DEPTH_CALLS: Final = {
    Exchange.Binance: "/api/v3/depth",
    Exchange.BinanceUsdm: "/fapi/v1/depth",
    Exchange.BinanceCoinm: "/dapi/v1/depth",
}
"""The call for a book snapshot."""
DEPTH_LIMIT: Final = 1000
"""How many levels a side a snapshot has: the most that futures give. What lies beyond is learnt as it changes."""
DEPTH_WEIGHTS: Final = {Exchange.Binance: 50, Exchange.BinanceUsdm: 20, Exchange.BinanceCoinm: 20}
"""What a snapshot of so many levels weighs. https://developers.binance.com/docs/binance-spot-api-docs/rest-api (Order
book) and, for futures, /docs/derivatives/usds-margined-futures/market-data/rest-api/Order-Book (COIN-M alike)."""


def stream_message(method: str, streams: Sequence[str], number: int) -> str:
    """A SUBSCRIBE or UNSUBSCRIBE of combined streams; its answer bears the number."""
    return msgspec.json.encode({"method": method, "params": streams, "id": number}).decode()


class Trade(Struct, gc=False):
    """`<symbol>@trade`: one public trade."""

    symbol: str = field(name="s")
    id: int = field(name="t")
    price: str = field(name="p")
    qty: str = field(name="q")
    time: int = field(name="T")
    """When it traded (ms)."""
    buyer_is_maker: bool = field(name="m")
    """The taker sold."""
    kind: str = field(name="X", default="MARKET")
    """Futures only: everything but `MARKET` happened outside the order book."""


class BookTicker(Struct, gc=False):
    """`<symbol>@bookTicker`: the best bid and ask, at each change."""

    symbol: str = field(name="s")
    update_id: int = field(name="u")
    bid: str = field(name="b")
    bid_qty: str = field(name="B")
    ask: str = field(name="a")
    ask_qty: str = field(name="A")
    time: int = field(name="T", default=0)
    """Matching engine time (ms); 0 on spot, which sends none."""


class DepthUpdate(Struct):
    """`<symbol>@depth[@100ms|@0ms]`: levels that changed since the update before, with their new quantities."""

    symbol: str = field(name="s")
    sent: int = field(name="E")
    first_id: int = field(name="U")
    last_id: int = field(name="u")
    bids: list[Level] = field(name="b")
    asks: list[Level] = field(name="a")
    previous_id: int = field(name="pu", default=-1)
    """`last_id` of the update before; -1 on spot, where `first_id` continues the previous `last_id` by one."""
    time: int = field(name="T", default=0)
    """Matching engine time (ms); 0 on spot."""


class MarkPrice(Struct, gc=False):
    """`<symbol>@markPrice[@1s]` (futures): mark and index price and the funding rate of the running interval."""

    symbol: str = field(name="s")
    sent: int = field(name="E")
    mark: str = field(name="p")
    index: str = field(name="i", default="")
    settle: str = field(name="P", default="")
    """Estimated settle price."""
    rate: str = field(name="r", default="")
    """Funding rate; empty for contracts without funding."""
    next_funding: int = field(name="T", default=0)


class DepthSnapshot(Struct):
    """REST `/depth`: the book up to `limit` levels a side. Spot and USD-M do not say which symbol it is of."""

    last_id: int = field(name="lastUpdateId")
    bids: list[Level]
    asks: list[Level]
    symbol: str = ""
    time: int = field(name="T", default=0)
    """Matching engine time (ms); 0 on spot."""


class TradeMessage(Struct, gc=False):
    data: Trade


class BookTickerMessage(Struct, gc=False):
    data: BookTicker


class DepthMessage(Struct):
    data: DepthUpdate


class MarkPriceMessage(Struct, gc=False):
    data: MarkPrice


class Envelope(Struct):
    """What can be told of a message of unknown kind: `stream` of market data, `id` of the answer to a SUBSCRIBE,
    `error` or `code` of a refusal."""

    stream: str = ""
    id: int | str | None = None
    code: int | None = None
    msg: str | None = None
    error: object = None


decode_trade: Final = msgspec.json.Decoder(TradeMessage).decode
decode_book_ticker: Final = msgspec.json.Decoder(BookTickerMessage).decode
decode_depth: Final = msgspec.json.Decoder(DepthMessage).decode
decode_mark_price: Final = msgspec.json.Decoder(MarkPriceMessage).decode
decode_snapshot: Final = msgspec.json.Decoder(DepthSnapshot).decode
decode_envelope: Final = msgspec.json.Decoder(Envelope).decode


def follows(update: DepthUpdate, last_id: int) -> bool:
    """Whether `update` continues a book whose last applied update was `last_id`.

    Futures: `pu` equals it. Spot: `U` is the next number.
    """
    if update.previous_id >= 0:
        return update.previous_id == last_id
    return update.first_id == last_id + 1


def bridges(update: DepthUpdate, snapshot_id: int) -> bool:
    """Whether `update` may be the first on a snapshot of `snapshot_id`, updates that end before it being dropped.

    Spot: `U <= id + 1 <= u`, updates with `u <= id` are dropped. Futures, as documented: `U <= id <= u`, updates with
    `u < id` are dropped. Update ids of futures run through all symbols, so the snapshot's id may also lie between
    `pu` and `U`, where nothing happened to this symbol: `pu <= id <= u` is the whole of what continues it.
    https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/How-to-manage-a-local-order-book-correctly
    """
    if update.previous_id >= 0:
        return update.previous_id <= snapshot_id <= update.last_id
    return update.first_id <= snapshot_id + 1 <= update.last_id


def precedes(update: DepthUpdate, snapshot_id: int) -> bool:
    """Whether a snapshot of `snapshot_id` already holds all of `update`."""
    if update.previous_id >= 0:
        return update.last_id < snapshot_id
    return update.last_id <= snapshot_id
