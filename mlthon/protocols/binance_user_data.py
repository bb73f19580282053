"""Binance's user data streams: what an account is told, spot and USD-M futures.

User data arrives

- on spot over the websocket API only, since listen keys were removed on 2026-02-20:
  `userDataStream.subscribe.signature` is answered `{"id", "status": 200, "result": {"subscriptionId": 0}}`, events come
  as `{"subscriptionId": 0, "event": {"e": ...}}`;
- on USD-M over `/private/stream` after `SUBSCRIBE [listenKey]`, answered `{"result": null, "id"}`; events come as
  `{"stream": listenKey, "data": {"e": ...}}`, over `/private/ws?listenKey=` without that wrapping.

Sources: user-data-streams of https://developers.binance.com/docs/binance-spot-api-docs and
https://developers.binance.com/docs/derivatives/usds-margined-futures; samples of each message were decoded, see the
tests. The structs are decoded by `binance_account.decode`.
"""

from typing import Final

from msgspec import Raw, Struct, field

from mlthon.protocols.binance_account import ErrorBody


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
