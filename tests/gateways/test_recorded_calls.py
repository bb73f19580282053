"""Every call to Bybit and BitMEX that was recorded from other clients, beside the same call of ours: method, path,
fields of query and body, signature. (Binance's are in `test_binance`.)

What differs, and what a gateway has no use for, stands in the tables with its reason; a recorded call that is in none
of them fails. That ours is signed as theirs is seen from both sides: our signer makes their signature of their text,
and our own request bears what it makes of ours.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import pytest

from mlthon.basics.defs import TIF, ExecInstructions, OrderType
from mlthon.protocols import bitmex as bitmex_tables
from mlthon.protocols import bybit as bybit_tables
from mlthon.venue.codec import Question
from mlthon.venue.wire import Frame, HttpAnswer, HttpMessage, Request
from tests.gateways import bitmex_kit
from tests.gateways.test_bybit import LINEAR, NEW_ORDERS, NOW, made, order

Json = dict[str, Any]
SECRET: Final = "test-secret"
EXPIRES: Final = 1735689605

MARKET_DATA: Final = "market data: the feed handler's"
LOADING: Final = "one of several calls with which ccxt loads its tables"
OPENED: Final = "a line was opened; nothing was sent"
BATCH: Final = "orders are sent one by one"
NOT_OURS: Final = {
    "orderbook": MARKET_DATA,
    "trades": MARKET_DATA,
    "ws_trades": MARKET_DATA,
    "ws_book": MARKET_DATA,
    "ws_bbo": MARKET_DATA,
    "ws_ticker": MARKET_DATA,
    "ws_candles": MARKET_DATA,
    "ws_public": MARKET_DATA,
    "ws_public_connect": OPENED,
    "ws_all_authed": "logged in by headers of the handshake, which cannot be renewed on the line",
    "batch_place": BATCH,
    "load_markets": LOADING,
    "ws_positions /v5/position/list": "all positions, page by page, before the stream: recovery asks by instrument",
    "balances /v5/user/query-api": "ccxt finds out what kind of account it is; ours does so once, at the start",
    "balances /v5/account/info": "the same",
    "ws_orders /v5/user/query-api": "the same",
    "ws_orders /v5/account/info": "the same",
    "cancel_by_client_id ccxt": "ccxt puts the id into a field that Bybit does not know",
    "funding_rate /api/v1/instrument/activeAndIndices": "ours asks for the one instrument (`ticker` of ccxt)",
}

BY_ID: Final = {"orderId", "orderLinkId"}
"""Ours names an order by the client order id, which is known before the answer to the new order comes."""
PAGING: Final = {"limit", "start", "end", "startTime", "endTime", "count", "reverse", "partial"}
"""How much is asked for at once, and of what time, is each client's own choice."""


def new(call: str) -> Request:
    return made().new_order(order(*NEW_ORDERS[call]))


def stream(call: str) -> Request:
    codec = made({"orders": "websocket"})
    if call == "create":
        return codec.new_order(order("cl-0004", *NEW_ORDERS["place_limit_post_only"][1:]))
    return codec.modify_order(order(), 490_000, 20) if call == "amend" else codec.cancel_order(order())


def executions() -> Request:
    question = made().executions((NOW - 1000) * 10**6, LINEAR)
    next(question)
    body = json.dumps({"retCode": 0, "result": {"timeNano": str(NOW * 10**6)}, "time": NOW}).encode()
    return question.send(HttpAnswer(200, {}, body))


BYBIT: Final[dict[str, tuple[Callable[[], Request], set[str]]]] = {
    "server_time": (lambda: next(made().server_time()), set()),
    "instruments": (lambda: next(made().instruments()), {"symbol", "category"} | PAGING),  # of all, page by page
    "candles": (lambda: next(made().candles(LINEAR, 60, 0, 60_000_000_000)), PAGING),
    "tickers": (lambda: next(made().funding(LINEAR)), set()),
    "ticker": (lambda: next(made().funding(LINEAR)), set()),
    "funding_rate": (lambda: next(made().funding(LINEAR)), set()),
    "balances": (lambda: next(made().wallet()), set()),
    "positions": (lambda: next(made().positions(LINEAR)), PAGING),
    "open_orders": (lambda: next(made().open_orders(LINEAR)), PAGING),
    "executions": (executions, PAGING),
    "my_trades": (executions, PAGING | {"execType"}),  # ours leaves funding out itself
    "place_limit_post_only": (lambda: new("place_limit_post_only"), set()),
    "place_limit_ioc": (lambda: new("place_limit_ioc_reduce_only"), BY_ID),
    "place_limit_ioc_reduce_only": (lambda: new("place_limit_ioc_reduce_only"), set()),
    "place_market": (lambda: new("place_market"), BY_ID),
    "amend": (lambda: made().modify_order(order(), 490_000, 20), BY_ID),
    "cancel_one": (lambda: made().cancel_order(order()), BY_ID),
    "cancel_by_client_id": (lambda: made().cancel_order(order()), set()),
    "cancel_all": (lambda: made().cancel_all(LINEAR)[0], set()),
    "ws_place_limit_post_only": (lambda: stream("create"), BY_ID),
    "ws_amend": (lambda: stream("amend"), BY_ID | {"qty"}),  # pybit was recorded changing the price alone
    "ws_cancel": (lambda: stream("cancel"), BY_ID),
}

