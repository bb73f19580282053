"""`IStratEnv` as the engine gives it to a strategy: what a strategy passes, in whatever form, becomes a request.

Numbers come as str, int, float, Decimal, `Price` or `Qty`; instruments under any of their names; client ids as str, int
or not at all. What cannot be understood is refused by an event, like everything else that is refused: no method of the
environment raises for it.
"""

from collections.abc import Callable, Iterable
from datetime import tzinfo
from inspect import iscoroutinefunction
from types import NoneType
from typing import Any

from mlthon.api.istrat_env import IStratEnv, MDSub
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, GtwRejectCode, OrderType, Side
from mlthon.basics.instrument import Instrument
from mlthon.basics.scale import NotOnStep
from mlthon.engine.clock import MS, NEVER
from mlthon.engine.faces import Gateway
from mlthon.engine.router import Port
from mlthon.engine.session import Phase, Session
from mlthon.engine.timers import DailyTime
from mlthon.engine.tracker import TrackedOrder, Tracker

_ACCEPTING = (Phase.RUNNING, Phase.STOPPING)
# Bound to names of their own because looking a member up in its class is slow in Python 3.11.
_LIMIT = OrderType.Limit
_UNSET = OrderType.Unset
_STOPS = (OrderType.Stop, OrderType.StopLimit, OrderType.TakeProfit)
_PRICED = (OrderType.Limit, OrderType.StopLimit)
_SIGNS = {side: side.sign for side in Side}
LONG_ID = 40
"""Client ids of so many digits are no numbers."""
_LONG_NUMBER = 10 ** (LONG_ID - 1)
_MARKET_PRICE = (None, "", 0, "0")


