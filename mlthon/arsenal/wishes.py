"""What is to be ordered, checked: the arguments of `CA.place_order` and of a signal become a `Wish`.

Numbers may be numbers or text; None and empty text are "not given". Actions may be written `open_long` or `openLong`.
Of amount, percent and notional the first that is given counts; with none of them it is 100 percent. Whatever is wrong
is an `ArgumentError` that names the argument.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from attrs import evolve, frozen

from mlthon.basics.money import DIGITS, WHOLE_DIGITS, to_decimal
from mlthon.errors import near

LONGEST_ID: Final = 64
"""Characters that a client order id may have."""
MOST_CHILDREN: Final = 10
DEEPEST: Final = 3
"""How many generations of child orders there may be."""
_LONGEST_SHOWN: Final = 60
HUNDRED: Final = Decimal(100)
MOST_LEVERAGE: Final = 1000
"""What `leverage` may be at most. An open of futures may be of so many times 100 percent; with the leverage that there
is, `mlthon.arsenal.placing` says how much."""


class ArgumentError(ValueError):
    """An argument that cannot be used; `argument` is its name, `text` what is wrong with it."""

    def __init__(self, argument: str, text: str) -> None:
        super().__init__(f"{argument}: {text}")
        self.argument = argument
        self.text = text


class Action(Enum):
    """What an order does. `side` is +1 to buy and -1 to sell; `leg` +1 for the long position, -1 for the short one, 0
    for spot; `opens`: whether it needs funds (else it needs what is held)."""

    side: int
    leg: int
    opens: bool

    def __new__(cls, text: str, side: int, leg: int, opens: bool) -> "Action":
        member = object.__new__(cls)
        member._value_ = text
        member.side = side
        member.leg = leg
        member.opens = opens
        return member

    BUY = "buy", 1, 0, True
    SELL = "sell", -1, 0, False
    OPEN_LONG = "open_long", 1, 1, True
    CLOSE_LONG = "close_long", -1, 1, False
    OPEN_SHORT = "open_short", -1, -1, True
    CLOSE_SHORT = "close_short", 1, -1, False

    @property
    def spot(self) -> bool:
        return self.leg == 0


_TEXTS: Final = (
    "exchange",
    "pair",
    "limit",
    "amount",
    "percent",
    "notional",
    "client_order_id",
    "profit",
    "loss",
)
ACTIONS: Final = {each.value: each for each in Action}


@frozen(kw_only=True)
class Wish:
    """One order as it was asked for. `exchange`, `pair`: as the strategy calls them, None for the run's own. `limit`
    None: a market order. `profit`, `loss`: trigger prices of the orders that protect what this one opens. `children`
    are placed when it is filled."""

    action: Action
    exchange: str | None = None
    pair: str | None = None
    limit: Decimal | None = None
    amount: Decimal | None = None
    percent: Decimal | None = None
    notional: Decimal | None = None
    client_order_id: str | None = None
    profit: Decimal | None = None
    loss: Decimal | None = None
    children: tuple["Wish", ...] = ()

    def dump(self) -> dict[str, Any]:
        """As the arguments of `wish_of`, in text."""
        found = {name: str(getattr(self, name)) for name in _TEXTS if getattr(self, name) is not None}
        children = {
            "conditional_order_type": "OTO",
            "child_conditional_orders": [each.dump() for each in self.children],
        }
        return {"action": self.action.value, **found, **(children if self.children else {})}


def number(value: Any, name: str) -> Decimal | None:
    """A number above 0, exactly; None where nothing is given. Numbers of numpy and the like count as what they print
    as. Raises `ArgumentError`."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool):
        raise ArgumentError(name, f"{value!r} is no number")
    if isinstance(value, str):
        value = value.strip()
    elif isinstance(value, float):  # numpy's float64 too
        value = float(value)
    try:
        if not isinstance(value, str | int | float | Decimal) and hasattr(value, "item"):
            value = value.item()
        found = to_decimal(value)
    except (TypeError, ValueError):
        raise ArgumentError(name, f"{shown(value)} is no number") from None
    if found <= 0:
        raise ArgumentError(name, f"{shown(value)} is not above 0")
    if found.adjusted() >= WHOLE_DIGITS or found.adjusted() < -DIGITS:
        raise ArgumentError(name, f"{shown(value)} is too large or too small to be meant")
    return found


def percentage(value: Any, name: str, most: Decimal = HUNDRED) -> Decimal | None:
    """A number above 0 and at most `most`, None where nothing is given. Raises `ArgumentError`."""
    found = number(value, name)
    if found is not None and found > most:
        raise ArgumentError(name, f"{shown(value)} is above {most}")
    return found


