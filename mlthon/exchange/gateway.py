"""One account's way to the embedded exchange: the `Gateway` face.

A request is counted against the rate limit when it is sent, travels for the entry latency and is dealt with when it
arrives; every answer travels back for the response latency. Both ways are first in, first out.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from mlthon.basics.defs import CancelCode, Exchange, GtwRejectCode, GtwStatus
from mlthon.basics.money import UNIT
from mlthon.exchange.account import Account, Stake
from mlthon.exchange.book import AccountOrder, Request
from mlthon.exchange.desk import OPEN
from mlthon.exchange.margin import liquidation_price

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.exchange.exchange import EmbeddedExchange

T = TypeVar("T")

STEPS: Final = (50, 90, 100)
"""At which percentages of the rate limit the account is told."""


class Sent(Request, Protocol):
    """An order as it is sent: a `TrackedOrder`, or the record that a served exchange keeps."""

    instrument: "Instrument"


class RateLimit:
    """So many requests in each interval; the interval starts with its first request."""

    __slots__ = ("_interval", "_requests", "_until", "_used")

    def __init__(self, requests: int, interval_ns: int) -> None:
        self._requests = requests
        self._interval = interval_ns
        self._until = 0
        self._used = 0

    def left(self, now: int) -> tuple[int, int]:
        """How many more requests are within the limit, and when it starts anew (ns): now, where nothing counts."""
        if now >= self._until:
            return self._requests, now
        return self._requests - self._used, self._until

    def use(self, now: int) -> tuple[bool, int, int]:
        """Count a request: whether it is within the limit, the percentage to tell of (0: none), when the interval
        ends (ns)."""
        if now >= self._until:
            self._until = now + self._interval
            self._used = 0
        before = self._used
        if before >= self._requests:
            return False, 0, self._until
        self._used = before + 1
        told = 0
        for step in STEPS:
            if before * 100 < step * self._requests <= self._used * 100:
                told = step
        return True, told, self._until


class EmbeddedGateway:
    """The requests of one account. Implements `Gateway`."""

    __slots__ = ("_connection", "_detail", "_exchange", "_limit", "_status", "account", "exchange", "ledger")

    def __init__(self, exchange: "EmbeddedExchange", account: Account, limit: RateLimit | None) -> None:
        self._exchange = exchange
        self._limit = limit
        self._connection = 0
        self._status = GtwStatus.ReadyToTrade
        self._detail = ""
        self.exchange: Exchange = exchange.exchange
        self.account = account.name
        self.ledger = account

    def status(self) -> tuple[GtwStatus, str]:
        return self._status, self._detail

    # -- requests ----------------------------------------------------------------------------------------------------

    def new_order(self, order: Sent) -> None:
        if self._limit is not None and not self._within(self.ledger.events.new_order_reject, order.wire_id):
            return
        account = self.ledger
        stake = account.stakes.get(order.instrument) or self._new_stake(order.instrument)
        if stake is None:
            code, reason = GtwRejectCode.UnknownInstrument, self._unknown(order.instrument)
            account.entry.send(self._answer, account.events.new_order_reject, order.wire_id, code, reason)
            return
        exchange = self._exchange
        exchange.orders += 1
        account.entry.send(self._arrive, stake, AccountOrder(exchange.orders, order, stake), self._connection)

    def _new_stake(self, instrument: "Instrument") -> Stake | None:
        market = self._exchange.markets.get(instrument)
        return None if market is None else self._exchange.stake(self.ledger, market)

    def modify_order(self, order: Sent, price: int | None, qty: int | None) -> None:
        account = self.ledger
        if self._within(account.events.modify_order_reject, order.wire_id):
            account.entry.send(self._modify, order.wire_id, price, qty)

    def cancel_order(self, order: Sent) -> None:
        account = self.ledger
        if self._limit is None or self._within(account.events.cancel_order_reject, order.wire_id):
            account.entry.send(self._cancel, order.wire_id)

    def cancel_all(self, instrument: "Instrument") -> None:
        account = self.ledger
        if self._within(account.events.cancel_all_reject, instrument):
            account.entry.send(self._cancel_all, instrument)

    def fetch_order_status(self, request_id: int, order: Sent) -> None:
        self._ask(request_id, "OrderStatus", self._order_status, order.wire_id)

    def fetch_orders_info(self, request_id: int, instrument: "Instrument | None") -> None:
        self._ask(request_id, "OrdersInfo", self._orders_info, instrument)

    def fetch_position_info(self, request_id: int, instrument: "Instrument") -> None:
        self._ask(request_id, "PositionInfo", self._position_info, instrument)

    def fetch_wallet_info(self, request_id: int, coin: str) -> None:
        self._ask(request_id, "WalletInfo", self._wallet_info, coin)

    def fetch_funding_info(self, request_id: int, instrument: "Instrument") -> None:
        self._ask(request_id, "FundingInfo", self._funding_info, instrument)

    def fetch_account_info(self, request_id: int) -> None:
        self._ask(request_id, "AccountInfo", self._account_info)

    def _ask(self, request_id: int, request: str, answer: Callable[..., None], *args: Any) -> None:
        limit = self._limit
        if limit is not None and not self._counted(limit):
            self._refuse(request_id, GtwRejectCode.RateLimited, self._limit_reason(), request)
            return
        self.ledger.entry.send(answer, request_id, *args)

    def enquire(
        self,
        compute: Callable[[], T],
        done: Callable[[T], None],
        refuse: Callable[[GtwRejectCode, str], None],
        *,
        counted: bool = True,
    ) -> None:
        """Ask anything about the account: `compute` is called at the exchange, and what it gives travels back to
        `done`. A question that is not `counted` stands for what an exchange tells by itself."""
        limit = self._limit
        if counted and limit is not None and not self._counted(limit):
            self.ledger.response.send(refuse, GtwRejectCode.RateLimited, self._limit_reason())
            return
        self.ledger.entry.send(self._compute, compute, done)

    def _compute(self, compute: Callable[[], T], done: Callable[[T], None]) -> None:
        self._answer(done, compute())

    def allowance(self) -> tuple[int, int] | None:
        """How many more requests are within the limit and when it starts anew (ns); None: there is none."""
        return None if self._limit is None else self._limit.left(self._exchange.clock.now)

    # -- the rate limit ----------------------------------------------------------------------------------------------

    def _within(self, refuse: Callable[..., None], about: object) -> bool:
        """Count a request; refuse it when there were too many."""
        limit = self._limit
        if limit is None or self._counted(limit):
            return True
        account = self.ledger
        account.entry.send(self._answer, refuse, about, GtwRejectCode.RateLimited, self._limit_reason())
        return False

    def _counted(self, limit: RateLimit) -> bool:
        within, told, until = limit.use(self._exchange.clock.now)
        if told:
            self.ledger.response.send(self.ledger.events.rate_limit_info, told, until)
        return within

    def _limit_reason(self) -> str:
        rule = self._exchange.config.rate_limit
        return f"more than {rule.requests} requests in {rule.interval_s} s"

    def _answer(self, event: Callable[..., None], *args: Any) -> None:
        self.ledger.response.send(event, *args)

    def _refuse(self, request_id: int, code: GtwRejectCode, detail: str, request: str) -> None:
        self.ledger.response.send(self.ledger.events.request_reject, request_id, code, detail, request)

    # -- at the exchange ---------------------------------------------------------------------------------------------

    def _arrive(self, stake: Stake, order: AccountOrder, connection: int) -> None:
        account = self.ledger
        if connection != self._connection or self._status is not GtwStatus.ReadyToTrade:
            reason = self._detail or "the connection was lost while the order was on its way"
            self._answer(account.events.new_order_reject, order.wire_id, GtwRejectCode.GtwNotReady, reason)
        elif order.wire_id in account.orders:
            reason = "its client order id was used before"
            self._answer(account.events.new_order_reject, order.wire_id, GtwRejectCode.DuplicateClientId, reason)
        else:
            stake.market.arrive(order)

    def _open(self, wire_id: str) -> AccountOrder | tuple[GtwRejectCode, str]:
        order = self.ledger.orders.get(wire_id)
        if order is None:
            return GtwRejectCode.UnknownOrder, "the order never reached the exchange"
        if order.state not in OPEN:
            return GtwRejectCode.OrderNotOpen, f"the order is {order.state.name}, not open"
        return order

    def _modify(self, wire_id: str, price: int | None, qty: int | None) -> None:
        order = self._open(wire_id)
        if isinstance(order, tuple):
            self._answer(self.ledger.events.modify_order_reject, wire_id, *order)
        elif order.stake is not None:
            order.stake.market.amend(order, price, qty)

    def _cancel(self, wire_id: str) -> None:
        order = self._open(wire_id)
        if isinstance(order, tuple):
            self._answer(self.ledger.events.cancel_order_reject, wire_id, *order)
        elif order.stake is not None:
            self.ledger.response.send(self.ledger.events.cancel_order_ack, wire_id)
            order.stake.market.cancel(order)

    def _cancel_all(self, instrument: "Instrument") -> None:
        account = self.ledger
        if instrument not in self._exchange.markets:
            self._answer(
                account.events.cancel_all_reject, instrument, GtwRejectCode.UnknownInstrument, self._unknown(instrument)
            )
            return
        self._answer(account.events.cancel_all_ack, instrument)
        for order in list(account.open_orders(instrument)):
            if order.state in OPEN and order.stake is not None:
                order.stake.market.cancel(order)

    def _unknown(self, instrument: "Instrument") -> str:
        return f"{instrument.name} is not traded on this {self.exchange.name}"

    # -- answers to questions ----------------------------------------------------------------------------------------

    def _order_status(self, request_id: int, wire_id: str) -> None:
        order = self.ledger.orders.get(wire_id)
        if order is None:
            reason = "the order never reached the exchange"
            self._refuse(request_id, GtwRejectCode.UnknownOrder, reason, "OrderStatus")
            return
        leaves = order.leaves if order.state in OPEN else 0
        self._answer(
            self.ledger.events.order_status, request_id, wire_id, self.ledger.state_of(order), order.price, leaves
        )

    def _orders_info(self, request_id: int, instrument: "Instrument | None") -> None:
        wire_ids: Sequence[str] = [order.wire_id for order in self.ledger.open_orders(instrument)]
        self._answer(self.ledger.events.orders_info, request_id, wire_ids)

    def _position_info(self, request_id: int, instrument: "Instrument") -> None:
        market = self._exchange.markets.get(instrument)
        if market is None:
            self._refuse(request_id, GtwRejectCode.UnknownInstrument, self._unknown(instrument), "PositionInfo")
            return
        market.sync()
        stake = self.ledger.stakes.get(instrument)
        tick = market.contract.tick_units / UNIT
        mark = (market.mark or 0) * tick
        lots = stake.position.lots if stake is not None else 0
        entry = stake.position.entry_price if stake is not None else 0.0
        bound = liquidation_price(stake) if stake is not None else None
        self._answer(
            self.ledger.events.position_info,
            request_id,
            instrument,
            lots,
            entry,
            mark,
            None if bound is None else bound * tick,
        )

    def _wallet_info(self, request_id: int, coin: str) -> None:
        account = self.ledger
        available = self._exchange.spendable(account, coin)
        self._answer(account.events.wallet_info, request_id, coin, account.cash.get(coin, 0), available)

    def _funding_info(self, request_id: int, instrument: "Instrument") -> None:
        market = self._exchange.markets.get(instrument)
        if market is None:
            self._refuse(request_id, GtwRejectCode.UnknownInstrument, self._unknown(instrument), "FundingInfo")
            return
        funding = market.funding
        if funding is None:
            reason = f"{instrument.name} is no perpetual: it has no funding"
            self._refuse(request_id, GtwRejectCode.InvalidRequest, reason, "FundingInfo")
            return
        self._answer(self.ledger.events.funding_info, request_id, instrument, funding.rate / UNIT, funding.next_time())

    def _account_info(self, request_id: int) -> None:
        self._answer(self.ledger.events.account_info, request_id, self.account)

    # -- the connection ----------------------------------------------------------------------------------------------

    def disconnect(self, reason: str) -> None:
        """The connection is lost: the exchange cancels what rests, and says so; what is on its way never arrives."""
        self._connection += 1
        for order in list(self.ledger.open_orders()):
            if order.stake is not None:
                order.stake.market.end(order, True, CancelCode.Disconnected, reason)
                order.stake.market.after()
        self._report(GtwStatus.Connecting, reason)

    def reconnect(self) -> None:
        """The connection is there again."""
        self._report(GtwStatus.ReadyToTrade, "")

    def _report(self, status: GtwStatus, detail: str) -> None:
        self._status, self._detail = status, detail
        self.ledger.response.send(self.ledger.events.gateway_status, status, detail)
