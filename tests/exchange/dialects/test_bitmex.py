"""BitMEX's side of its protocol, in virtual time: signed requests in, answers and pushes out."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.engine.clock import SECOND, Clock
from mlthon.exchange.config import ExchangeConfig
from mlthon.exchange.dialects.bitmex import BitmexDialect
from mlthon.exchange.served.contract import ServerRequest, ServerResponse
from mlthon.exchange.served.exchange import ServedExchange
from tests.exchange.dialects.rig import START, Client, Socket

XBTUSD = resolve(Exchange.BitMEX, "XBTUSD")
BID, ASK = 100_000, 100_001
"""In ticks of 0.5."""


class Rig(Client):
    """A served BitMEX with one market, one account and its clock."""

    def __init__(self) -> None:
        self.clock = Clock(START)
        config = ExchangeConfig(balances={"BTC": 10.0})
        self.served = ServedExchange(Exchange.BitMEX, [XBTUSD], self.clock, config)
        self.account = self.served.add_account("main", [("test-key", "test-secret")])
        self.served.add_account("other", [("other-key", "other-secret")])
        self.dialect = BitmexDialect(self.served)
        self.market = self.served.markets[XBTUSD]
        self.quote(BID, ASK)

    def quote(self, bid: int, ask: int) -> None:
        now = self.clock.now
        self.served.embedded.market(XBTUSD).on_quote(bid, 500, ask, 500, now)
        self.market.quote(bid, 500, ask, 500, now, now)

    def trade(self, price: int, side: int) -> None:
        now = self.clock.now
        self.served.embedded.market(XBTUSD).on_trade(price, 3, side, now)
        self.market.trade(price, 3, side, 1, now, now)

    def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        key: str = "test-key",
        secret: str = "test-secret",
        expires: int = 60,
        form: bool = False,
    ) -> ServerResponse:
        """A signed request, and its answer once it is there."""
        target, query, body = "/api/v1" + path, "", b""
        if params and method == "GET":
            query = urlencode(params)
        elif params and form:
            body = urlencode(params).encode()
        elif params:
            body = msgspec.json.encode(params)
        until = str(self.clock.now // SECOND + expires)
        text = method + target + ("?" + query if query else "") + until
        signature = hmac.new(secret.encode(), text.encode() + body, hashlib.sha256).hexdigest()
        headers = {"api-key": key, "api-expires": until, "api-signature": signature} if key else {}
        return self.send(ServerRequest(method, target, query, headers, body, "127.0.0.1"))

    def error(self, *args: Any, **options: Any) -> tuple[int, str]:
        answer = self.ask(*args, **options)
        return answer.status, msgspec.json.decode(answer.body)["error"]["message"]

    def place(self, **changes: Any) -> Any:
        order = {"symbol": "XBTUSD", "side": "Buy", "orderQty": 300, "price": 49_000, "ordType": "Limit"}
        return self.json("POST", "/order", {**order, **changes})

    def realtime(self, query: str = "", headers: Mapping[str, str] | None = None) -> tuple[Any, Socket]:
        return self.connect("/realtime", query, headers)

    def login(self) -> tuple[Any, Socket]:
        handler, socket = self.realtime()
        expires = self.clock.now // SECOND + 5
        signature = hmac.new(b"test-secret", f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        say(handler, "authKeyExpires", "test-key", expires, signature)
        return handler, socket


def of(socket: Socket, table: str, action: str | None = None) -> list[Any]:
    """The messages of a table."""
    return [m for m in socket.sent if m != "pong" and m.get("table") == table and action in (None, m["action"])]


def say(handler: Any, op: str, *args: Any) -> None:
    handler.message(msgspec.json.encode({"op": op, "args": list(args)}).decode())


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_an_order_rests_is_amended_and_cancelled(rig: Rig) -> None:
    row = rig.place(clOrdID="mine-1", execInst="ParticipateDoNotInitiate", text="hello")
    assert (row["ordStatus"], row["clOrdID"], row["orderQty"], row["price"], row["leavesQty"]) == (
        "New",
        "mine-1",
        300,
        49_000,
        300,
    )
    assert row["execInst"] == "ParticipateDoNotInitiate"
    assert row["text"] == "hello"
    (listed,) = rig.json("GET", "/order", {"filter": '{"open": true}', "symbol": "XBTUSD"})
    assert listed["orderID"] == row["orderID"]
    amended = rig.json("PUT", "/order", {"origClOrdID": "mine-1", "orderQty": 500, "price": 48_000.5})
    assert (amended["orderQty"], amended["price"], amended["clOrdID"]) == (500, 48_000.5, "mine-1")
    assert amended["text"].startswith("Amended orderQty, price")
    (gone,) = rig.json("DELETE", "/order", {"orderID": row["orderID"]})
    assert gone["ordStatus"] == "Canceled"
    assert gone["text"] == "Canceled: Canceled via API.\nhello"
    assert rig.json("GET", "/order", {"filter": '{"open": true}'}) == []


def test_a_refused_amendment_changes_nothing(rig: Rig) -> None:
    rig.place(clOrdID="a")
    high = {"origClOrdID": "a", "clOrdID": "b", "price": 1_000_001}
    assert rig.error("PUT", "/order", high) == (400, "Invalid price")
    dear = {"origClOrdID": "a", "clOrdID": "b", "orderQty": 9_000_000}
    assert "Available Balance" in rig.error("PUT", "/order", dear)[1]
    (row,) = rig.json("GET", "/order", {"filter": '{"open": true}'})
    assert (row["clOrdID"], row["price"], row["orderQty"]) == ("a", 49_000, 300)
    assert not row["text"].startswith("Amended")


def test_a_form_body_and_a_list_of_ids_do_as_well(rig: Rig) -> None:
    order = {"symbol": "XBTUSD", "side": "Buy", "orderQty": 100, "price": 49_000, "clOrdID": "a"}
    rig.json("POST", "/order", order, form=True)
    rig.place(clOrdID="b")
    rows = rig.json("DELETE", "/order", {"clOrdID": '["a","b"]'}, form=True)
    assert sorted(row["clOrdID"] for row in rows) == ["a", "b"]
    (late,) = rig.json("DELETE", "/order", {"clOrdID": "a"})
    assert late["error"] == "Unable to cancel order due to existing state: Canceled"


def test_a_crossing_post_only_order_is_accepted_and_cancelled(rig: Rig) -> None:
    row = rig.place(price=50_010, execInst="ParticipateDoNotInitiate")
    assert row["ordStatus"] == "Canceled"
    assert "ParticipateDoNotInitiate" in row["text"]


def test_a_market_order_trades_and_moves_position_and_money(rig: Rig) -> None:
    row = rig.json("POST", "/order", {"symbol": "XBTUSD", "orderQty": -200, "ordType": "Market"})
    assert (row["ordStatus"], row["side"], row["cumQty"], row["avgPx"]) == ("Filled", "Sell", 200, 50_000.0)
    (fill,) = rig.json("GET", "/execution/tradeHistory", {"symbol": "XBTUSD"})
    assert (fill["execType"], fill["lastQty"], fill["lastPx"]) == ("Trade", 200, 50_000)
    assert fill["execCost"] == 400_000  # 200 USD at 50,000 are 0.004 XBT
    assert fill["execComm"] == 300  # 0.075 %
    (position,) = rig.json("GET", "/position")
    assert (position["currentQty"], position["avgEntryPrice"], position["currency"]) == (-200, 50_000, "XBt")
    margin = rig.json("GET", "/user/margin", {"currency": "XBt"})
    assert margin["walletBalance"] == 10**9 - 300


def test_cancel_all_and_the_dead_mans_switch(rig: Rig) -> None:
    rig.place(clOrdID="1")
    rig.place(clOrdID="2", side="Sell", price=51_000)
    only = rig.json("DELETE", "/order/all", {"filter": {"side": "Buy"}})
    assert [row["clOrdID"] for row in only] == ["1"]
    rig.json("POST", "/order/cancelAllAfter", {"timeout": 5000})
    rig.run(4 * SECOND)
    assert len(rig.json("GET", "/order", {"filter": '{"open": true}'})) == 1
    rig.run(2 * SECOND)
    assert rig.json("GET", "/order", {"filter": '{"open": true}'}) == []


def test_a_close_without_a_quantity_closes_the_position(rig: Rig) -> None:
    rig.json("POST", "/order", {"symbol": "XBTUSD", "orderQty": 200, "ordType": "Market"})
    rig.json("POST", "/order", {"symbol": "XBTUSD", "ordType": "Market", "execInst": "Close"})
    (position,) = rig.json("GET", "/position")
    assert position["currentQty"] == 0


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"symbol": "NONE"}, 400, "Invalid symbol"),
        ({"price": 49_000.1}, 400, "Invalid price tickSize"),
        ({"orderQty": 150}, 400, "lotSize"),
        ({"orderQty": 0}, 400, "Invalid orderQty"),
        ({"orderQty": "many"}, 400, "Invalid orderQty"),
        ({"price": -5}, 400, "Invalid price"),
        ({"price": 1_000_000.5, "side": "Sell"}, 400, "Invalid price"),
        ({"side": "Up"}, 400, "Invalid side"),
        ({"ordType": "Magic"}, 400, "Invalid ordType"),
        ({"ordType": "Stop"}, 400, "stopPx is required"),
        ({"clOrdID": "x" * 37}, 400, "clOrdID"),
        ({"orderQty": 10**9}, 400, "maxOrderQty"),
        ({"orderQty": 10**6 * 9}, 400, "Available Balance"),
    ],
)
def test_bad_orders_are_refused_with_the_exchanges_words(
    rig: Rig, changes: dict[str, Any], status: int, text: str
) -> None:
    order = {"symbol": "XBTUSD", "side": "Buy", "orderQty": 300, "price": 49_000, "ordType": "Limit", **changes}
    found, message = rig.error("POST", "/order", order)
    assert found == status
    assert text in message


def test_a_client_id_that_is_open_is_refused_and_may_be_used_again_later(rig: Rig) -> None:
    rig.place(clOrdID="again")
    order = {"symbol": "XBTUSD", "orderQty": 100, "price": 49_000, "clOrdID": "again"}
    assert rig.error("POST", "/order", order) == (400, "Duplicate clOrdID")
    rig.json("DELETE", "/order/all")
    assert rig.json("POST", "/order", order)["ordStatus"] == "New"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"key": ""}, "Authorization Required"),
        ({"key": "nobody"}, "Invalid API Key."),
        ({"secret": "wrong"}, "Signature not valid."),
        ({"expires": -1}, "This request has expired"),
    ],
)
def test_keys_signatures_and_expiries_are_enforced(rig: Rig, options: dict[str, Any], text: str) -> None:
    status, message = rig.error("GET", "/position", **options)
    assert status == 401
    assert message.startswith(text)


def test_unknown_paths_orders_and_bodies(rig: Rig) -> None:
    assert rig.error("GET", "/nothing") == (404, "Not Found")
    assert rig.error("DELETE", "/order", {"orderID": "nobody"})[0] == 404
    assert rig.error("PUT", "/order", {"orderID": "nobody", "price": 1})[0] == 400
    answers: list[ServerResponse] = []
    rig.dialect.http(ServerRequest("GET", "/api/v1/trade", "", {}, b"{", "x"), answers.append)
    assert answers[0].status == 400


def test_accounts_see_their_own_orders_alone(rig: Rig) -> None:
    order_id = rig.place()["orderID"]
    other = {"key": "other-key", "secret": "other-secret"}
    assert rig.json("GET", "/order", **other) == []
    assert rig.error("DELETE", "/order", {"orderID": order_id}, **other)[0] == 404


def test_too_many_orders_a_second_are_refused(rig: Rig) -> None:
    statuses: list[int] = []
    body = msgspec.json.encode({"symbol": "XBTUSD", "timeout": 0})
    until = str(rig.clock.now // SECOND + 60)
    signed = f"POST/api/v1/order/cancelAllAfter{until}".encode() + body
    signature = hmac.new(b"test-secret", signed, hashlib.sha256).hexdigest()
    headers = {"api-key": "test-key", "api-expires": until, "api-signature": signature}
    for _ in range(11):
        request = ServerRequest("POST", "/api/v1/order/cancelAllAfter", "", headers, body)
        rig.dialect.http(request, lambda answer: statuses.append(answer.status))
    assert statuses == [200] * 10 + [429]


def test_market_data_over_rest(rig: Rig) -> None:
    rig.trade(ASK, 1)
    (row,) = rig.json("GET", "/instrument", {"symbol": "XBTUSD"}, key="")
    assert (row["tickSize"], row["lotSize"], row["multiplier"], row["isInverse"], row["settlCurrency"]) == (
        0.5,
        100,
        -100_000_000,
        True,
        "XBt",
    )
    assert (row["bidPrice"], row["askPrice"], row["lastPrice"]) == (50_000, 50_000.5, 50_000.5)
    book = rig.json("GET", "/orderBook/L2", {"symbol": "XBTUSD", "depth": 5}, key="")
    assert [(level["side"], level["price"], level["size"]) for level in book] == [
        ("Sell", 50_000.5, 50_000),
        ("Buy", 50_000, 50_000),
    ]
    (trade,) = rig.json("GET", "/trade", {"symbol": "XBTUSD", "count": 5, "reverse": "true"}, key="")
    assert (trade["price"], trade["size"], trade["side"]) == (50_000.5, 300, "Buy")
    (bucket,) = rig.json("GET", "/trade/bucketed", {"symbol": "XBTUSD", "binSize": "1m", "partial": "true"}, key="")
    assert (bucket["timestamp"], bucket["close"], bucket["volume"]) == ("2025-01-01T00:01:00.000Z", 50_000.5, 300)
    assert rig.error("GET", "/trade/bucketed", {"symbol": "XBTUSD", "binSize": "7m"}, key="")[0] == 400


def test_a_socket_is_greeted_answers_pings_and_begins_tables_with_partials(rig: Rig) -> None:
    handler, socket = rig.realtime("subscribe=quote:XBTUSD,orderBookL2:XBTUSD,liquidation")
    assert socket.sent[0]["info"].startswith("Welcome")
    assert of(socket, "quote", "partial")[0]["data"][0]["bidPrice"] == 50_000
    (partial,) = of(socket, "orderBookL2", "partial")
    assert partial["keys"] == ["symbol", "id", "side"]
    assert of(socket, "liquidation", "partial")[0]["data"] == []
    handler.message("ping")
    assert socket.sent[-1] == "pong"
    rig.quote(BID - 2, ASK)
    (gone,) = of(socket, "orderBookL2", "delete")
    (new,) = of(socket, "orderBookL2", "insert")
    assert gone["data"][0]["id"] in {level["id"] for level in partial["data"]}
    assert new["data"][0]["price"] == 49_999
    assert of(socket, "quote", "insert")[-1]["data"][0]["bidPrice"] == 49_999


def test_private_tables_tell_of_an_orders_life(rig: Rig) -> None:
    handler, socket = rig.login()
    assert socket.sent[-1]["success"] is True
    assert "test-secret" not in repr(socket.sent)
    say(handler, "subscribe", "order", "execution", "position", "margin", "wallet")
    row = rig.json("POST", "/order", {"symbol": "XBTUSD", "orderQty": 100, "price": 50_000, "clOrdID": "x"})
    (insert,) = of(socket, "order", "insert")
    assert insert["data"][0]["ordStatus"] == "New"
    rig.json("DELETE", "/order", {"orderID": row["orderID"]})
    update = of(socket, "order", "update")[-1]["data"][0]
    assert (update["orderID"], update["ordStatus"], update["leavesQty"]) == (row["orderID"], "Canceled", 0)
    assert "price" not in update  # an update holds the keys and what changed
    rig.json("POST", "/order", {"symbol": "XBTUSD", "orderQty": 100, "ordType": "Market"})
    assert of(socket, "execution", "insert")[0]["data"][0]["lastQty"] == 100
    assert of(socket, "position", "update")[-1]["data"][0]["currentQty"] == 100
    assert of(socket, "margin", "update")
    handler.closed()
    count = len(socket.sent)
    rig.place()
    rig.quote(BID - 3, ASK + 3)
    rig.run()
    assert len(socket.sent) == count


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("{", "JSON"),
        ("[]", "op"),
        ('{"op": "fly"}', "Unknown op"),
        ('{"op": "subscribe", "args": ["nothing"]}', "Unknown table"),
        ('{"op": "subscribe", "args": ["trade:NONE"]}', "symbol"),
        ('{"op": "subscribe", "args": ["order"]}', "authorization"),
        ('{"op": "authKeyExpires", "args": ["test-key", 1, "x"]}', "expired"),
        ('{"op": "authKeyExpires", "args": []}', "takes a key"),
    ],
)
def test_bad_messages_are_answered_with_errors(rig: Rig, message: str, text: str) -> None:
    handler, socket = rig.realtime()
    handler.message(message)
    assert text in socket.sent[-1]["error"]


def test_the_first_twenty_five_levels_follow_the_book(rig: Rig) -> None:
    handler, socket = rig.realtime()
    now = rig.clock.now
    for price in range(40):
        rig.market.book(0, BID - price, 10, 0, now, now)
        rig.market.book(1, ASK + price, 10, 0, now, now)
    say(handler, "subscribe", "orderBookL2_25:XBTUSD")
    have = {(level["side"], level["id"]): level["size"] for level in of(socket, "orderBookL2_25")[0]["data"]}
    assert len(have) == 50
    rig.market.book(0, BID, 0, 0, now, now)
    rig.market.book(1, ASK, 20, 0, now, now)
    rig.run()
    act: dict[str, Callable[[Any], Any]] = {
        "delete": lambda level: have.pop((level["side"], level["id"])),
        "insert": lambda level: have.setdefault((level["side"], level["id"]), level["size"]),
        "update": lambda level: have.__setitem__((level["side"], level["id"]), level["size"]),
    }
    for message in of(socket, "orderBookL2_25")[1:]:
        for level in message["data"]:
            act[message["action"]](level)
    shown = rig.json("GET", "/orderBook/L2", {"symbol": "XBTUSD", "depth": 25}, key="")
    assert have == {(level["side"], level["id"]): level["size"] for level in shown}


def test_columns_pages_and_indices_of_instruments() -> None:
    rig = Rig()

    def ask(**params: Any) -> Any:
        return msgspec.json.decode(rig.ask("GET", "/instrument", params).body)

    (row,) = ask(symbol="XBTUSD", columns='["lastPrice","tickSize"]')
    assert set(row) == {"symbol", "timestamp", "lastPrice", "tickSize"}
    assert set(ask(columns="tickSize")[0]) == {"symbol", "timestamp", "tickSize"}
    assert rig.error("GET", "/instrument", {"columns": "[1"}) == (400, "Invalid columns")
    assert [each["symbol"] for each in ask(count=500, start=0)] == ["XBTUSD"]
    assert ask(count=500, start=500) == []
    assert [(each["symbol"], each["tickSize"]) for each in ask(symbol=".BXBT")] == [(".BXBT", 0.5)]
    assert ask(symbol="NOUSD") == []
    order = {"symbol": "XBTUSD", "side": "Buy", "orderQty": 100, "price": 1000}
    assert "price" in msgspec.json.decode(rig.ask("POST", "/order", order | {"columns": "side"}).body)
    (row,) = msgspec.json.decode(rig.ask("GET", "/order", {"columns": "side"}).body)
    assert set(row) == {"orderID", "account", "currency", "symbol", "timestamp", "side"}
