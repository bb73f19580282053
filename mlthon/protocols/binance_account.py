"""Binance's private messages: answers of the REST API, spot and USD-M futures, and how both spell things.

The structs hold what is read and leave the rest of a message out. Numbers come as decimal text, times in milliseconds;
decoders are lenient about numbers that come as text, because samples of one call differ in it. Events of the user data
streams: `binance_user_data`; how requests are signed, where they go and what they weigh: `binance_signing`,
`binance_rules`; error codes: `binance_errors`.

Sources: https://developers.binance.com/docs/binance-spot-api-docs (rest-api, web-socket-api) and
https://developers.binance.com/docs/derivatives/usds-margined-futures (trade, account); samples of each message were
decoded, see the tests.
"""

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from mlthon.basics.defs import TIF, OrderStatus, OrderType

# -- spellings ---------------------------------------------------------------------------------------------------------

SIDES: Final = {1: "BUY", -1: "SELL"}
SIGNS: Final = {"BUY": 1, "SELL": -1}

TIFS: Final = {TIF.GTC: "GTC", TIF.IOC: "IOC", TIF.FOK: "FOK"}
TIF_OF: Final = {"GTC": TIF.GTC, "IOC": TIF.IOC, "FOK": TIF.FOK, "GTX": TIF.GTC, "GTD": TIF.GTC, "GTE_GTC": TIF.GTC}
POST_ONLY_TIF: Final = "GTX"
"""USD-M: a limit order with this time in force is post-only. On spot the order type `LIMIT_MAKER` is."""
LIMIT_MAKER: Final = "LIMIT_MAKER"

SPOT_TYPES: Final = {
    OrderType.Limit: "LIMIT",
    OrderType.Market: "MARKET",
    OrderType.Stop: "STOP_LOSS",
    OrderType.StopLimit: "STOP_LOSS_LIMIT",
    OrderType.TakeProfit: "TAKE_PROFIT",
}
USDM_TYPES: Final = {
    OrderType.Limit: "LIMIT",
    OrderType.Market: "MARKET",
    OrderType.Stop: "STOP_MARKET",
    OrderType.StopLimit: "STOP",
    OrderType.TakeProfit: "TAKE_PROFIT_MARKET",
}
TYPE_OF: Final = {
    "LIMIT": OrderType.Limit,
    "LIMIT_MAKER": OrderType.Limit,
    "MARKET": OrderType.Market,
    "LIQUIDATION": OrderType.Market,
    "STOP_LOSS": OrderType.Stop,
    "STOP_MARKET": OrderType.Stop,
    "TRAILING_STOP_MARKET": OrderType.Stop,
    "STOP_LOSS_LIMIT": OrderType.StopLimit,
    "STOP": OrderType.StopLimit,
    "TAKE_PROFIT": OrderType.TakeProfit,
    "TAKE_PROFIT_LIMIT": OrderType.TakeProfit,
    "TAKE_PROFIT_MARKET": OrderType.TakeProfit,
}
STOP_TYPES: Final = frozenset({OrderType.Stop, OrderType.StopLimit, OrderType.TakeProfit})
"""Those that wait for a trigger price. On USD-M they are algo orders: another endpoint, other ids, another event."""

STATUS_OF: Final = {
    "NEW": OrderStatus.New,
    "PENDING_NEW": OrderStatus.New,
    "NEW_ADL": OrderStatus.New,
    "NEW_INSURANCE": OrderStatus.New,
    "PARTIALLY_FILLED": OrderStatus.PartiallyFilled,
    "FILLED": OrderStatus.Filled,
    "CANCELED": OrderStatus.Cancelled,
    "PENDING_CANCEL": OrderStatus.Cancelled,
    "EXPIRED": OrderStatus.Cancelled,
    "EXPIRED_IN_MATCH": OrderStatus.Cancelled,
    "REJECTED": OrderStatus.Rejected,
}
"""An order's status. EXPIRED: ended by the rules of the order (what an IOC or FOK did not get, a post-only order that
would take, a market order on an empty book). EXPIRED_IN_MATCH: by self-trade prevention."""