IOC: Final = {"tif": TIF.IOC, "exec_instr": ExecInstructions.ReduceOnly, "side": -1}
TAG: Final = {"text"}
"""ccxt's broker tag."""
BITMEX_ID: Final = {"orderID", "origClOrdID", "clOrdID"}


def bitmex(question: str) -> Request:
    codec = bitmex_kit.codec()
    asked: dict[str, Callable[[], Question[Any]]] = {
        "balances": codec.wallet,
        "positions": lambda: codec.positions(None),
        "open_orders": lambda: codec.open_orders(bitmex_kit.XBTUSD),
        "my_trades": lambda: codec.executions(0, bitmex_kit.XBTUSD),
        "candles": lambda: codec.candles(bitmex_kit.XBTUSD, 60, 0, 60_000_000_000),
        "ticker": lambda: codec.funding(bitmex_kit.XBTUSD),
    }
    return next(asked[question]())


BITMEX: Final[dict[str, tuple[Callable[[], Request], set[str]]]] = {
    **{
        name: (partial(bitmex, name), PAGING)
        for name in ("balances", "positions", "open_orders", "my_trades", "candles", "ticker")
    },
    "place_limit_post_only": (
        lambda: bitmex_kit.codec().new_order(bitmex_kit.order(exec_instr=ExecInstructions.PostOnly)),
        TAG,
    ),
    # "IOC" is ccxt's word; BitMEX's is ImmediateOrCancel
    "place_limit_ioc": (
        lambda: bitmex_kit.codec().new_order(bitmex_kit.order(**IOC)),
        TAG | BITMEX_ID | {"timeInForce"},
    ),
    "place_market": (
        lambda: bitmex_kit.codec().new_order(bitmex_kit.order(order_type=OrderType.Market, price=0)),
        TAG | BITMEX_ID,
    ),
    "amend": (lambda: bitmex_kit.codec().modify_order(bitmex_kit.order(), 98_000, 2), TAG | BITMEX_ID),
    "cancel_one": (lambda: bitmex_kit.codec().cancel_order(bitmex_kit.order()), BITMEX_ID),
    "cancel_by_client_id": (lambda: bitmex_kit.codec().cancel_order(bitmex_kit.order()), set()),
    "cancel_all": (lambda: bitmex_kit.codec().cancel_all(bitmex_kit.XBTUSD)[0], set()),
}


def calls(shared: Path, exchange: str, client: str) -> list[Json]:
    """What was recorded and has to be compared."""
    file = shared / f"exchange-clients/recordings/{exchange}/{client}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    return [row for row in rows if not set_aside(row, client)]


def set_aside(row: Json, client: str) -> bool:
    name = row["call"]
    kind = "ccxt" if client.startswith("ccxt") and "orderId" in row.get("body", "") else ""
    return (
        name in NOT_OURS
        or f"{name} {row.get('path')}" in NOT_OURS
        or f"{name} {kind}" in NOT_OURS
        or ("method" not in row and "ws_send" not in row)
    )


def fields(query: str, body: str) -> Json:
    return {**dict(parse_qsl(query)), **(json.loads(body) if body else {})}


def same(ours: Json, theirs: Json, free: set[str], name: str) -> None:
    assert {key: value for key, value in ours.items() if key not in free} == {
        key: value for key, value in theirs.items() if key not in free
    }, name


def sent(request: Request, now_ms: int = NOW) -> HttpMessage:
    message = request.build(now_ms)
    assert isinstance(message, HttpMessage)
    return message


