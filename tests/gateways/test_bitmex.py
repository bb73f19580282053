"""BitMEX's codec: its requests against those of recorded clients, its facts from samples of the exchange."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import pytest

from gateways import bitmex as module
from gateways.bitmex import BitmexCodec
from mlthon.basics.catalogue import define, resolve
from mlthon.basics.catalogue import instruments as catalogue
from mlthon.basics.defs import TIF, CancelCode, Exchange, ExecInstructions, GtwRejectCode, InstrumentType, OrderType
from mlthon.basics.defs import OrderStatus as Status
from mlthon.basics.instrument import Instrument
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import bitmex as spelling
from mlthon.venue.codec import BadMessage, Credentials, NoAnswer, Question, Refused, Unsupported, gateway_module
from mlthon.venue.facts import (
    ExecutionFact,
    LineInterrupted,
    LineReady,
    LineRefused,
    OrderFact,
    PositionFact,
    Reply,
    WalletFact,
)
from mlthon.venue.wire import HttpAnswer, HttpMessage, Request

XBTUSD = resolve(Exchange.BitMEX, "XBTUSD")
OLD = define(
    Exchange.BitMEX, "XBTUSD", InstrumentType.Perpetual, "btc-usd", tick="0.01", lot=1, settle_currency="BTC", index=0
)
"""XBTUSD with the lot of the older samples, and a tick that fits them all."""
SAMPLES = [OLD, *(each for each in catalogue(Exchange.BitMEX) if each.symbol != "XBTUSD")]
KEYS = Credentials("test-key", "test-secret")
FROZEN_MS = 1735689600000


def codec(*instruments: Instrument, **options: Any) -> BitmexCodec:
    endpoints = module.environments(Exchange.BitMEX)["main"].at("http://127.0.0.1:8080")
    return module.codec(Exchange.BitMEX, "main", instruments or [XBTUSD], endpoints, KEYS, options)


def order(**changes: Any) -> TrackedOrder:
    fields: dict[str, Any] = {
        "wire_id": "cl-0001",
        "client_id": "1",
        "session": cast(Any, None),
        "account": "main",
        "instrument": XBTUSD,
        "side": 1,
        "order_type": OrderType.Limit,
        "tif": TIF.GTC,
        "exec_instr": ExecInstructions.Unset,
        "price": 100_000,
        "qty": 1,
        "stop_price": None,
        "close_position": False,
        "created_ts": 0,
    }
    return TrackedOrder(**{**fields, **changes})


def sent(request: Request, now_ms: int = FROZEN_MS) -> HttpMessage:
    message = request.build(now_ms)
    assert isinstance(message, HttpMessage)
    return message


def body(request: Request) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(sent(request).body))


def answer(content: object, status: int = 200, **headers: str) -> HttpAnswer:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return HttpAnswer(status, {name.replace("_", "-"): text for name, text in headers.items()}, data, 1, 2)


def error(text: str) -> dict[str, object]:
    return {"error": {"message": text, "name": "HTTPError"}}


def ask(question: Question[Any], *answers: HttpAnswer) -> tuple[Any, list[HttpMessage]]:
    """What a question finds, and the requests it made."""
    asked: list[HttpMessage] = []
    left = list(answers)
    try:
        request = next(question)
        while True:
            asked.append(sent(request))
            request = question.send(left.pop(0))
    except StopIteration as stop:
        assert not left
        return stop.value, asked


def sample(shared: Path, name: str) -> Any:
    return json.loads((shared / "exchange-data/bitmex" / name).read_text())


def test_found_by_entry_point() -> None:
    assert gateway_module(Exchange.BitMEX).EXCHANGES == module.EXCHANGES


# -- requests ----------------------------------------------------------------------------------------------------------


def recorded(shared: Path, client: str = "ccxt") -> Mapping[str, dict[str, Any]]:
    lines = (shared / f"exchange-clients/recordings/bitmex/{client}.jsonl").read_text().splitlines()
    return {call.get("call", "") + call.get("path", ""): call for call in map(json.loads, lines)}


# What ours does otherwise, and why: no broker tag (`text`); always a client order id; IOC as BitMEX spells it (ccxt's
# "IOC" is not BitMEX's); a change names the order by client order id, which is known before the answer to the new one.
IOC = {"tif": TIF.IOC, "exec_instr": ExecInstructions.ReduceOnly, "side": -1}
CALLS: dict[str, tuple[Request, set[str]]] = {
    "place_limit_post_only/api/v1/order": (
        codec().new_order(order(exec_instr=ExecInstructions.PostOnly)),
        {"text"},
    ),
    "place_limit_ioc/api/v1/order": (codec().new_order(order(**IOC)), {"text", "clOrdID", "timeInForce"}),
    "place_market/api/v1/order": (
        codec().new_order(order(order_type=OrderType.Market, price=0)),
        {"text", "clOrdID"},
    ),
    "amend/api/v1/order": (codec().modify_order(order(), 98_000, 2), {"text", "orderID", "origClOrdID"}),
    "cancel_by_client_id/api/v1/order": (codec().cancel_order(order()), set()),
    "cancel_all/api/v1/order/all": (codec().cancel_all(XBTUSD)[0], set()),
}


@pytest.mark.parametrize("call", CALLS)
def test_requests_are_those_of_recorded_clients(shared: Path, call: str) -> None:
    request, different = CALLS[call]
    theirs, ours = recorded(shared)[call], sent(request)
    assert (ours.method, ours.target) == (theirs["method"], theirs["path"])
    fields, expected = json.loads(ours.body), json.loads(theirs["body"])
    assert {key: fields.get(key) for key in (fields.keys() | expected) - different} == {
        key: expected.get(key) for key in (fields.keys() | expected) - different
    }
    assert ours.headers["api-expires"] == theirs["headers"]["api-expires"]
    signed = spelling.sign("test-secret", ours.method, ours.target, 1735689605, ours.body.decode())
    assert (ours.headers["api-key"], ours.headers["api-signature"]) == ("test-key", signed)


def test_an_order_without_a_client_id_is_named_by_the_exchanges(shared: Path) -> None:
    foreign = order(wire_id="")
    foreign.exchange_id = "11111111-2222-4333-8444-555555555555"
    theirs = recorded(shared)["cancel_one/api/v1/order"]
    ours = sent(codec().cancel_order(foreign))
    assert ours.body.decode() == theirs["body"]
    assert ours.headers["api-signature"] == theirs["headers"]["api-signature"]


def test_questions_are_those_of_recorded_clients(shared: Path) -> None:
    # Ours page (`count`, `start`), ask for times rather than for the newest, and read spot balances beside margin.
    theirs = recorded(shared)
    empty = answer([])
    made = codec()
    assets, active = theirs["load_markets/api/v1/wallet/assets"], theirs["load_markets/api/v1/instrument/active"]
    unknown = answer([{"symbol": "X", "settlCurrency": "Foo", "state": "Settled"}])
    _, asked = ask(made.instruments(), unknown, empty)
    assert [message.target for message in asked] == [active["path"], assets["path"]]
    assert asked[0].headers["api-signature"] == active["headers"]["api-signature"]
    _, asked = ask(made.positions(None), empty)
    assert asked[0].headers["api-signature"] == theirs["positions/api/v1/position"]["headers"]["api-signature"]
    _, asked = ask(made.wallet(), empty, empty)
    assert asked[0].headers["api-signature"] == theirs["balances/api/v1/user/margin"]["headers"]["api-signature"]
    orders = theirs["open_orders/api/v1/order"]
    _, asked = ask(made.open_orders(XBTUSD), empty)
    assert asked[0].target == f"{orders['path']}?{orders['query']}&count=500&start=0&reverse=true"
    for call, question in (
        ("my_trades/api/v1/execution/tradeHistory", made.executions(0, XBTUSD)),
        ("candles/api/v1/trade/bucketed", made.candles(XBTUSD, 60, 0, 60 * 10**9)),
    ):
        _, asked = ask(question, empty)
        path, _, query = asked[0].target.partition("?")
        assert path == theirs[call]["path"]
        assert {"symbol", "count", "startTime"} <= dict(parse_qsl(query)).keys()


def test_spellings() -> None:
    stop = order(order_type=OrderType.Stop, price=0, stop_price=90_001, side=-1, exec_instr=ExecInstructions.ReduceOnly)
    assert body(codec(trigger="mark").new_order(stop)) == {
        "symbol": "XBTUSD",
        "side": "Sell",
        "orderQty": 100,
        "ordType": "Stop",
        "stopPx": 45000.5,
        "execInst": "ReduceOnly,MarkPrice",
        "clOrdID": "cl-0001",
    }
    both = codec().new_order(order(order_type=OrderType.StopLimit, stop_price=90_001, tif=TIF.Day))
    assert [body(both)[name] for name in ("ordType", "price", "stopPx", "timeInForce", "execInst")] == [
        "StopLimit",
        50000,
        45000.5,
        "Day",
        "LastPrice",
    ]
    profit = codec().new_order(order(order_type=OrderType.TakeProfit, price=0, stop_price=90_001))
    assert (body(profit)["ordType"], "price" in body(profit)) == ("MarketIfTouched", False)
    close = body(codec().new_order(order(order_type=OrderType.Market, price=0, qty=0, close_position=True)))
    assert (close["execInst"], "orderQty" in close) == ("Close", False)
    assert body(codec().new_order(order(tif=TIF.FOK)))["timeInForce"] == "FillOrKill"
    spot = resolve(Exchange.BitMEX, "XBT_USDT")
    assert body(codec().new_order(order(instrument=spot)))["orderQty"] == 10000
    (switch,) = codec().arm_dead_man(60.0, [XBTUSD])
    dead = sent(switch)
    assert (dead.target, dead.body) == ("/api/v1/order/cancelAllAfter", b'{"timeout":60000}')


def test_what_cannot_be_asked() -> None:
    made = codec()
    with pytest.raises(Unsupported, match="type Unset"):
        made.new_order(order(order_type=OrderType.Unset))
    with pytest.raises(Unsupported, match="needs a stop price"):
        made.new_order(order(order_type=OrderType.Stop))
    with pytest.raises(Unsupported, match="post-only"):
        made.new_order(order(order_type=OrderType.Market, exec_instr=ExecInstructions.PostOnly))
    with pytest.raises(Unsupported, match="no price to change"):
        made.modify_order(order(order_type=OrderType.Stop), 1, None)
    with pytest.raises(Unsupported, match="candles of 7 s"):
        ask(made.candles(XBTUSD, 7, 0, 1))
    for options in ({"colour": 1}, {"validity_s": 0}, {"validity_s": True}, {"trigger": "moon"}):
        with pytest.raises(ValueError, match=r"colour|validity_s|trigger"):
            codec(**options)
    keyless = module.codec(Exchange.BitMEX, "", [XBTUSD], module.environments(Exchange.BitMEX)["main"], None, {})
    with pytest.raises(Unsupported, match="keys"):
        keyless.new_order(order())
    _, asked = ask(keyless.server_time(), answer({"name": "BitMEX API", "version": "1", "timestamp": 5}))
    assert "api-key" not in asked[0].headers
    assert keyless.rules[0].limit == 30


def test_no_secret_is_shown() -> None:
    request = codec().new_order(order())
    shown = repr(request) + repr(sent(request)) + repr(KEYS)
    assert "test-secret" not in shown
    assert "test-key" not in shown


# -- replies -----------------------------------------------------------------------------------------------------------


def replied(request: Request, content: object, status: int = 200, **headers: str) -> Reply:
    return codec(*SAMPLES).reply(request, answer(content, status, **headers))


def test_replies_to_recorded_orders(shared: Path) -> None:
    new = codec().new_order(order())
    limit = replied(new, sample(shared, "xchange/__files/api_v1_order_new-limit-buy-order.json"))
    market = replied(new, sample(shared, "xchange/__files/api_v1_order_new-marked-buy-order.json"))
    cancelled = replied(codec().cancel_order(order()), sample(shared, "xchange/__files/api_v1_order_cancel-order.json"))
    facts = [fact for reply in (limit, market, cancelled) for fact in reply.facts if isinstance(fact, OrderFact)]
    assert [reply.accepted for reply in (limit, market, cancelled)] == [True] * 3
    assert [(fact.wire_id, fact.status, fact.price, fact.qty, fact.filled) for fact in facts] == [
        ("new-limit-buy-order", Status.New, 20001, 1, 0),
        ("new-market-buy-order", Status.Filled, 0, 1, 1),
        ("", Status.Cancelled, 60000, 1, 0),
    ]
    assert facts[2].cancel_code is CancelCode.CanceledByUser
    assert limit.exchange_id == "a125b16d-a1fb-485a-b88f-20f6e3a39314"


ROW = {"orderID": "o", "symbol": "XBTUSD", "side": "Buy", "ordStatus": "New", "orderQty": 100, "price": 5, "cumQty": 0}


def test_a_crossing_post_only_order_is_accepted_and_cancelled() -> None:
    text = "Canceled: Order had execInst of ParticipateDoNotInitiate\nSubmitted via API."
    reply = replied(codec().new_order(order()), {**ROW, "ordStatus": "Canceled", "text": text})
    (fact,) = reply.facts
    assert isinstance(fact, OrderFact)
    assert (reply.accepted, fact.status, fact.cancel_code) == (True, Status.Cancelled, CancelCode.PostOnlyWouldTake)
    assert fact.reason == "Canceled: Order had execInst of ParticipateDoNotInitiate"


def test_refusals() -> None:
    new, cancel, change = codec().new_order(order()), codec().cancel_order(order()), codec().modify_order(order(), 1, 1)
    assert replied(new, error("Duplicate clOrdID"), 400).code is GtwRejectCode.DuplicateClientId
    rejected = replied(new, {**ROW, "ordStatus": "Rejected", "ordRejReason": "Invalid price"})
    assert (rejected.accepted, rejected.code) == (False, GtwRejectCode.InvalidPrice)
    assert replied(change, error("Invalid ordStatus"), 400).missing
    assert replied(cancel, error("Not Found"), 404).missing
    assert not replied(new, error("Not Found"), 404).missing
    late = replied(cancel, [{**ROW, "error": "Unable to cancel order due to existing state: Filled"}])
    assert (late.missing, late.accepted, late.code) == (True, False, GtwRejectCode.OrderNotOpen)
    assert replied(cancel, []).missing
    limited = replied(new, error("Rate limit exceeded, retry in 3 seconds."), 429, retry_after="3")
    assert (limited.limited, limited.retry_after_s) == (True, 3.0)


def test_overload_is_refused_and_other_failures_are_unknown() -> None:
    new = codec().new_order(order())
    shed = replied(new, error(spelling.OVERLOADED), 503)
    assert (shed.unknown, shed.accepted, shed.retry_after_s) == (False, False, 0.5)
    assert shed.code is not GtwRejectCode.Unset
    assert replied(new, b"<html>", 503).unknown
    assert replied(new, error("Service unavailable"), 503).unknown
    assert replied(new, b"", 502).unknown


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"no", 200), ({}, 200), ({**ROW, "ordStatus": "Lost"}, 200), ({**ROW, "price": 0.3}, 200), (b"", 302)],
)
def test_replies_that_cannot_be_understood(content: object, status: int) -> None:
    with pytest.raises(BadMessage):
        codec().reply(codec().new_order(order()), answer(content, status))


def test_usage() -> None:
    made, request = codec(), codec().new_order(order())
    headers = {"x_ratelimit_limit": "120", "x_ratelimit_remaining": "118", "x_ratelimit_reset": "9"}
    minute, burst = made.usage(request, answer({}, 200, **headers, x_ratelimit_remaining_1s="7"))
    assert (minute.rule, minute.used, minute.limit, minute.reset_ts) == ("minute", 2, 120, 9 * 10**9)
    assert (burst.rule, burst.used) == ("burst", 3)
    banned = list(made.usage(request, answer({}, 429, retry_after="2")))
    assert [(usage.rule, usage.banned_until) for usage in banned] == [
        ("minute", 2 * 10**9 + 2),
        ("burst", 2 * 10**9 + 2),
    ]
    assert list(made.usage(request, answer({}, x_ratelimit_limit="many"))) == []


# -- the line ----------------------------------------------------------------------------------------------------------


def opened(*instruments: Instrument) -> BitmexCodec:
    made = codec(*instruments)
    list(made.line_opened("private", FROZEN_MS))
    return made


def told(made: BitmexCodec, message: object) -> list[Any]:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return list(made.line_message("private", data, 1))


def table(name: str, action: str, *rows: object) -> dict[str, object]:
    return {"table": name, "action": action, "data": rows}


def test_login_subscriptions_and_readiness(shared: Path) -> None:
    made = codec(validity_s=1)
    (line,), _ = ask(made.lines())
    assert (line.name, line.url(0)) == ("private", "ws://127.0.0.1:8080/realtime")
    (login,) = made.line_opened("private", FROZEN_MS)
    vector = next(
        json.loads(text)
        for text in (shared / "exchange-clients/recordings/bitmex/ccxt-pro.jsonl").read_text().splitlines()
        if "authKeyExpires" in text
    )
    theirs, ours = vector["ws_send"], json.loads(login)
    # ccxt gives milliseconds for seconds: valid for ever. Ours expires.
    assert (ours["op"], ours["args"][0], ours["args"][1]) == (theirs["op"], theirs["args"][0], FROZEN_MS // 1000 + 1)
    assert ours["args"][2] == spelling.sign_realtime("test-secret", FROZEN_MS // 1000 + 1)
    assert told(made, {"info": "Welcome to the BitMEX Realtime API."}) == []
    assert told(made, b"pong") == []
    accepted = {"success": True, "request": {"op": "authKeyExpires", "args": []}}
    assert told(made, accepted) == ['{"op":"subscribe","args":["order","execution","position","margin","wallet"]}']
    for name in ("order", "execution", "position", "margin"):
        assert told(made, {"success": True, "subscribe": name, "request": {"op": "subscribe"}}) == []
        assert told(made, table(name, "partial")) == []
    assert told(made, table("wallet", "partial")) == [LineReady(line="private")]
    assert told(made, table("wallet", "partial")) == []


def test_refused_logins() -> None:
    refused = {"status": 401, "error": "Signature not valid.", "meta": {}, "request": {"op": "authKeyExpires"}}
    (fact,) = told(opened(), refused)
    assert fact == LineRefused(line="private", reason="authKeyExpires: Signature not valid.", final=True)
    (fact,) = told(opened(), {"error": "Rate limit exceeded, retry in 29 seconds."})
    assert not fact.final


def test_updates_are_merged_with_the_last_full_row() -> None:
    made = opened()
    row = {**ROW, "clOrdID": "a", "price": 50000.5, "ordType": "Limit", "execInst": "ReduceOnly"}
    assert told(made, table("order", "update", {"orderID": "o", "cumQty": 100})) == []
    assert told(made, table("order", "partial")) == []
    (first,) = told(made, table("order", "insert", row))
    (second,) = told(made, table("order", "update", {"orderID": "o", "price": 50001, "cumQty": None, "leavesQty": 100}))
    assert (first.price, second.price, second.qty, second.wire_id) == (100001, 100002, 1, "a")
    assert second.exec_instr is ExecInstructions.ReduceOnly
    (over,) = told(made, table("order", "update", {"orderID": "o", "ordStatus": "Filled", "cumQty": 100}))
    assert (over.status, over.filled, over.price) == (Status.Filled, 1, 100002)
    assert told(made, table("order", "update", {"orderID": "o", "text": "x"})) == []
    (gap,) = told(made, table("order", "update", {"orderID": "other", "ordStatus": "Filled"}))
    assert isinstance(gap, LineInterrupted)


def test_a_waiting_stop_is_untriggered() -> None:
    made = opened()
    stop = {**ROW, "ordType": "Stop", "stopPx": 40000, "triggered": "", "workingIndicator": False, "price": None}
    (waits,) = told(made, table("order", "partial", stop))
    (works,) = told(made, table("order", "update", {"orderID": "o", "triggered": "StopOrderTriggered"}))
    assert (waits.status, waits.stop_price, works.status) == (Status.Untriggered, 80000, Status.New)


def test_private_samples(shared: Path) -> None:
    made = opened(*SAMPLES)
    for name in ("order", "execution", "position", "margin", "wallet"):
        told(made, table(name, "partial"))
    (fact,) = told(made, table("order", "insert", sample(shared, "nautilus/ws_order.json")))
    assert (fact.wire_id, fact.price, fact.qty, fact.side) == ("mm_bitmex_1a/oemUeQ4CAJZgP3fjHsA", 9_800_000, 100, 1)
    (fact,) = told(made, table("execution", "insert", sample(shared, "nautilus/ws_execution.json")))
    # The sample names its currency XBT, not XBt: the fee is the instrument's settle currency all the same.
    assert (fact.price, fact.qty, fact.maker, fact.cumulative) == (9_895_000, 100, True, 100)
    assert (fact.fee, fact.fee_coin) == (76 * 10**10, "BTC")
    assert told(made, table("execution", "insert", sample(shared, "nautilus/ws_execution_cancel_reject.json"))) == []
    (fact,) = told(made, table("position", "insert", sample(shared, "nautilus/ws_position.json")))
    assert (fact.position, fact.entry_price, fact.liquidation_price) == (1000, 98039.5, 1255.0)
    (fact,) = told(made, table("margin", "insert", sample(shared, "nautilus/ws_margin.json")))
    assert (fact.coin, fact.total, fact.available) == ("BTC", 100005180 * 10**10, 99994411 * 10**10)
    assert told(made, table("wallet", "insert", sample(shared, "nautilus/ws_wallet.json"))) == []
    (fact,) = told(made, sample(shared, "xchange-stream/execution_market-buy.json"))
    assert (fact.qty, fact.price, fact.maker, fact.fee, fact.fee_coin) == (1, 189904, False, 8545 * 10**12, "USDT")
    (fact,) = told(made, table("execution", "insert", sample(shared, "xchange-stream/execution.json")))
    assert (fact.fee, fact.maker, fact.wire_id) == (-98 * 10**10, True, "1528259635504")
    (fact,) = told(made, sample(shared, "xchange-stream/position_update-open.json"))
    assert (fact.position, fact.mark_price) == (0, 93364.1)


def test_messages_of_ccxts_comments(shared: Path) -> None:
    made = opened(*SAMPLES)
    told(made, table("execution", "partial"))
    found: list[Any] = []
    for row in sample(shared, "ccxt/bitmex.comment-samples.json"):
        if row["kind"] == "ws":
            found += told(made, row["json"])
    orders = [fact for fact in found if isinstance(fact, OrderFact)]
    assert [fact.status for fact in orders] == [Status.New, Status.New, Status.Cancelled]
    assert orders[-1].cancel_code is CancelCode.CanceledByUser
    (fill,) = [fact for fact in found if isinstance(fact, ExecutionFact)]
    assert (fill.reason, fill.wire_id, fill.side) == ("Liquidation", "", -1)
    assert [fact.position for fact in found if isinstance(fact, PositionFact)] == [400, 400]
    assert [fact.coin for fact in found if isinstance(fact, WalletFact)] == ["BTC"]


def test_the_official_clients_private_messages(shared: Path) -> None:
    made = opened(*SAMPLES)
    fixtures = sample(shared, "api-connectors/ws_fixtures.json")
    found = [fact for message in fixtures["orderSymboledEmptyPartial"] for fact in told(made, message)]
    assert {fact.status for fact in found} == {Status.New}
    assert found[0].price == 1_139_050


@pytest.mark.parametrize(
    "data",
    [
        b"no json",
        b"{}",
        b"\xff",
        b'{"table":"order","action":"upsert","data":[]}',
        b'{"table":"order","data":[{"clOrdID":"OID1"}]}',
        b'{"table":"order","action":"insert","data":[{"symbol":"XBTUSD"}]}',
        b'{"table":"order","action":"insert","data":[{"orderID":"o","symbol":"XBTUSD","side":"Up","ordStatus":"New"}]}',
        b'{"table":"execution","action":"insert","data":[{"execID":"e","orderID":"","execType":"Trade","symbol":"XBTUSD"}]}',
        b'{"table":"margin","action":"insert","data":[{"currency":"Foo","amount":1}]}',
    ],
)
def test_bad_messages(data: bytes) -> None:
    made = opened()
    for name in ("order", "execution", "margin"):
        told(made, table(name, "partial"))
    with pytest.raises(BadMessage):
        told(made, data)


# -- questions ---------------------------------------------------------------------------------------------------------


def test_orders_asked_for(shared: Path) -> None:
    made = codec(*SAMPLES)
    found, asked = ask(
        made.open_orders(None), answer(sample(shared, "xchange/__files/api_v1_order_all-open-orders.json"))
    )
    mapping = sample(shared, "xchange/mappings/api_v1_order_all-open-orders.json")
    assert asked[0].target == mapping["request"]["url"]
    assert [(fact.instrument.symbol, fact.price, fact.qty) for fact in found] == [
        ("ETH_USDT", 60000, 1),
        ("XBT_USDT", 180000, 1),
    ]
    found, _ = ask(made.order_status(order()), answer(sample(shared, "nautilus/http_get_orders.json")[1:]))
    assert (found.status, found.exec_instr, found.filled) == (Status.Filled, ExecInstructions.PostOnly, 200)
    found, asked = ask(made.order_status(order()), answer([]))
    assert found is None
    assert "filter=%7B%22clOrdID%22%3A%22cl-0001%22%7D" in asked[0].target


def test_pages() -> None:
    rows = [{**ROW, "orderID": f"o{number}"} for number in range(501)]
    found, asked = ask(codec().open_orders(None), answer(rows[:500]), answer(rows[499:]))
    assert (len(found), len({fact.exchange_id for fact in found})) == (501, 501)
    assert "start=500" in asked[1].target


def test_executions_asked_for(shared: Path) -> None:
    rows = sample(shared, "nautilus/http_get_executions.json")
    since = spelling.nanoseconds("2024-11-25T10:35:01.000Z")
    found, asked = ask(codec(*SAMPLES).executions(since, None), answer([*rows, {**rows[0], "execType": "Funding"}]))
    assert [(fact.exec_id[-2:], fact.maker) for fact in found] == [("11", False)]
    assert "startTime=2024-11-25T10%3A35%3A01.000Z" in asked[0].target


def test_money_and_positions(shared: Path) -> None:
    made = codec(*SAMPLES)
    margin = answer([sample(shared, "nautilus/ws_margin.json")])
    wallets = sample(shared, "xchange/__files/api_v1_user_wallet.json")
    found, _ = ask(made.wallet(), margin, answer(wallets))
    assert {fact.coin: fact.total for fact in found} == {
        "BTC": 100005180 * 10**10,
        "SOL": 22 * 10**15,
        "USDT": 40116243 * 10**12,
        "ETH": 10**15,
    }
    assets = answer(sample(shared, "xchange/__files/api_v1_wallet_assets.json"))
    found, asked = ask(made.wallet(), answer([]), answer([{"currency": "TRUMp", "amount": 5}]), assets)
    assert (found[0].coin, found[0].total, len(asked)) == ("TRUMP", 5 * 10**10, 3)
    found, _ = ask(made.positions(None), answer(sample(shared, "nautilus/http_get_positions.json")))
    assert [(fact.position, fact.mark_price) for fact in found] == [(100, 98000.0)]
    found, _ = ask(made.positions(None), answer(sample(shared, "xchange/__files/api_v1_position.json")))
    assert found == []


def test_account_info() -> None:
    made = codec()
    user, keys = answer({"id": 7, "username": "x"}), answer([{"id": "test-key", "permissions": ["order", "withdraw"]}])
    row = {"symbol": "XBTUSD", "currentQty": 0, "leverage": 10, "crossMargin": False, "commission": 0.0005}
    found, _ = ask(made.account_info(), user, keys, answer([row]))
    assert (found.user_id, found.may_trade, found.may_withdraw, found.refusal) == ("7", True, True, "")
    assert (found.margin_mode, found.notes) == ("isolated", ("XBTUSD: isolated margin, leverage 10",))
    hedged = answer([{**row, "strategy": "Long"}])
    found, _ = ask(made.account_info(), user, answer(error("Access Denied"), 403), hedged)
    assert (found.may_trade, found.position_mode) == (None, "hedge")
    assert "XBTUSD" in found.refusal


def test_instruments_are_those_of_the_catalogue(shared: Path) -> None:
    found, _ = ask(codec().instruments(), answer(sample(shared, "xchange/__files/api_v1_instrument_active.json")))
    spot = {instrument.symbol: instrument for instrument in found}["XBT_USDT"]
    known = resolve(Exchange.BitMEX, "XBT_USDT")
    assert (spot.number, spot.price_scale, spot.qty_scale) == (known.number, known.price_scale, known.qty_scale)
    assert (spot.max_quantity, spot.settle_currency) == (known.max_quantity, "USDT")
    perpetual = {"symbol": "ETHUSD", "state": "Open", "typ": "FFWCSX", "underlying": "ETH", "quoteCurrency": "USD"}
    perpetual |= {"settlCurrency": "XBt", "tickSize": 0.05, "lotSize": 1, "multiplier": 100}  # type: ignore[dict-item]
    future = {**perpetual, "symbol": "ETHUSDZ25", "typ": "FFCCSX", "expiry": "2025-12-26T12:00:00.000Z"}
    (eth, later), _ = ask(codec().instruments(), answer([perpetual, future, {**perpetual, "state": "Settled"}]))
    assert (eth.multiplier, eth.settle_currency) == (resolve(Exchange.BitMEX, "ETHUSD").multiplier, "BTC")
    assert (later.mlt_symbol, later.valid_end_ts) == ("eth-usd-z25", 1766750400000)


def test_funding_and_candles(shared: Path) -> None:
    made = codec(*SAMPLES)
    row = {"symbol": "XBTUSD", "fundingRate": 0.0001, "fundingTimestamp": "2022-02-11T04:00:00.000Z"}
    found, asked = ask(made.funding(OLD), answer([row]))
    assert (found.rate, found.next_ts) == (0.0001, 1644552000 * 10**9)
    assert asked[0].target == "/api/v1/instrument?symbol=XBTUSD"
    with pytest.raises(Refused, match="no funding"):
        ask(made.funding(OLD), answer([{"symbol": "XBTUSD"}]))
    bins = sample(shared, "nautilus/http_get_trade_bins.json")
    end = spelling.nanoseconds("2024-11-25T10:31:00.000Z")
    found, asked = ask(made.candles(OLD, 60, end - 120 * 10**9, end), answer(bins))
    # A bin bears the time of its end: the one of 10:30 opened at 10:29.
    assert [(candle.close_ts, candle.volume) for candle in found] == [(end - 60 * 10**9, 150000), (end, 95000)]
    assert "startTime=2024-11-25T10%3A30%3A00.000Z&endTime=2024-11-25T10%3A32%3A00.000Z" in asked[0].target


def test_questions_that_are_refused() -> None:
    made = codec()
    with pytest.raises(Refused, match="Signature not valid") as wrong_key:
        ask(made.positions(None), answer(error("Signature not valid."), 401))
    assert wrong_key.value.final
    with pytest.raises(Refused) as limited:
        ask(made.positions(None), answer(error("Rate limit exceeded"), 429, retry_after="4"))
    assert (limited.value.final, limited.value.retry_after_s) == (False, 4.0)
    with pytest.raises(Refused, match="cannot be understood"):
        ask(made.positions(None), answer(b"<html>"))
    question = made.positions(None)
    next(question)
    with pytest.raises(NoAnswer):
        question.throw(NoAnswer("timed out"))
