"""Binance's private messages: answers of the REST API and events of the user data streams, spot and USD-M futures.

The structs hold what is read and leave the rest of a message out. Numbers come as decimal text, times in milliseconds;
decoders are lenient about numbers that come as text, because samples of one call differ in it. How requests are
signed, where they go and what they weigh: `binance_signing`, `binance_rules`; error codes: `binance_errors`.

User data arrives

- on spot over the websocket API only, since listen keys were removed on 2026-02-20:
  `userDataStream.subscribe.signature` is answered `{"id", "status": 200, "result": {"subscriptionId": 0}}`, events come
  as `{"subscriptionId": 0, "event": {"e": ...}}`;
- on USD-M over `/private/stream` after `SUBSCRIBE [listenKey]`, answered `{"result": null, "id"}`; events come as
  `{"stream": listenKey, "data": {"e": ...}}`, over `/private/ws?listenKey=` without that wrapping.

Sources: https://developers.binance.com/docs/binance-spot-api-docs (rest-api, web-socket-api, user-data-stream) and
https://developers.binance.com/docs/derivatives/usds-margined-futures (trade, account, user-data-streams); samples of
each message were decoded, see the tests.
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

# -- user data streams -------------------------------------------------------------------------------------------------


class OrderEvent(Struct):
    """What spot's `executionReport` and the order in USD-M's `ORDER_TRADE_UPDATE` say alike."""

    symbol: str = field(name="s")
    client_id: str = field(name="c")
    side: str = field(name="S")
    type: str = field(name="o")
    tif: str = field(name="f")
    qty: str = field(name="q")
    price: str = field(name="p")
    execution: str = field(name="x")
    """NEW, CANCELED, REJECTED, TRADE, EXPIRED; spot: REPLACED, TRADE_PREVENTION; USD-M: AMENDMENT, CALCULATED (a
    liquidation or auto-deleveraging)."""
    status: str = field(name="X")
    order_id: int = field(name="i")
    last_qty: str = field(name="l")
    filled: str = field(name="z")
    last_price: str = field(name="L")
    time: int = field(name="T")
    trade_id: int = field(name="t")
    maker: bool = field(name="m", default=False)
    fee: str | None = field(name="n", default=None)
    fee_coin: str | None = field(name="N", default=None)


class ExecutionReport(OrderEvent):
    """Spot `executionReport`: everything that happens to an order."""

    stop_price: str = field(name="P", default="0")
    original_client_id: str = field(name="C", default="")
    """Of a cancel: the id of the order; `client_id` is then the cancel's own."""
    working: bool = field(name="w", default=True)
    reject_reason: str = field(name="r", default="NONE")
    expiry_reason: str = field(name="eR", default="")


class AccountBalance(Struct):
    asset: str = field(name="a")
    free: str = field(name="f")
    locked: str = field(name="l")


class AccountPosition(Struct):
    """Spot `outboundAccountPosition`: the coins that may have changed."""

    sent: int = field(name="E")
    balances: list[AccountBalance] = field(name="B")
    time: int = field(name="u", default=0)


class FuturesOrder(OrderEvent):
    """The order in an `ORDER_TRADE_UPDATE`."""

    reduce_only: bool = field(name="R", default=False)
    stop_price: str | None = field(name="sp", default=None)
    position_side: str = field(name="ps", default="BOTH")
    reason: str = field(name="er", default="")
    """Why it expired, as a number."""


class OrderTradeUpdate(Struct):
    order: FuturesOrder = field(name="o")


class AlgoUpdateOrder(Struct):
    """The order in an `ALGO_UPDATE`. `order_id`: of the ordinary order that it became; empty until triggered."""

    client_id: str = field(name="caid")
    algo_id: int = field(name="aid")
    symbol: str = field(name="s")
    side: str = field(name="S")
    type: str = field(name="o")
    tif: str = field(name="f")
    qty: str = field(name="q")
    status: str = field(name="X")
    price: str = field(name="p", default="0")
    trigger_price: str = field(name="tp", default="0")
    order_id: str = field(name="ai", default="")
    filled: str = field(name="aq", default="0")
    reduce_only: bool = field(name="R", default=False)
    reason: str = field(name="rm", default="")
    """Why it failed, also present where it did not: samples of new orders have one."""


class AlgoUpdate(Struct):
    order: AlgoUpdateOrder = field(name="o")
    time: int = field(name="T", default=0)


class FuturesWallet(Struct):
    asset: str = field(name="a")
    total: str = field(name="wb")
    cross: str = field(name="cw")


class FuturesPosition(Struct):
    symbol: str = field(name="s")
    amount: str = field(name="pa")
    entry_price: str = field(name="ep")
    side: str = field(name="ps", default="BOTH")


class AccountChange(Struct):
    reason: str = field(name="m", default="")
    wallets: list[FuturesWallet] = field(name="B", default_factory=list)
    positions: list[FuturesPosition] = field(name="P", default_factory=list)


class AccountUpdate(Struct):
    """USD-M `ACCOUNT_UPDATE`: what of wallet and positions changed."""

    change: AccountChange = field(name="a")
    time: int = field(name="T", default=0)


class EventKind(Struct):
    kind: str = field(name="e", default="")


class UserMessage(Struct):
    """Any message of a private line: an answer (`id`), or an event, wrapped (`event` on spot, `data` on USD-M) or bare
    (`kind`)."""

    id: int | str | None = None
    status: int | None = None
    error: ErrorBody | None = None
    code: int | None = None
    msg: str = ""
    kind: str = field(name="e", default="")
    event: Raw = Raw()
    data: Raw = Raw()


EVENT_STREAM_TERMINATED: Final = "eventStreamTerminated"
SERVER_SHUTDOWN: Final = "serverShutdown"
LISTEN_KEY_EXPIRED: Final = "listenKeyExpired"
INTERRUPTIONS: Final = {
    EVENT_STREAM_TERMINATED: "the exchange ended the subscription to user data",
    SERVER_SHUTDOWN: "the exchange's server is about to shut down",
    LISTEN_KEY_EXPIRED: "the listen key expired",
}
"""Events after which a private line tells nothing more."""

T = TypeVar("T")

_DECODERS: dict[Any, "msgspec.json.Decoder[Any]"] = {}


def decode(data: bytes | Raw, kind: type[T]) -> T:
    """`data` as a message of this kind (a struct, or a list of them). Raises `msgspec.MsgspecError`."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind, strict=False)
    found: T = decoder.decode(data)
    return found
