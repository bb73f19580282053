"""Bybit's disconnection protection: orders go when the last line that subscribed to it has been gone for the window."""

import json
from typing import Any

import pytest

from mlthon.protocols import bybit as tables
from tests.exchange.dialects.test_bybit import Rig

SWITCH = "/v5/order/disconnected-cancel-all"


def protected(window: int = 5, *, product: str = "DERIVATIVES") -> Rig:
    """A rig with an order in each product, protected."""
    rig = Rig()
    assert rig.post(SWITCH, product=product, timeWindow=window)["retCode"] == 0
    assert rig.limit("Buy", "60000")["retCode"] == 0
    assert rig.limit("Buy", "60000", category="spot")["retCode"] == 0
    return rig


def left(rig: Rig) -> list[str]:
    """The products of which orders are open."""
    return sorted(tables.switch_of(order.instrument) for order in rig.account.open_orders())


BOTH = ["DERIVATIVES", "SPOT"]


@pytest.mark.parametrize(
    ("product", "topic", "rest"), [("DERIVATIVES", "dcp.future", ["SPOT"]), ("SPOT", "dcp.spot", ["DERIVATIVES"])]
)
def test_a_product_is_cancelled_when_its_last_line_was_gone_for_the_window(
    product: str, topic: str, rest: list[str]
) -> None:
    rig = protected(product=product)
    _, first = rig.private(topic)
    _, second = rig.private("order", topic)
    first.closed()
    rig.run(20)
    assert left(rig) == BOTH
    second.closed()
    rig.run(4.8)
    assert left(rig) == BOTH
    rig.run(0.4)
    assert left(rig) == rest


def test_who_comes_back_in_time_keeps_his_orders() -> None:
    rig = protected()
    _, first = rig.private("dcp.future")
    first.closed()
    rig.run(4)
    _, again = rig.private("dcp.future")
    rig.run(20)
    assert left(rig) == BOTH
    again.closed()
    rig.run(4)
    assert left(rig) == BOTH
    rig.run(1.5)
    assert left(rig) == ["SPOT"]


def test_a_line_that_is_back_without_the_topic_does_not_count() -> None:
    rig = protected()
    _, first = rig.private("dcp.future")
    first.closed()
    rig.private("order")
    rig.run(6)
    assert left(rig) == ["SPOT"]


@pytest.mark.parametrize("topics", [(), ("order",), ("dcp.spot",)])
def test_lines_without_the_topic_protect_nothing(topics: tuple[str, ...]) -> None:
    rig = protected()
    _, line = rig.private(*topics)
    line.closed()
    rig.run(20)
    assert left(rig) == BOTH


def test_without_a_window_nothing_is_cancelled_and_an_unsubscribed_line_starts_nothing() -> None:
    rig = Rig()
    rig.limit("Buy", "60000")
    _, line = rig.private("dcp.future")
    line.closed()
    rig.run(20)
    assert left(rig) == ["DERIVATIVES"]
    rig.post(SWITCH, product="DERIVATIVES", timeWindow=5)
    _, line = rig.private("order", "dcp.future")
    line.message(json.dumps({"op": "unsubscribe", "args": ["dcp.future"]}))
    line.closed()
    rig.run(20)
    assert left(rig) == ["DERIVATIVES"]


@pytest.mark.parametrize(
    "wrong",
    [{"timeWindow": 2}, {"timeWindow": 301}, {"timeWindow": "soon"}, {}, {"timeWindow": 5, "product": "SHARES"}],
)
def test_windows_and_products_that_do_not_exist_are_refused(wrong: dict[str, Any]) -> None:
    rig = Rig()
    assert rig.post(SWITCH, **wrong)["retCode"] == 10001
    assert rig.get("/v5/account/query-dcp-info", "")["result"] == {"dcpInfos": []}


def test_what_is_switched_on_is_told() -> None:
    rig = protected(7)
    rig.post(SWITCH, timeWindow="10")
    rows = rig.get("/v5/account/query-dcp-info", "")["result"]["dcpInfos"]
    assert rows == [
        {"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "7"},
        {"product": "OPTIONS", "dcpStatus": "ON", "timeWindow": "10"},
    ]


def test_it_cannot_be_set_as_often_as_one_likes() -> None:
    rig = Rig()
    codes = [json.loads(rig_answer(rig).body)["retCode"] for _ in range(7)]
    assert codes[0] == 0
    assert 10006 in codes


def rig_answer(rig: Rig) -> Any:
    found: list[Any] = []
    rig.dialect.http(rig.signed("POST", SWITCH, json.dumps({"timeWindow": 10})), found.append)
    return found[0]
