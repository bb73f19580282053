"""BitMEX's own calls of a bot whose symbols are traded on Bybit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlthon.protocols import bitmex as wire
from tests.link.host.scripted import ScriptedBot, linked

ELSEWHERE = (
    'venues.BitMEX.src="bitmex"',
    'venues.BitMEX.trade_on="bybit"',
    'venues.BitMEX.symbols={XBTUSD="BTCUSD", XBTUSDT="BTCUSDT"}',
)


def talk(tmp_path: Path, *calls: Any, seconds: int = 10) -> list[Any]:
    """Make calls one after the other: (method, path, parameters), or what gives them from the bot and the last answer;
    what was answered: the data, or the error's message."""
    run = linked(tmp_path, settings=ELSEWHERE, seconds=seconds, subscribe=["bitmex:XBTUSD", "bitmex:XBTUSDT"])
    bot, left, told = run.bot, list(calls), []

    def next_call(answer: Any = None) -> None:
        if answer is not None:
            told.append(answer["data"] if answer["error"] is None else answer["error"]["message"])
        if left:
            call = left.pop(0)
            method, path, params = call(bot, told) if callable(call) else call
            arguments = {"path": path, "version": "private", "method": method, "params": params}
            bot.ask("call_endpoint", next_call, venue="BitMEX", **arguments)

    run.go(lambda bot: None, lambda bot: None, lambda bot: next_call())
    assert not left
    return told


def test_instruments_are_those_of_bitmex_with_the_other_markets_prices(tmp_path: Path) -> None:
    every, (one,), (index,), none, bins = talk(
        tmp_path,
        ("GET", "instrument", {}),
        ("GET", "api/v1/instrument", {"symbol": "XBTUSD", "columns": json.dumps(["lotSize", "bidPrice", "askPrice"])}),
        ("GET", "instrument", {"symbol": ".BXBT"}),
        ("GET", "instrument", {"count": 500, "start": 500}),
        ("GET", "trade/bucketed", {"symbol": "XBTUSD", "binSize": "5m", "count": 3, "reverse": True}),
    )
    assert {each["symbol"]: (each["isInverse"], each["multiplier"], each["settlCurrency"]) for each in every} == {
        "XBTUSD": (True, -100_000_000, "XBt"),
        "XBTUSDT": (False, 1, "USDt"),
    }
    assert set(one) == {"symbol", "timestamp", "lotSize", "bidPrice", "askPrice"}
    assert one["bidPrice"] < one["askPrice"]
    assert (index["symbol"], index["markPrice"] > 0) == (".BXBT", True)
    assert none == []
    times = [wire.nanoseconds(each["timestamp"]) for each in bins]
    assert times[0] - times[1] == times[1] - times[2] == 300 * 10**9
    assert bins[0]["open"] == bins[1]["close"]


def rest(bot: ScriptedBot, told: Sequence[Any]) -> Any:
    bid = next(each for each in reversed(bot.quotes) if each[0] == 1)[1]
    order = {"symbol": "XBTUSDT", "side": "Buy", "orderQty": 2000, "clOrdID": "mine"}
    return "POST", "order", order | {"price": bid - 500, "execInst": "ParticipateDoNotInitiate"}


def test_orders_are_sent_changed_and_cancelled_in_the_bots_contracts(tmp_path: Path) -> None:
    new, moved, (listed,), (gone,), wrong = talk(
        tmp_path,
        rest,
        lambda bot, told: ("PUT", "order", {"orderID": told[0]["orderID"], "orderQty": 3000}),
        ("GET", "order", {"filter": json.dumps({"open": True}), "symbol": "XBTUSDT"}),
        ("DELETE", "order/all", {"symbol": "XBTUSDT"}),
        lambda bot, told: ("PUT", "order", {"orderID": told[0]["orderID"], "price": 1}),
    )
    assert (new["symbol"], new["orderQty"], new["clOrdID"], new["ordStatus"]) == ("XBTUSDT", 2000, "mine", "New")
    assert (moved["orderQty"], moved["orderID"], moved["leavesQty"]) == (3000, new["orderID"], 3000)
    assert (listed["orderID"], listed["symbol"], listed["orderQty"]) == (new["orderID"], "XBTUSDT", 3000)
    assert (gone["orderID"], gone["ordStatus"], gone["leavesQty"]) == (new["orderID"], "Canceled", 0)
    assert "Invalid orderID" in wrong


def test_a_position_is_closed_by_what_is_held(tmp_path: Path) -> None:
    market = {"symbol": "XBTUSD", "side": "Sell", "orderQty": 300}
    sold, (held,), closed, after, none = talk(
        tmp_path,
        ("POST", "order", market),
        ("GET", "position", {"filter": json.dumps({"symbol": "XBTUSD"})}),
        ("POST", "order", {"symbol": "XBTUSD", "execInst": "Close"}),
        ("GET", "position", {}),
        ("POST", "order", {"symbol": "XBTUSD", "execInst": "Close"}),
    )
    assert (sold["ordStatus"], sold["cumQty"]) == ("Filled", 300)
    assert (held["symbol"], held["currentQty"], held["isOpen"]) == ("XBTUSD", -300, True)
    assert (closed["side"], closed["orderQty"], closed["execInst"]) == ("Buy", 300, "ReduceOnly")
    assert after == []
    assert none == "Invalid execInst: there is no position to close"


@pytest.mark.parametrize(
    ("method", "path", "params", "message"),
    [
        ("GET", "user/wallet", {}, "GET user/wallet has no equal on Bybit; there are GET instrument"),
        ("POST", "order/bulk", {}, "POST order/bulk: orders are sent and changed by"),
        ("POST", "order", {"symbol": "BTCUSD", "orderQty": 1}, "Invalid symbol 'BTCUSD'"),
        ("POST", "order", {"symbol": "XBTUSDT", "orderQty": "x"}, "Invalid orderQty"),
        ("GET", "trade/bucketed", {"symbol": "XBTUSD", "binSize": "7m"}, "Invalid binSize"),
        ("GET", "trade/bucketed", {"symbol": "XBTUSD", "count": "many"}, "Invalid count"),
        ("GET", "instrument", {"columns": "[1"}, "Invalid columns"),
        ("GET", "order", {"start": -1}, "Invalid start"),
    ],
)
def test_what_has_no_answer_is_an_error(
    tmp_path: Path, method: str, path: str, params: dict[str, Any], message: str
) -> None:
    assert talk(tmp_path, (method, path, params), seconds=4)[0].startswith(message)
