"""One symbol in ticks and lots."""

from fractions import Fraction

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import NO_ASK, NO_BID, Exchange
from mlthon.basics.price import Price
from mlthon.link.host.listing import Listing
from mlthon.link.signals.market import BotMarket


def market(ratio: Fraction = Fraction(1)) -> BotMarket:
    """XBTUSD: ticks of 0.5, lots of 100."""
    return BotMarket(Listing("bitmex", "XBTUSD", resolve(Exchange.BitMEX, "XBTUSD"), ratio))


@pytest.mark.parametrize(
    ("price", "low", "high"),
    [(100.0, 200, 200), (100.2, 200, 201), (100.30000000000001, 200, 201), (100.5000000001, 201, 201), (0.1, 0, 1)],
)
def test_prices_are_rounded_away_from_the_market(price: float, low: int, high: int) -> None:
    assert (market().below(price), market().above(price)) == (low, high)
    assert (market().away(1, price), market().away(-1, price)) == (low, high)


@pytest.mark.parametrize(("size", "lots"), [(100, 1), (199.9, 1), (99.99999999, 1), (99, 0), (0, 0), (1e6, 10_000)])
def test_sizes_are_rounded_down(size: float, lots: int) -> None:
    assert market().lots(size) == lots


def test_sizes_on_an_equivalent_contract_are_converted() -> None:
    assert market(Fraction(1, 100)).lots(10_000) == 1
    assert market(Fraction(1, 100)).size(1) == 10_000.0


def test_what_rests() -> None:
    one = market()
    assert not one.two_sided
    one.show(Price("100"), Price("101"))
    assert one.two_sided
    assert (one.own_best(1), one.own_best(-1)) == (200, 202)
    assert (one.resting(1, 250), one.resting(1, 150)) == (201, 150)
    assert (one.resting(-1, 150), one.resting(-1, 250)) == (201, 250)
    assert one.rests(1, 201)
    assert not one.rests(1, 202)
    assert one.rests(-1, 201)
    assert not one.rests(-1, 200)


def test_an_empty_side() -> None:
    one = market()
    one.show(Price("100"), Price("0"))
    assert (one.bid, one.ask, one.two_sided) == (200, NO_ASK, False)
    one.show(Price("0"), Price("101"))
    assert (one.bid, one.ask, one.two_sided) == (NO_BID, 202, False)
    one.show(Price("101"), Price("101"))
    assert not one.two_sided