ALGO_STATUS_OF: Final = {
    "NEW": OrderStatus.Untriggered,
    "TRIGGERING": OrderStatus.Untriggered,
    "TRIGGERED": OrderStatus.New,
    "CANCELED": OrderStatus.Cancelled,
    "EXPIRED": OrderStatus.Cancelled,
    "REJECTED": OrderStatus.Rejected,
}
"""An algo order's status (USD-M). TRIGGERED: it is an ordinary order from now on. FINISHED, which is not here, says
that this order is over: filled or cancelled, see its quantity."""

INTERVALS: Final = {
    1: "1s",
    60: "1m",
    180: "3m",
    300: "5m",
    900: "15m",
    1800: "30m",
    3600: "1h",
    7200: "2h",
    14400: "4h",
    21600: "6h",
    28800: "8h",
    43200: "12h",
    86400: "1d",
    259200: "3d",
    604800: "1w",
}
"""Candle intervals: seconds -> spelling; `1s` exists on spot only."""

# -- REST --------------------------------------------------------------------------------------------------------------


class ErrorBody(Struct):
    """What a refusal says."""

    code: int
    msg: str = ""


class ServerTime(Struct, rename="camel"):
    server_time: int


class ListenKey(Struct, rename="camel"):
    listen_key: str


class Fill(Struct, rename="camel"):
    """One fill in the answer to a new spot order (`newOrderRespType=FULL`)."""

    price: str
    qty: str
    commission: str
    commission_asset: str
    trade_id: int


class Order(Struct, rename="camel"):
    """An order: in answers to new, amended and cancelled orders and in questions about orders. An acknowledgement of a
    spot order holds only the ids. `update_time` or `transact_time` says when it changed."""

    symbol: str
    order_id: int
    client_order_id: str = ""
    orig_client_order_id: str = ""
    """Spot, cancels: the order's own id; `client_order_id` is then the cancel's."""
    status: str = ""
    side: str = ""
    type: str = ""
    orig_type: str = ""
    time_in_force: str = "GTC"
    price: str = "0"
    orig_qty: str = "0"
    executed_qty: str = "0"
    stop_price: str = "0"
    reduce_only: bool = False
    update_time: int = 0
    transact_time: int = 0
    is_working: bool = True
    """Spot: False while a stop waits for its price."""
    fills: list[Fill] = field(default_factory=list)


class OrderList(Struct, rename="camel"):
    """Orders that belong together (OCO), in the answer to cancel-all on spot; empty for an order that stands alone."""

    order_reports: list[Order] = field(default_factory=list)


class AmendedOrder(Struct, rename="camel"):
    """Spot: an order as it stands in the answer to `amend/keepPriority`, where `qty` is the new quantity. Samples also
    spell the quantities as elsewhere."""

    symbol: str
    order_id: int
    client_order_id: str
    side: str
    price: str
    status: str
    type: str = "LIMIT"
    time_in_force: str = "GTC"
    qty: str = ""
    orig_qty: str = ""
    executed_qty: str = "0"


class Amendment(Struct, rename="camel"):
    """The answer to `PUT /api/v3/order/amend/keepPriority`."""

    transact_time: int
    amended_order: AmendedOrder


class AlgoOrder(Struct, rename="camel"):
    """USD-M: a conditional order. `actual_order_id`: of the ordinary order that it became when triggered."""

    algo_id: int
    client_algo_id: str
    symbol: str
    side: str
    algo_status: str
    order_type: str = ""
    type: str = ""
    time_in_force: str = "GTC"
    quantity: str = "0"
    price: str = "0"
    trigger_price: str = "0"
    reduce_only: bool = False
    close_position: bool = False
    actual_order_id: str = ""
    actual_qty: str = "0"
    update_time: int = 0


class MyTrade(Struct, rename="camel"):
    """One own fill: `myTrades` (spot: `is_buyer`, `is_maker`), `userTrades` (USD-M: `side`, `maker`)."""

    symbol: str
    id: int
    order_id: int
    price: str
    qty: str
    commission: str
    commission_asset: str
    time: int
    is_buyer: bool | None = None
    is_maker: bool | None = None
    side: str = ""
    buyer: bool | None = None
    maker: bool | None = None


