"""Bybit's codec against what the official client sends, and against samples of what the exchange answers."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from gateways import bybit as module
from gateways.bybit import BybitCodec
from mlthon.basics.catalogue import instruments, resolve
from mlthon.basics.defs import TIF, CancelCode, Exchange, ExecInstructions, GtwRejectCode, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import bybit as tables
from mlthon.venue.codec import BadMessage, Credentials, Question, Refused, Unsupported, gateway_module
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
from mlthon.venue.wire import Frame, HttpAnswer, HttpMessage, Request

NOW = 1735689600000
LINEAR = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
SPOT = resolve(Exchange.Bybit, "byt:spot:btc-usdt")
KEY = Credentials("test-key", "test-secret")
SESSION: Any = None
NEW_ORDERS = {
    "place_limit_post_only": ("cl-0001", 1, OrderType.Limit, TIF.GTC, ExecInstructions.PostOnly),
    "place_limit_ioc_reduce_only": ("cl-0002", -1, OrderType.Limit, TIF.IOC, ExecInstructions.ReduceOnly),
    "place_market": ("cl-0003", 1, OrderType.Market, TIF.GTC, ExecInstructions.Unset),
}


def made(options: Mapping[str, Any] | None = None, environment: str = "main") -> BybitCodec:
    endpoints = module.environments(Exchange.Bybit)[environment]
    return module.codec(Exchange.Bybit, "a", instruments(Exchange.Bybit), endpoints, KEY, options or {})


def order(
    wire_id: str = "cl-0001",
    side: int = 1,
    order_type: OrderType = OrderType.Limit,
    tif: TIF = TIF.GTC,
    exec_instr: ExecInstructions = ExecInstructions.Unset,
    instrument: Instrument = LINEAR,
    stop: int | None = None,
    close: bool = False,
) -> TrackedOrder:
    price = 500_000 if order_type in (OrderType.Limit, OrderType.StopLimit) else 0
    return TrackedOrder(
        wire_id, wire_id, SESSION, "a", instrument, side, order_type, tif, exec_instr, price, 10, stop, close, 0
    )


def http(request: Request) -> HttpMessage:
    message = request.build(NOW)
    assert isinstance(message, HttpMessage)
    return message


def body(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(http(request).body)
    return found


def answer(result: object = None, code: int = 0, status: int = 200, **headers: str) -> HttpAnswer:
    said = {"retCode": code, "retMsg": "words", "result": {} if result is None else result, "time": NOW}
    return HttpAnswer(status, headers, json.dumps(said).encode(), 0, 5)


def asked(question: Question[Any], *answers: HttpAnswer) -> tuple[Any, list[HttpMessage]]:
    """What a question finds out from these answers, and its requests."""
    requests = [http(next(question))]
    for each in answers:
        try:
            requests.append(http(question.send(each)))
        except StopIteration as end:
            return end.value, requests
    raise AssertionError(f"it asks on: {requests[-1].target}")


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, dict[str, Any]]:
    """Call -> what pybit sent last for it."""
    lines = (shared / "exchange-clients/recordings/bybit/pybit.jsonl").read_text().splitlines()
    return {row["call"]: row for row in map(json.loads, lines[1:]) if "method" in row or "ws_send" in row}


@pytest.mark.parametrize("call", NEW_ORDERS)
def test_new_orders_as_pybit(recorded: dict[str, Any], call: str) -> None:
    ours, theirs = http(made().new_order(order(*NEW_ORDERS[call]))), recorded[call]
    expected = json.loads(theirs["body"])
    if expected["orderType"] == "Limit" and "timeInForce" not in expected:
        expected["timeInForce"] = "GTC"
    assert (ours.method, ours.target, json.loads(ours.body)) == (theirs["method"], theirs["path"], expected)
    signed = tables.hmac_signer("test-secret")(tables.prehash(NOW, "test-key", 5000, ours.body.decode()))
    assert ours.headers["X-BAPI-SIGN"] == signed
    assert {name for name in theirs["headers"] if name.startswith("X-BAPI")} <= set(ours.headers)


def test_changes_and_cancels_as_pybit(recorded: dict[str, Any]) -> None:
    """Orders are named by `orderLinkId` where the recording has `orderId`: ours is known before the answer comes."""
    codec = made()
    theirs = json.loads(recorded["amend"]["body"])
    assert theirs.pop("orderId")
    assert body(codec.modify_order(order(), 490_000, 20)) == theirs | {"orderLinkId": "cl-0001"}
    assert body(codec.cancel_order(order())) == json.loads(recorded["cancel_by_client_id"]["body"])
    (all_of_it,) = codec.cancel_all(LINEAR)
    assert body(all_of_it) == json.loads(recorded["cancel_all"]["body"])
    for call, request in (("amend", codec.modify_order(order(), 1, 1)), ("cancel_all", all_of_it)):
        assert http(request).target == recorded[call]["path"]


QUESTIONS: dict[str, Callable[[BybitCodec], Question[Any]]] = {
    "server_time": lambda codec: codec.server_time(),
    "tickers": lambda codec: codec.funding(LINEAR),
    "balances": lambda codec: codec.wallet(),
    "positions": lambda codec: codec.positions(LINEAR),
    "open_orders": lambda codec: codec.open_orders(LINEAR),
    "instruments": lambda codec: codec.instruments(),
    "candles": lambda codec: codec.candles(LINEAR, 60, 0, 60_000_000_000),
}


@pytest.mark.parametrize("call", QUESTIONS)
def test_questions_as_pybit(recorded: dict[str, Any], call: str) -> None:
    """Ours name page sizes and times that the recorded calls leave to their defaults, and all instruments at once."""
    ours, theirs = http(next(QUESTIONS[call](made()))), recorded[call]
    path, _, query = ours.target.partition("?")
    assert (ours.method, path) == (theirs["method"], theirs["path"])
    extra = {"limit", "start", "end"} | ({"symbol", "category"} if call == "instruments" else set())
    assert {pair for pair in parse_qsl(query) if pair[0] not in extra} == {
        pair for pair in parse_qsl(theirs["query"]) if pair[0] not in extra
    }
    if query == theirs["query"] and "X-BAPI-SIGN" in theirs["headers"]:
        assert ours.headers["X-BAPI-SIGN"] == theirs["headers"]["X-BAPI-SIGN"]


def test_trade_websocket_as_pybit(recorded: dict[str, Any]) -> None:
    theirs = recorded["ws_place_limit_post_only"]["ws_send"]
    new = order("cl-0004", 1, OrderType.Limit, TIF.GTC, ExecInstructions.PostOnly)
    frame = made({"orders": "websocket"}).new_order(new).build(NOW)
    assert isinstance(frame, Frame)
    sent = json.loads(frame.text)
    assert (frame.line, frame.key) == ("trade", sent["reqId"])
    assert (sent["op"], sent["args"]) == (theirs["op"], theirs["args"])
    assert sent["header"] == {"X-BAPI-TIMESTAMP": str(NOW), "X-BAPI-RECV-WINDOW": "5000"}


def test_login_then_subscriptions_then_ready(recorded: dict[str, Any]) -> None:
    codec = made()
    login = json.loads(next(iter(codec.line_opened("private", NOW))))
    signed = tables.hmac_signer("test-secret")(f"GET/realtime{NOW + 10_000}")
    assert login == {"op": "auth", "args": ["test-key", NOW + 10_000, signed]}
    (then,) = codec.line_message("private", b'{"success":true,"ret_msg":"","op":"auth","conn_id":"c"}', 1)
    assert json.loads(str(then))["args"] == ["order", "execution", "position", "wallet"]
    done = codec.line_message("private", b'{"success":true,"ret_msg":"","op":"subscribe"}', 1)
    assert list(done) == [LineReady(line="private")]
    assert list(codec.line_message("trade", b'{"retCode":0,"retMsg":"OK","op":"auth"}', 1)) == [LineReady(line="trade")]
    assert codec.line_message("private", b'{"req_id":"2","op":"pong","args":["1"]}', 1) == []


def test_refused_lines() -> None:
    codec = made()
    (refused,) = codec.line_message("private", b'{"success":false,"ret_msg":"Invalid API key","op":"auth"}', 1)
    assert refused == LineRefused(line="private", reason="auth: Invalid API key", final=True)
    (late,) = codec.line_message("private", b'{"success":false,"ret_msg":"request expired","op":"auth"}', 1)
    assert late == LineRefused(line="private", reason="auth: request expired", final=False)


def test_broken_messages() -> None:
    codec = made()
    broken = [b"", b"[]", b"{}", b'{"topic":"order","creationTime":1,"data":[{}]}', b'{"topic":"greeks","data":[]}']
    for data in broken:
        with pytest.raises(BadMessage):
            codec.line_message("private", data, 1)
    with pytest.raises(BadMessage, match="orderId"):
        codec.line_message("private", b'{"topic":"order","creationTime":1,"data":[{"symbol":"BTCUSDT"}]}', 1)


def sample(shared: Path, name: str) -> bytes:
    return (shared / "exchange-data/bybit/nautilus" / name).read_bytes()


def test_private_samples(shared: Path) -> None:
    codec = made()
    (cancelled,) = codec.line_message("private", sample(shared, "ws_account_order.json"), 1)
    assert isinstance(cancelled, OrderFact)
    assert (cancelled.wire_id, cancelled.price, cancelled.qty, cancelled.filled) == ("client-1", 300_000, 10, 0)
    assert (cancelled.status, cancelled.cancel_code) == (OrderStatus.Cancelled, CancelCode.CanceledByUser)
    (stop,) = codec.line_message("private", sample(shared, "ws_account_order_stop_market.json"), 1)
    assert isinstance(stop, OrderFact)
    assert (stop.order_type, stop.stop_price, stop.status) == (OrderType.Stop, 450_000, OrderStatus.Untriggered)
    (fill,) = codec.line_message("private", sample(shared, "ws_account_execution.json"), 1)
    assert isinstance(fill, ExecutionFact)
    assert (fill.side, fill.price, fill.qty, fill.fee_coin, fill.maker) == (-1, 959_001, 500, "USDT", False)
    assert fill.fee == 26_372_527_500_000_000_000
    (short,) = codec.line_message("private", sample(shared, "ws_account_position.json"), 1)
    assert isinstance(short, PositionFact)
    assert (short.position, short.entry_price, short.liquidation_price) == (-1, 3641.075, 51764.83003276)
    coins = list(codec.line_message("private", sample(shared, "ws_account_wallet.json"), 1))
    assert [coin.coin for coin in coins if isinstance(coin, WalletFact)] == ["BTC", "USDT"]


def test_every_private_sample_decodes(shared: Path) -> None:
    files = sorted((shared / "exchange-data/bybit/nautilus").glob("ws_account_*.json"))
    # A topic that is not subscribed to, and a row without its message.
    left_out = {"ws_account_execution_fast_envelope_id.json", "ws_account_position_with_open_time.json"}
    files = [file for file in files if file.name not in left_out]
    assert len(files) > 9
    for file in files:
        assert list(made().line_message("private", file.read_bytes(), 1)), file.name


def test_rest_samples(shared: Path) -> None:
    orders, _ = asked(made().open_orders(LINEAR), HttpAnswer(200, {}, sample(shared, "http_get_orders_realtime.json")))
    assert [each.wire_id for each in orders] == ["client-open-1", "client-open-2"]
    rejected = HttpAnswer(200, {}, sample(shared, "http_get_order_partially_filled_rejected.json"))
    fact, _ = asked(made().order_status(order()), rejected)
    assert (fact.status, fact.filled, fact.reject_code) == (OrderStatus.Rejected, 5, GtwRejectCode.InsufficientMargin)
    held, _ = asked(made().positions(LINEAR), HttpAnswer(200, {}, sample(shared, "http_get_positions.json")))
    assert [each.position for each in held] == [500, -500, 0]


def test_an_order_is_looked_for_in_the_history_too() -> None:
    nothing = answer({"list": []})
    fact, requests = asked(made().order_status(order()), nothing, nothing)
    assert fact is None
    assert [message.target.partition("?")[0] for message in requests] == [tables.OPEN_ORDERS, tables.ORDER_HISTORY]


def test_pages(shared: Path) -> None:
    page = json.loads(sample(shared, "http_get_orders_realtime.json"))["result"]
    first = answer({**page, "nextPageCursor": "1%3A2%2C3"})
    found, requests = asked(made().open_orders(LINEAR), first, answer(page))
    assert len(found) == 4
    assert "cursor=1%3A2%2C3&" in requests[1].target


@pytest.mark.parametrize(
    ("code", "what"),
    [(10006, "limited"), (110001, "missing"), (170213, "missing"), (10016, "unknown"), (10000, "unknown")],
)
def test_replies(code: int, what: str) -> None:
    codec = made()
    said = codec.reply(codec.cancel_order(order()), answer(code=code))
    flags = {"limited": said.limited, "missing": said.missing, "unknown": said.unknown}
    assert [name for name, on in flags.items() if on] == [what]
    assert not said.accepted


def test_http_failures() -> None:
    codec = made()
    request = codec.new_order(order())
    assert codec.reply(request, answer(status=502)).unknown
    assert codec.reply(request, answer(status=403)).retry_after_s == 600
    assert codec.reply(request, answer({"orderId": "x", "orderLinkId": "cl-0001"})) == Reply(
        accepted=True, exchange_id="x"
    )
    (usage,) = codec.usage(request, answer(status=403))
    assert usage.banned_until == 600_000_000_005
    limits = {"x-bapi-limit": "10", "x-bapi-limit-status": "9", "x-bapi-limit-reset-timestamp": "7"}
    (usage,) = codec.usage(request, HttpAnswer(200, limits, b""))
    assert (usage.rule, usage.used, usage.limit, usage.reset_ts) == ("/v5/order/create linear", 1, 10, 7_000_000)


def test_frame_replies() -> None:
    codec = made({"orders": "websocket"})
    text = b'{"reqId":"k","retCode":170131,"retMsg":"Insufficient balance.","op":"order.create","data":{}}'
    (reply,) = codec.line_message("trade", text, 1)
    assert isinstance(reply, Reply)
    assert (reply.key, reply.accepted, reply.code) == ("k", False, GtwRejectCode.InsufficientBalance)
    text = b'{"reqId":"k","retCode":10019,"retMsg":"restarting","op":"order.create","data":{}}'
    assert isinstance(list(codec.line_message("trade", text, 1))[1], LineInterrupted)


def test_stops() -> None:
    codec = made()
    rising = body(codec.new_order(order(order_type=OrderType.Stop, stop=600_000)))
    assert (rising["triggerPrice"], rising["triggerDirection"], rising["orderType"]) == ("60000", 1, "Market")
    assert body(codec.new_order(order(order_type=OrderType.TakeProfit, stop=1)))["triggerDirection"] == 2
    closing = body(codec.new_order(order(order_type=OrderType.Stop, side=-1, stop=1, close=True)))
    assert (closing["qty"], closing["reduceOnly"], closing["closeOnTrigger"]) == ("0", True, True)
    spot = body(codec.new_order(order(order_type=OrderType.Stop, stop=1, instrument=SPOT)))
    assert (spot["orderFilter"], spot["marketUnit"]) == ("StopOrder", "baseCoin")
    assert "triggerDirection" not in spot


def test_the_dead_mans_switch_is_set_once_for_each_line_and_product() -> None:
    codec = made()
    assert list(codec.line_opened("private", NOW))
    window, subscription = codec.arm_dead_man(15.4, [LINEAR])
    assert (http(window).target, body(window)) == (
        "/v5/order/disconnected-cancel-all",
        {"product": "DERIVATIVES", "timeWindow": 15},
    )
    frame = subscription.build(NOW)
    assert isinstance(frame, Frame)
    assert (frame.line, json.loads(frame.text)["args"]) == ("private", ["dcp.future"])
    assert codec.arm_dead_man(15, [LINEAR]) == []
    spot, _ = codec.arm_dead_man(1, [LINEAR, SPOT])
    assert body(spot) == {"product": "SPOT", "timeWindow": 3}
    assert codec.arm_dead_man(0, [LINEAR]) == []
    assert list(codec.line_opened("private", NOW))
    assert len(codec.arm_dead_man(15, [LINEAR, SPOT])) == 3


def test_a_switch_that_is_refused_is_told_and_does_not_cost_the_line() -> None:
    codec = made()
    answer = {"success": True, "op": "subscribe", "req_id": "dead man's switch"}
    assert codec.line_message("private", json.dumps(answer).encode(), NOW) == []
    refused = answer | {"success": False, "ret_msg": "not for you"}
    with pytest.raises(BadMessage, match="switch is not set: not for you"):
        codec.line_message("private", json.dumps(refused).encode(), NOW)


def test_what_bybit_cannot_do() -> None:
    codec = made()
    with pytest.raises(Unsupported, match="day orders"):
        codec.new_order(order(tif=TIF.Day))
    with pytest.raises(Unsupported, match="no positions"):
        codec.new_order(order(exec_instr=ExecInstructions.ReduceOnly, instrument=SPOT))
    with pytest.raises(Unsupported, match="has no funding"):
        next(codec.funding(SPOT))
    with pytest.raises(Unsupported, match="candles of 7 s"):
        next(codec.candles(LINEAR, 7, 0, 1))


def test_account() -> None:
    key = {"userID": 5, "readOnly": 0, "permissions": {"ContractTrade": ["Order"], "Wallet": ["Withdraw"], "X": None}}
    account = {"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 5}
    hedge = {"list": [{"symbol": "BTCUSDT", "side": "", "size": "0", "positionIdx": 1}]}
    endpoints = module.environments(Exchange.Bybit)["main"]
    codec = module.codec(Exchange.Bybit, "a", [LINEAR], endpoints, KEY, {})
    fact, _ = asked(codec.account_info(), answer(key), answer(account), answer(hedge), answer({"list": []}))
    assert (fact.user_id, fact.may_trade, fact.may_withdraw, fact.margin_mode) == ("5", True, True, "REGULAR_MARGIN")
    assert "hedge mode" in fact.refusal
    flat = {"list": [{"symbol": "BTCUSDT", "side": "", "size": "0", "positionIdx": 0, "leverage": "10"}]}
    rates = {
        "list": [{"symbol": name, "takerFeeRate": "0.0005", "makerFeeRate": "0.0002"} for name in ("BTCUSDT", "X")]
    }
    key["vipLevel"] = "VIP-1"
    fact, _ = asked(codec.account_info(), answer(key), answer(account), answer(flat), answer(rates))
    assert (fact.refusal, fact.notes) == ("", ("BTCUSDT: leverage 10",))
    assert fact.fees == "tier VIP-1; BTCUSDT: maker 0.0002, taker 0.0005"
    fact, _ = asked(codec.account_info(), answer(key), answer(account), answer(flat), answer(code=10005))
    assert fact.fees == "tier VIP-1"
    with pytest.raises(Refused) as caught:
        asked(codec.account_info(), answer(code=10003))
    assert caught.value.final


def test_words_that_repeat_the_key_are_told_without_it() -> None:
    words = "error sign! origin_string[1700000000000test-key5000]"
    codec = made()
    refused = HttpAnswer(200, {}, json.dumps({"retCode": 10004, "retMsg": words, "result": {}}).encode())
    frame = {"retCode": 10004, "retMsg": words, "ret_msg": words, "success": False}
    lines = [{**frame, "op": "order.create", "reqId": "k"}, {**frame, "op": "auth"}, {**frame, "op": "else"}]
    heard = [fact for line in lines for fact in codec.line_message("private", json.dumps(line).encode(), 1)]
    told = [codec.reply(codec.new_order(order()), refused).reason, *(getattr(fact, "reason", "") for fact in heard)]
    for question in (codec.wallet(), codec.native("account/info", "private", "GET", {})):
        with pytest.raises(Refused) as caught:
            asked(question, refused)
        told.append(str(caught.value))
    assert len(told) == 6
    assert all("origin_string" in each and "test-key" not in each for each in told)


def test_a_time_that_is_none_is_a_bad_message() -> None:
    with pytest.raises(BadMessage):
        asked(made().server_time(), answer({"timeSecond": "x", "timeNano": "x"}))


def test_settings() -> None:
    with pytest.raises(ValueError, match="no setting 'order'"):
        made({"order": "rest"})
    with pytest.raises(ValueError, match="'rest' or 'websocket'"):
        made({"orders": "pigeon"})
    with pytest.raises(ValueError, match="no trade websocket"):
        made({"orders": "websocket"}, "demo")
    with pytest.raises(ValueError, match="recv_window_ms"):
        made({"recv_window_ms": 0})
    assert gateway_module(Exchange.Bybit).EXCHANGES == module.EXCHANGES
    assert "test-secret" not in repr(made().new_order(order()))