class Refused(Exception):
    """A request that goes no further, with the code and reason its strategy is told."""

    def __init__(self, code: GtwRejectCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class StratEnv(IStratEnv):
    """The environment of one strategy."""

    def __init__(self, session: Session, tracker: Tracker, zone: tzinfo | None) -> None:
        self._session = session
        self._tracker = tracker
        self._zone = zone

    # -- orders ----------------------------------------------------------------------------------------------------

    def send_new_order(
        self,
        client_id: str | int | None,
        exchange: Exchange,
        instrument_id: Any = None,
        side: Side | None = None,
        price: Any = None,
        qty: Any = None,
        exec_instr: ExecInstructions = ExecInstructions.Unset,
        ord_type: OrderType = OrderType.Limit,
        time_in_force: TIF = TIF.GTC,
        close_position: bool = False,
        *,
        symbol: Any = None,
        stop_price: Any = None,
    ) -> Any:
        session = self._session
        name = session.new_client_id() if client_id is None or client_id == "" else str(client_id)
        try:
            port = self._port(exchange)
            if not isinstance(client_id, (str, int, NoneType)):
                raise Refused(GtwRejectCode.InvalidRequest, f"a client id is a str, an int or None, not {client_id!r}")
            instrument = self._instrument(port, symbol if instrument_id is None else instrument_id)
            order = self._order(
                name,
                port,
                instrument,
                side,
                price,
                qty,
                exec_instr,
                ord_type,
                time_in_force,
                close_position,
                stop_price,
            )
        except Refused as refused:
            self._refuse_order("on_new_order_reject", "reject", exchange, name, refused)
        else:
            session.orders[name] = session.open[name] = order
            port.new_order(order)
        if client_id.__class__ is int and 0 <= client_id < _LONG_NUMBER:
            return client_id
        return int(name) if name.isdecimal() and len(name) < LONG_ID and name == str(int(name)) else name

    def _order(
        self,
        name: str,
        port: Port,
        instrument: Instrument,
        side: Any,
        price: Any,
        qty: Any,
        exec_instr: Any,
        ord_type: Any,
        tif: Any,
        close_position: bool,
        stop_price: Any,
    ) -> TrackedOrder:
        if name in self._session.orders:
            raise Refused(GtwRejectCode.DuplicateClientId, f"client id {name} was used before in this session")
        if ord_type.__class__ is not OrderType:
            ord_type = _member(OrderType, ord_type, _LIMIT)
        if ord_type is _UNSET:
            ord_type = _LIMIT
        trigger = None
        if ord_type in _STOPS:
            trigger = _ticks(instrument, price if stop_price is None else stop_price, "stop price")
        elif stop_price not in _MARKET_PRICE:
            raise Refused(GtwRejectCode.InvalidRequest, f"stop price {stop_price!r}: a {ord_type.name} order has none")
        ticks = _ticks(instrument, price, "price") if ord_type in _PRICED else 0
        lots = 0 if close_position and qty in _MARKET_PRICE else _lots(instrument, qty)
        return TrackedOrder(
            self._tracker.next_wire_id(),
            name,
            self._session,
            port.account,
            instrument,
            _SIGNS[side if side.__class__ is Side else _member(Side, side, None)],
            ord_type,
            tif if tif.__class__ is TIF else _member(TIF, tif, TIF.GTC),
            exec_instr
            if exec_instr.__class__ is ExecInstructions
            else _member(ExecInstructions, exec_instr, ExecInstructions.Unset),
            ticks,
            lots,
            trigger,
            bool(close_position),
            self._session.clock.now,
        )

    def send_modify_order(
        self, exchange: Exchange, client_ord_id: str | int, new_price: Any = None, new_qty: Any = None
    ) -> None:
        name = str(client_ord_id)
        try:
            port = self._port(exchange)
            order = self._known(name, port)
            price = None if new_price in (None, "") else _ticks(order.instrument, new_price, "price")
            qty = None if new_qty in (None, "") else _lots(order.instrument, new_qty)
            if price is None and qty is None:
                raise Refused(GtwRejectCode.InvalidRequest, "a modification needs a new price or a new quantity")
        except Refused as refused:
            self._refuse_order("on_modify_order_reject", "modify_reject", exchange, name, refused)
        else:
            port.modify_order(order, price, qty)

    def send_cancel_order(self, exchange: Exchange, instrument_id: Any, client_ord_id: str | int) -> None:
        name = str(client_ord_id)
        try:
            port = self._port(exchange)
            order = self._known(name, port)
        except Refused as refused:
            self._refuse_order("on_cancel_order_reject", "cancel_reject", exchange, name, refused)
        else:
            port.cancel_order(order)

    def send_cancel_all(self, exchange: Exchange, instrument_id: Any) -> None:
        try:
            port = self._port(exchange)
            instrument = self._instrument(port, instrument_id)
        except Refused as refused:
            if refused.code in (GtwRejectCode.StrategyStopped, GtwRejectCode.NotLoggedIn):
                self._refuse(exchange, refused, "CancelAll")
            else:
                self._later("on_cancel_all_reject", exchange, instrument_id, refused.code, refused.reason)
        else:
            port.cancel_all(self._session, instrument)

    # -- questions -------------------------------------------------------------------------------------------------

    def fetch_order_status(self, exchange: Exchange, instrument_id: Any, client_ord_id: str | int) -> None:
        def ask(port: Port) -> None:
            order = self._known(str(client_ord_id), port)
            port.ask(self._session, order, lambda number: port.gateway.fetch_order_status(number, order))

        self._question(exchange, "OrderStatus", ask)

    def fetch_orders_info(self, exchange: Exchange, instrument_id: Any = None) -> None:
        def ask(port: Port) -> None:
            instrument = None if instrument_id is None else self._instrument(port, instrument_id)
            port.ask(self._session, None, lambda number: port.gateway.fetch_orders_info(number, instrument))

        self._question(exchange, "OrdersInfo", ask)

    def fetch_position_info(self, exchange: Exchange, instrument_id: Any) -> None:
        self._ask_of_instrument(exchange, instrument_id, "PositionInfo", Gateway.fetch_position_info.__name__)

    def fetch_funding_info(self, exchange: Exchange, instrument_id: Any) -> None:
        self._ask_of_instrument(exchange, instrument_id, "FundingInfo", Gateway.fetch_funding_info.__name__)

    def fetch_wallet_info(self, exchange: Exchange, coin: str) -> None:
        def ask(port: Port) -> None:
            if not isinstance(coin, str):
                raise Refused(GtwRejectCode.InvalidRequest, f"a coin is a text such as BTC, not {coin!r}")
            port.ask(self._session, coin, lambda number: port.gateway.fetch_wallet_info(number, coin))

        self._question(exchange, "WalletInfo", ask)

    def fetch_account_info(self, exchange: Exchange) -> None:
        self._question(
            exchange, "AccountInfo", lambda port: port.ask(self._session, None, port.gateway.fetch_account_info)
        )

    def _ask_of_instrument(self, exchange: Exchange, key: Any, request_type: str, method: str) -> None:
        def ask(port: Port) -> None:
            instrument = self._instrument(port, key)
            port.ask(self._session, instrument, lambda number: getattr(port.gateway, method)(number, instrument))

        self._question(exchange, request_type, ask)

    def _question(self, exchange: Exchange, request_type: str, ask: Callable[[Port], None]) -> None:
        try:
            ask(self._port(exchange))
        except Refused as refused:
            self._refuse(exchange, refused, request_type)

    # -- market data and connections -------------------------------------------------------------------------------

    def subscribe_to_market_data(self, exchange: Exchange, instruments: Any, md_subs: Any) -> None:
        try:
            port = self._port(exchange)
            kinds = {_member(MDSub, each, None) for each in _several(md_subs)}
            wanted = [self._instrument(port, each) for each in _several(instruments)]
        except Refused as refused:
            self._refuse(exchange, refused, "SubscribeMarketData")
            return
        feed = self._session.feeds[port.exchange]
        if MDSub.OrderBook in kinds and not all(feed.feed(each).has_orders for each in wanted):
            self._later("on_unsupported_op", port.exchange, "MDSub.OrderBook")
            kinds.discard(MDSub.OrderBook)
        if kinds:
            more = feed.subscribe(self._session, {instrument: set(kinds) for instrument in wanted})
            self._session.subscription_changed(port.exchange, more)

    def unsubscribe_from_market_data(self, exchange: Exchange, instruments: Any, md_subs: Any = None) -> None:
        try:
            port = self._port(exchange)
            kinds = {_member(MDSub, each, None) for each in _several(list(MDSub) if md_subs is None else md_subs)}
            unwanted = {self._instrument(port, each): kinds for each in _several(instruments)}
        except Refused as refused:
            self._refuse(exchange, refused, "UnsubscribeMarketData")
        else:
            self._session.feeds[port.exchange].unsubscribe(self._session, unwanted)

    def request_execution_connection(self, exchange: Exchange, instruments: Any = None) -> None:
        try:
            port = self._port(exchange)
            for each in _several(instruments):
                self._instrument(port, each)
        except Refused as refused:
            self._refuse(exchange, refused, "ExecutionConnection")
        else:
            self._session.connection_asked(port.exchange)

    # -- framework -------------------------------------------------------------------------------------------------

    def login(self, strat_name: str) -> None:
        self._session.login(strat_name)

    def send_stop_ack(self) -> None:
        self._session.stop_ack()

    def setup_timer(self, duration_ms: float, callback_func: Callable[[], Any]) -> None:
        _callable("setup_timer", callback_func)
        try:
            duration = round(float(duration_ms) * MS)
        except (TypeError, ValueError, OverflowError):
            duration = 0
        if not 0 < duration < NEVER:
            raise ValueError(f"setup_timer: the duration must be a number of milliseconds over 0, not {duration_ms!r}")
        self._session.add_timer(duration, callback_func)

    def setup_daily_callback(self, hh_mm_ss: str, callback_func: Callable[[], Any]) -> None:
        _callable("setup_daily_callback", callback_func)
        self._session.add_daily(DailyTime.parse(hh_mm_ss, self._zone), callback_func)

    def add_cmd_hook(self, cmd_name_str: str, callback_func: Callable[[Any], Any]) -> None:
        _callable("add_cmd_hook", callback_func)
        if not isinstance(cmd_name_str, str) or not cmd_name_str.strip():
            raise ValueError(f"add_cmd_hook: a command needs a name, not {cmd_name_str!r}")
        self._session.add_hook(cmd_name_str, callback_func)

    def publish_telegram(self, msg: Any) -> None:
        self._session.publish(str(msg))

    # -- what was meant --------------------------------------------------------------------------------------------

    def _port(self, exchange: Any) -> Port:
        phase = self._session.phase
        if phase not in _ACCEPTING:
            if phase in (Phase.CREATED, Phase.CONNECTED):
                raise Refused(GtwRejectCode.NotLoggedIn, "no request before login")
            raise Refused(
                GtwRejectCode.StrategyStopped, "the strategy is stopped: no request until it is started again"
            )
        ports = self._session.ports
        found = exchange if exchange.__class__ is Exchange else _exchange(exchange)
        port = None if found is None else ports.get(found)
        if port is None:
            known = ", ".join(each.name for each in ports)
            raise Refused(
                GtwRejectCode.UnknownExchange, f"{exchange} is not configured for this strategy (it has {known})"
            )
        return port

    def _instrument(self, port: Port, key: Any) -> Instrument:
        found = self._session.universe.find(port.exchange, key)
        if found is None:
            raise Refused(GtwRejectCode.UnknownInstrument, f"no instrument {key!r} on {port.exchange.name}")
        return found

    def _known(self, name: str, port: Port) -> TrackedOrder:
        order = self._session.orders.get(name)
        if order is None:
            known = ": it ended long ago" if name in self._session.orders else ""
            raise Refused(GtwRejectCode.UnknownOrder, f"no order with client id {name}{known}")
        if order.instrument.venue is not port.exchange:
            there = f"{order.instrument.venue.name}, not on {port.exchange.name}"
            raise Refused(GtwRejectCode.UnknownOrder, f"the order with client id {name} is on {there}")
        return order

    def _refuse_order(self, callback: str, kind: str, exchange: Any, name: str, refused: Refused) -> None:
        if refused.code in (GtwRejectCode.StrategyStopped, GtwRejectCode.NotLoggedIn, GtwRejectCode.UnknownExchange):
            self._refuse(
                exchange, refused, {"reject": "NewOrder", "modify_reject": "ModifyOrder"}.get(kind, "CancelOrder")
            )
            return
        port = self._port(exchange)
        port.record(kind, None, (self._session.name, name, refused.code.name, refused.reason))
        self._later(callback, port.exchange, name, refused.code, refused.reason)

    def _refuse(self, exchange: Any, refused: Refused, request_type: str) -> None:
        self._later("on_request_reject", exchange, refused.code, refused.reason, request_type)

    def _later(self, callback: str, *args: Any) -> None:
        self._session.clock.call_soon(self._session.call, callback, *args)


def _exchange(value: Any) -> Exchange | None:
    """The exchange that goes by this number or name; None if there is none."""
    try:
        found: Exchange = _member(Exchange, value, None)
    except Refused:
        return None
    return found


def _callable(method: str, callback: Any) -> None:
    """Raise TypeError for what cannot be called back."""
    if not callable(callback):
        raise TypeError(f"{method}: the callback must be callable, not {callback!r}")
    if iscoroutinefunction(callback):
        raise TypeError(f"{method}: the callback must be a plain function, not the async def {callback!r}")


def _member(enumeration: Any, value: Any, default: Any) -> Any:
    """The member that `value` is, by value or by name; `default` stands for None where there is one."""
    if value is None and default is not None:
        return default
    try:
        return enumeration(value)
    except ValueError:
        names = ", ".join(each.name for each in enumeration)
        raise Refused(GtwRejectCode.InvalidRequest, f"{value!r} is no {enumeration.__name__}: one of {names}") from None


def _ticks(instrument: Instrument, price: Any, what: str) -> int:
    try:
        return instrument.price_scale.steps(price)
    except NotOnStep as error:
        raise Refused(GtwRejectCode.PriceNotOnTick, f"{what}: {error} of {instrument.name}") from None
    except (TypeError, ValueError) as error:
        raise Refused(GtwRejectCode.InvalidPrice, f"{what}: {error}") from None


def _lots(instrument: Instrument, qty: Any) -> int:
    try:
        return instrument.qty_scale.steps(qty)
    except NotOnStep as error:
        raise Refused(GtwRejectCode.QtyNotOnLot, f"quantity: {error} of {instrument.name}") from None
    except (TypeError, ValueError) as error:
        raise Refused(GtwRejectCode.InvalidQty, f"quantity: {error}") from None


def _several(things: Any) -> Iterable[Any]:
    """One thing or several, as a list."""
    if things is None:
        return []
    if isinstance(things, (str, bytes, Instrument)) or not isinstance(things, Iterable):
        return [things]
    return list(things)
