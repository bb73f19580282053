"""Requests: the same as the recorded ones of Binance's own clients, python-binance and ccxt, apart from what is listed
and explained here; what is unsupported; endpoints, options and keys."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import pytest

from gateways import binance
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, OrderStatus, OrderType
from mlthon.protocols.binance_signing import hmac_signature
from mlthon.venue.codec import Credentials, Refused, Unsupported, gateway_module
from mlthon.venue.wire import Priority, Request
from tests.gateways.binance_kit import NOW_MS, PERP, SPOT, answer, ask, made, message, order, params, path, spot, usdm

PostOnly, ReduceOnly = ExecInstructions.PostOnly, ExecInstructions.ReduceOnly


def first(question: Any) -> Request:
    """The first request of a question."""
    request: Request = next(question)
    return request


Fields = dict[str, str]
SPOT_CALLS: Final[dict[str, Callable[[Any, Fields], Request]]] = {
    "server_time": lambda codec, said: first(codec.server_time()),
    "instruments": lambda codec, said: first(codec.instruments()),
    "candles": lambda codec, said: first(codec.candles(SPOT, 60, 0, 10**18)),
    "balances": lambda codec, said: first(codec.wallet()),
    "open_orders": lambda codec, said: first(codec.open_orders(SPOT)),
    "place_limit_post_only": lambda codec, said: codec.new_order(
        order(SPOT, wire_id=said["newClientOrderId"], exec_instr=PostOnly)
    ),
    "place_limit_ioc": lambda codec, said: codec.new_order(
        order(SPOT, -1, wire_id=said["newClientOrderId"], tif=TIF.IOC)
    ),
    "place_market": lambda codec, said: codec.new_order(
        order(SPOT, price="0", wire_id=said["newClientOrderId"], order_type=OrderType.Market)
    ),
    "amend_keep_priority": lambda codec, said: codec.modify_order(order(SPOT, exchange_id="1001"), None, 500),
    "cancel_one": lambda codec, said: codec.cancel_order(order(SPOT, exchange_id="1001")),
    "cancel_by_client_id": lambda codec, said: codec.cancel_order(order(SPOT)),
    "cancel_all": lambda codec, said: codec.cancel_all(SPOT)[0],
    "my_trades": lambda codec, said: trades_request(codec, SPOT),
}
USDM_CALLS: Final[dict[str, Callable[[Any, Fields], Request]]] = {
    "server_time": SPOT_CALLS["server_time"],
    "instruments": SPOT_CALLS["instruments"],
    "candles": lambda codec, said: first(codec.candles(PERP, 60, 0, 10**18)),
    "funding": lambda codec, said: first(codec.funding(PERP)),
    "funding_rate": lambda codec, said: first(codec.funding(PERP)),
    "mark_price": lambda codec, said: first(codec.funding(PERP)),
    "balances": lambda codec, said: first(codec.wallet()),
    "positions": lambda codec, said: first(codec.positions(PERP)),
    "open_orders": lambda codec, said: first(codec.open_orders(PERP)),
    "place_limit_post_only": lambda codec, said: codec.new_order(
        order(PERP, wire_id=said["newClientOrderId"], exec_instr=PostOnly)
    ),
    "place_limit_ioc": lambda codec, said: codec.new_order(
        order(PERP, -1, wire_id=said["newClientOrderId"], tif=TIF.IOC, exec_instr=ReduceOnly)
    ),
    "place_limit_ioc_reduce_only": lambda codec, said: codec.new_order(
        order(PERP, -1, wire_id=said["newClientOrderId"], tif=TIF.IOC, exec_instr=ReduceOnly)
    ),
    "place_market": lambda codec, said: codec.new_order(
        order(PERP, price="0", wire_id=said["newClientOrderId"], order_type=OrderType.Market)
    ),
    "amend": lambda codec, said: codec.modify_order(order(PERP, exchange_id="1001"), 490000, 20),
    "cancel_one": lambda codec, said: codec.cancel_order(order(PERP, exchange_id="1001")),
    "cancel_by_client_id": lambda codec, said: codec.cancel_order(order(PERP)),
    "cancel_all": lambda codec, said: codec.cancel_all(PERP)[0],
    "countdown_cancel": lambda codec, said: codec.arm_dead_man(60.0, [PERP])[0],
    "listen_key": lambda codec, said: first(codec.lines()),
    "algo_stop": lambda codec, said: codec.new_order(
        order(PERP, -1, "0", order_type=OrderType.Stop, stop_price="45000", state=OrderStatus.PendingNew)
    ),
    "my_trades": lambda codec, said: trades_request(codec, PERP),
}

# What we send otherwise, and why: call -> fields only they send, fields only we send.
OTHERWISE: Final[dict[str, tuple[set[str], set[str]]]] = {
    # All symbols are wanted, not one.
    "instruments": ({"symbol"}, set()),
    # A span of time, page by page.
    "candles": ({"limit"}, {"startTime", "endTime", "limit"}),
    "my_trades": ({"limit"}, {"startTime", "endTime", "limit"}),
    # Else the order would get another client order id.
    "amend_keep_priority": (set(), {"newClientOrderId"}),
    # Our stops bear our id; without one the exchange would invent it.
    "algo_stop": (set(), {"clientAlgoId"}),
}
CCXT_OTHERWISE: Final[dict[str, tuple[set[str], set[str]]]] = {
    # It asks for answers with fills or results; user data tell us the same.
    **{name: ({"newOrderRespType"}, set()) for name in ("place_limit_post_only", "place_limit_ioc", "place_market")},
    # It asks for all and picks.
    "positions": (set(), {"symbol"}),
}

# Recorded calls that a gateway has no use for, and why.
NOT_OURS: Final = {
    "construct": "a client's ping",
    "load_markets": "several calls of ccxt, of which exchangeInfo is `instruments`",
    "orderbook": "market data: the feed handler's",
    "trades": "market data",
    "ticker": "market data",
    "bbo": "market data",
    "amend_cancel_replace": "unsupported",
    "account": "balances and positions have calls of their own",
    "set_leverage": "leverage is the user's to set",
}
# The same for single requests of a call: (path, call).
ASIDE: Final = {
    ("/api/v3/order/cancelReplace", "amend"): "unsupported",
    ("/api/v3/ping", "my_trades"): "python-binance starting its streams",
    ("/api/v3/time", "my_trades"): "python-binance starting its streams",
    ("/fapi/v1/leverageBracket", "positions"): "ccxt loads tables of leverage first",
    ("/fapi/v3/account", "balances"): "ccxt reads balances from the account",
}


def trades_request(codec: Any, instrument: Any) -> Request:
    question = codec.executions((NOW_MS - 1000) * 10**6, instrument)
    next(question)
    request: Request = question.send(answer({"serverTime": NOW_MS}))
    return request


CLIENTS: Final = [
    ("binance", "binance-sdk-spot"),
    ("binance", "python-binance"),
    ("binance", "ccxt"),
    ("binance", "ccxt-async"),
    ("binanceusdm", "binance-sdk-usds-futures"),
    ("binanceusdm", "python-binance"),
    ("binanceusdm", "ccxt"),
    ("binanceusdm", "ccxt-async"),
]


@pytest.mark.parametrize(("exchange", "client"), CLIENTS)
def test_requests_are_those_of_other_clients(shared: Path, exchange: str, client: str) -> None:
    recorded = shared / "exchange-clients" / "recordings" / exchange / f"{client}.jsonl"
    official = client.startswith("binance-sdk")
    window: dict[str, Any] = {} if official else {"recv_window_ms": 10_000}
    codec = spot(**window) if exchange == "binance" else usdm(**window)
    calls = SPOT_CALLS if exchange == "binance" else USDM_CALLS
    compared = 0
    for line in recorded.read_text().splitlines()[1:]:
        row = json.loads(line)
        name = row["call"]
        if "method" not in row or name.startswith("ws_"):
            continue
        if name in NOT_OURS or (row["path"], name) in ASIDE:
            continue
        said = dict(parse_qsl(row["query"] or row["body"]))
        ours = message(calls[name](codec, said))
        assert (ours.method, ours.target.partition("?")[0]) == (row["method"], row["path"]), name
        sent = dict(parse_qsl(ours.target.partition("?")[2]))
        tables = (OTHERWISE, CCXT_OTHERWISE) if client.startswith("ccxt") else (OTHERWISE,)
        only_theirs, only_ours = next((table[name] for table in tables if name in table), (set(), set()))
        left = {field: value for field, value in said.items() if field not in only_theirs | {"signature"}}
        right = {field: value for field, value in sent.items() if field not in only_ours | {"signature"}}
        assert right == left, name
        assert ("signature" in sent) == ("signature" in said), name
        if "signature" in said:
            assert ours.headers == {"X-MBX-APIKEY": row["headers"]["X-MBX-APIKEY"]}
            text = row["query"] + row["body"]
            assert hmac_signature("test-secret", text.partition("&signature=")[0]) == said["signature"]
        if official and name not in OTHERWISE:
            assert ours.target.partition("?")[2] == row["query"], name  # signature, order and all
        compared += 1
    assert compared >= 10


def test_subscription_to_spot_user_data_is_the_official_one(shared: Path) -> None:
    recorded = shared / "exchange-clients" / "recordings" / "binance" / "binance-sdk-spot.jsonl"
    rows = [json.loads(line) for line in recorded.read_text().splitlines()]
    (theirs,) = [row["ws_send"] for row in rows if row.get("call") == "ws_user" and "ws_send" in row]
    (text,) = spot().line_opened("private", NOW_MS)
    ours = json.loads(text)
    assert {**ours, "id": ""} == {**theirs, "id": ""}


def test_subscription_to_futures_user_data_is_the_official_one(shared: Path) -> None:
    recorded = shared / "exchange-clients" / "recordings" / "binanceusdm" / "binance-sdk-usds-futures.jsonl"
    rows = [json.loads(line) for line in recorded.read_text().splitlines()]
    (theirs,) = [row for row in rows if row.get("call") == "ws_user" and "ws_send" in row]
    codec = usdm()
    (line,), asked = ask(codec.lines(), lambda request: answer({"listenKey": "LISTENKEY0001"}))
    assert [path(request) for request in asked] == ["/fapi/v1/listenKey"]
    assert line.url(NOW_MS) == "wss://fstream.binance.com" + theirs["ws_path"]
    (text,) = codec.line_opened(line.name, NOW_MS)
    assert {**json.loads(text), "id": ""} == {**theirs["ws_send"], "id": ""}
    assert "LISTENKEY" not in repr(line)


# -- orders ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made_order", "expected"),
    [
        (
            order(SPOT, -1, "0", order_type=OrderType.Stop, stop_price="45000"),
            {"type": "STOP_LOSS", "stopPrice": "45000"},
        ),
        (
            order(SPOT, -1, "44900.5", order_type=OrderType.StopLimit, stop_price="45000", tif=TIF.FOK),
            {"type": "STOP_LOSS_LIMIT", "timeInForce": "FOK", "price": "44900.5", "stopPrice": "45000"},
        ),
        (
            order(SPOT, -1, "0", order_type=OrderType.TakeProfit, stop_price="60000.01"),
            {"type": "TAKE_PROFIT", "stopPrice": "60000.01"},
        ),
        (order(SPOT, tif=TIF.GTC, qty="0.00001"), {"type": "LIMIT", "timeInForce": "GTC", "quantity": "0.00001"}),
    ],
)
def test_spot_orders(made_order: Any, expected: Fields) -> None:
    request = spot().new_order(made_order)
    assert params(request).items() >= expected.items()
    assert request.priority is Priority.ORDER
    assert dict(request.costs) == {"weight": 1, "orders-10s": 1, "orders-1d": 1}
    if expected["type"] in ("STOP_LOSS", "TAKE_PROFIT"):
        assert params(request).keys().isdisjoint({"price", "timeInForce"})


@pytest.mark.parametrize(
    ("made_order", "where", "expected", "without"),
    [
        (
            order(PERP, -1, "0", order_type=OrderType.Stop, stop_price="45000", exec_instr=ReduceOnly),
            "/fapi/v1/algoOrder",
            {"type": "STOP_MARKET", "triggerPrice": "45000", "reduceOnly": "true", "clientAlgoId": "cl-0001"},
            {"price", "timeInForce", "newClientOrderId"},
        ),
        (
            order(PERP, -1, "44900.5", order_type=OrderType.StopLimit, stop_price="45000", exec_instr=PostOnly),
            "/fapi/v1/algoOrder",
            {"type": "STOP", "timeInForce": "GTX", "price": "44900.5", "triggerPrice": "45000"},
            {"reduceOnly"},
        ),
        (
            order(PERP, -1, "0", order_type=OrderType.TakeProfit, stop_price="60000", close_position=True),
            "/fapi/v1/algoOrder",
            {"type": "TAKE_PROFIT_MARKET", "closePosition": "true"},
            {"quantity", "reduceOnly"},
        ),
        (
            order(PERP, exec_instr=ExecInstructions.PostOnlyReduceOnly),
            "/fapi/v1/order",
            {"type": "LIMIT", "timeInForce": "GTX", "reduceOnly": "true"},
            set(),
        ),
    ],
)
def test_futures_orders(made_order: Any, where: str, expected: Fields, without: set[str]) -> None:
    request = usdm().new_order(made_order)
    assert path(request) == where
    assert params(request).items() >= expected.items()
    assert params(request).keys().isdisjoint(without)


@pytest.mark.parametrize(
    "made_order",
    [
        order(SPOT, exec_instr=ReduceOnly),
        order(SPOT, exec_instr=PostOnly, tif=TIF.IOC),
        order(SPOT, order_type=OrderType.Market, exec_instr=PostOnly),
        order(SPOT, tif=TIF.Day),
        order(SPOT, order_type=OrderType.Unset),
        order(SPOT, order_type=OrderType.Stop),
        order(SPOT, close_position=True),
    ],
)
def test_what_spot_cannot_do(made_order: Any) -> None:
    with pytest.raises(Unsupported, match=r"Binance|stop price"):
        spot().new_order(made_order)


@pytest.mark.parametrize(
    "made_order",
    [
        order(PERP, exec_instr=PostOnly, tif=TIF.FOK),
        order(PERP, order_type=OrderType.Market, exec_instr=PostOnly),
        order(PERP, tif=TIF.Day),
        order(PERP, order_type=OrderType.Unset),
        order(PERP, order_type=OrderType.StopLimit),
        order(PERP, order_type=OrderType.StopLimit, stop_price="45000", close_position=True),
        order(PERP, close_position=True),
    ],
)
def test_what_futures_cannot_do(made_order: Any) -> None:
    with pytest.raises(Unsupported, match=r"Binance|stop price"):
        usdm().new_order(made_order)


def test_spot_changes_quantities_down_only() -> None:
    codec = spot()
    resting = order(SPOT)
    assert params(codec.modify_order(resting, resting.price, 1)) == {
        "symbol": "BTCUSDT",
        "newQty": "0.00001",
        "origClientOrderId": "cl-0001",
        "newClientOrderId": "cl-0001",
    }
    for price, qty in ((resting.price + 1, None), (None, resting.qty), (None, resting.qty + 1), (None, None)):
        with pytest.raises(Unsupported, match="cancel the order and send a new one"):
            codec.modify_order(resting, price, qty)


def test_futures_modify_keeps_what_is_not_changed() -> None:
    assert params(usdm().modify_order(order(PERP), None, 7)) == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "quantity": "0.007",
        "price": "50000",
        "origClientOrderId": "cl-0001",
    }
    with pytest.raises(Unsupported, match="limit orders only"):
        usdm().modify_order(order(PERP, order_type=OrderType.Stop, stop_price="45000"), None, 7)


@pytest.mark.parametrize(
    ("exchange_id", "state", "where", "expected"),
    [
        ("algo-2148719", OrderStatus.Untriggered, "/fapi/v1/algoOrder", {"clientAlgoId": "cl-0001"}),
        ("", OrderStatus.Unknown, "/fapi/v1/algoOrder", {"clientAlgoId": "cl-0001"}),
        ("88937", OrderStatus.New, "/fapi/v1/order", {"symbol": "BTCUSDT", "orderId": "88937"}),
        ("", OrderStatus.New, "/fapi/v1/order", {"symbol": "BTCUSDT", "origClientOrderId": "cl-0001"}),
    ],
)
def test_a_stop_is_cancelled_where_it_is(exchange_id: str, state: OrderStatus, where: str, expected: Fields) -> None:
    stop = order(PERP, order_type=OrderType.Stop, stop_price="45000", exchange_id=exchange_id, state=state)
    request = usdm().cancel_order(stop)
    assert (path(request), params(request), request.priority) == (where, expected, Priority.CANCEL)


def test_stops_have_a_cancel_all_of_their_own() -> None:
    _, request = usdm().cancel_all(PERP)
    assert (message(request).method, path(request), params(request)) == (
        "DELETE",
        "/fapi/v1/algoOpenOrders",
        {"symbol": "BTCUSDT"},
    )


def test_the_dead_mans_switch_is_set_for_each_symbol() -> None:
    other = made(Exchange.BinanceUsdm, "ETHUSDT", "eth-usdt", "0.01", "0.001")
    assert usdm().has_dead_man
    assert [params(each) for each in usdm(PERP, other).arm_dead_man(0.0, [PERP, other])] == [
        {"symbol": "BTCUSDT", "countdownTime": "0"},
        {"symbol": "ETHUSDT", "countdownTime": "0"},
    ]
    assert usdm(PERP, other).arm_dead_man(60.0, []) == []
    assert not spot().has_dead_man
    with pytest.raises(Unsupported, match="no dead man"):
        spot().arm_dead_man(60.0, [SPOT])


# -- module ------------------------------------------------------------------------------------------------------------


def test_the_entry_point_leads_here() -> None:
    assert gateway_module(Exchange.Binance) is binance
    assert gateway_module(Exchange.BinanceUsdm) is binance


@pytest.mark.parametrize("exchange", [Exchange.Binance, Exchange.BinanceUsdm])
def test_only_main_is_real_money_and_all_can_be_local(exchange: Exchange) -> None:
    where = binance.environments(exchange)
    assert {name for name, each in where.items() if each.real_money} == {"main"}
    assert set(where) == {"main", "testnet", "demo"}
    for each in where.values():
        assert {"rest", "public", "private"} <= set(each.urls)
        local = each.at("http://127.0.0.1:8080")
        assert all("127.0.0.1:8080" in url for url in local.urls.values())


@pytest.mark.parametrize(
    "options",
    [{"orders": "carrier pigeon"}, {"recv_window_ms": 0}, {"recv_window_ms": 60_001}, {"recv_window_ms": "x"}],
)
def test_options_that_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="recv_window_ms"):
        spot(**options)


def test_an_instrument_of_another_exchange_is_refused() -> None:
    with pytest.raises(ValueError, match="no instrument of Binance"):
        spot(PERP)


def test_the_window_is_sent_where_it_is_not_the_usual_one() -> None:
    codec = spot(recv_window_ms=2000)
    assert params(codec.cancel_all(SPOT)[0]) == {"symbol": "BTCUSDT", "recvWindow": "2000"}
    assert codec.validity_s == 3.0
    (text,) = codec.line_opened("private", NOW_MS)
    assert json.loads(text)["params"]["recvWindow"] == 2000


def test_without_a_key_only_public_data_can_be_asked_for() -> None:
    codec = usdm(credentials=None)
    assert path(first(codec.instruments())) == "/fapi/v1/exchangeInfo"
    assert message(first(codec.instruments())).headers == {}
    with pytest.raises(Refused, match="no API key") as refusal:
        first(codec.wallet())
    assert refusal.value.final
    with pytest.raises(Refused, match="no API key"):
        codec.cancel_all(PERP)


def test_secrets_are_in_no_repr() -> None:
    codec = spot(credentials=Credentials("the-key", "the-secret"))
    (request,) = codec.cancel_all(SPOT)
    shown = f"{codec!r} {vars(codec)!r} {request!r} {message(request)!r}"
    assert "the-key" not in shown
    assert "the-secret" not in shown
