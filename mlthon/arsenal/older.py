"""The platform's older form of strategies: `trade(self, information)` returns a list of orders.

    {"exchange": "Binance", "pair": "BTC-USDT", "type": "LIMIT", "amount": -0.1, "price": 30000}

A positive amount buys and a negative one sells; at market any price will do. On futures, of which that form knows
nothing, buying closes the short position before it opens a long one, and selling the reverse.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict

from mlthon.arsenal.market import Pair
from mlthon.arsenal.orders import OVER, OrderView
from mlthon.arsenal.wishes import Action, ArgumentError, Wish, number, shown, text_or_none, wish_of
from mlthon.basics.money import UNIT

if TYPE_CHECKING:
    from mlthon.arsenal.strategy import ArsenalStrategy

_LONGEST_LINE: Final = 200
_ZERO: Final = re.compile(r"[-+]?0*\.?0+(e[-+]?\d+)?")
_BUYING: Final = ("buy", "open_long", "close_short")


class Older:
    """What such a strategy is given."""

    @staticmethod
    def prepare(user: Any, options: Mapping[str, str]) -> None:
        """Set its options; one that has no `self[...]` of its own has none."""
        if hasattr(user, "__setitem__"):
            if not isinstance(getattr(user, "options", None), dict):
                user.options = {}
            for name, value in options.items():
                user[name] = value

    @staticmethod
    def information(strategy: "ArsenalStrategy", candles: Any) -> dict[str, Any]:
        """`information` of `trade`; the balances are `self["assets"]` too."""
        assets: dict[str, dict[str, float]] = {}
        for (venue, coin), (_, available) in strategy.frozen.wallets.items():
            for pair in strategy.pairs:
                if pair.instrument.venue is venue:
                    assets.setdefault(pair.exchange, {})[coin] = available / UNIT
        for pair in strategy.pairs:
            if not pair.spot:
                _as_assets(assets.setdefault(pair.exchange, {}), pair, strategy.holdings[pair].net)
        if hasattr(strategy.user, "__setitem__"):
            strategy.user["assets"] = assets
        orders = [order_dict(each) for each in strategy.order_views(None, 100) if each.status not in OVER]
        books = {} if strategy.backtest else _books(strategy.pairs)
        return {"candles": candles, "orders": orders, "orderBooks": books, "assets": assets}


def _as_assets(assets: dict[str, float], pair: Pair, net: int) -> None:
    """What that form knows of a futures account: beside the coin it settles in, the position as if it were the base
    currency held (a short one negative), so that selling what is held closes it."""
    for coin in (pair.base, pair.quote):
        assets.setdefault(coin, 0.0)
    if pair.base != pair.contract.coin:
        assets[pair.base] += pair.amount(net, pair.mark())


def _books(pairs: list[Pair]) -> dict[str, Any]:
    """The best price of each side."""
    found: dict[str, Any] = {}
    for pair in pairs:
        sides = {
            name: [{"price": pair.price(ticks), "count": 1, "amount": 0.0}] if ticks is not None else []
            for name, ticks in (("asks", pair.touch(1)), ("bids", pair.touch(-1)))
        }
        found.setdefault(pair.exchange, {})[pair.name] = sides
    return found


def order_dict(order: OrderView) -> dict[str, Any]:
    """An order as that form has it: the sign of the amount is the side."""
    sign = 1 if order.action in _BUYING else -1
    found = asdict(order) | {"orderId": order.id, "status": str(order.status)}
    return found | {"amount": sign * order.amount, "amount_filled": sign * order.amount_filled}


def wish_of_row(row: Any, strategy: "ArsenalStrategy") -> Wish | None:
    """An order of the returned list; None for an amount of 0, as of a currency of which nothing is held. Raises
    `ArgumentError`."""
    if not isinstance(row, Mapping):
        raise ArgumentError("trade", f"returned {shown(row)}, which is no order: a dict is needed")
    names = {"exchange": text_or_none(row.get("exchange"), "exchange"), "pair": text_or_none(row.get("pair"), "pair")}
    pair = strategy.find_pair(names["exchange"], names["pair"])
    amount = row.get("amount")
    text = str(amount).strip()
    if _ZERO.fullmatch(text):
        return None
    selling = text.startswith("-")
    size = number(text[1:] if selling else text if amount is not None else None, "amount")
    if size is None:
        raise ArgumentError("amount", "an order needs one")
    if selling and pair.spot and row.get("margin") is True and size > _available(pair, strategy):
        raise ArgumentError("margin", "selling short on borrowed coins is not possible here: trade a futures pair")
    kind = str(row.get("type", "MARKET")).upper()
    if kind not in ("MARKET", "LIMIT"):
        raise ArgumentError("type", f"{shown(row.get('type'))} is neither MARKET nor LIMIT")
    limit = number(row.get("price"), "price") if kind == "LIMIT" else None
    if kind == "LIMIT" and limit is None:
        raise ArgumentError("price", "a LIMIT order needs one")
    return wish_of(_action(pair, strategy, selling), **names, limit=limit, amount=size)  # type: ignore[arg-type]


def _available(pair: Pair, strategy: "ArsenalStrategy") -> Decimal:
    """What there is of the base currency."""
    _, available = strategy.frozen.wallets.get((pair.instrument.venue, pair.base), (0, 0))
    return Decimal(available) / UNIT


def _action(pair: Pair, strategy: "ArsenalStrategy", selling: bool) -> Action:
    if pair.spot:
        return Action.SELL if selling else Action.BUY
    held = strategy.holdings[pair]
    if selling:
        return Action.CLOSE_LONG if held.lots(1) else Action.OPEN_SHORT
    return Action.CLOSE_SHORT if held.lots(-1) else Action.OPEN_LONG


def older_globals(strategy: "ArsenalStrategy") -> dict[str, Any]:
    """`Log`, `LogError`, `CancelOrder`, `CAStorage`, `GetLastOrderSnapshot`."""
    ca = strategy.ca

    def log(message: Any = "") -> None:
        ca.log(str(message)[:_LONGEST_LINE])

    def log_error(message: Any = "") -> None:
        ca.log(f"error: {str(message)[:_LONGEST_LINE]}")

    def last_order() -> dict[str, Any]:
        """The order that was placed last, filled or not; empty where none was."""
        ticket = strategy.tickets.find(strategy.last_ordered or "")
        if ticket is None:
            return {}
        shown = order_dict(ticket.view())
        return {key: shown[key] for key in ("exchange", "pair", "amount", "price", "type")}

    return {
        "Log": log,
        "LogError": log_error,
        "CancelOrder": ca.cancel_order,
        "CAStorage": Storage(strategy),
        "GetLastOrderSnapshot": last_order,
    }


class Storage:
    """`CAStorage`: called as `CA.storage` is, or read and set by key, or with `get` and `set`."""

    def __init__(self, strategy: "ArsenalStrategy") -> None:
        self._strategy = strategy

    def __call__(self, key: Any, *value: Any) -> Any:
        return self._strategy.ca.storage(key, *value)

    def __getitem__(self, key: Any) -> Any:
        return self(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self(key, value)

    def get(self, key: Any, default: Any = None) -> Any:
        found = self(key)
        return default if found is None else found

    def set(self, key: Any, value: Any) -> None:
        self(key, value)

    def __repr__(self) -> str:
        kept = {key: json.loads(value) for key, value in self._strategy.state.items("storage/")}
        return f"CAStorage({kept})"