class Balance(Struct):
    """A coin of a spot account."""

    asset: str
    free: str
    locked: str


class CommissionRates(Struct):
    maker: str
    taker: str


class SpotAccount(Struct, rename="camel"):
    """`GET /api/v3/account`."""

    balances: list[Balance]
    can_trade: bool = True
    can_withdraw: bool | None = None
    account_type: str = ""
    uid: int | None = None
    commission_rates: CommissionRates | None = None


class ApiRestrictions(Struct, rename="camel"):
    """`GET /sapi/v1/account/apiRestrictions`: what the key may do."""

    enable_withdrawals: bool | None = None
    enable_spot_and_margin_trading: bool | None = None
    enable_futures: bool | None = None
    ip_restrict: bool | None = None


class FuturesBalance(Struct, rename="camel"):
    """`GET /fapi/v3/balance`: one coin."""

    asset: str
    balance: str
    available_balance: str
    update_time: int = 0


class PositionRisk(Struct, rename="camel"):
    """`GET /fapi/v3/positionRisk`: only symbols with a position or an open order are listed."""

    symbol: str
    position_amt: str
    entry_price: str = "0"
    mark_price: str = "0"
    liquidation_price: str = "0"
    position_side: str = "BOTH"
    update_time: int = 0


class PositionMode(Struct, rename="camel"):
    """`GET /fapi/v1/positionSide/dual`: True means hedge mode."""

    dual_side_position: bool


class AccountConfig(Struct, rename="camel"):
    """`GET /fapi/v1/accountConfig`."""

    fee_tier: int | None = None
    can_trade: bool | None = None
    can_withdraw: bool | None = None
    multi_assets_margin: bool | None = None


class SymbolConfig(Struct, rename="camel"):
    """`GET /fapi/v1/symbolConfig`: one symbol's leverage and margin mode."""

    symbol: str
    margin_type: str
    leverage: int


class CommissionRate(Struct, rename="camel"):
    """`GET /fapi/v1/commissionRate`."""

    symbol: str
    maker_commission_rate: str
    taker_commission_rate: str


class PremiumIndex(Struct, rename="camel"):
    """`GET /fapi/v1/premiumIndex`: mark price and funding of one symbol."""

    symbol: str
    last_funding_rate: str
    next_funding_time: int
    mark_price: str = "0"


class SymbolFilter(Struct, rename="camel"):
    """A rule on orders in a symbol; which fields there are depends on `filter_type`."""

    filter_type: str
    tick_size: str = ""
    step_size: str = ""
    min_qty: str = ""
    max_qty: str = ""
    min_notional: str = ""
    notional: str = ""


class SymbolInfo(Struct, rename="camel"):
    """A symbol of `exchangeInfo`. The precisions are those of display: ticks and lots come from the filters."""

    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    filters: list[SymbolFilter]
    contract_type: str = ""
    """USD-M only: PERPETUAL, CURRENT_QUARTER, NEXT_QUARTER, ..."""
    delivery_date: int = 0
    margin_asset: str = ""
    is_spot_trading_allowed: bool = True


class RateLimit(Struct, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class ExchangeInfo(Struct, rename="camel"):
    symbols: list[SymbolInfo]
    rate_limits: list[RateLimit] = field(default_factory=list)


Kline = tuple[int, str, str, str, str, str, int, str, int, str, str, str]
"""Open time, open, high, low, close, volume, close time, quote volume, trades, taker volume, taker quote volume, -."""

# -- decoding ----------------------------------------------------------------------------------------------------------

T = TypeVar("T")

_DECODERS: dict[Any, "msgspec.json.Decoder[Any]"] = {}


def decode(data: bytes | Raw, kind: type[T]) -> T:
    """`data` as a message of this kind (a struct, or a list of them). Raises `msgspec.MsgspecError`."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind, strict=False)
    found: T = decoder.decode(data)
    return found
