"""`CA`, as a strategy file knows it: what it may ask and order. One for each strategy.

What cannot be is an exception that names the argument, and a line in the log. Balances, positions and orders are those
of the moment when the callback began; what it orders shows from the next one on.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar, cast

from attrs import frozen

from mlthon.arsenal.market import ExchangeName
from mlthon.arsenal.orders import OrderStatus as Status
from mlthon.arsenal.orders import OrderType as Kind
from mlthon.arsenal.orders import OrderView
from mlthon.arsenal.pages import REQUESTS, Page, RequestFailed, page_request
from mlthon.arsenal.wishes import Action, ArgumentError, number, shown, text_id, text_or_none, wish_of
from mlthon.basics.money import UNIT
from mlthon.errors import near

if TYPE_CHECKING:
    from mlthon.arsenal.market import Pair
    from mlthon.arsenal.strategy import ArsenalStrategy

P = ParamSpec("P")
R = TypeVar("R")

MOST_HISTORY: Final = 5000
"""Candles that `get_history_candles` gives at most."""
DEFAULT_LIMIT: Final = 100
LONGEST_KEY: Final = 1000
_NOTHING: Final = object()
INSTEAD: Final = {
    "get_source": "the vendor keeps models for strategies and documents nothing of them; put the file beside the "
    "strategy's and read it in __init__ from Path(__file__).with_name(NAME)"
}
"""What a strategy does here in place of members that are seen in strategies and cannot be had."""
DIGITS: Final = 10
"""Of average prices behind the point: more is a float's noise."""


class ExchangePair(NamedTuple):
    exchange: ExchangeName
    pair: str
    base: str
    quote: str


@frozen
class Balance:
    """`locked`: what open orders and positions hold."""

    exchange: ExchangeName
    currency: str
    available: float
    total: float

    @property
    def locked(self) -> float:
        return self.total - self.available


@frozen(kw_only=True)
class PositionView:
    """A position: sizes in the base currency, never negative; `margin` and `profit_and_loss` in the settlement coin;
    `liquidation_price` 0 where the exchange tells none."""

    exchange: ExchangeName
    pair: str
    position_side: str
    total_size: float
    available_size: float
    entry_price: float
    mark_price: float
    margin: float
    liquidation_price: float
    profit_and_loss: float


