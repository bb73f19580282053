"""What an exchange says of an account, in one form for all exchanges.

A gateway's codec turns messages, of streams and of answers alike, into facts; `mlthon.venue.account_book` merges them,
however often and in whatever order they come, into events that happen once. Units as in `mlthon.engine.faces`: prices
in ticks, quantities in lots, sides +1 and -1, times in ns, money in 10^-18 of its coin.
"""

from msgspec import Struct

from mlthon.basics.defs import TIF, CancelCode, ExecInstructions, GtwRejectCode, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument


class OrderFact(Struct, frozen=True, kw_only=True):
    """An order as the exchange has it now.

    `wire_id`: the client order id; empty if the order has none. `filled`: how much of it has traded so far; None where
    the message does not say. `status` is never PendingNew or Unset. `reason` and the codes say why it ended or was
    refused. `ts`: when the exchange last changed it, 0 if it does not say.
    """

    wire_id: str
    exchange_id: str
    instrument: Instrument
    side: int
    price: int
    qty: int
    status: OrderStatus
    filled: int | None = None
    order_type: OrderType = OrderType.Limit
    tif: TIF = TIF.GTC
    exec_instr: ExecInstructions = ExecInstructions.Unset
    stop_price: int | None = None
    cancel_code: CancelCode = CancelCode.Unset
    reject_code: GtwRejectCode = GtwRejectCode.Unset
    reason: str = ""
    ts: int = 0


class ExecutionFact(Struct, frozen=True, kw_only=True):
    """One fill, named by the exchange's own id (unique within account and instrument). `cumulative`: what the order has
    traded with it, if the message says."""

    exec_id: str
    wire_id: str
    exchange_id: str
    instrument: Instrument
    side: int
    price: int
    qty: int
    fee: int
    fee_coin: str
    maker: bool
    ts: int
    cumulative: int | None = None
    reason: str = ""
    """Why, where nobody asked for it: a liquidation, auto-deleveraging."""


class PositionFact(Struct, frozen=True, kw_only=True):
    """The account's position in an instrument: lots, short negative; prices in the quote currency, 0 if unknown."""

    instrument: Instrument
    position: int
    entry_price: float = 0.0
    mark_price: float = 0.0
    liquidation_price: float | None = None
    ts: int = 0


class WalletFact(Struct, frozen=True, kw_only=True):
    coin: str
    total: int
    available: int
    ts: int = 0


def spot_position(instrument: Instrument, held: WalletFact | None) -> PositionFact:
    """What an account holds of a spot instrument's base coin (None: nothing), in whole lots: what counts as its
    position there, by which strategies and limits go. A part of a lot is left out."""
    if held is None:
        return PositionFact(instrument=instrument, position=0)
    whole = abs(held.total) // instrument.qty_scale.step_units
    return PositionFact(instrument=instrument, position=whole if held.total > 0 else -whole, ts=held.ts)


class FundingFact(Struct, frozen=True, kw_only=True):
    """The rate of the running interval, and when it is paid (ns)."""

    instrument: Instrument
    rate: float
    next_ts: int


class AccountFact(Struct, frozen=True, kw_only=True):
    """What is checked and shown before an account trades. Empty texts and None: the exchange does not say.

    `refusal`: why this gateway cannot trade the account as it is set up (hedge mode, for instance); empty if it can.
    `notes`: more for people to read, such as leverage by instrument.
    """

    user_id: str
    position_mode: str = ""
    margin_mode: str = ""
    fees: str = ""
    may_trade: bool | None = None
    may_withdraw: bool | None = None
    refusal: str = ""
    notes: tuple[str, ...] = ()


class LineReady(Struct, frozen=True, kw_only=True):
    """The exchange has accepted the login and subscriptions of a line: from now on it tells everything."""

    line: str


class LineRefused(Struct, frozen=True, kw_only=True):
    """The exchange refused a login or a subscription. `final`: trying again will not help (a wrong key)."""

    line: str
    reason: str
    final: bool = False


class LineInterrupted(Struct, frozen=True, kw_only=True):
    """The exchange says that the line will miss messages from now on: it has to be connected anew."""

    line: str
    reason: str


class Reply(Struct, frozen=True, kw_only=True):
    """The answer to a request about orders, over HTTP or on a line.

    `key`: of the frame it answers; empty over HTTP. `accepted`: the exchange has taken it. `facts`: what else the
    answer says, dealt with after the reply itself. `unknown`: the exchange itself does not know whether it was carried
    out (its timeouts): neither accepted nor refused. `missing`: refused because the order does not exist or is over;
    that is not believed but asked after. `limited`: refused for its rate; `retry_after_s`: how long to wait, if said.
    """

    key: str = ""
    accepted: bool = False
    exchange_id: str = ""
    code: GtwRejectCode = GtwRejectCode.Unset
    reason: str = ""
    facts: "tuple[Fact, ...]" = ()
    unknown: bool = False
    missing: bool = False
    limited: bool = False
    retry_after_s: float | None = None


class Candle(Struct, frozen=True, kw_only=True):
    """A candle: when it opened and closes (ns), prices in ticks, volume in lots."""

    open_ts: int
    close_ts: int
    open: int
    high: int
    low: int
    close: int
    volume: int


Fact = (
    OrderFact
    | ExecutionFact
    | PositionFact
    | WalletFact
    | FundingFact
    | LineReady
    | LineRefused
    | LineInterrupted
    | Reply
)