@pytest.mark.parametrize("client", ["pybit", "ccxt", "ccxt-async"])
def test_every_call_to_bybit(shared: Path, client: str) -> None:
    compared = 0
    for row in calls(shared, "bybit", client):
        if "ws_send" in row:
            continue
        make, free = BYBIT[row["call"]]
        ours = sent(make())
        path, _, query = ours.target.partition("?")
        assert (ours.method, path) == (row["method"], row["path"]), row["call"]
        same(fields(query, ours.body.decode()), fields(row["query"], row["body"]), free, row["call"])
        signer = bybit_tables.hmac_signer(SECRET)
        if "X-BAPI-SIGN" in row["headers"]:
            text = bybit_tables.prehash(NOW, "test-key", 5000, row["query"] or row["body"])
            assert signer(text) == row["headers"]["X-BAPI-SIGN"], row["call"]
            text = bybit_tables.prehash(NOW, "test-key", 5000, query or ours.body.decode())
            assert (ours.headers["X-BAPI-API-KEY"], ours.headers["X-BAPI-SIGN"]) == ("test-key", signer(text))
        compared += 1
    assert compared >= 12


@pytest.mark.parametrize("client", ["pybit", "ccxt-pro"])
def test_every_message_to_bybit(shared: Path, client: str) -> None:
    codec = made()
    (login,) = codec.line_opened("private", NOW)
    accepted = json.dumps({"success": True, "ret_msg": "", "op": "auth"}).encode()
    (subscription,) = codec.line_message("private", accepted, 1)
    topics = set(json.loads(str(subscription))["args"])
    compared = 0
    for row in calls(shared, "bybit", client):
        theirs = row.get("ws_send")
        if theirs is None:
            continue
        name = row["call"]
        if theirs["op"] == "auth":
            mine = json.loads(login)
            # pybit's login is valid for 1 s, ours and ccxt's for 10 s
            expires = int(theirs["args"][1])
            signed = bybit_tables.hmac_signer(SECRET)(bybit_tables.websocket_prehash(expires))
            assert (mine["op"], mine["args"][0], theirs["args"][2]) == ("auth", theirs["args"][0], signed)
        elif theirs["op"] == "subscribe":
            assert set(theirs["args"]) <= topics, name
        else:
            make, free = BYBIT[name]
            frame = make().build(NOW)
            assert isinstance(frame, Frame)
            mine = json.loads(frame.text)
            assert mine["op"] == theirs["op"]
            assert mine["header"]["X-BAPI-TIMESTAMP"] == str(theirs["header"]["X-BAPI-TIMESTAMP"])
            same(mine["args"][0], theirs["args"][0], free, name)
        compared += 1
    assert compared >= 8


@pytest.mark.parametrize("client", ["ccxt", "ccxt-async"])
def test_every_call_to_bitmex(shared: Path, client: str) -> None:
    compared = 0
    for row in calls(shared, "bitmex", client):
        make, free = BITMEX[row["call"]]
        ours = sent(make(), bitmex_kit.FROZEN_MS)
        path, _, query = ours.target.partition("?")
        assert (ours.method, path) == (row["method"], row["path"]), row["call"]
        same(fields(query, ours.body.decode()), fields(row["query"], row["body"]), free, row["call"])
        headers = {name.lower(): value for name, value in row["headers"].items()}
        if "api-signature" in headers:
            target = row["path"] + (f"?{row['query']}" if row["query"] else "")
            expires = int(headers["api-expires"])
            signed = bitmex_tables.sign(SECRET, row["method"], target, expires, row["body"])
            assert signed == headers["api-signature"], row["call"]
        signed = bitmex_tables.sign(SECRET, ours.method, ours.target, EXPIRES, ours.body.decode())
        assert (ours.headers["api-key"], ours.headers["api-signature"]) == ("test-key", signed)
        compared += 1
    assert compared >= 12


def test_every_message_to_bitmex(shared: Path) -> None:
    tables = set(bitmex_tables.PRIVATE_TABLES)
    compared = 0
    for row in calls(shared, "bitmex", "ccxt-pro"):
        theirs = row.get("ws_send")
        if theirs is None:
            continue
        if theirs["op"] == "authKeyExpires":
            signed = bitmex_tables.sign_realtime(SECRET, theirs["args"][1])
            assert theirs["args"][2] == signed
        else:
            assert set(theirs["args"]) <= tables, row["call"]
        compared += 1
    assert compared >= 5


def test_nothing_is_set_aside_that_was_not_recorded(shared: Path) -> None:
    names = set()
    for exchange in ("bybit", "bitmex"):
        for file in (shared / f"exchange-clients/recordings/{exchange}").glob("*.jsonl"):
            for line in file.read_text().splitlines()[1:]:
                row = json.loads(line)
                names |= {row["call"], f"{row['call']} {row.get('path')}", f"{row['call']} ccxt"}
    assert NOT_OURS.keys() <= names
