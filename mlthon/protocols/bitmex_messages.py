"""BitMEX's messages as structs: the tables of the websocket, and the rows that REST answers with.

A message of a table is `{"table", "action", "data": [rows]}`. A `partial` is the whole table (of what was subscribed),
`insert`, `update` and `delete` change it; rows are told apart by the keys that the partial names. An update carries
the keys and the fields that changed, and nothing else. Before the partial, changes mean nothing.

Numbers are JSON numbers. In market data they are kept as the bytes they stand in (`Raw`), which `bitmex.Steps` turns
into steps through a dict; in what concerns an account they become `Decimal`. No float comes between.

Sources: https://www.bitmex.com/app/wsAPI, the field list of each table in the `types` of recorded partials, and
https://www.bitmex.com/api/explorer for REST.
"""

from decimal import Decimal
from typing import Final

import msgspec
from msgspec import Raw, Struct, field

NO_NUMBER: Final = Raw(b"")

Number = Decimal | None


class Head(Struct):
    """What can be told of any message: a table's change, the welcome (`info`), the answer to an operation (`success`,
    `subscribe`, `unsubscribe`, `request`) or an error (`error`, `status`)."""

    table: str = ""
    action: str = ""
    info: str = ""
    success: bool | None = None
    subscribe: str = ""
    unsubscribe: str = ""
    request: "Operation | None" = None
    status: int = 0
    error: str = ""


class Operation(Struct):
    """The request that an answer repeats. Its arguments are left alone: a login's hold the key."""

    op: str = ""


class TradeRow(Struct, gc=False):
    """`trade`: one public trade. Index symbols (`.BXBT`) send rows of size 0."""

    symbol: str
    side: str
    size: Raw
    price: Raw
    timestamp: str = ""
    match_id: str = field(name="trdMatchID", default="")


class QuoteRow(Struct, gc=False):
    """`quote`: the best bid and ask, at each change; an empty side has null or no price."""

    symbol: str
    timestamp: str = ""
    bid: Raw = field(name="bidPrice", default=NO_NUMBER)
    bid_qty: Raw = field(name="bidSize", default=NO_NUMBER)
    ask: Raw = field(name="askPrice", default=NO_NUMBER)
    ask_qty: Raw = field(name="askSize", default=NO_NUMBER)


class LevelRow(Struct, gc=False):
    """`orderBookL2`, `orderBookL2_25`: one price level. Updates and deletes may come without a price (always, until
    2021), deletes without a size. `id` is the level's in symbol and side. The times are there since 2022."""

    symbol: str
    id: int
    side: str
    size: Raw = NO_NUMBER
    price: Raw = NO_NUMBER
    timestamp: str = ""
    transact_time: str = field(name="transactTime", default="")


class Filter(Struct):
    """What a partial is of; without a symbol it is of all."""

    symbol: str = ""


class TradeMessage(Struct):
    action: str
    data: list[TradeRow]


class QuoteMessage(Struct):
    action: str
    data: list[QuoteRow]


class BookMessage(Struct):
    action: str
    data: list[LevelRow]
    filter: Filter | None = None


class TableMessage(Struct):
    """A private table's change; rows are merged as they stand before they are read."""

    action: str
    data: list[dict[str, Raw]]


class OrderRow(Struct, rename="camel"):
    """An order. `text` holds lines, the newest first: why it was cancelled, then how it was sent."""

    order_id: str = field(name="orderID")
    symbol: str
    side: str
    ord_status: str
    cl_ord_id: str | None = field(name="clOrdID", default="")
    order_qty: Number = None
    leaves_qty: Number = None
    cum_qty: Number = None
    price: Number = None
    stop_px: Number = None
    ord_type: str | None = "Limit"
    time_in_force: str | None = ""
    exec_inst: str | None = ""
    triggered: str | None = ""
    working_indicator: bool | None = None
    ord_rej_reason: str | None = ""
    text: str | None = ""
    timestamp: str | None = ""
    transact_time: str | None = ""
    error: str | None = ""
    """In answers to DELETE /order: why this order was not cancelled."""


