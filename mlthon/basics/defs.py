"""The vocabulary: exchanges, sides, order attributes, statuses and reject codes.

Names are the documented ones. Numbers are documented only for `GtwRejectCode.GtwNotReady` (1000) and for Bybit's
instrument ids (30000000000, hence code 3); every other number is this project's own and never changes once shipped,
because instrument ids and stored data are built from them.

Inside the engine a side is the integer +1 (buy) or -1 (sell); `SIDES[sign]` is the enum member.
"""

from typing import Final

from mlthon.basics.mlt_enum import MltEnum


class Exchange(MltEnum):
    """A venue. `value` is its number in instrument ids, `exchange_code` its prefix in instrument names."""

    exchange_code: str

    def __new__(cls, number: int, code: str) -> "Exchange":
        member = object.__new__(cls)
        member._value_ = number
        member.exchange_code = code
        return member

    Blade = 1, "bld"
    Blockchain = 2, "blc"
    Bybit = 3, "byt"
    Binance = 4, "bin"
    BinanceUsdm = 5, "bnu"
    BinanceCoinm = 6, "bnc"
    BitMEX = 7, "bmx"
    CoinbaseExchange = 8, "cbe"
    Coinbase = 9, "cba"
    Woo = 10, "woo"
    Oanda = 11, "oan"
    Alpaca = 12, "alp"
    Kraken = 13, "krk"
    Deribit = 14, "drb"
    Okx = 15, "okx"


class InstrumentType(MltEnum):
    """What kind of contract. `type_id` is the middle part of an instrument name (`byt:perp:btc-usd`)."""

    type_id: str

    def __new__(cls, number: int, type_id: str) -> "InstrumentType":
        member = object.__new__(cls)
        member._value_ = number
        member.type_id = type_id
        return member

    Spot = 1, "spot"
    Future = 2, "fut"
    Perpetual = 3, "perp"
    Cfd = 4, "cfd"


class Quantification(MltEnum):
    """How a contract's value follows its price; q is the quantity, m the multiplier, p the price.

    Linear: q*m*p in the quote currency. Inverse: q*m/p in the base currency.
    """

    Linear = 1
    Inverse = 2


class Side(MltEnum):
    Buy = 1
    Sell = 2

    @property
    def sign(self) -> int:
        """+1 for Buy, -1 for Sell."""
        return 1 if self is Side.Buy else -1


SIDES: Final = (Side.Buy, Side.Buy, Side.Sell)
"""`SIDES[sign]`: index 1 is Buy and index -1 (the last) is Sell."""


class OrderType(MltEnum):
    """Stop and TakeProfit become market orders when triggered, StopLimit becomes a limit order."""

    Unset = 0
    Limit = 1
    Market = 2
    Stop = 3
    StopLimit = 4
    TakeProfit = 5


class TIF(MltEnum):
    """How long an order stays: until cancelled, not at all (IOC, FOK), or until the end of the UTC day."""

    Unset = 0
    GTC = 1
    IOC = 2
    FOK = 3
    Day = 4


class ExecInstructions(MltEnum):
    """Instructions; `ExecInstructions.PostOnly | ExecInstructions.ReduceOnly` is both."""

    Unset = 0
    PostOnly = 1
    ReduceOnly = 2
    PostOnlyReduceOnly = 3

    @property
    def post_only(self) -> bool:
        return bool(self.value & 1)

    @property
    def reduce_only(self) -> bool:
        return bool(self.value & 2)

    def __or__(self, other: "ExecInstructions") -> "ExecInstructions":
        if not isinstance(other, ExecInstructions):
            return NotImplemented
        return ExecInstructions(self.value | other.value)


class OrderStatus(MltEnum):
    """The state of an order as anyone sees it; `Unknown` means that a request went unanswered."""

    Unset = 0
    PendingNew = 1
    New = 2
    PartiallyFilled = 3
    Filled = 4
    Cancelled = 5
    Rejected = 6
    Unknown = 7
    Untriggered = 8


class CancelCode(MltEnum):
    Unset = 0
    CanceledByUser = 1
    SelfTradePrevention = 2
    TimeInForce = 3
    PostOnlyWouldTake = 4
    ReduceOnly = 5
    Liquidation = 6
    Disconnected = 7
    NoLiquidity = 8
    ByExchange = 9


class GtwStatus(MltEnum):
    Connecting = 1
    ReadyToTrade = 2
    Maintenance = 3


class FeedHandlerStatus(MltEnum):
    """`Connecting` is another name for `Disconnected`: the documentation uses both."""

    SnapshotStart = 1
    SnapshotEnd = 2
    Disconnected = 3
    Connecting = 3


class GtwRejectCode(MltEnum):
    """Why a request was refused. 1000 is documented; 10xx come from this side of the wire, 11xx from exchange rules,
    12xx from accounts."""

    Unset = 0
    GtwNotReady = 1000
    StrategyStopped = 1001
    NotLoggedIn = 1002
    UnknownExchange = 1003
    UnknownInstrument = 1004
    UnknownOrder = 1005
    DuplicateClientId = 1006
    InvalidRequest = 1007
    RateLimited = 1008
    RiskLimit = 1009
    UnsupportedOrder = 1010
    OrderNotOpen = 1011
    RequestPending = 1012
    InvalidPrice = 1100
    PriceNotOnTick = 1101
    InvalidQty = 1102
    QtyNotOnLot = 1103
    QtyBelowMinimum = 1104
    QtyAboveMaximum = 1105
    NotionalBelowMinimum = 1106
    PostOnlyWouldTake = 1107
    ReduceOnlyWouldIncrease = 1108
    StopWouldTrigger = 1109
    NoMarket = 1110
    FokNotFillable = 1111
    SelfTrade = 1112
    InsufficientBalance = 1200
    InsufficientMargin = 1201
    AccountLiquidated = 1202


NO_BID: Final = -(1 << 62)
"""The price, in ticks, of a bid side that is empty (its quantity is 0): lower than every price. Shown as 0."""
NO_ASK: Final = 1 << 62
"""The price, in ticks, of an ask side that is empty: higher than every price. Shown as 0."""
