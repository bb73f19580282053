"""BitMEX's own calls on the embedded BitMEX."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.link.host.scripted import ScriptedBot, linked


def call(bot: ScriptedBot, path: str, method: str = "GET", then: Any = None, **params: Any) -> int:
    return bot.ask(
        "call_endpoint", then, venue="BitMEX", path=path, version="private", method=method, params=params or None
    )


def data_of(bot: ScriptedBot, number: int) -> Any:
    envelope = bot.envelopes[number]
    assert envelope["error"] is None, envelope["error"]
    return envelope["data"]


def test_instruments_are_bitmex_rows_with_columns_and_the_index(tmp_path: Path) -> None:
    def ask(bot: ScriptedBot) -> None:
        call(bot, "instrument", symbol="XBTUSD")
        call(bot, "instrument", count=500, start=0, columns=json.dumps(["lastPrice", "tickSize"]))
        call(bot, "instrument", count=500, start=500)
        call(bot, "instrument", symbol="XBT")

    run = linked(tmp_path, seconds=3)
    run.go(ask)
    bot = run.bot
    envelope = bot.envelopes[1]
    assert set(envelope) == {"src", "venue", "venue_id", "error", "data", "rate_limits"}
    assert bot.hello is not None
    assert envelope["venue_id"] == bot.hello.venues["BitMEX"]["id"]
    (row,) = data_of(bot, 1)
    assert (row["symbol"], row["tickSize"], row["lotSize"], row["isInverse"]) == ("XBTUSD", 0.5, 100, True)
    assert row["bidPrice"] < row["askPrice"]
    assert [set(each) for each in data_of(bot, 2)] == [{"symbol", "timestamp", "lastPrice", "tickSize"}]
    assert data_of(bot, 3) == []
    assert data_of(bot, 4)[0]["symbol"] == "XBT"
    assert data_of(bot, 4)[0]["markPrice"] == pytest.approx(row["markPrice"], rel=0.01)


def test_orders_are_sent_amended_listed_and_cancelled(tmp_path: Path) -> None:
    def create(bot: ScriptedBot) -> None:
        call(
            bot,
            "order",
            "POST",
            amend,
            symbol="XBTUSD",
            side="Buy",
            orderQty=200,
            price=bot.quotes[-1][1] - 500,
            execInst="ParticipateDoNotInitiate",
            clOrdID="mine",
        )

    def amend(answer: Any) -> None:
        call(bot, "order", "PUT", listing, origClOrdID="mine", orderQty=300)

    def listing(answer: Any) -> None:
        call(bot, "order", "GET", cancel, symbol="XBTUSD", filter=json.dumps({"open": True}))

    def cancel(answer: Any) -> None:
        call(bot, "order", "DELETE", after, orderID=[answer["data"][0]["orderID"]])

    def after(answer: Any) -> None:
        call(bot, "order", filter=json.dumps({"open": True}))
        call(bot, "order/all", "DELETE", symbol="XBTUSD")

    run = linked(tmp_path)
    bot = run.bot
    run.go(create)
    created, amended, listed, cancelled, none, nothing = (data_of(bot, number) for number in range(1, 7))
    assert (created["clOrdID"], created["orderQty"], created["ordType"]) == ("mine", 200, "Limit")
    assert created["execInst"] == "ParticipateDoNotInitiate"
    assert created["ordStatus"] == "New"
    assert amended["orderQty"] == amended["leavesQty"] == 300
    assert [each["orderID"] for each in listed] == [created["orderID"]]
    assert [(each["orderID"], each["ordStatus"]) for each in cancelled] == [(created["orderID"], "Canceled")]
    assert none == nothing == []


def test_a_position_is_told_and_closed(tmp_path: Path) -> None:
    def buy(bot: ScriptedBot) -> None:
        call(bot, "order", "POST", look, symbol="XBTUSD", orderQty=-300, ordType="Market")

    def look(answer: Any) -> None:
        call(bot, "position", "GET", close, filter=json.dumps({"symbol": "XBTUSD"}), columns=["currentQty", "isOpen"])

    def close(answer: Any) -> None:
        call(bot, "order", "POST", flat, symbol="XBTUSD", execInst="Close")

    def flat(answer: Any) -> None:
        call(bot, "position")

    run = linked(tmp_path)
    bot = run.bot
    run.go(buy)
    assert data_of(bot, 1)["ordStatus"] == "Filled"
    assert [(each["currentQty"], each["isOpen"]) for each in data_of(bot, 2)] == [(-300, True)]
    closed = data_of(bot, 3)
    assert (closed["side"], closed["cumQty"]) == ("Buy", 300)
    assert [(each["currentQty"], each["isOpen"]) for each in data_of(bot, 4)] == [(0, False)]


def test_buckets_end_at_their_timestamp_and_open_at_the_close_before(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=3)
    run.go(lambda bot: call(bot, "trade/bucketed", binSize="5m", symbol="XBTUSD", count=100, reverse=True))
    found = data_of(run.bot, 1)
    assert len(found) == 100
    assert found[0]["timestamp"] == "2025-01-01T00:00:00.000Z"
    assert found[0]["open"] == found[1]["close"]
    assert {"open", "high", "low", "close", "volume", "vwap", "trades"} < set(found[0])


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such path": ({"path": "chat"}, "Not Found: the embedded BitMEX has no GET chat"),
    "a symbol that is no text": ({"path": "instrument", "symbol": 5}, "Invalid symbol 5"),
    "no symbol": ({"path": "trade/bucketed"}, "symbol is required"),
    "a bad bin": ({"path": "trade/bucketed", "symbol": "XBTUSD", "binSize": "7m"}, "Invalid binSize"),
    "no quantity": ({"path": "order", "method": "POST", "symbol": "XBTUSD", "price": 60000}, "orderQty is required"),
    "a bad price": (
        {"path": "order", "method": "POST", "symbol": "XBTUSD", "price": 60000.3, "orderQty": 100},
        "Invalid price tickSize",
    ),
    "an unknown order": ({"path": "order", "method": "DELETE", "orderID": "x"}, "the order 'x' is not open on BitMEX"),
    "a bad filter": ({"path": "order", "filter": "{"}, "Invalid filter"),
    "bad columns": ({"path": "instrument", "columns": "["}, "Invalid columns"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_call_is_refused(tmp_path: Path, wrong: str) -> None:
    arguments, message = WRONG[wrong]
    run = linked(tmp_path, seconds=3)
    run.go(lambda bot: call(bot, **arguments))
    error = run.bot.envelopes[1]["error"]
    assert error["type"] == "api_error"
    assert error["message"].startswith(message)


def test_another_embedded_exchange_has_no_calls_of_its_own(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=3, venues=["WooPaper=woo"], subscribe=["woo:PERP_BTC_USDT"])
    run.go(lambda bot: bot.ask("call_endpoint", venue="WooPaper", path="x", version="public"))
    assert "the embedded Woo has no calls of its own" in run.bot.envelopes[1]["error"]["message"]


def test_an_order_that_ends_at_once_is_answered_as_cancelled(tmp_path: Path) -> None:
    def cross(bot: ScriptedBot) -> None:
        price = round(bot.quotes[-1][1] * 1.01)
        post = {"symbol": "XBTUSD", "side": "Buy", "orderQty": 100, "price": price, "clOrdID": "mine"}
        call(bot, "order", "POST", execInst="ParticipateDoNotInitiate", **post)
        call(bot, "order", "POST", execInst="ReduceOnly", symbol="XBTUSD", side="Buy", orderQty=100, price=price)

    run = linked(tmp_path, seconds=3)
    run.go(*[lambda bot: None] * 20, cross)
    crossing, reducing = data_of(run.bot, 1), data_of(run.bot, 2)
    assert (crossing["clOrdID"], crossing["ordStatus"]) == ("mine", "Canceled")
    assert crossing["text"].startswith("Canceled: Order had execInst of ParticipateDoNotInitiate")
    assert reducing["text"].startswith("Canceled: Order had execInst of ReduceOnly")
