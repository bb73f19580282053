"""The two faces every part between a strategy and an exchange has: events up, requests down.

Outside, the faces are exactly the documentation's (`mlthon.api`). Inside they are wider: market data carries exchange
time and ids, executions carry their id, fee and maker flag, answers carry the id of the request they answer. The
router narrows the wide faces to the documented ones at the outermost step.

Units inside: prices are whole ticks and quantities whole lots of their instrument, sides are +1 (buy) and -1 (sell),
times are nanoseconds since 1970 UTC, money is an integer in 10^-18 of its coin (`mlthon.basics.money`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

from mlthon.basics.defs import NO_ASK as NO_ASK
from mlthon.basics.defs import NO_BID as NO_BID
from mlthon.basics.defs import CancelCode, Exchange, GtwRejectCode, GtwStatus, OrderStatus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlthon.basics.instrument import Instrument
    from mlthon.engine.tracker import TrackedOrder

# What a book event does. SET replaces the quantity of a level (0 deletes it).
SET_BID: Final = 0
SET_ASK: Final = 1
# A snapshot: RESET empties the book, SETs follow, LIVE says it is whole. STALE: the book has a gap and must not be used
# until the next RESET ... LIVE.
RESET: Final = 2
LIVE: Final = 3
STALE: Final = 4
# The same by single orders (level_id is the order's id): quantity 0 deletes.
ORDER_BID: Final = 5
ORDER_ASK: Final = 6


class MarketEvents(Protocol):
    """Market data of one instrument, on its way up. A feed handler, a replay and the embedded exchange call it; the
    engine's feed, a recorder and the candles implement it."""

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
        """The best bid and ask are now these."""

    def trade(self, price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None:
        """A public trade; `side` is the taker's."""

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None:
        """A change of the book: `op` is one of the constants above."""


class BookChanges(MarketEvents, Protocol):
    """A `MarketEvents` that takes all levels that a message sets in one call, where others get a `book` a level."""

    def changes(
        self, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]], exch_ts: int, recv_ts: int
    ) -> None:
        """Levels as (price, quantity), in place of as many SET_BID and then SET_ASK; quantity 0 deletes."""


QUOTE_ROW: Final = 1
TRADE_ROW: Final = 2
"""What a row of a batch is to who hears it; 0: it is not told."""


class Rows(NamedTuple):
    """Rows of market data in order of time, a column a field: `ts` (ns) as a list, `kinds` a byte each (`QUOTE_ROW`,
    `TRADE_ROW`, 0), and as arrays the four arguments of `quote` or `trade` (those of rows that are not told are 0) and
    the time on the exchange (ns). They may be of several instruments: `of` says of which each is, a byte each, and
    `each` has the kinds again for every instrument, 0 for the rows of others."""

    ts: list[int]
    kinds: bytes
    a: "NDArray[np.int64]"
    b: "NDArray[np.int64]"
    c: "NDArray[np.int64]"
    d: "NDArray[np.int64]"
    exch_ts: "NDArray[np.int64]"
    of: bytes
    each: tuple[bytes, ...]


class Rider(Protocol):
    """Goes through rows by itself, once it has been shown them (`board`)."""

    def board(self, rows: Rows) -> None:
        """These rows come next."""

    def ride(self, row: int, stop: int) -> int:
        """Hear rows from `row` on, at least that one, until before `stop` or before the first at whose time something
        else is due; gives the row before which it stopped. The clock shows the time of each row while it is heard."""

    def settle(self, row: int) -> None:
        """Before anybody looks: know what the rows before `row` said."""


@runtime_checkable
class BatchEvents(MarketEvents, Protocol):
    """A `MarketEvents` that can go through many rows by itself. Of books it then hears before somebody may look."""

    def rider(self, taps: "Sequence[BatchEvents | None]") -> Rider:
        """Who goes through the rows of several instruments, heard by these, itself among them; None: by nobody."""


@runtime_checkable
class TradeIds(Protocol):
    """A `MarketEvents` that says whether anybody reads the ids of its trades; while nobody does they may be 0, for
    reading them takes a fifth of the time of a trade. Of any other `MarketEvents` they are read."""

    @property
    def reads_trade_ids(self) -> bool: ...


class Hearer(Protocol):
    """A strategy as the engine holds it: callbacks are called on `strategy`, looked up each time; what one raises goes
    to `failed`."""

    strategy: Any

    def failed(self, callback: str, error: Exception) -> None:
        """Count and log it; never raises."""


