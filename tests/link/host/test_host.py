"""Exchange calls and events of a bot on the embedded BitMEX."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mlthon.basics.defs import GtwRejectCode
from mlthon.link.contract import Health, Hello
from tests.link.host.scripted import START, ScriptedBot, linked

ORDER = {"sym", "side", "order_price", "order_size", "remain_size", "order_type", "time", "order_id"}


def data_of(bot: ScriptedBot, number: int = 1) -> Any:
    envelope = bot.envelopes[number]
    assert envelope["error"] is None
    return envelope["data"]


def test_hello_tells_venues_markets_and_instruments(tmp_path: Path) -> None:
    bot = linked(tmp_path, seconds=2).go()
    hello = bot.hello
    assert isinstance(hello, Hello)
    assert hello.markets == [("bitmex", "XBTUSD")]
    assert set(hello.venues) == {"BitMEX"}
    assert dict(hello.venues["BitMEX"]) | {"id": ""} == {"id": "", "kind": "real", "name": "BitMEX", "src": "bitmex"}
    assert hello.instruments["bitmex"]["XBTUSD"]["tickSize"] == 0.5
    assert hello.instruments["bitmex"]["XBTUSD"]["lotSize"] == 100.0
    health = next(each for each in reversed(bot.told) if isinstance(each, Health))
    assert health.public == [{"src": "bitmex", "live": True}]
    assert health.private[0]["live"]


def test_market_data_are_floats_in_order_of_time(tmp_path: Path) -> None:
    bot = linked(tmp_path, seconds=5).go()
    assert len(bot.quotes) > 10
    assert len(bot.trades) > 3
    market, bid, bid_size, ask, ask_size, time = bot.quotes[-1]
    assert market == 0
    assert [type(each) for each in (bid, bid_size, ask, ask_size)] == [float] * 4
    assert bid < ask
    assert START * 1000 <= time < (START + 6) * 1000
    assert {each[1] for each in bot.trades} <= {1, -1}


def test_a_limit_order_rests_is_amended_and_cancelled(tmp_path: Path) -> None:
    def create(bot: ScriptedBot) -> None:
        price = bot.quotes[-1][1] - 500.0
        bot.ask("create_limit_order", amend, venue="BitMEX", sym="XBTUSD", side="Buy", size=200, price=price)

    def amend(answer: Any) -> None:
        bot.ask("amend_order", price_too, venue="BitMEX", order_id=answer["data"]["order_id"], size="300")

    def price_too(answer: Any) -> None:
        data = answer["data"]
        bot.ask(
            "amend_order", cancel, venue="BitMEX", order_id=data["order_id"], price=data["order_price"] - 0.50000001
        )

    def cancel(answer: Any) -> None:
        bot.ask("fetch_open_orders", venue="BitMEX")
        bot.ask("cancel_order", venue="BitMEX", order_id=answer["data"]["order_id"])

    run = linked(tmp_path)
    bot = run.bot
    run.go(create)
    created, amended, moved, listed, cancelled = (data_of(bot, number) for number in range(1, 6))
    assert set(created) == ORDER
    assert (created["side"], created["order_size"], created["remain_size"]) == ("Buy", 200.0, 200.0)
    assert (created["order_type"], type(created["order_id"])) == ("LIMIT", str)
    assert all(type(created[key]) is float for key in ("order_price", "order_size", "remain_size"))
    assert (amended["order_size"], amended["remain_size"]) == (300.0, 300.0)
    assert moved["order_price"] == created["order_price"] - 0.5
    assert [each["order_id"] for each in listed] == [created["order_id"]]
    assert set(listed[0]) == ORDER
    assert [(each["order_id"], each["remain_size"]) for each in cancelled] == [(created["order_id"], 0.0)]
    placed, resized, repriced, gone = bot.private("order_update")
    assert set(placed) == (ORDER - {"sym"}) | {"venue", "info"}
    assert "order_price" not in resized
    assert resized["remain_size"] == 300.0
    assert {"order_size", "remain_size"}.isdisjoint(repriced)
    assert repriced["order_price"] == moved["order_price"]
    assert gone["remain_size"] == 0.0
    assert gone["info"]["ordStatus"] == "Canceled"


def test_a_market_order_is_answered_with_its_fill_price(tmp_path: Path) -> None:
    def buy(bot: ScriptedBot) -> None:
        bot.ask("create_market_order", look, venue="BitMEX", sym="XBTUSD", side="Buy", size=100)

    def look(answer: Any) -> None:
        bot.ask("fetch_positions", sell, venue="BitMEX")

    def sell(answer: Any) -> None:
        bot.ask("create_market_order", flat, venue="BitMEX", sym="XBTUSD", side="sell", size=100.0)

    def flat(answer: Any) -> None:
        bot.ask("fetch_positions", venue="BitMEX")
        bot.ask("fetch_balances", venue="BitMEX")

    run = linked(tmp_path)
    bot = run.bot
    run.go(buy)
    bought, held, sold, none, balances = (data_of(bot, number) for number in range(1, 6))
    assert set(bought) == ORDER
    assert bought["order_type"] == "MARKET"
    assert bought["remain_size"] == 0.0
    fills = bot.private("fill_update")
    assert [each["fill_price"] for each in fills] == [bought["order_price"], sold["order_price"]]
    assert fills[0]["order_id"] == bought["order_id"]
    orders = [each["order_price"] for each in bot.private("order_update")]
    assert orders == [None, bought["order_price"], None, sold["order_price"]], "a market order has no price at first"
    assert {"venue", "side", "fill_price", "fill_size", "order_type", "time", "order_id", "trade_id"} < set(fills[0])
    assert len({each["trade_id"] for each in fills}) == 2
    assert len(held) == 1
    assert set(held[0]) == {"sym", "side", "entry_price", "liq_price", "pos_size", "time"}
    assert (held[0]["sym"], held[0]["side"], held[0]["pos_size"]) == ("XBTUSD", "Buy", 100.0)
    assert held[0]["entry_price"] == pytest.approx(bought["order_price"])
    assert none == []
    assert [each["asset"] for each in balances] == ["BTC", "USDT"] or [each["asset"] for each in balances] == ["BTC"]
    assert all(type(each["amount"]) is float for each in balances)
    positions = bot.private("position_update")
    assert [each["pos_size"] for each in positions] == [100.0, 0.0]
    assert {"venue", "pos_size", "mark_price", "entry_price", "liq_price", "time", "info"} == set(positions[0])


@pytest.mark.parametrize("signed", [False, True])
def test_positions_are_unsigned_unless_configured(tmp_path: Path, signed: bool) -> None:
    def sell(bot: ScriptedBot) -> None:
        bot.ask("create_market_order", look, venue="BitMEX", sym="XBTUSD", side="Sell", size=300)

    def look(answer: Any) -> None:
        bot.ask("fetch_positions", venue="BitMEX")

    settings = ['venues.BitMEX.src="bitmex"', f"venues.BitMEX.signed_positions={str(signed).lower()}"]
    run = linked(tmp_path, settings=settings)
    bot = run.bot
    run.go(sell)
    (held,) = data_of(bot, 2)
    assert (held["side"], held["pos_size"]) == ("Sell", -300.0 if signed else 300.0)


def test_the_three_rules_of_cancel_order(tmp_path: Path) -> None:
    def create(bot: ScriptedBot) -> None:
        bid = bot.quotes[-1][1]
        for sym, price in (("XBTUSD", bid - 500), ("XBTUSD", bid - 600), ("XBTUSDT", 40000.0), ("XBTUSDT", 40000.5)):
            bot.ask("create_limit_order", venue="BitMEX", sym=sym, side="Buy", size=1000, price=price)
        bot.host.clock.call_at(bot.host.clock.now + 10**8, one)

    def one() -> None:
        bot.ask("cancel_order", symbol, venue="BitMEX", order_id=data_of(bot, 1)["order_id"])

    def symbol(answer: Any) -> None:
        bot.ask("cancel_order", everything, venue="BitMEX", sym="XBTUSDT")

    def everything(answer: Any) -> None:
        bot.ask("cancel_order", nothing, venue="BitMEX")

    def nothing(answer: Any) -> None:
        bot.ask("cancel_order", venue="BitMEX")

    run = linked(tmp_path, subscribe=["bitmex:XBTUSD", "bitmex:XBTUSDT"])
    bot = run.bot
    run.go(create)
    ids = [data_of(bot, number)["order_id"] for number in range(1, 5)]
    cancelled = [[each["order_id"] for each in data_of(bot, number)] for number in range(5, 9)]
    assert cancelled == [ids[:1], ids[2:], ids[1:2], []]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown venue": (
        {"name": "fetch_positions", "venue": "BitMEXX"},
        "The venue 'BitMEXX' does not exist; did you mean 'BitMEX'? there are BitMEX",
    ),
    "no venue": ({"name": "fetch_positions"}, "fetch_positions: no venue given; there are BitMEX"),
    "an unknown symbol": (
        {"name": "create_market_order", "venue": "BitMEX", "sym": "DOGGUSD", "side": "Buy", "size": 1},
        "The symbol 'DOGGUSD' does not exist",
    ),
    "a symbol that the run lacks": (
        {"name": "create_market_order", "venue": "BitMEX", "sym": "ETHUSD", "side": "Buy", "size": 1},
        "The symbol 'ETHUSD' is not in this run: subscribe to bitmex:ETHUSD",
    ),
    "a bad side": (
        {"name": "create_market_order", "venue": "BitMEX", "sym": "XBTUSD", "side": "Long", "size": 100},
        "create_market_order: the side must be Buy or Sell, not 'Long'",
    ),
    "a size of no lots": (
        {"name": "create_market_order", "venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": 150},
        "the size 150 of XBTUSD is no multiple of its lot size 100",
    ),
    "a negative size": (
        {"name": "create_market_order", "venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": -100},
        "the size must be more than 0, not -100",
    ),
    "no price": (
        {"name": "create_limit_order", "venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": 100},
        "create_limit_order: the argument price is missing",
    ),
    "a price between ticks": (
        {"name": "create_limit_order", "venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": 100, "price": 9.3},
        "the price 9.3 of XBTUSD is no multiple of its tick size 0.5",
    ),
    "nothing to amend": (
        {"name": "amend_order", "venue": "BitMEX", "order_id": "7"},
        "amend_order: at least one of price and size is needed",
    ),
    "an unknown order": (
        {"name": "cancel_order", "venue": "BitMEX", "order_id": "7"},
        "the order '7' is not open on BitMEX",
    ),
    "a bad level": (
        {"name": "fetch_candles", "venue": "BitMEX", "sym": "XBTUSD", "level": "7m"},
        "fetch_candles: '7m' is no candle level",
    ),
    "a level that is no text": (
        {"name": "fetch_candles", "venue": "BitMEX", "sym": "XBTUSD", "level": ["1m"]},
        "fetch_candles: ['1m'] is no candle level",
    ),
    "a size beyond all numbers of coins": (
        {"name": "create_market_order", "venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": 1e300},
        "the size 1e+300 is beyond all that exchanges take",
    ),
    "an unknown call": ({"name": "fetch_news", "venue": "BitMEX"}, "there is no call 'fetch_news'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_call_is_answered_with_an_api_error(tmp_path: Path, wrong: str) -> None:
    arguments, message = WRONG[wrong]
    run = linked(tmp_path, seconds=3)
    run.go(lambda bot: bot.ask(**arguments))
    envelope = run.bot.envelopes[1]
    assert envelope["error"]["type"] == "api_error"
    assert envelope["error"]["message"].startswith(message)
    assert envelope["data"] is None
    assert set(envelope) == {"src", "venue", "error", "data", "rate_limits"}


def test_what_the_exchange_refuses_is_an_api_error(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=3)
    run.go(
        lambda bot: bot.ask("create_market_order", venue="BitMEX", sym="XBTUSD", side="Buy", size=100 * 10**8),
    )
    envelope = run.bot.envelopes[1]
    assert (envelope["src"], envelope["venue"]) == ("bitmex", "BitMEX")
    assert envelope["error"]["type"] == "api_error"


def test_calls_wait_where_little_is_left_of_the_rate_limit(tmp_path: Path) -> None:
    run = linked(
        tmp_path,
        seconds=10,
        settings=["exchanges.BitMEX.rate_limit.requests=5", "exchanges.BitMEX.rate_limit.interval_s=2"],
    )
    run.go(lambda bot: [bot.ask("fetch_balances", venue="BitMEX") for _ in range(6)])
    bot = run.bot
    assert all(each["error"] is None for each in bot.envelopes.values())
    first, late = bot.answered_at[1], [bot.answered_at[number] for number in (4, 5, 6)]
    assert bot.answered_at[3] - first < 10**8
    assert all(each - first >= 1.9 * 10**9 for each in late)
    limits = bot.envelopes[3]["rate_limits"]
    assert limits["remaining"] == 2
    assert limits["reset"] >= START


def test_a_call_whose_turn_never_comes_was_not_sent_and_is_no_api_error(tmp_path: Path) -> None:
    settings = ["exchanges.BitMEX.rate_limit.requests=5", "exchanges.BitMEX.rate_limit.interval_s=60"]
    run = linked(tmp_path, seconds=10, settings=[*settings, "link.call_timeout_s=2"])
    order: dict[str, Any] = {"venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": 100, "price": 100.0}
    run.go(lambda bot: [bot.ask("create_limit_order", **order) for _ in range(6)])
    answered = [run.bot.envelopes[number]["error"] for number in range(1, 7)]
    assert answered[:3] == [None] * 3
    assert {each["type"] for each in answered[3:]} == {"rate_limits"}
    assert "it was not sent" in answered[3]["message"]
    assert len(run.bot.private("order_update")) == 3


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (GtwRejectCode.RateLimited, {"type": "rate_limits", "message": "no"}),
        (GtwRejectCode.GtwNotReady, {"type": "api_error", "message": "no"}),
        (GtwRejectCode.OrderNotOpen, None),
    ],
)
def test_cancelling_everything_fails_while_an_order_stays_open(
    tmp_path: Path, code: GtwRejectCode, error: dict[str, str] | None
) -> None:
    def refuse(answer: Any) -> None:
        venue = bot.host.venues["BitMEX"]
        port = venue.session.ports[venue.exchange]
        kept, cancel = answer["data"]["order_id"], port.gateway.cancel_order

        def cancelled(order: Any) -> None:
            if order.exchange_id == kept:
                bot.host.clock.call_soon(port.cancel_order_reject, order.wire_id, code, "no")
            else:
                cancel(order)

        port.gateway = Refusing(port.gateway, cancelled)
        bot.ask("cancel_order", venue="BitMEX")

    class Refusing:
        """A gateway but for its cancels."""

        def __init__(self, gateway: Any, cancel: Any) -> None:
            self._gateway = gateway
            self.cancel_order = cancel

        def __getattr__(self, name: str) -> Any:
            return getattr(self._gateway, name)

    order: dict[str, Any] = {"venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": 100, "price": 100.0}
    run = linked(tmp_path, seconds=5)
    bot = run.bot
    run.go(lambda bot: [bot.ask("create_limit_order", **order), bot.ask("create_limit_order", refuse, **order)])
    assert bot.envelopes[3]["error"] == error
    assert error is not None or len(bot.envelopes[3]["data"]) == 1


def test_candles_have_the_documented_rows_and_agree_with_history(tmp_path: Path) -> None:
    def ask(bot: ScriptedBot) -> None:
        bot.host.clock.call_at(bot.host.clock.now + 150 * 10**9, later)

    def later() -> None:
        bot.ask("fetch_candles", venue="BitMEX", sym="XBTUSD")
        bot.ask("history", src="bitmex", sym="XBTUSD", level="1m", count=360)
        bot.ask("fetch_candles", venue="BitMEX", sym="XBTUSD", level="5m", since=START * 1000 - 900_000)

    run = linked(tmp_path, seconds=180)
    bot = run.bot
    run.go(ask)
    rows, history, since = (data_of(bot, number) for number in (1, 2, 3))
    assert len(rows) == 1000
    assert set(rows[0]) == {"open", "high", "low", "close", "volume", "time"}
    assert all(type(rows[-1][key]) is float for key in ("open", "high", "low", "close", "volume"))
    assert [row["time"] for row in rows] == list(range(rows[0]["time"], rows[-1]["time"] + 1, 60_000))
    assert rows[-360:-1] == history[:-1]
    assert all(row["open"] == before["close"] for before, row in pairwise(rows))
    assert [row["time"] for row in since] == [START * 1000 + 300_000 * n for n in (-3, -2, -1, 0)]
    inside = [each for each in bot.trades if rows[-2]["time"] <= each[4] < rows[-1]["time"]]
    assert rows[-2]["volume"] == sum(each[3] for each in inside)
    assert rows[-2]["close"] == inside[-1][2]
    assert rows[-2]["high"] == max(each[2] for each in inside)


def test_a_liquidation_is_told_as_fills_and_a_position(tmp_path: Path) -> None:
    settings = [
        "exchanges.BitMEX.balances={BTC=1.0}",
        "exchanges.BitMEX.margin.leverage=1000",
        "exchanges.BitMEX.margin.maintenance=0.5",
    ]
    run = linked(tmp_path, settings=settings)
    bot = run.bot
    run.go(lambda bot: bot.ask("create_market_order", venue="BitMEX", sym="XBTUSD", side="Buy", size=162_500))
    # 162,500 contracts rounded to lots of 100 are worth 2.5 BTC: half of it is more than the account has
    fills = bot.private("fill_update")
    assert {each["side"] for each in fills} == {"Buy", "Sell"}
    assert sum(each["fill_size"] * (1 if each["side"] == "Buy" else -1) for each in fills) == 0
    assert bot.private("position_update")[-1]["pos_size"] == 0.0
    assert bot.host.venues["BitMEX"].session.failures == 0


def test_an_amendment_that_changed_nothing_tells_the_order_as_it_is(tmp_path: Path) -> None:
    """Exchanges answer such a one without a price and without a size."""

    def amended(answer: Any) -> None:
        venue = bot.host.venues["BitMEX"]
        order = venue.order(answer["data"]["order_id"])
        assert order is not None
        venue.session.ports[venue.exchange].modify_order_ack(order.wire_id, None, None, order.leaves)

    order: dict[str, Any] = {"venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": 100, "price": 100.0}
    run = linked(tmp_path, seconds=3)
    bot = run.bot
    run.go(lambda bot: bot.ask("create_limit_order", amended, **order))
    _, told, *_ = bot.private("order_update")
    assert (told["order_price"], told["order_size"], told["remain_size"]) == (100.0, 100.0, 100.0)
