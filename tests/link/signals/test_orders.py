"""What is wanted and what is open, and what is to be changed."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from mlthon.link.signals.orders import MARKET, Amend, Cancel, Change, Place, Wanted, Working, capped, changes

BUY, SELL = 1, -1


def work(name: str, side: int, price: int | None, lots: int, **more: object) -> Working:
    return Working(name, side, price, lots, **more)  # type: ignore[arg-type]


CASES: dict[str, tuple[list[Wanted], list[Working], list[Change]]] = {
    "nothing open: place": ([Wanted(BUY, 100, 5)], [], [Place(Wanted(BUY, 100, 5))]),
    "as wanted: leave": ([Wanted(BUY, 100, 5)], [work("a", BUY, 100, 5, filled=3)], []),
    "nothing wanted: cancel": ([], [work("a", BUY, 100, 5)], [Cancel("a")]),
    "another price: amend": ([Wanted(SELL, 101, 5)], [work("a", SELL, 102, 5)], [Amend("a", 101, None)]),
    "another size: amend to the whole quantity": (
        [Wanted(BUY, 100, 2)],
        [work("a", BUY, 100, 5, filled=3)],
        [Amend("a", None, 5)],
    ),
    "more than there is room for: price now, size later": (
        [Wanted(BUY, 100, 8)],
        [work("a", BUY, 99, 5), work("b", BUY, 98, 5)],
        [Cancel("b"), Amend("a", 100, None)],
    ),
    "the nearest are amended, the rest is cancelled": (
        [Wanted(BUY, 100, 5)],
        [work("far", BUY, 90, 5), work("near", BUY, 99, 5)],
        [Cancel("far"), Amend("near", 100, None)],
    ),
    "one that stays is not moved for another": (
        [Wanted(BUY, 100, 5), Wanted(BUY, 99, 5)],
        [work("a", BUY, 99, 5)],
        [Place(Wanted(BUY, 100, 5))],
    ),
    "busy as wanted: leave": ([Wanted(BUY, 100, 5)], [work("a", BUY, 100, 5, busy=True)], []),
    "busy otherwise: leave, and place nothing in its stead": (
        [Wanted(BUY, 100, 5)],
        [work("a", BUY, 98, 5, busy=True)],
        [],
    ),
    "busy and unwanted: leave": ([], [work("a", BUY, 98, 5, busy=True)], []),
    "post-only cannot be amended in: cancel, and wait": (
        [Wanted(BUY, 100, 5, True)],
        [work("a", BUY, 100, 5)],
        [Cancel("a")],
    ),
    "to the market: cancel what rests first": (
        [Wanted(SELL, MARKET, 5)],
        [work("a", SELL, 101, 5)],
        [Cancel("a")],
    ),
    "a market order under way is not repeated": ([Wanted(SELL, MARKET, 5)], [work("a", SELL, MARKET, 3)], []),
    "the other side does not count": (
        [Wanted(BUY, MARKET, 5)],
        [work("a", SELL, 101, 5)],
        [Cancel("a"), Place(Wanted(BUY, MARKET, 5))],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_changes(case: str) -> None:
    wanted, working, expected = CASES[case]
    assert changes(wanted, working) == expected


def test_where_nothing_can_be_amended_an_order_is_replaced_when_it_is_gone() -> None:
    wanted = [Wanted(BUY, 100, 5)]
    assert changes(wanted, [work("a", BUY, 99, 5)], can_amend=False) == [Cancel("a")]
    assert changes(wanted, [work("a", BUY, 99, 5, busy=True)], can_amend=False) == []
    assert changes(wanted, [], can_amend=False) == [Place(wanted[0])]


def test_large_orders_are_capped() -> None:
    assert capped([Wanted(BUY, 100, 50), Wanted(SELL, MARKET, 7)], 20) == [
        Wanted(BUY, 100, 20),
        Wanted(SELL, MARKET, 7),
    ]


_price = st.integers(90, 110)
_lots = st.integers(1, 10)
_wanted = st.builds(Wanted, st.sampled_from([BUY, SELL]), st.none() | _price, _lots, st.booleans())


@st.composite
def _working(draw: st.DrawFn) -> list[Working]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        lots = draw(_lots)
        found.append(
            work(
                f"o{number}",
                draw(st.sampled_from([BUY, SELL])),
                draw(st.none() | _price),
                lots,
                filled=draw(st.integers(0, 5)),
                post_only=draw(st.booleans()),
                busy=draw(st.booleans()),
                exposed=lots + draw(st.integers(0, 5)),
            )
        )
    return found


@given(st.lists(_wanted, max_size=6), _working(), st.booleans())
def test_whatever_is_filled_meanwhile_no_more_can_come_than_was_wanted(
    wanted: list[Wanted], working: list[Working], can_amend: bool
) -> None:
    found = changes(wanted, working, can_amend=can_amend)
    by_name = {each.client_id: each for each in working}
    touched = [each.client_id for each in found if not isinstance(each, Place)]
    assert len(touched) == len(set(touched))
    assert not any(by_name[name].busy for name in touched)
    for side in (BUY, SELL):
        before = sum(each.exposed for each in working if each.side == side)
        after = before
        for change in found:
            if isinstance(change, Place) and change.wanted.side == side:
                after += change.wanted.lots
            elif isinstance(change, Amend) and by_name[change.client_id].side == side and change.qty is not None:
                order = by_name[change.client_id]
                after += max(0, change.qty - order.filled - order.lots)
        assert after <= max(before, sum(each.lots for each in wanted if each.side == side))


@given(st.lists(_wanted, max_size=6), _working())
def test_with_prompt_answers_what_is_open_becomes_what_is_wanted(wanted: list[Wanted], working: list[Working]) -> None:
    """Market orders aside, which fill."""
    wanted = [each for each in wanted if each.price is not MARKET]
    orders = {
        each.client_id: work(each.client_id, each.side, each.price, each.lots, post_only=each.post_only)
        for each in working
        if each.price is not MARKET
    }
    for round_ in range(20):
        found = changes(wanted, list(orders.values()))
        if not found:
            break
        for number, change in enumerate(found):
            if isinstance(change, Cancel):
                del orders[change.client_id]
            elif isinstance(change, Place):
                want = change.wanted
                name = f"n{round_}.{number}"
                orders[name] = work(name, want.side, want.price, want.lots, post_only=want.post_only)
            else:
                old = orders[change.client_id]
                orders[change.client_id] = work(
                    old.client_id,
                    old.side,
                    old.price if change.price is None else change.price,
                    old.lots if change.qty is None else change.qty,
                    post_only=old.post_only,
                )
    key = [(each.side, each.price or 0, each.lots, each.post_only) for each in orders.values()]
    assert sorted(key) == sorted((each.side, each.price or 0, each.lots, each.post_only) for each in wanted)
