"""Bybit v5's messages of an account, and its REST answers.

The rows of the private topics and of the REST lists are the same but for a few names; one struct reads both. Every
number is decimal text, often empty where it does not apply. Fields that nobody reads are left out; those without a
default must be there.

Source: https://bybit-exchange.github.io/docs/v5/websocket/private/order (.../execution, .../position, .../wallet) and
the pages of the REST calls; each struct was checked against samples of nautilus_trader, Bybit.Net and ccxt.
"""

from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct, field

T = TypeVar("T")


class Row(Struct, rename="camel"):
    """The base of all rows."""


class Order(Row):
    symbol: str
    order_id: str
    side: str
    order_type: str
    qty: str
    order_status: str
    category: str = ""
    """Missing in REST lists, whose result names it once."""
    order_link_id: str = ""
    price: str | None = ""
    time_in_force: str = ""
    leaves_qty: str | None = ""
    cum_exec_qty: str | None = ""
    trigger_price: str | None = ""
    trigger_direction: int = 0
    stop_order_type: str = ""
    reduce_only: bool = False
    cancel_type: str = ""
    reject_reason: str = ""
    create_type: str = ""
    updated_time: str = ""


class Execution(Row):
    symbol: str
    order_id: str
    side: str
    exec_id: str
    exec_price: str
    exec_qty: str
    exec_time: str
    category: str = ""
    order_link_id: str = ""
    exec_type: str = "Trade"
    exec_fee: str = ""
    fee_currency: str = ""
    is_maker: bool = False


class Position(Row):
    symbol: str
    side: str
    size: str
    category: str = ""
    position_idx: int = 0
    leverage: str | None = ""
    avg_price: str | None = ""
    entry_price: str | None = ""
    """The stream's name of `avgPrice`."""
    mark_price: str | None = ""
    liq_price: str | None = ""
    updated_time: str = ""


class Coin(Row):
    coin: str
    wallet_balance: str
    locked: str = ""
    total_order_i_m: str = field(name="totalOrderIM", default="")
    total_position_i_m: str = field(name="totalPositionIM", default="")


class Wallet(Row):
    coin: list[Coin]


class Message(Row, Generic[T]):
    """A message of a private topic."""

    creation_time: int
    data: list[T]


class Envelope(Struct):
    """What can be told of any message: market data of a topic, an answer of the private line (`success`), or one of the
    trade line (`retCode`)."""

    topic: str = ""
    op: str = ""
    success: bool | None = None
    ret_msg: str = ""
    ret_code: int | None = field(name="retCode", default=None)
    trade_msg: str = field(name="retMsg", default="")
    req_id: str = field(name="reqId", default="")
    subscription_id: str = field(name="req_id", default="")
    data: Raw = Raw(b"null")


class Identity(Row):
    """What an accepted request is answered: all that REST says of an order."""

    order_id: str = ""
    order_link_id: str = ""


class Answer(Row):
    """Any REST answer."""

    ret_code: int
    ret_msg: str = ""
    result: Raw = Raw(b"{}")
    time: int = 0


class Page(Row, Generic[T]):
    list: list[T]
    category: str = ""
    next_page_cursor: str | None = ""


class PriceFilter(Row):
    tick_size: str


class LotFilter(Row):
    min_order_qty: str
    max_order_qty: str = ""
    qty_step: str = ""
    base_precision: str = ""
    """Spot's `qtyStep`."""
    min_notional_value: str = ""
    min_order_amt: str = ""
    """Spot's `minNotionalValue`."""


class InstrumentInfo(Row):
    symbol: str
    status: str
    base_coin: str
    quote_coin: str
    price_filter: PriceFilter
    lot_size_filter: LotFilter
    contract_type: str = ""
    settle_coin: str = ""
    delivery_time: str = ""


class Ticker(Row):
    symbol: str
    funding_rate: str = ""
    next_funding_time: str = ""


class KeyInfo(Row):
    user_id: int = field(name="userID")
    read_only: int
    permissions: dict[str, list[str] | None]
    vip_level: str = ""
    """The fee tier (`No VIP`, `VIP-1`, ...)."""


class AccountInfo(Row):
    margin_mode: str
    unified_margin_status: int


class FeeRate(Row):
    symbol: str
    taker_fee_rate: str
    maker_fee_rate: str


class ServerTime(Row):
    time_nano: str


decode_envelope: Final = msgspec.json.Decoder(Envelope).decode
decode_answer: Final = msgspec.json.Decoder(Answer, strict=False).decode
decode_identity: Final = msgspec.json.Decoder(Identity | None).decode
decode_orders: Final = msgspec.json.Decoder(Message[Order]).decode
decode_executions: Final = msgspec.json.Decoder(Message[Execution]).decode
decode_positions: Final = msgspec.json.Decoder(Message[Position]).decode
decode_wallets: Final = msgspec.json.Decoder(Message[Wallet]).decode
decode_order_page: Final = msgspec.json.Decoder(Page[Order]).decode
decode_execution_page: Final = msgspec.json.Decoder(Page[Execution]).decode
decode_position_page: Final = msgspec.json.Decoder(Page[Position]).decode
decode_wallet_page: Final = msgspec.json.Decoder(Page[Wallet]).decode
decode_instrument_page: Final = msgspec.json.Decoder(Page[InstrumentInfo]).decode
decode_ticker_page: Final = msgspec.json.Decoder(Page[Ticker]).decode
decode_kline_page: Final = msgspec.json.Decoder(Page[list[str]]).decode
decode_fee_page: Final = msgspec.json.Decoder(Page[FeeRate]).decode
decode_key: Final = msgspec.json.Decoder(KeyInfo).decode
decode_account: Final = msgspec.json.Decoder(AccountInfo).decode
decode_time: Final = msgspec.json.Decoder(ServerTime).decode


def encode(message: Any) -> str:
    """JSON without spaces, as it is signed and sent."""
    return msgspec.json.encode(message).decode()
