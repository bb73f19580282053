"""What is wanted and what is open -> what to change. Pure: nothing is sent here.

`changes` compares the orders that should be open with those that are, side by side. An order that is as wanted stays,
and keeps its place in the queue; of the others as many as can be are amended, nearest to the market first; what is left
over is cancelled, what is missing is placed. Two rules hold whatever happens meanwhile:

- One outstanding change an order: an order whose request has not been answered is left alone.
- On each side the open quantity never exceeds the wanted one: an order takes the place of another only when that one is
  known to be gone. Fills that are under way therefore cannot lead beyond what was wanted.
"""

from collections.abc import Sequence
from typing import Final

from attrs import evolve, field, frozen

MARKET: Final = None
"""The price of a market order."""


@frozen
class Wanted:
    """An order that should be open: `side` +1 or -1, `price` in ticks or `MARKET`, `lots` still to be filled."""

    side: int
    price: int | None
    lots: int
    post_only: bool = False


@frozen
class Working:
    """An order that is open. `price` and `lots` (still to be filled) are those that it will have once its outstanding
    change, if any (`busy`), is accepted; `exposed` the most that may still be filled of it; `filled` what was."""

    client_id: str
    side: int
    price: int | None
    lots: int
    filled: int = 0
    post_only: bool = False
    busy: bool = False
    exposed: int = field()

    @exposed.default
    def _as_lots(self) -> int:
        return self.lots


@frozen
class Place:
    wanted: Wanted


@frozen
class Amend:
    """`price` and `qty` (the whole quantity, the filled part included) where they change."""

    client_id: str
    price: int | None
    qty: int | None


@frozen
class Cancel:
    client_id: str


Change = Place | Amend | Cancel


def changes(wanted: Sequence[Wanted], working: Sequence[Working], *, can_amend: bool = True) -> list[Change]:
    """What is to be done, cancels first."""
    found = [
        change
        for side in (1, -1)
        for change in _one_side(
            [each for each in wanted if each.side == side and each.lots > 0],
            [each for each in working if each.side == side],
            can_amend,
        )
    ]
    return sorted(found, key=lambda change: not isinstance(change, Cancel))


def _one_side(wanted: list[Wanted], working: list[Working], can_amend: bool) -> list[Change]:
    room = sum(each.lots for each in wanted) - sum(each.exposed for each in working)
    wanted, working = _without_settled(wanted, working)
    found: list[Change] = []
    missing: list[Wanted] = []
    while wanted:
        want = wanted.pop(0)
        order = _replaceable(want, working, can_amend)
        if order is None:
            missing.append(want)
            continue
        working.remove(order)
        if order.busy:
            continue
        more = want.lots - order.lots
        lots = want.lots if more <= max(room, 0) else order.lots
        room -= max(0, lots - order.lots)
        if lots != order.lots or want.price != order.price:
            found.append(
                Amend(
                    order.client_id,
                    None if want.price == order.price else want.price,
                    None if lots == order.lots else order.filled + lots,
                )
            )
    found += [Cancel(each.client_id) for each in working if not each.busy]
    for want in missing:
        if want.lots <= room:
            room -= want.lots
            found.append(Place(want))
    return found


def _without_settled(wanted: list[Wanted], working: list[Working]) -> tuple[list[Wanted], list[Working]]:
    """Leave out those that are as wanted, and with them what they are wanted as; the rest, nearest to the market
    first."""
    left, rest = list(working), []
    for want in wanted:
        same = next((each for each in left if _same(each, want)), None)
        if same is None:
            rest.append(want)
        else:
            left.remove(same)
    return sorted(rest, key=_nearness), sorted(left, key=_nearness)


def _same(order: Working, want: Wanted) -> bool:
    if want.price is MARKET or order.price is MARKET:
        # what a market order has not filled yet it will, or it will be over
        return want.price is order.price
    return (order.price, order.lots, order.post_only) == (want.price, want.lots, want.post_only)


def _nearness(order: Wanted | Working) -> int:
    return 0 if order.price is None else -order.side * order.price


def _replaceable(want: Wanted, working: list[Working], can_amend: bool) -> Working | None:
    """The first order that can be made the wanted one."""
    if want.price is MARKET or not can_amend:
        return None
    return next((each for each in working if each.price is not MARKET and each.post_only == want.post_only), None)


def capped(wanted: Sequence[Wanted], most: int) -> list[Wanted]:
    """The same with no order larger than `most` lots: what an order cannot take follows when it is filled."""
    return [each if each.lots <= most else evolve(each, lots=most) for each in wanted]
