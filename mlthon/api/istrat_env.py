"""`IStratEnv`: what a strategy may ask of its environment, and `MDSub`, the kinds of market data.

No request returns its answer and none raises for what an exchange may refuse: answers come as callbacks of
`IStrategy`, never inside the call. An instrument may be given as its id, its name (`byt:perp:btc-usd`), the exchange's
own symbol, its mlt symbol (`btc-usd`), or an `Instrument`.

`IStratEnv` is a protocol: whatever has these methods is one, an environment made for a test included.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Protocol

from mlthon.basics.defs import TIF, Exchange, ExecInstructions, OrderType, Side
from mlthon.basics.instrument import Instrument
from mlthon.basics.mlt_enum import MltEnum
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty


class MDSub(MltEnum):
    """Kinds of market data. The values are the documented ones; the plain number resolves too (`MDSub(3)`)."""

    OrderBook = (0,)
    LevelBook = (1,)
    PriceLevelBook = (2,)
    BBO = (3,)
    PublicTrades = 4


ClientId = str | int
InstrumentKey = int | str | Instrument
PriceLike = Price | str | int | float | Decimal
QtyLike = Qty | str | int | float | Decimal
Recurring = Callable[[], object]
"""A timer or daily callback: set up again only when it returns True."""
CmdHook = Callable[[Any], object]
"""Gets the command's parameters: a list of strings that also behaves as the one string they were typed as."""


class IStratEnv(Protocol):
    """The environment of one strategy."""

    # The framework

    def login(self, strat_name: str) -> None:
        """Register the strategy; to be called in `on_framework_connected`. `on_start` follows."""

    def send_stop_ack(self) -> None:
        """Say that the strategy has stopped. Requests are refused from here on until the next `on_start`."""

    def add_cmd_hook(self, cmd_name_str: str, callback_func: CmdHook) -> None:
        """Call `callback_func(parameters)` at the command `cmd_name_str` (case does not matter). `start` and `stop`
        are the framework's own."""

    def setup_timer(self, duration_ms: int, callback_func: Recurring) -> None:
        """Call `callback_func()` in `duration_ms` milliseconds, and again as long as it returns True."""

    def setup_daily_callback(self, hh_mm_ss: str, callback_func: Recurring) -> None:
        """Call `callback_func()` when the clock next shows `hh_mm_ss` ('16:30:00') in the configured time zone (the
        system's if none is; UTC in a backtest), and daily as long as it returns True."""

    def publish_telegram(self, msg: str) -> None:
        """Publish a message to the strategy's channel."""

    # Connections

    def subscribe_to_market_data(
        self, exchange: Exchange, instruments: Iterable[InstrumentKey], md_subs: Iterable[MDSub]
    ) -> None:
        """Ask for market data. The feed's status follows, then snapshots and updates."""

    def unsubscribe_from_market_data(
        self, exchange: Exchange, instruments: Iterable[InstrumentKey], md_subs: Iterable[MDSub] | None = None
    ) -> None:
        """Take subscriptions back; all kinds when `md_subs` is None."""

    def request_execution_connection(
        self, exchange: Exchange, instruments: Iterable[InstrumentKey] | None = None
    ) -> None:
        """Ask for the gateway to the exchange. Its status follows."""

    # Orders

    def send_new_order(
        self,
        client_id: ClientId | None,
        exchange: Exchange,
        instrument_id: InstrumentKey | None = None,
        side: Side | None = None,
        price: PriceLike | None = None,
        qty: QtyLike | None = None,
        exec_instr: ExecInstructions = ExecInstructions.Unset,
        ord_type: OrderType = OrderType.Limit,
        time_in_force: TIF = TIF.GTC,
        close_position: bool = False,
        *,
        symbol: str | None = None,
        stop_price: PriceLike | None = None,
    ) -> int | str:
        """Send a new order and return its client id, as an int where it is one. Without a `client_id` one is made; one
        that was used before is rejected. `symbol` may stand in place of `instrument_id`. `price` is None for market
        orders, `stop_price` the trigger of stops and take-profits. `close_position` closes the whole position, whatever
        the quantity."""
        ...

    def send_modify_order(
        self, exchange: Exchange, client_ord_id: ClientId, new_price: PriceLike | None, new_qty: QtyLike | None
    ) -> None:
        """Modify price or quantity (the whole quantity, filled part included) or both; None leaves it as it is."""

    def send_cancel_order(self, exchange: Exchange, instrument_id: InstrumentKey, client_ord_id: ClientId) -> None:
        """Cancel one order."""

    def send_cancel_all(self, exchange: Exchange, instrument_id: InstrumentKey) -> None:
        """Cancel all of this strategy's orders in the instrument."""

    # Questions

    def fetch_order_status(self, exchange: Exchange, instrument_id: InstrumentKey, client_ord_id: ClientId) -> None:
        """Answered by `on_order_status`."""

    def fetch_orders_info(self, exchange: Exchange, instrument_id: InstrumentKey | None = None) -> None:
        """This strategy's open orders (of the instrument). Answered by `on_orders_info`."""

    def fetch_position_info(self, exchange: Exchange, instrument_id: InstrumentKey) -> None:
        """Answered by `on_position_info`."""

    def fetch_wallet_info(self, exchange: Exchange, coin: str) -> None:
        """Answered by `on_wallet_info`."""

    def fetch_funding_info(self, exchange: Exchange, instrument_id: InstrumentKey) -> None:
        """Answered by `on_funding_info`."""

    def fetch_account_info(self, exchange: Exchange) -> None:
        """Answered by `on_account_info`."""
