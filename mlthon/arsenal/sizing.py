"""How much a wish is: from amount, percent or notional to whole lots, with the funds and positions of the moment.

Spot: a buy is paid with the available quote currency, a sell takes from the available base currency. Derivatives: an
open by percent is worth that share of what is available of the settlement coin (`of_margin`: takes that share of it as
margin, so it is worth leverage times as much), a close takes from its own position. What is sized by percent leaves
room for the fee, and at market for the price to move a little, so that what uses up all there is is accepted.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from attrs import frozen

from mlthon.arsenal.market import Pair
from mlthon.arsenal.wishes import Wish
from mlthon.basics.money import UNIT
from mlthon.basics.tick_format import TickFormat

ROOM: Final = Fraction(2, 1000)
"""The share by which the price may move against a market order that is sized by percent."""


NOISE: Final = Fraction(1, 10**6)
"""The part of a lot that the size of a position may lose as a float: closing all that is told of it closes all."""


class NothingToDo(Exception):
    """A wish that comes to no order; the text says why."""


@frozen(kw_only=True)
class Funds:
    """What there is for an order. `available`: by coin, in 10^-18. `long`, `short`: lots of the positions that no
    open order is about to close; `entries`: their entry prices in ticks. `fee`: what is taken of an order's value.
    `of_margin`: percentages of opens are of the margin, not of the order's value."""

    available: Mapping[str, int]
    long: int = 0
    short: int = 0
    entries: tuple[int, int] = (0, 0)
    leverage: Fraction = Fraction(1)
    fee: Fraction = Fraction(0)
    of_margin: bool = False


def most_percent(leverage: Fraction, of_margin: bool) -> Fraction:
    """The percentage at which an open of derivatives takes all there is."""
    return Fraction(100) if of_margin else 100 * leverage


def ticks_of(pair: Pair, price: object, side: int) -> int:
    """A price in whole ticks: on the passive side of what was asked (a buy below it), nearest where `side` is 0."""
    round_to = {1: TickFormat.price_down, -1: TickFormat.price_up, 0: TickFormat.price_nearest}[side]
    return round_to(price, pair.instrument.price_scale.step).units // pair.contract.tick_units  # type: ignore[arg-type]


def lots_of(wish: Wish, pair: Pair, funds: Funds) -> int:
    """The lots of the order. Raises `NothingToDo`."""
    action = wish.action
    ticks = pair.touch(action.side) if wish.limit is None else ticks_of(pair, wish.limit, action.side)
    if not ticks or ticks <= 0:
        raise NothingToDo(f"{pair.name} has no price yet")
    if action.leg and not action.opens:
        lots = _closing(wish, pair, funds, ticks)
    elif wish.percent is not None:
        lots = _share(wish, pair, funds, ticks)
    else:
        lots = int(_wanted(wish, pair, ticks))
    if lots < pair.instrument.min_lots and not (action.leg and not action.opens):
        least = pair.instrument.qty_scale.values[pair.instrument.min_lots].to_str()
        raise NothingToDo(f"it comes to less than the smallest order of {pair.name}, {least}")
    if lots <= 0:
        raise NothingToDo(f"it comes to less than one lot of {pair.name}")
    return lots


def _wanted(wish: Wish, pair: Pair, ticks: int) -> Fraction:
    """The lots of an amount of the base currency, or of a worth in the quote currency."""
    amount = Fraction(wish.amount) if wish.amount is not None else None
    if amount is None:
        price = Fraction(ticks * pair.contract.tick_units, UNIT)
        amount = Fraction(wish.notional or 0) / price
    return amount / pair.base_of_lot(ticks)


def _closing(wish: Wish, pair: Pair, funds: Funds, ticks: int) -> int:
    """An amount is of the position as strategies are told its size: of an inverse contract by its entry price."""
    held, entry = (funds.long, funds.entries[0]) if wish.action.leg > 0 else (funds.short, funds.entries[1])
    if not held:
        side = "long" if wish.action.leg > 0 else "short"
        raise NothingToDo(f"there is no {side} position in {pair.name} to close")
    if wish.percent is not None:
        return int(held * Fraction(wish.percent) / 100)
    return min(held, int(_wanted(wish, pair, entry or ticks) + NOISE))


def _share(wish: Wish, pair: Pair, funds: Funds, ticks: int) -> int:
    share = Fraction(wish.percent or 0) / 100
    contract = pair.contract
    room = ROOM if wish.limit is None else Fraction(0)
    if wish.action.spot and wish.action.side < 0:
        return int(funds.available.get(contract.base, 0) * share / contract.lot_units)
    money = funds.available.get(contract.coin, 0) * share
    value = contract.unit_value(ticks)
    if wish.action.spot:
        return int(money / (value * (1 + room) * (1 + funds.fee)))
    margin = money * 100 / most_percent(funds.leverage, funds.of_margin)
    return int(margin / (value * (1 + room) * (1 / funds.leverage + funds.fee)))