class ExecutionRow(Struct, rename="camel"):
    """An event of an order. `exec_type`: `Trade` is a fill, `Settlement` one by expiry; `Funding` is a payment on the
    position; the others (`New`, `Canceled`, `Replaced`, `CancelReject`, ...) repeat what the order table says. A
    `CancelReject` has no symbol. `exec_comm`: the fee, in smallest units of `settl_currency`, negative for a rebate."""

    exec_id: str = field(name="execID")
    order_id: str = field(name="orderID")
    exec_type: str
    symbol: str = ""
    cl_ord_id: str | None = field(name="clOrdID", default="")
    side: str | None = ""
    last_qty: Number = None
    last_px: Number = None
    last_liquidity_ind: str | None = ""
    fee_type: str | None = ""
    settl_currency: str | None = ""
    exec_comm: Number = None
    cum_qty: Number = None
    ord_status: str | None = ""
    text: str | None = ""
    timestamp: str | None = ""
    transact_time: str | None = ""


class PositionRow(Struct, rename="camel"):
    """A position. `current_qty` is short negative, and missing for spot. `strategy`: `OneWay`, or `Long` and `Short`
    of hedge mode."""

    symbol: str
    current_qty: Number = None
    avg_entry_price: float | None = None
    mark_price: float | None = None
    liquidation_price: float | None = None
    strategy: str | None = ""
    leverage: float | None = None
    cross_margin: bool | None = None
    commission: Number = None
    timestamp: str | None = ""


class MarginRow(Struct, rename="camel"):
    """The money of one margin currency, in its smallest units."""

    currency: str
    account: int = 0
    amount: Number = None
    wallet_balance: Number = None
    available_margin: Number = None
    timestamp: str | None = ""


class WalletRow(Struct, rename="camel"):
    """The balance of one currency, spot coins included, in its smallest units."""

    currency: str
    amount: Number = None
    pending_debit: Number = None
    confirmed_debit: Number = None
    timestamp: str | None = ""


class AssetRow(Struct, rename="camel"):
    """GET /wallet/assets: `currency` is the smallest unit's name, `asset` the coin's. `scale` is text at times."""

    asset: str
    currency: str
    scale: Decimal


class InstrumentRow(Struct, rename="camel"):
    """GET /instrument, /instrument/active."""

    symbol: str
    state: str = ""
    typ: str = ""
    underlying: str = ""
    quote_currency: str = ""
    settl_currency: str | None = ""
    tick_size: Number = None
    lot_size: Number = None
    max_order_qty: Number = None
    multiplier: Number = None
    underlying_to_position_multiplier: Number = None
    is_inverse: bool | None = False
    maker_fee: Number = None
    taker_fee: Number = None
    expiry: str | None = None
    funding_rate: float | None = None
    funding_timestamp: str | None = None


class BinRow(Struct):
    """GET /trade/bucketed, `tradeBin1m`: `timestamp` is the END of the bin; `open` the close of the bin before."""

    timestamp: str
    symbol: str
    open: Number = None
    high: Number = None
    low: Number = None
    close: Number = None
    volume: Number = None


class UserRow(Struct):
    """GET /user."""

    id: int
    username: str = ""


class KeyRow(Struct):
    """GET /apiKey: a key of the account. `permissions`: `order`, `orderCancel`, `withdraw`."""

    id: str
    permissions: list[str] = []


class VersionRow(Struct):
    """GET /api/v1: the exchange's clock (ms)."""

    timestamp: int


class ErrorDetail(Struct):
    message: str = ""
    name: str = ""


class ErrorBody(Struct):
    """The body of every REST error."""

    error: ErrorDetail


decode_head: Final = msgspec.json.Decoder(Head).decode
decode_trades: Final = msgspec.json.Decoder(TradeMessage).decode
decode_quotes: Final = msgspec.json.Decoder(QuoteMessage).decode
decode_book: Final = msgspec.json.Decoder(BookMessage).decode
decode_table: Final = msgspec.json.Decoder(TableMessage).decode
decode_error: Final = msgspec.json.Decoder(ErrorBody).decode
decode_order: Final = msgspec.json.Decoder(OrderRow).decode
decode_orders: Final = msgspec.json.Decoder(list[OrderRow]).decode
decode_execution: Final = msgspec.json.Decoder(ExecutionRow).decode
decode_executions: Final = msgspec.json.Decoder(list[ExecutionRow]).decode
decode_position: Final = msgspec.json.Decoder(PositionRow).decode
decode_positions: Final = msgspec.json.Decoder(list[PositionRow]).decode
decode_margin: Final = msgspec.json.Decoder(MarginRow).decode
decode_wallet: Final = msgspec.json.Decoder(WalletRow).decode