def told(
    method: Callable[Concatenate["Arsenal", P], R], names: Sequence[str] = ()
) -> Callable[Concatenate["Arsenal", P], R]:
    """A method of `CA` whose complaints are logged too; arguments that it does not have are such a complaint. `names`:
    its arguments, where its signature does not tell them."""
    names = names or list(signature(method).parameters)[1:]

    @wraps(method)
    def call(self: "Arsenal", *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            _fits(names, args, kwargs)
            return method(self, *args, **kwargs)
        except (ArgumentError, RuntimeError, RequestFailed) as error:
            self._strategy.say(f"CA.{method.__name__}: {error}", logging.ERROR)
            raise

    return cast(Callable[Concatenate["Arsenal", P], R], call)


def _fits(names: Sequence[str], args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Raises `ArgumentError`."""
    if len(args) > len(names):
        raise ArgumentError(
            names[-1] if names else "arguments", f"there are {len(args)} arguments, at most {len(names)}"
        )
    for name in kwargs:
        if name not in names:
            raise ArgumentError(name[:40], f"there is no such argument{near(name[:40], names)}")
    for name in names[: len(args)]:
        if name in kwargs:
            raise ArgumentError(name, "it is given twice, by position and by name")


def _simply(action: Action) -> Callable[..., OrderView | None]:
    """A method that orders an amount, at market or at a price."""

    def order(
        self: "Arsenal",
        exchange: Any = None,
        pair: Any = None,
        amount: Any = None,
        order_type: Any = None,
        price: Any = None,
    ) -> OrderView | None:
        kind = "MARKET" if order_type is None else str(order_type).upper()
        if kind not in ("MARKET", "LIMIT"):
            raise ArgumentError("order_type", f"{shown(order_type)} is neither MARKET nor LIMIT")
        if number(amount, "amount") is None:
            raise ArgumentError("amount", "a number is needed")
        if kind == "LIMIT" and number(price, "price") is None:
            raise ArgumentError("price", "a LIMIT order needs one")
        wish = wish_of(
            action,
            exchange=text_or_none(exchange, "exchange"),
            pair=text_or_none(pair, "pair"),
            limit=price if kind == "LIMIT" else None,
            amount=amount,
        )
        return self._strategy.order(wish)

    order.__name__ = action.value
    return told(order)


def _asking(method: str, *positional: str) -> Callable[..., Page]:
    """A method that sends a request and gives what is answered, for which the callback waits. It raises
    `RequestFailed`, an OSError; what failed may have been carried out all the same."""
    names = ["url", *positional, *(each for each in REQUESTS if each not in positional)]

    def ask(self: "Arsenal", *args: Any, **kwargs: Any) -> Page:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        return self._strategy.page(page_request(method, **given))

    ask.__name__ = f"{method.lower()}_request"
    return told(ask, names)


class Arsenal:
    """See the module. Its name in a strategy is `CA`."""

    class PositionSide(StrEnum):
        LONG = "LONG"
        SHORT = "SHORT"

    class LogType(StrEnum):
        DEBUG = "DEBUG"
        INFO = "INFO"
        NOTICE = "NOTICE"

    OrderStatus = Status
    OrderType = Kind

    def __init__(self, strategy: "ArsenalStrategy") -> None:
        self._strategy = strategy

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            self._strategy.say(missing_member(name), logging.ERROR)
        raise AttributeError(missing_member(name))

    # -- telling -----------------------------------------------------------------------------------------------------

    def log(self, message: Any = "", log_type: Any = None) -> None:
        """A line in the strategy's log; of type DEBUG only with the option IS_DEBUG."""
        try:
            text = str(message)
        except Exception:  # noqa: BLE001 - whatever it is, a log must not fail for it
            text = shown(message)
        self._strategy.log(text, debug=isinstance(log_type, str) and log_type.upper() == "DEBUG")

    # -- asking ------------------------------------------------------------------------------------------------------

    def get_exchange_pair(self) -> ExchangePair:
        pair = self._strategy.pairs[0]
        return ExchangePair(pair.exchange, pair.name, pair.base, pair.quote)

    def get_exchange(self) -> ExchangeName:
        """The exchange: its name, which is its `.name` too."""
        return self._strategy.pairs[0].exchange

    def get_leverage(self) -> float:
        """The option `leverage`: an int, as documented, where it is whole."""
        leverage = self._strategy.settings.leverage
        return int(leverage) if leverage.denominator == 1 else float(leverage)

    @told
    def get_balance(self, exchange: Any = None, currency: Any = None) -> Balance:
        """0 of a currency that is neither of the pair's nor what it settles in."""
        strategy = self._strategy
        pair = strategy.find_pair(text_or_none(exchange, "exchange"), None)
        venue = pair.instrument.venue
        name = text_or_none(currency, "currency")
        if name is None:
            raise ArgumentError("currency", "a currency is needed, such as USDT")
        total, available = strategy.seen.frozen.wallets.get((venue, name.upper()), (0, 0))
        return Balance(pair.exchange, name.upper(), available / UNIT, total / UNIT)

    @told
    def get_position(self, exchange: Any = None, pair: Any = None, position_side: Any = None) -> PositionView | None:
        """None where there is none, and on spot."""
        strategy = self._strategy
        market = strategy.find_pair(text_or_none(exchange, "exchange"), text_or_none(pair, "pair"))
        side = str(position_side).upper()
        if side not in ("LONG", "SHORT"):
            raise ArgumentError("position_side", f"{shown(position_side)} is neither LONG nor SHORT")
        return self._position(market, 1 if side == "LONG" else -1)

    def _position(self, market: "Pair", leg: int) -> PositionView | None:
        strategy = self._strategy
        held = strategy.seen.holdings[market]
        lots = held.lots(leg)
        if not lots:
            return None
        position, funds = held.position(leg), strategy.funds(market)
        detail = strategy.seen.frozen.positions.get(market)
        mark = market.mark()
        alone = detail is not None and detail.lots == leg * lots
        entry = held.entry(leg)
        unit = market.contract.unit_value(mark) if mark else 0
        return PositionView(
            exchange=market.exchange,
            pair=market.name,
            position_side="LONG" if leg > 0 else "SHORT",
            total_size=market.amount(lots, entry),
            available_size=market.amount(funds.long if leg > 0 else funds.short, entry),
            entry_price=round(position.entry_price, DIGITS),
            mark_price=detail.mark if detail is not None and detail.mark else market.price(mark),
            margin=abs(position.cost) / UNIT / float(strategy.settings.leverage),
            liquidation_price=(detail.liquidation or 0.0) if detail is not None and alone else 0.0,
            profit_and_loss=position.unrealised(unit) / UNIT if unit else 0.0,
        )

    @told
    def get_history_candles(self, length: Any = None, period: Any = None, is_reverse: Any = False) -> Any:
        """Only in `__init__`: by exchange and pair the last `length` candles of `period` seconds that are over, oldest
        first, or newest first where `is_reverse`."""
        count = number(length, "length")
        seconds = number(period, "period")
        if count is None or count != int(count) or count > MOST_HISTORY:
            raise ArgumentError("length", f"{shown(length)} is no whole number from 1 to {MOST_HISTORY}")
        if seconds is None or seconds != int(seconds) or int(seconds) % 60:
            raise ArgumentError("period", f"{shown(period)} is no whole number of minutes, in seconds")
        found = self._strategy.history_candles(int(count), int(seconds))
        if is_reverse:
            found = {exchange: {pair: rows[::-1] for pair, rows in each.items()} for exchange, each in found.items()}
        return found

    @told
    def get_orders(self, status: Any = None, limit: Any = DEFAULT_LIMIT) -> list[OrderView]:
        """The strategy's orders of this status (all where it is None), the newest first."""
        wanted = None
        given = text_or_none(status, "status")
        if given is not None:
            if given.upper() not in Status.__members__:
                raise ArgumentError("status", f"{shown(status)} is none of {', '.join(Status.__members__)}")
            wanted = Status[given.upper()]
        most = number(limit, "limit")
        return self._strategy.order_views(wanted, DEFAULT_LIMIT if most is None else int(most))

    @told
    def storage(self, key: Any = None, value: Any = _NOTHING) -> Any:
        """What was stored under the key, None where nothing was; with a value it is stored (None: forgotten)."""
        if not isinstance(key, str) or not key or len(key) > LONGEST_KEY or not _can_be_written(key):
            raise ArgumentError("key", f"{shown(key)} is no text of 1 to {LONGEST_KEY} characters")
        state, name = self._strategy.state, f"storage/{key}"
        if value is _NOTHING:
            kept = state.get(name)
            return None if kept is None else json.loads(kept)
        try:
            state.put(name, None if value is None else json.dumps(value, default=_as_json))
        except (TypeError, ValueError) as error:
            raise ArgumentError("value", f"cannot be kept as JSON: {error}") from None
        return value

    # -- the world outside -------------------------------------------------------------------------------------------

    get_request = _asking("GET", "params")
    post_request = _asking("POST", "data", "json")

    # -- ordering ----------------------------------------------------------------------------------------------------

    @told
    def place_order(
        self,
        exchange: Any = None,
        pair: Any = None,
        action: Any = None,
        limit: Any = None,
        amount: Any = None,
        percent: Any = None,
        client_order_id: Any = None,
        profit: Any = None,
        loss: Any = None,
        conditional_order_type: Any = None,
        child_conditional_orders: Any = None,
        notional: Any = None,
    ) -> OrderView | None:
        """See `mlthon.arsenal.wishes`. None where the order comes to nothing, which the log explains."""
        wish = wish_of(
            action,
            exchange=text_or_none(exchange, "exchange"),
            pair=text_or_none(pair, "pair"),
            limit=limit,
            amount=amount,
            percent=percent,
            notional=notional,
            client_order_id=client_order_id,
            profit=profit,
            loss=loss,
            conditional_order_type=conditional_order_type,
            child_conditional_orders=child_conditional_orders,
        )
        return self._strategy.order(wish)

    buy = _simply(Action.BUY)
    sell = _simply(Action.SELL)
    open_long = _simply(Action.OPEN_LONG)
    open_short = _simply(Action.OPEN_SHORT)
    close_long = _simply(Action.CLOSE_LONG)
    close_short = _simply(Action.CLOSE_SHORT)

    @told
    def cancel_order(self, order: Any = None) -> None:
        """Cancel an order: one that `CA` gave, or its `id` or `order_id`."""
        name = order.get("orderId") or order.get("id") if isinstance(order, dict) else getattr(order, "id", order)
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise ArgumentError("order", f"{shown(order)} is no order")
        if isinstance(name, int):
            numbered = self._strategy.tickets.of_number(name)
            name = shown(name) if numbered is None else numbered.client_id
        self._strategy.cancel_named(name, "order")

    @told
    def cancel_order_by_client_order_id(self, client_order_id: Any = None) -> None:
        name = text_id(client_order_id, "client_order_id")
        if name is None:
            raise ArgumentError("client_order_id", "one is needed")
        self._strategy.cancel_named(name, "client_order_id")

    @told
    def cancel_all(self) -> None:
        """Cancel all open orders but those that protect a position."""
        self._strategy.cancel_all()


def missing_member(name: str) -> str:
    """What a user is told of a member that `CA` does not have."""
    known = [each for each in vars(Arsenal) if not each.startswith("_")]
    instead = INSTEAD.get(name)
    return f"CA.{name} is not here{near(name[:40], known) if instead is None else f': {instead}'}"


def missing_members(names: Iterable[str]) -> list[str]:
    """Those of the names that `CA` does not have."""
    return [each for each in names if not each.startswith("_") and not hasattr(Arsenal, each)]


def _can_be_written(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_json(value: Any) -> Any:
    """numpy's numbers and arrays as Python's. Raises TypeError for what is neither."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON value")