def text_id(value: Any, name: str) -> str | None:
    """A client order id; None where nothing is given. Raises `ArgumentError`."""
    if value is None or (isinstance(value, str) and not value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ArgumentError(name, f"a client order id is text, not {shown(value)}")
    text = value if isinstance(value, str) else shown(value)
    if len(text) > LONGEST_ID or not text.isprintable() or not text.strip():
        raise ArgumentError(name, f"{shown(value)} is no client order id: 1 to {LONGEST_ID} printable characters")
    return text


def action_of(value: Any, name: str = "action") -> Action:
    """An action in either spelling. Raises `ArgumentError`."""
    if isinstance(value, Action):
        return value
    if not isinstance(value, str):
        raise ArgumentError(name, f"{shown(value)} is no action: one of {', '.join(ACTIONS)}")
    found = ACTIONS.get(re.sub(r"(?<=[a-z])([A-Z])", r"_\1", value.strip()).lower())
    if found is None:
        raise ArgumentError(
            name, f"{shown(value)} is no action{near(value[:40], ACTIONS)}; one of {', '.join(ACTIONS)}"
        )
    return found


def wish_of(
    action: Any,
    *,
    exchange: str | None = None,
    pair: str | None = None,
    limit: Any = None,
    amount: Any = None,
    percent: Any = None,
    notional: Any = None,
    client_order_id: Any = None,
    profit: Any = None,
    loss: Any = None,
    conditional_order_type: Any = None,
    child_conditional_orders: Any = None,
    where: str = "",
) -> Wish:
    """A checked wish. `where` begins the name of an argument in errors. Raises `ArgumentError`."""
    done = action_of(action, f"{where}action")
    leveraged = done.opens and not done.spot
    found = Wish(
        action=done,
        exchange=exchange,
        pair=pair,
        limit=number(limit, f"{where}limit"),
        amount=number(amount, f"{where}amount"),
        percent=percentage(percent, f"{where}percent", HUNDRED * MOST_LEVERAGE if leveraged else HUNDRED),
        notional=number(notional, f"{where}notional"),
        client_order_id=text_id(client_order_id, f"{where}client_order_id"),
        profit=number(profit, f"{where}profit"),
        loss=number(loss, f"{where}loss"),
        children=_children(conditional_order_type, child_conditional_orders, exchange, pair, where),
    )
    return _one_size(_protected(found, where), where)


def loaded(dumped: Mapping[str, Any]) -> Wish:
    """What `Wish.dump` gave."""
    return wish_of(**dumped)


def _protected(wish: Wish, where: str) -> Wish:
    for name, price in (("profit", wish.profit), ("loss", wish.loss)):
        if price is not None and (wish.action.spot or not wish.action.opens):
            raise ArgumentError(f"{where}{name}", f"only with open_long and open_short, not with {wish.action.value}")
    if wish.profit is not None and wish.loss is not None and (wish.profit - wish.loss) * wish.action.leg <= 0:
        side = "above" if wish.action.leg > 0 else "below"
        raise ArgumentError(f"{where}profit", f"{wish.profit} is not {side} the loss price {wish.loss}")
    return wish


def _one_size(wish: Wish, where: str) -> Wish:
    """Amount beats percent beats notional; without any it is 100 percent."""
    if wish.amount is not None:
        return evolve(wish, percent=None, notional=None)
    if wish.percent is not None:
        return evolve(wish, notional=None)
    if wish.notional is None:
        return evolve(wish, percent=HUNDRED)
    if not wish.action.opens:
        raise ArgumentError(f"{where}notional", f"only with buy, open_long and open_short, not {wish.action.value}")
    return wish


_CHILD_KEYS: Final = frozenset({"action", *_TEXTS, "conditional_order_type", "child_conditional_orders"})


def _children(kind: Any, children: Any, exchange: str | None, pair: str | None, where: str) -> tuple[Wish, ...]:
    given = kind is not None and not (isinstance(kind, str) and not kind)
    if given and (not isinstance(kind, str) or kind.upper() != "OTO"):
        raise ArgumentError(f"{where}conditional_order_type", f"{shown(kind)} is not OTO, the only one there is")
    name = f"{where}child_conditional_orders"
    if children is None or (isinstance(children, Sequence) and not children):
        return ()
    if isinstance(children, str | bytes) or not isinstance(children, Sequence):
        raise ArgumentError(name, f"a list of dicts is needed, not {shown(children)}")
    if not given:
        raise ArgumentError(f"{where}conditional_order_type", "child orders need conditional_order_type='OTO'")
    if len(children) > MOST_CHILDREN:
        raise ArgumentError(name, f"more than {MOST_CHILDREN} child orders")
    if where.count("[") >= DEEPEST:
        raise ArgumentError(name, f"more than {DEEPEST} generations of child orders")
    found = []
    for place, child in enumerate(children):
        here = f"{name}[{place}]"
        if not isinstance(child, Mapping):
            raise ArgumentError(here, f"a dict is needed, not {shown(child)}")
        for key in child:
            if key not in _CHILD_KEYS:
                wrong = str(key)[:40]
                raise ArgumentError(f"{here}.{wrong}", f"there is no such argument{near(wrong, _CHILD_KEYS)}")
        arguments = {"action": None, **child}
        for key, own in (("exchange", exchange), ("pair", pair)):
            arguments[key] = text_or_none(child.get(key), f"{here}.{key}") or own
        found.append(wish_of(arguments.pop("action"), **arguments, where=f"{here}."))
    return tuple(found)


def text_or_none(value: Any, name: str) -> str | None:
    """A text; None where nothing is given. Raises `ArgumentError`."""
    if value is None or (isinstance(value, str) and not value):
        return None
    if not isinstance(value, str):
        raise ArgumentError(name, f"{shown(value)} is no text")
    return value


def shown(value: Any) -> str:
    """A value as it is shown in an error: never long."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a strategy's own object, or a number of more digits than Python prints
        text = f"a value of {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
