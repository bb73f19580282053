"""`Venue` and `trade_pair` against a link that is written here."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from mlthon.link.errors import ApiError
from mlthon.link.venues import LegOpen, Venue, trade_pair

INSTRUMENTS = {
    "bitmex": {
        "XBTUSD": {"tickSize": 0.5, "lotSize": 100.0, "minSize": 100.0, "type": "perp", "underlying": "BTC"},
        "ETHUSD": {"tickSize": 0.05, "lotSize": 1.0, "minSize": 1.0, "type": "perp", "underlying": "ETH"},
        "XBT_USDT": {
            "tickSize": 0.5,
            "lotSize": 10_000.0,
            "minSize": 10_000.0,
            "type": "spot",
            "underlying": "BTC",
            "underlyingToPositionMultiplier": 100_000_000.0,
        },
    },
    "oanda": {"EUR_USD": {"tickSize": 0.00001, "lotSize": 1.0, "minSize": 1.0, "type": "cfd", "underlying": "EUR"}},
    "woo": {"SPOT": {"tickSize": 0.01, "lotSize": 0.1, "minSize": 0.5, "type": "spot", "underlying": "BTC"}},
}


class FakeLink:
    """Fills every order, but for what `refuse` (venue, sym -> why) and `share` (venue -> of its orders) say."""

    def __init__(self) -> None:
        self.venues = {"BitMEX": {"src": "bitmex"}, "OANDA": {"src": "oanda"}, "Woo": {"src": "woo"}}
        self.instruments = INSTRUMENTS
        self.quotes: dict[str, Any] = {"oanda": {"EUR_USD": {"bid": [1.1, 1.0], "ask": [1.2, 1.0]}}}
        self.held: dict[str, float] = {}
        self.orders: list[tuple[Any, ...]] = []
        self.refuse: Callable[[str, str], str | None] = lambda venue, side: None
        self.share: dict[str, float] = {}
        self.blind: set[str] = set()
        self.lost: set[str] = set()
        """Venues whose orders are carried out and answered with an error."""
        self.limits = {"remaining": 50, "reset": 0}
        self.refusals = 0

    def envelope(self, venue: str, data: Any) -> dict[str, Any]:
        if self.refusals:
            self.refusals -= 1
            error = {"type": "rate_limits", "message": "too many requests"}
            return {"venue": venue, "error": error, "data": None, "rate_limits": self.limits}
        return {"venue": venue, "error": None, "data": data, "rate_limits": self.limits}

    def fail(self, venue: str, message: str) -> None:
        raise ApiError({"venue": venue, "error": {"type": "api_error", "message": message}})

    def create_market_order(self, venue: str, sym: str, side: str, size: float) -> dict[str, Any]:
        why = self.refuse(venue, side)
        if why is not None:
            self.fail(venue, why)
        done = size * self.share.get(venue, 1.0)
        if not self.refusals:
            self.held[sym] = self.held.get(sym, 0.0) + (done if side == "Buy" else -done)
            self.orders.append((venue, sym, side, size))
        if venue in self.lost:
            self.fail(venue, "no answer within 30 s")
        return self.envelope(venue, {"sym": sym, "side": side, "order_size": size, "remain_size": size - done})

    def create_limit_order(self, venue: str, sym: str, side: str, size: float, price: float) -> dict[str, Any]:
        self.orders.append((venue, sym, side, size, price))
        return self.envelope(venue, {"order_size": size, "remain_size": size})

    def cancel_order(self, venue: str, sym: str | None = None) -> dict[str, Any]:
        return self.envelope(venue, [{"sym": sym}])

    def fetch_positions(self, venue: str) -> dict[str, Any]:
        if venue in self.blind and self.orders:
            self.fail(venue, "it is blind")
        rows = [
            {"sym": sym, "side": "Buy" if size > 0 else "Sell", "pos_size": abs(size)}
            for sym, size in self.held.items()
            if size
        ]
        return self.envelope(venue, rows)

    def fetch_balances(self, venue: str) -> dict[str, Any]:
        return self.envelope(venue, [{"asset": "BTC", "amount": 1.5}, {"asset": "USDT", "amount": 9.0}])

    def call_endpoint(self, venue: str, path: str, version: str, method: str, params: Any) -> dict[str, Any]:
        return self.envelope(venue, [{"symbol": params["symbol"], "markPrice": 30_000.25}])


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.mark.parametrize(
    ("price", "side", "expected"),
    [
        (30000.3, None, 30000.5),
        (30000.3, "Buy", 30000.0),
        (30000.3, "sell", 30000.5),
        (30000.500000001, "buy", 30000.5),
    ],
)
def test_prices_go_to_ticks_that_are_no_worse(link: FakeLink, price: float, side: Any, expected: float) -> None:
    assert Venue(link, "BitMEX").price("XBTUSD", price, side) == expected


@pytest.mark.parametrize(
    ("venue", "sym", "size", "expected"),
    [
        ("BitMEX", "XBTUSD", 399.9, 300.0),
        ("BitMEX", "XBTUSD", 99, 0.0),
        ("Woo", "SPOT", 0.7, 0.7),
        ("Woo", "SPOT", 0.4, 0),
    ],
)
def test_sizes_are_cut_to_lots_and_to_nothing_below_the_minimum(
    link: FakeLink, venue: str, sym: str, size: float, expected: float
) -> None:
    assert Venue(link, venue).lots(sym, size) == expected


def test_steps_marks_and_holdings(link: FakeLink) -> None:
    bitmex, oanda, woo = Venue(link, "BitMEX"), Venue(link, "OANDA"), Venue(link, "Woo")
    assert (bitmex.tick("ETHUSD"), bitmex.lot("XBTUSD")) == (0.05, 100.0)
    assert bitmex.mark_price("XBTUSD") == 30_000.25
    assert oanda.mark_price("EUR_USD") == pytest.approx(1.15)
    assert woo.holding("SPOT") == 1.5
    assert bitmex.holding("XBT_USDT") == 150_000_000.0, "in the symbol's sizes"
    link.held["ETHUSD"] = -3.0
    assert bitmex.holding("ETHUSD") == -3.0
    assert bitmex.cancel_orders("XBTUSD") == [{"sym": "XBTUSD"}]


def test_orders_are_the_exchanges(link: FakeLink) -> None:
    venue = Venue(link, "BitMEX")
    venue.place_order("XBTUSD", "buy", 250, 30000.3)
    venue.place_order("XBTUSD", "SELL", 250)
    assert link.orders == [("BitMEX", "XBTUSD", "Buy", 200.0, 30000.0), ("BitMEX", "XBTUSD", "Sell", 200.0)]


def test_what_is_wrong_is_named(link: FakeLink) -> None:
    with pytest.raises(ValueError, match=r"'Bitmex' is no venue of this bot; did you mean 'BitMEX'\?"):
        Venue(link, "Bitmex")
    venue = Venue(link, "BitMEX")
    with pytest.raises(ValueError, match=r"BitMEX has no symbol 'ETHUSDT'; did you mean 'ETHUSD'\?"):
        venue.tick("ETHUSDT")
    with pytest.raises(ValueError, match="'Buy' or 'Sell', not 'long'"):
        venue.place_order("XBTUSD", "long", 100)
    with pytest.raises(ValueError, match="99 of XBTUSD is less than the smallest order of BitMEX"):
        venue.leg("XBTUSD", "buy", 99)
    with pytest.raises(ValueError, match="a number over 0, not nan"):
        venue.price("XBTUSD", float("nan"))
    link.quotes = {}
    with pytest.raises(ValueError, match="subscribe to oanda:EUR_USD"):
        Venue(link, "OANDA").mark_price("EUR_USD")


def test_a_low_rate_limit_is_waited_for(link: FakeLink, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "time", lambda: 100.0)
    venue = Venue(link, "BitMEX")
    link.limits = {"remaining": 5, "reset": 107}
    venue.holding("XBTUSD")
    assert waits == []
    link.limits = {"remaining": 50, "reset": 160}
    venue.holding("XBTUSD")
    venue.holding("XBTUSD")
    assert waits == [7.0]


def test_a_refusal_of_the_rate_is_tried_again_and_then_raised(link: FakeLink, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "time", lambda: 100.0)
    link.limits = {"remaining": 0, "reset": 103}
    link.refusals = 2
    venue = Venue(link, "BitMEX")
    venue.place_order("XBTUSD", "buy", 100)
    assert waits == [3.0, 3.0]
    assert len(link.orders) == 1
    link.refusals = 9
    with pytest.raises(ApiError, match="too many requests"):
        venue.place_order("XBTUSD", "buy", 100)
    assert link.refusals == 6


def pair(link: FakeLink, **options: Any) -> Any:
    fx, crypto = Venue(link, "OANDA"), Venue(link, "BitMEX")
    return trade_pair(fx.leg("EUR_USD", "sell", 1000), crypto.leg("ETHUSD", "buy", 40), **options)


def test_both_legs_trade(link: FakeLink) -> None:
    done = pair(link)
    assert link.orders == [("OANDA", "EUR_USD", "Sell", 1000.0), ("BitMEX", "ETHUSD", "Buy", 40.0)]
    assert (done.error, done.missing, done.unwound) == (None, 0.0, None)


def test_a_first_leg_that_fails_is_all_there_is(link: FakeLink) -> None:
    link.refuse = lambda venue, side: "closed" if venue == "OANDA" else None
    with pytest.raises(ApiError, match="OANDA: closed"):
        pair(link)
    assert link.orders == []


def test_a_first_leg_that_is_filled_in_part_is_followed_by_as_much(link: FakeLink) -> None:
    link.share["OANDA"] = 0.25
    pair(link)
    assert link.held == {"EUR_USD": -250.0, "ETHUSD": 10.0}
    link.share["OANDA"] = 0.0
    done = pair(link)
    assert (done.second, done.error) == (None, "EUR_USD found no counterparty")


def test_a_second_leg_that_is_refused_has_the_first_one_unwound(link: FakeLink) -> None:
    link.refuse = lambda venue, side: "closed" if venue == "BitMEX" else None
    done = pair(link)
    assert link.held == {"EUR_USD": 0.0}
    assert (done.second, done.missing, done.error) == (None, 1.0, "BitMEX: closed")
    assert done.unwound is not None
    assert done.unwound["side"] == "Buy"


def test_a_second_leg_that_is_refused_is_only_reported_where_so_chosen(link: FakeLink) -> None:
    link.refuse = lambda venue, side: "closed" if venue == "BitMEX" else None
    done = pair(link, on_failure="report")
    assert link.held == {"EUR_USD": -1000.0}
    assert (done.unwound, done.missing, done.error) == (None, 1.0, "BitMEX: closed")


def test_a_second_leg_that_is_filled_in_part_has_the_rest_unwound(link: FakeLink) -> None:
    link.share["BitMEX"] = 0.75
    done = pair(link)
    assert link.held == {"EUR_USD": -750.0, "ETHUSD": 30.0}
    assert done.missing == pytest.approx(0.25)
    assert done.error == "10 of 40 ETHUSD found no counterparty"


def test_a_second_leg_whose_answer_was_lost_but_that_traded_is_not_unwound(link: FakeLink) -> None:
    link.lost.add("BitMEX")
    done = pair(link)
    assert link.held == {"EUR_USD": -1000.0, "ETHUSD": 40.0}
    assert (done.missing, done.unwound) == (0.0, None)
    assert done.error == "BitMEX: no answer within 30 s"


def test_a_second_account_that_cannot_be_looked_at_is_for_a_human(link: FakeLink) -> None:
    link.lost.add("BitMEX")
    link.blind.add("BitMEX")
    with pytest.raises(LegOpen, match="close what is open by hand") as error:
        pair(link)
    assert (error.value.first["order_size"], error.value.missing) == (1000.0, None)
    assert len(link.orders) == 2


def test_a_first_leg_that_cannot_be_unwound_is_for_a_human(link: FakeLink) -> None:
    link.refuse = lambda venue, side: "closed" if side == "Buy" else None
    with pytest.raises(LegOpen, match="OANDA has 1000 EUR_USD too much on the side Sell") as error:
        pair(link)
    assert error.value.missing == 1.0


def test_an_unknown_policy_is_refused_before_anything_is_sent(link: FakeLink) -> None:
    with pytest.raises(ValueError, match="'unwind' or 'report', not 'pray'"):
        pair(link, on_failure="pray")
    assert link.orders == []
