"""Prices and sizes between bots' floats and ticks and lots."""

import math
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

from mlthon.basics.catalogue import instruments, resolve
from mlthon.basics.defs import NO_ASK, NO_BID, Exchange, InstrumentType
from mlthon.link.host.listing import BadValue, Floats, Listing, metadata
from mlthon.link.host.sources import by_symbol, size_unit

XBTUSD = Listing("bitmex", "XBTUSD", resolve(Exchange.BitMEX, "XBTUSD"))
BTC_USDT = Listing("woo", "PERP_BTC_USDT", resolve(Exchange.Woo, "PERP_BTC_USDT"))


def test_ticks_and_lots_are_the_nearest_floats() -> None:
    assert (BTC_USDT.prices[6500037], BTC_USDT.sizes[3]) == (65000.37, 0.0003)
    assert type(XBTUSD.prices[2]) is type(XBTUSD.sizes[1]) is float
    assert math.isnan(XBTUSD.prices[NO_BID])
    assert math.isnan(XBTUSD.prices[NO_ASK])
    assert XBTUSD.sizes[-2] == -200.0


@pytest.mark.parametrize("price", [30000.5, "30000.5", 30000.500000000004, 30000.499999999996])
def test_a_blurred_price_counts_as_its_tick(price: Any) -> None:
    assert XBTUSD.ticks(price) == 60001
    assert BTC_USDT.lots(0.1 + 0.2) == 3000


@pytest.mark.parametrize("price", [30000.3, 0, -1, "x", None, float("nan"), float("inf"), True, [1]])
def test_what_is_no_price_is_refused(price: Any) -> None:
    with pytest.raises(BadValue):
        XBTUSD.ticks(price)


def test_a_ratio_converts_sizes_and_rounds_them_to_lots() -> None:
    bybit = resolve(Exchange.Bybit, "BTCUSDT")
    elsewhere = Listing("bitmex", "XBTUSDT", bybit, Fraction(1, 1_000_000), rounds=True)
    assert elsewhere.sizes[1] == 1000.0
    assert elsewhere.lots(1400) == 1
    with pytest.raises(BadValue, match="the size 400 of XBTUSDT is no multiple of its lot size 1000"):
        elsewhere.lots(400)


def test_bitmex_counts_coins_in_their_smallest_units() -> None:
    spot = resolve(Exchange.BitMEX, "XBT_USDT")
    listing = Listing("bitmex", "XBT_USDT", spot, size_unit(spot))
    assert listing.lots(50_000) == 5
    assert (listing.sizes[1], metadata(listing)["maxOrderQty"]) == (10_000.0, 10_000_000_000.0)
    assert metadata(listing)["underlyingToPositionMultiplier"] == 100_000_000
    with pytest.raises(BadValue, match="the size 15000 of XBT_USDT is no multiple of its lot size 10000"):
        listing.lots(15_000)
    assert {size_unit(resolve(Exchange.BitMEX, "XBTUSDT")), size_unit(resolve(Exchange.Woo, "SPOT_BTC_USDT"))} == {1}


def test_a_pair_and_a_derivative_of_one_symbol_are_told_apart() -> None:
    found = by_symbol(instruments(Exchange.Bybit))
    assert found["BTCUSDT"].name == "byt:perp:btc-usdt"
    assert found["byt:spot:btc-usdt"].instrument_type is InstrumentType.Spot
    assert list(by_symbol([found["byt:spot:btc-usdt"]])) == ["BTCUSDT"]


def test_metadata_are_what_json_can_say() -> None:
    told = metadata(XBTUSD)
    assert (told["tickSize"], told["lotSize"], told["isInverse"], told["settlCurrency"]) == (0.5, 100.0, True, "BTC")
    assert metadata(BTC_USDT)["tickSize"] == 0.01


@pytest.mark.parametrize("step", [Fraction(1, 2), Fraction(1, 10**18), Fraction(1, 3), Fraction(100), Fraction(10**17)])
def test_each_float_is_the_nearest_to_the_exact_number(step: Fraction) -> None:
    floats, draw = Floats(step), Random(1)
    numbers = [0, 1, -1, 10**6 + 1, *(draw.randrange(-(1 << bits), 1 << bits) for bits in range(1, 62))]
    assert [floats[each] for each in numbers] == [float(each * step) for each in numbers]
    small = [each for each in numbers if abs(each) < 1 << 40]
    assert floats.column(np.array(small)) == [float(each * step) for each in small]
