"""Accounts: coins, positions, open orders, and what is reserved for them.

All sums are integers in 10^-18 of their coin. `Stake` is one account's part in one market: its position, the value
reserved by its open orders and the prices between which it cannot be liquidated. Whatever an account gains or loses by
a trade, a fee or funding somebody else loses or gains: other accounts, or the exchange's own `outside` positions and
fee income (`exchange.py`), so all cash, positions and fees together always add up to what was deposited.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import OrderStatus
from mlthon.basics.money import UNIT, ratio
from mlthon.engine.clock import Clock
from mlthon.engine.faces import NO_ASK, NO_BID, OrderEvents
from mlthon.exchange.book import AccountOrder
from mlthon.exchange.contracts import Contract, Position
from mlthon.exchange.latency import Latency, Wire

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.exchange.market import Market


KEPT: Final = 10_000
"""How many orders that are over an account remembers."""


class Stake:
    """One account in one market.

    `buys`, `sells`: money reserved by open orders: of a derivative their value, of spot the coins held for them.
    `orders`: the open ones by order id; `reducing`: those of them that may only reduce. `liquidation_low` and
    `liquidation_high`: while the bid is above and the ask below, this position uses at most its share of what keeps
    the account from liquidation (`margin.py`).
    """

    __slots__ = (
        "account",
        "buys",
        "contract",
        "liquidation_high",
        "liquidation_low",
        "market",
        "orders",
        "position",
        "reducing",
        "sells",
    )

    def __init__(self, account: "Account", market: "Market") -> None:
        self.account = account
        self.market = market
        self.contract: Contract = market.contract
        self.position = Position(market.contract)
        self.buys = 0
        self.sells = 0
        self.orders: dict[int, AccountOrder] = {}
        self.reducing: dict[int, AccountOrder] = {}
        self.liquidation_low = NO_BID - 1
        self.liquidation_high = NO_ASK + 1

    def opened(self, order: AccountOrder) -> None:
        """The order is accepted: reserve for it."""
        self.orders[order.order_id] = order
        if order.reduce_only:
            self.reducing[order.order_id] = order
        self.reserve(order, order.leaves)

    def closed(self, order: AccountOrder) -> None:
        """The order is over: free what is still reserved."""
        self.account.ended(order)
        if self.orders.pop(order.order_id, None) is not None:
            self.reducing.pop(order.order_id, None)
            if order.leaves:
                self.reserve(order, -order.leaves)

    def reserve(self, order: AccountOrder, lots: int) -> None:
        """Reserve for so many more lots of the order (negative: fewer)."""
        if order.side > 0:
            self.buys += lots * order.reserve
        else:
            self.sells += lots * order.reserve

    def reducible(self, side: int) -> int:
        """The lots that an order of this side can close."""
        return max(0, -side * self.position.lots)


class Account:
    """One account. `wires`: the latency models there and back. `cash`: coin -> money. `stakes`: one a market, in the
    order of first use."""

    __slots__ = (
        "_ended",
        "cash",
        "deposits",
        "entry",
        "events",
        "liquidations",
        "name",
        "orders",
        "response",
        "stakes",
    )

    def __init__(
        self,
        name: str,
        events: OrderEvents,
        clock: Clock,
        wires: tuple[Latency, Latency],
        deposits: Mapping[str, int],
    ) -> None:
        self.name = name
        self.events = events
        self.entry = Wire(clock, wires[0])
        self.response = Wire(clock, wires[1])
        self.deposits = dict(deposits)
        self.cash: dict[str, int] = dict(deposits)
        self.stakes: dict[Instrument, Stake] = {}
        self.orders: dict[str, AccountOrder] = {}
        """The orders that reached the exchange, by wire id, and of those that are over the last 10,000: a question may
        come after the end."""
        self._ended: deque[str] = deque()
        self.liquidations = 0

    def ended(self, order: AccountOrder) -> None:
        """An order is over: forget the one that ended 10,000 ends ago, so that memory does not grow with the run."""
        self._ended.append(order.wire_id)
        if len(self._ended) > KEPT:
            self.orders.pop(self._ended.popleft(), None)

    # -- what others ask ---------------------------------------------------------------------------------------------

    @property
    def balances(self) -> dict[str, int]:
        """Coin -> money, without unrealised gains."""
        return dict(self.cash)

    def position(self, instrument: "Instrument") -> Position | None:
        """The position in the instrument (`lots, cost, entry_price, realised, fees, funding`); None if never traded."""
        stake = self.stakes.get(instrument)
        return None if stake is None else stake.position

    def equity(self, marks: "Mapping[Instrument, int] | None" = None) -> dict[str, int]:
        """Coin -> cash and unrealised gains. `marks`: prices in ticks; the market's own touch for what is left out."""
        equity = dict(self.cash)
        for instrument, stake in self.stakes.items():
            position = stake.position
            if position.lots == 0 or stake.contract.spot:
                continue
            mark = marks.get(instrument) if marks is not None else None
            unit = stake.contract.unit_value(mark) if mark is not None else stake.market.mark_value(position)
            coin = stake.contract.coin
            equity[coin] = equity.get(coin, 0) + position.unrealised(unit)
        return equity

    def available(self, coin: str) -> int:
        """What can be used for new orders: of spot coins what is not held, less what margin takes."""
        return self.cash.get(coin, 0) - self.held(coin)

    def held(self, coin: str) -> int:
        """What open spot orders hold of the coin."""
        held = 0
        for stake in self.stakes.values():
            contract = stake.contract
            if contract.spot:
                if contract.quote == coin:
                    held += stake.buys
                if contract.base == coin:
                    held += stake.sells
        return held

    def open_orders(self, instrument: "Instrument | None" = None) -> Iterator[AccountOrder]:
        """Open orders, oldest first within an instrument."""
        for where, stake in self.stakes.items():
            if instrument is None or where == instrument:
                yield from stake.orders.values()

    # -- what happens ------------------------------------------------------------------------------------------------

    def traded(self, stake: Stake, lots: int, unit_value: int, fee_rate: int) -> int:
        """Book a trade of `lots` (negative: sold) and its fee; returns the fee."""
        contract = stake.contract
        value = (lots if lots > 0 else -lots) * unit_value
        fee = ratio(value * fee_rate, UNIT)
        cash = self.cash
        position = stake.position
        position.fees += fee
        gain = position.trade(lots, unit_value)
        if contract.spot:
            base = contract.base
            cash[base] = cash.get(base, 0) + lots * contract.lot_units
            gain = -lots * unit_value
        coin = contract.coin
        cash[coin] = cash.get(coin, 0) + gain - fee
        return fee

    def paid(self, coin: str, amount: int) -> None:
        """Take `amount` (negative: give) out of the coin's cash."""
        self.cash[coin] = self.cash.get(coin, 0) - amount

    def state_of(self, order: AccountOrder) -> OrderStatus:
        """The order's state as a question finds it."""
        if order.state is OrderStatus.New and order.filled:
            return OrderStatus.PartiallyFilled
        return order.state
