"""Answers and pushes of the Binance and BitMEX dialects beside samples of the exchanges: each field of the sample is
there, and of the same kind. (Bybit's are in `test_bybit`.)

What a sample has and ours has not stands in `ABSENT` with the reason. Fields that only ours have are those of newer
answers than the sample.
"""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from mlthon.engine.clock import MS
from tests.exchange.dialects import test_binance as binance
from tests.exchange.dialects import test_bitmex as bitmex

SPOT: Final = "binance/nautilus/http_json/"
FUTURES: Final = "binance-usdm/jkorf/Endpoints/UsdFutures/"
EVENTS: Final = "nautilus/user_data_json/"

TRAILING: Final = frozenset({"activatePrice", "priceRate", "callbackRate", "trailingDelta", "trailingTime", "AP", "cr"})
"""Only of trailing orders, which are not served."""
SELDOM: Final = frozenset({"strategyId", "strategyType", "preventedMatchId", "preventedQuantity"})
"""Only of orders that were sent with a strategy's number, or that self-trade prevention struck."""
COIN: Final = frozenset({"pair", "cumBase"})
"""Of COIN-M."""
OLD: Final = frozenset({"maxNotionalValue", "type"})
"""Not in answers of the versions of the calls that are served."""
FEE: Final = frozenset({"n", "N"})
"""Of USD-M's order events only where a fee was paid (the documentation: "will not push if no commission")."""
ABSENT: Final = TRAILING | SELDOM | COIN | OLD | FEE
KINDS: Final = {bool: "flag", int: "number", float: "number", str: "text", list: "list", dict: "object"}


def sample(shared: Path, name: str) -> Any:
    """JSON, below three lines of heading where there are such."""
    text = (shared / "exchange-data" / name).read_text()
    return json.loads(text if text[0] in "[{" else "".join(text.splitlines(keepends=True)[3:]))


def apart(theirs: Any, ours: Any, where: str) -> list[str]:
    """What differs in kind, and what is not there, in words. An empty value says nothing of its kind."""
    if theirs is None or ours is None:
        return []
    if KINDS[type(theirs)] != KINDS[type(ours)]:
        return [f"{where} is {ours!r}, not like {theirs!r}"]
    if isinstance(theirs, list):
        return apart(theirs[0], ours[0], f"{where}[]") if theirs and ours else []
    if not isinstance(theirs, dict):
        return []
    found = [f"{where}.{name} is missing" for name in theirs.keys() - ours.keys() - ABSENT]
    for name in theirs.keys() & ours.keys():
        found += apart(theirs[name], ours[name], f"{where}.{name}")
    return found


def all_apart(shared: Path, answers: dict[str, Any]) -> list[str]:
    """The same for answers by the sample that they are like."""
    return [each for name, ours in answers.items() for each in apart(sample(shared, name), ours, name.split("/")[-1])]