@runtime_checkable
class LoneHearer(TradeIds, Protocol):
    """A `MarketEvents` that says when one strategy is all that hears its trades. Whoever has a trade as the API has it
    may then call that strategy's `on_public_trade` himself in place of `trade`: a call and four conversions less. Ask
    before each trade: subscriptions may change with any callback."""

    @property
    def instrument(self) -> "Instrument": ...

    @property
    def trade_hearer(self) -> Hearer | None: ...


class OrderEvents(Protocol):
    """What a gateway says of one account's orders, on its way up. `wire_id` is the client order id that went over the
    wire; `request_id` the number under which a question was asked."""

    def gateway_status(self, status: GtwStatus, detail: str) -> None: ...

    def foreign_order(self, wire_id: str, instrument: "Instrument", side: int, qty: int, reason: str) -> None:
        """The account has an order that nobody here sent: a liquidation, or another program's. Its fills follow."""

    def new_order_ack(
        self, wire_id: str, exchange_id: str, price: int, qty: int, leaves: int, engine_ts: int
    ) -> None: ...

    def new_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None: ...

    def order_unknown(self, wire_id: str, reason: str) -> None:
        """A request about the order went unanswered: nobody here knows its state. The exchange is being asked; what it
        says comes as the ordinary events."""

    def order_resolved(self, wire_id: str, status: OrderStatus, leaves: int) -> None:
        """An order that was unknown after its acknowledgement is open after all, in this state; every other outcome
        comes as the event that it is."""

    def modify_order_ack(self, wire_id: str, price: int | None, qty: int | None, leaves: int) -> None:
        """`price` and `qty` are None where the modification did not change them."""

    def modify_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None: ...

    def cancel_order_ack(self, wire_id: str) -> None:
        """The request is accepted; `order_cancelled` follows and says that the order is gone."""

    def cancel_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None: ...

    def cancel_all_ack(self, instrument: "Instrument") -> None: ...

    def cancel_all_reject(self, instrument: "Instrument", code: GtwRejectCode, reason: str) -> None: ...

    def order_cancelled(
        self, wire_id: str, unsolicited: bool, engine_ts: int, code: CancelCode, reason: str
    ) -> None: ...

    def order_execution(
        self,
        wire_id: str,
        exec_id: str,
        price: int,
        qty: int,
        leaves: int,
        fee: int,
        fee_coin: str,
        maker: bool,
        exec_ts: int,
    ) -> None:
        """One fill. `fee` is money in `fee_coin`, negative for a rebate."""

    def order_status(self, request_id: int, wire_id: str, status: OrderStatus, price: int, leaves: int) -> None: ...

    def orders_info(self, request_id: int, wire_ids: Sequence[str]) -> None:
        """The account's open orders that the question asked for."""

    def position_info(
        self,
        request_id: int,
        instrument: "Instrument",
        position: int,
        entry_price: float,
        mark_price: float,
        liquidation_price: float | None,
    ) -> None:
        """`position` in lots, short negative; prices in the quote currency."""

    def wallet_info(self, request_id: int, coin: str, total: int, available: int) -> None: ...

    def funding_info(self, request_id: int, instrument: "Instrument", rate: float, next_ts: int) -> None: ...

    def account_info(self, request_id: int, user_id: str) -> None: ...

    def rate_limit_info(self, used_percent: int, reset_ts: int) -> None: ...

    def unsupported(self, request_type: str) -> None: ...

    def request_reject(self, request_id: int, code: GtwRejectCode, detail: str, request_type: str) -> None: ...


class Gateway(Protocol):
    """One account on one exchange: requests go down into it, its `OrderEvents` come up. No call returns an answer and
    none raises for what an exchange may refuse: answers are events, and never arrive inside the call."""

    exchange: Exchange
    account: str

    def status(self) -> tuple[GtwStatus, str]: ...

    def new_order(self, order: "TrackedOrder") -> None: ...

    def modify_order(self, order: "TrackedOrder", price: int | None, qty: int | None) -> None: ...

    def cancel_order(self, order: "TrackedOrder") -> None: ...

    def cancel_all(self, instrument: "Instrument") -> None:
        """Cancel every order of the account in the instrument."""

    def fetch_order_status(self, request_id: int, order: "TrackedOrder") -> None: ...

    def fetch_orders_info(self, request_id: int, instrument: "Instrument | None") -> None: ...

    def fetch_position_info(self, request_id: int, instrument: "Instrument") -> None: ...

    def fetch_wallet_info(self, request_id: int, coin: str) -> None: ...

    def fetch_funding_info(self, request_id: int, instrument: "Instrument") -> None: ...

    def fetch_account_info(self, request_id: int) -> None: ...
