"""An order of a strategy: what is kept of it (`Ticket`), and what the strategy is shown (`OrderView`)."""

import json
from enum import Enum, StrEnum
from typing import Any, Final

from attrs import asdict, frozen

from mlthon.arsenal.market import Pair, iso
from mlthon.arsenal.wishes import Action, Wish
from mlthon.basics.defs import OrderType as WireType


class OrderStatus(StrEnum):
    """`CA.OrderStatus`. What an exchange refused counts as cancelled."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"


class OrderType(StrEnum):
    """`CA.OrderType`. The last two are of orders that protect a position, which nobody orders by themselves."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    STOP_LOSS = "STOP_LOSS"


OVER: Final = (OrderStatus.FILLED, OrderStatus.CANCELED)


class Purpose(Enum):
    """Why there is an order: it was asked for, or it protects a position."""

    WISH = "wish"
    PROFIT = "profit"
    LOSS = "loss"

    @property
    def order_type(self) -> WireType:
        """What triggers at a price on either side of the market."""
        return WireType.TakeProfit if self is Purpose.PROFIT else WireType.Stop


class Ticket:
    """One order. Prices in ticks (0: market), quantities in lots. `cost`: lots x ticks of its fills. `trigger`: of an
    order that protects. `accepted`: the exchange has acknowledged it. `protected`: for how many of its lots take-profit
    and stop-loss have been placed. `number`: what the platform calls its `order_id`; later orders have greater ones."""

    __slots__ = (
        "accepted",
        "action",
        "client_id",
        "cost",
        "created",
        "filled",
        "lots",
        "number",
        "pair",
        "protected",
        "purpose",
        "status",
        "ticks",
        "trigger",
        "wish",
    )

    def __init__(
        self,
        client_id: str,
        pair: Pair,
        action: Action,
        lots: int,
        ticks: int,
        created: int,
        wish: Wish | None = None,
        purpose: Purpose = Purpose.WISH,
        trigger: int = 0,
    ) -> None:
        self.client_id = client_id
        self.pair = pair
        self.action = action
        self.lots = lots
        self.ticks = ticks
        self.created = created
        self.wish = wish
        self.purpose = purpose
        self.trigger = trigger
        self.filled = 0
        self.cost = 0
        self.status = OrderStatus.NEW
        self.accepted = False
        self.number = 0
        self.protected = 0

    @property
    def leaves(self) -> int:
        """What may still be filled."""
        return 0 if self.status in OVER else self.lots - self.filled

    @property
    def closes(self) -> bool:
        """Whether it takes from a position."""
        return bool(self.action.leg) and not self.action.opens

    def view(self) -> "OrderView":
        """What a strategy is shown: of a market order the average price of its fills."""
        average = round(self.cost / self.filled) if self.filled else 0
        ticks = self.ticks or self.trigger or average
        at = average or ticks or self.pair.mark()
        return OrderView(
            id=self.client_id,
            order_id=self.number,
            client_order_id=self.client_id,
            exchange=self.pair.exchange,
            pair=self.pair.name,
            action=self.action.value,
            type=_type(self),
            status=self.status,
            price=self.pair.price(ticks),
            average_price=self.pair.price(average),
            amount=self.pair.amount(self.lots, at),
            amount_filled=self.pair.amount(self.filled, at),
            time=iso(self.created),
        )

    def dump(self) -> str:
        """What is needed to go on with it after a restart."""
        return json.dumps(
            {
                "exchange": self.pair.exchange,
                "pair": self.pair.name,
                "action": self.action.value,
                "purpose": self.purpose.value,
                "lots": self.lots,
                "ticks": self.ticks,
                "trigger": self.trigger,
                "created": self.created,
                "filled": self.filled,
                "number": self.number,
                "protected": self.protected,
                "cost": self.cost,
                "wish": None if self.wish is None else self.wish.dump(),
            }
        )


@frozen(kw_only=True)
class OrderView:
    """`order` of `on_order_state_change` and `CA.get_orders`, as it was at that moment. Amounts are positive and of the
    base currency. The platform's strategies also read it like a dict: `order["price"]`."""

    id: str
    order_id: int
    client_order_id: str
    exchange: str
    pair: str
    action: str
    type: OrderType
    status: OrderStatus
    price: float
    average_price: float
    amount: float
    amount_filled: float
    time: str

    def __getitem__(self, key: str) -> Any:
        try:
            return getattr(self, key)
        except (AttributeError, TypeError):
            raise KeyError(key) from None

    def get(self, key: str, default: Any = None) -> Any:
        return asdict(self).get(key, default)


def _type(ticket: Ticket) -> OrderType:
    if ticket.purpose is not Purpose.WISH:
        return OrderType.TAKE_PROFIT if ticket.purpose is Purpose.PROFIT else OrderType.STOP_LOSS
    return OrderType.LIMIT if ticket.ticks else OrderType.MARKET