def user_data(rig: Any) -> Any:
    """A spot account's line for user data."""
    handler, socket = rig.connect("/ws-api/v3")
    params: dict[str, Any] = {"apiKey": "test-key", "timestamp": rig.clock.now // MS}
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    params["signature"] = hmac.new(b"test-secret", text.encode(), hashlib.sha256).hexdigest()
    handler.message(msgspec.json.encode({"id": "x", "method": "userDataStream.subscribe.signature", "params": params}))
    return socket


def test_binance_spot(shared: Path) -> None:
    rig = binance.Rig(usdm=False)
    socket = user_data(rig)
    made = rig.json("POST", "/api/v3/order", {**binance.LIMIT, "newClientOrderId": "mine"}, form=True)
    mine = {"symbol": "BTCUSDT", "origClientOrderId": "mine"}
    rig.json("POST", "/api/v3/order", binance.MARKET)
    answers = {
        "binance/jkorf/Endpoints/Spot/Trading/PlaceOrder.txt": rig.json("POST", "/api/v3/order", binance.MARKET),
        f"{SPOT}new_order_full_response.json": made,
        f"{SPOT}open_orders_response.json": rig.json("GET", "/api/v3/openOrders", {"symbol": "BTCUSDT"}),
        f"{SPOT}order_response.json": rig.json("GET", "/api/v3/order", mine),
        f"{SPOT}all_orders_response.json": rig.json("GET", "/api/v3/allOrders", {"symbol": "BTCUSDT"}),
        f"{SPOT}account_response.json": rig.json("GET", "/api/v3/account"),
        f"{SPOT}account_trades_response.json": rig.json("GET", "/api/v3/myTrades", {"symbol": "BTCUSDT"}),
        "binance/jkorf/Endpoints/Spot/Trading/AmendOrder.txt": rig.json(
            "PUT", "/api/v3/order/amend/keepPriority", {**mine, "newQty": "0.005"}
        ),
        f"{SPOT}cancel_order_response.json": rig.json(
            "DELETE", "/api/v3/order", {"symbol": "BTCUSDT", "orderId": made["orderId"]}
        ),
    }
    events = [message["event"] for message in socket.sent[1:]]
    reports = {each["x"]: each for each in events if each["e"] == "executionReport"}
    answers[f"binance/{EVENTS}execution_report_new.json"] = reports["NEW"]
    answers[f"binance/{EVENTS}execution_report_trade.json"] = reports["TRADE"]
    (position, *_) = (each for each in events if each["e"] == "outboundAccountPosition")
    answers[f"binance/{EVENTS}account_position.json"] = position
    assert all_apart(shared, answers) == []


def test_binance_usdm(shared: Path) -> None:
    rig = binance.Rig(usdm=True)
    key = rig.json("POST", "/fapi/v1/listenKey", signed=False)["listenKey"]
    _, socket = rig.connect(f"/ws/{key}")
    mine = {"symbol": "BTCUSDT", "origClientOrderId": "mine"}
    stop = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
    answers = {
        f"{FUTURES}Trading/PlaceOrder.txt": rig.json(
            "POST", "/fapi/v1/order", {**binance.LIMIT, "newClientOrderId": "mine"}, form=True
        ),
        f"{FUTURES}Trading/GetOrder.txt": rig.json("GET", "/fapi/v1/order", mine),
        f"{FUTURES}Trading/EditOrder.txt": rig.json(
            "PUT", "/fapi/v1/order", {**mine, "side": "BUY", "quantity": "0.02", "price": "48000"}
        ),
        f"{FUTURES}Trading/GetOpenOrder.txt": rig.json("GET", "/fapi/v1/openOrder", mine),
        f"{FUTURES}Trading/CancelOrder.txt": rig.json("DELETE", "/fapi/v1/order", mine),
        f"{FUTURES}Trading/PlaceConditionalOrder.txt": rig.json(
            "POST", "/fapi/v1/algoOrder", {**stop, "triggerPrice": "45000", "quantity": "0.01"}
        ),
        "binance-usdm/nautilus/http_json/open_algo_orders.json": rig.json("GET", "/fapi/v1/openAlgoOrders"),
    }
    rig.json("POST", "/fapi/v1/order", binance.MARKET)
    positions = "binance-usdm/nautilus-py/http_responses/http_futures_account_positions_one_way.json"
    answers[positions] = rig.json("GET", "/fapi/v3/positionRisk")
    answers[f"{FUTURES}Account/GetAccountInfoV3.txt"] = rig.json("GET", "/fapi/v3/account")
    events = [message.get("data", message) for message in socket.sent]
    updates = {each["o"]["x"]: each for each in events if each.get("e") == "ORDER_TRADE_UPDATE"}
    answers[f"binance-usdm/{EVENTS}order_update_new.json"] = updates["NEW"]
    answers[f"binance-usdm/{EVENTS}order_update_trade.json"] = updates["TRADE"]
    assert updates["TRADE"]["o"].keys() >= FEE
    algos = [each for each in events if each.get("e") == "ALGO_UPDATE"]
    answers[f"binance-usdm/{EVENTS}algo_update_new.json"] = algos[0]
    (account, *_) = (each for each in events if each.get("e") == "ACCOUNT_UPDATE")
    answers[f"binance-usdm/{EVENTS}account_update.json"] = account
    assert rig.code("GET", "/fapi/v1/openOrder", mine) == -2013
    assert all_apart(shared, answers) == []


def test_bitmex(shared: Path) -> None:
    rig = bitmex.Rig()
    recorded = "bitmex/xchange/__files/api_v1_"
    handler, socket = rig.login()
    bitmex.say(handler, "subscribe", "execution")
    made = rig.place()
    rig.json("POST", "/order", {"symbol": "XBTUSD", "side": "Buy", "orderQty": 100, "ordType": "Market"})
    (pushed, *_) = (
        message["data"]
        for message in bitmex.of(socket, "execution", "insert")
        if message["data"][0]["execType"] == "Trade"
    )
    answers = {
        f"{recorded}order_new-limit-buy-order.json": made,
        f"{recorded}order_pending-limit-buy-order.json": rig.json("GET", "/order", {"filter": '{"open":true}'}),
        f"{recorded}position.json": rig.json("GET", "/position"),
        f"{recorded}user_wallet.json": rig.json("GET", "/user/wallet", {"currency": "all"}),
        f"{recorded}instrument_active.json": rig.json("GET", "/instrument/active"),
        f"{recorded}order_cancel-order.json": rig.json("DELETE", "/order", {"orderID": made["orderID"]}),
        "bitmex/nautilus/ws_margin.json": rig.json("GET", "/user/margin"),
    }
    traded = sample(shared, "bitmex/xchange-stream/execution_market-buy.json")["data"][1]
    assert all_apart(shared, answers) + apart(traded, pushed[0], "execution") == []


def test_orders_under_way_are_told_with_the_position() -> None:
    """As in a recorded row of XBTUSD: 100 contracts bid for at 93,207 are -107,287 XBt."""
    rig = bitmex.Rig()
    rig.place(orderQty=100, price=49_000)
    rig.place(side="Sell", orderQty=200, price=51_000)
    rig.json("POST", "/order", {"symbol": "XBTUSD", "side": "Buy", "orderQty": 100, "ordType": "Market"})
    (row,) = rig.json("GET", "/position")
    assert (row["openOrderBuyQty"], row["openOrderSellQty"]) == (100, 200)
    assert row["openOrderBuyCost"] == pytest.approx(-100 / 49_000 * 10**8, abs=1)
    assert row["openOrderSellCost"] == pytest.approx(200 / 51_000 * 10**8, abs=1)
