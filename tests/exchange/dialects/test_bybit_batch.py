"""Bybit's batches: each part is carried out, refused and told of for itself, over REST and over the trade websocket."""

import json
from typing import Any

import pytest

from tests.exchange.dialects.test_bybit import Rig

GOOD = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "60000"}


def codes(answer: Any) -> list[int]:
    return [each["code"] for each in answer["retExtInfo"]["list"]]


def test_a_batch_answers_each_order_for_itself() -> None:
    rig = Rig()
    answer = rig.post("/v5/order/create-batch", request=[{**GOOD, "orderLinkId": "a"}, {**GOOD, "qty": "0"}])
    assert (answer["retCode"], codes(answer)) == (0, [0, 10001])
    first, second = answer["result"]["list"]
    assert (first["category"], first["symbol"], first["orderLinkId"]) == ("linear", "BTCUSDT", "a")
    assert first["orderId"]
    assert first["createAt"]
    assert (second["orderId"], second["createAt"]) == ("", "")


def test_orders_are_amended_and_cancelled_in_batches() -> None:
    rig = Rig()
    rig.post("/v5/order/create-batch", request=[{**GOOD, "orderLinkId": name} for name in "ab"])
    changes = [{"symbol": "BTCUSDT", "orderLinkId": name, "price": "59000"} for name in ("a", "nobody")]
    answer = rig.post("/v5/order/amend-batch", request=changes)
    assert codes(answer) == [0, 110001]
    assert [each["orderLinkId"] for each in answer["result"]["list"]] == ["a", "nobody"]
    assert "createAt" not in answer["result"]["list"][0]
    assert sorted(order.price for order in rig.account.open_orders()) == [590_000, 600_000]
    gone = [{"symbol": "BTCUSDT", "orderLinkId": name} for name in ("a", "b", "b2")]
    assert codes(rig.post("/v5/order/cancel-batch", request=gone)) == [0, 0, 110001]
    assert not list(rig.account.open_orders())


@pytest.mark.parametrize(
    ("category", "count", "code"),
    [("linear", 0, 10001), ("linear", 21, 10001), ("spot", 11, 10001), ("linear", 20, 0), ("spot", 10, 0)],
)
def test_a_batch_has_a_size(category: str, count: int, code: int) -> None:
    rig = Rig()
    assert rig.post("/v5/order/create-batch", category=category, request=[GOOD] * count)["retCode"] == code


@pytest.mark.parametrize("request_", [None, "many", [1], ["order"]])
def test_a_batch_that_is_none_is_refused(request_: Any) -> None:
    assert Rig().post("/v5/order/cancel-batch", request=request_)["retCode"] == 10001


def test_a_batch_over_the_trade_websocket() -> None:
    rig = Rig()
    socket, handler = rig.private(path="/v5/trade")
    body = {"category": "linear", "request": [GOOD, {**GOOD, "side": "Up"}]}
    header = {"X-BAPI-TIMESTAMP": str(rig.dialect.now_ms)}
    handler.message(json.dumps({"reqId": "9", "header": header, "op": "order.create-batch", "args": [body]}))
    rig.run()
    answer = socket.sent[-1]
    assert (answer["reqId"], answer["op"], answer["retCode"], codes(answer)) == (
        "9",
        "order.create-batch",
        0,
        [0, 10001],
    )
    assert len(answer["data"]["list"]) == 2
