"""What a served account remembers of its orders and fills, wide enough to answer any exchange's queries.

Prices are ticks, quantities lots, sides +1 and -1, times nanoseconds, money 10^-18 of its coin, as everywhere inside.
`ServedOrder` is at the same time the request that goes to the embedded exchange.
"""

from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field

from mlthon.basics.defs import TIF, CancelCode, ExecInstructions, GtwRejectCode, OrderStatus, OrderType
from mlthon.order.state import TERMINAL

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.exchange.served.account import ServedAccount


@define(eq=False, kw_only=True)
class NewOrder:
    """A new order as a dialect asks for it. `price` is 0 for market orders. `client_id` is the client's own text, ""
    without one. `extra`: whatever the dialect wants to find again on the record (its own texts for time in force and
    the like)."""

    instrument: "Instrument"
    side: int
    qty: int
    price: int = 0
    order_type: OrderType = OrderType.Limit
    tif: TIF = TIF.GTC
    post_only: bool = False
    reduce_only: bool = False
    close_position: bool = False
    stop_price: int | None = None
    client_id: str = ""
    extra: dict[str, Any] = field(factory=dict)


@define(eq=False)
class ServedExecution:
    """One fill. `number` counts the exchange's executions, `exec_id` is the id in the exchange's style. `closed`: how
    many of its lots reduced a position; `gain`: what that realised, without fees. `leaves`: of the order, after it."""

    order: "ServedOrder"
    number: int
    exec_id: str
    price: int
    qty: int
    leaves: int
    value: int
    fee: int
    fee_coin: str
    maker: bool
    ts: int
    closed: int = 0
    gain: int = 0


@define(eq=False, kw_only=True)
class ServedOrder:
    """One order, from its request on. `number` counts the exchange's orders, `order_id` is the id in the exchange's
    style, `wire_id` the embedded exchange's key. `status`: `PendingNew` until the exchange has
    answered. `reject_code` and
    `cancel_code` say how it ended, `reason` in words. `value`: the exact sum of its fills' values in the settlement
    coin (quote for spot); `price_sum`: the sum of ticks x lots, for the average."""

    account: "ServedAccount"
    number: int
    order_id: str
    wire_id: str
    client_id: str
    instrument: "Instrument"
    side: int
    order_type: OrderType
    tif: TIF
    exec_instr: ExecInstructions
    close_position: bool
    price: int
    qty: int
    stop_price: int | None
    created_ts: int
    updated_ts: int
    status: OrderStatus = OrderStatus.PendingNew
    leaves: int = 0
    filled: int = 0
    value: int = 0
    price_sum: int = 0
    fees: int = 0
    fee_coin: str = ""
    triggered: bool = False
    reject_code: GtwRejectCode = GtwRejectCode.Unset
    cancel_code: CancelCode = CancelCode.Unset
    reason: str = ""
    executions: list[ServedExecution] = field(factory=list)
    extra: dict[str, Any] = field(factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it may still trade (or is still on its way)."""
        return self.status not in TERMINAL

    @property
    def post_only(self) -> bool:
        return self.exec_instr.post_only

    @property
    def reduce_only(self) -> bool:
        return self.exec_instr.reduce_only or self.close_position

    @property
    def average_units(self) -> int:
        """The average price of its fills in 10^-18 of the quote currency; 0 without fills."""
        if not self.filled:
            return 0
        return self.price_sum * self.instrument.price_scale.step_units // self.filled


@define(eq=False)
class Refusal:
    """Why a request was refused."""

    code: GtwRejectCode
    reason: str


@define(eq=False)
class PositionView:
    """A position as it stands: `lots` (short negative), `entry` as a float and exactly (`entry_units`), prices
    in the quote currency's 10^-18 (`liquidation` None where there is none), sums in the settlement coin."""

    instrument: "Instrument"
    lots: int
    entry: float
    entry_units: int
    mark: int
    liquidation: int | None
    value: int
    """What it is worth at the mark price, never negative."""
    unrealised: int
    realised: int
    """Gains less fees plus funding, since the account was opened."""
    margin: int
    """The initial margin it takes."""


@define(eq=False)
class CoinView:
    """One coin of an account: `cash`; `unrealised` gains in it; `equity` both; `available` for new orders; `held` by
    open spot orders; `position_margin` and `order_margin` taken by derivatives."""

    coin: str
    cash: int
    unrealised: int
    equity: int
    available: int
    held: int
    position_margin: int
    order_margin: int


class AccountListener(Protocol):
    """Who is told what happens on an account; `ServedAccount.listeners` holds them. Called in the order of events, on
    the exchange's clock."""

    def order_changed(self, order: ServedOrder) -> None:
        """Any change of an order: accepted, rejected, amended, triggered, filled, cancelled."""

    def executed(self, execution: ServedExecution) -> None:
        """A fill; the order's change was told just before."""

    def position_changed(self, instrument: "Instrument") -> None:
        """After a fill or a funding payment."""

    def wallet_changed(self, coins: tuple[str, ...]) -> None:
        """The cash of these coins changed (a fill, a fee, funding, a deposit)."""
