"""Binance's answers about orders: the reference samples, refusals, rate limits, broken ones."""

from pathlib import Path

import pytest

from mlthon.basics.defs import GtwRejectCode, OrderStatus, OrderType
from mlthon.engine.clock import MS
from mlthon.venue.codec import BadMessage
from mlthon.venue.facts import OrderFact
from mlthon.venue.rate_rules import Usage
from tests.gateways.binance_kit import (
    BNB,
    LTC,
    PERP,
    SPOT,
    SPOT_CODEC,
    USDM_CODEC,
    answer,
    endpoint_sample,
    fields,
    order,
    sample,
)


def test_a_new_spot_order_that_fills_at_once(shared: Path) -> None:
    body = endpoint_sample(shared, "binance/jkorf/Endpoints/Spot/Trading/PlaceOrder.txt")
    request = SPOT_CODEC.new_order(order(SPOT, -1))
    reply = SPOT_CODEC.reply(request, answer(body))
    assert (reply.accepted, reply.exchange_id) == (True, "28")
    *fills, after = reply.facts
    assert [fields(fill, "exec_id", "price", "qty", "cumulative") for fill in fills] == [
        ("56s", 400000, 100000, 100000),
        ("57s", 399900, 500000, 600000),
        ("58s", 399800, 200000, 800000),
        ("59s", 399700, 100000, 900000),
        ("60s", 399500, 100000, 1000000),
    ]
    assert isinstance(after, OrderFact)
    assert fields(after, "wire_id", "status", "filled") == ("6gCrw2kRUAF9CvJDGP16IP", OrderStatus.Filled, 1000000)


def test_an_acknowledgement_tells_the_id_only() -> None:
    body = {"symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": "m1-1", "transactTime": 1}
    reply = SPOT_CODEC.reply(SPOT_CODEC.new_order(order(SPOT)), answer(body))
    assert (reply.accepted, reply.exchange_id, reply.facts) == (True, "28", ())


def test_cancelled_spot_orders(shared: Path) -> None:
    body = sample(shared, "binance/nautilus/http_json/cancel_order_response.json")
    reply = SPOT_CODEC.reply(SPOT_CODEC.cancel_order(order(LTC)), answer(body))
    (fact,) = reply.facts
    assert (reply.accepted, *fields(fact, "wire_id", "status")) == (True, "myOrder1", OrderStatus.Cancelled)
    one = {**body, "origClientOrderId": "a"}
    several = [one, {"orderListId": 5, "symbol": "LTCBTC", "orderReports": [{**body, "origClientOrderId": "b"}]}]
    reply = SPOT_CODEC.reply(SPOT_CODEC.cancel_all(LTC)[0], answer(several))
    assert [fact.wire_id for fact in reply.facts if isinstance(fact, OrderFact)] == ["a", "b"]


def test_an_amended_spot_order(shared: Path) -> None:
    body = endpoint_sample(shared, "binance/jkorf/Endpoints/Spot/Trading/AmendOrder.txt")
    request = SPOT_CODEC.modify_order(order(SPOT), None, 847)
    (fact,) = SPOT_CODEC.reply(request, answer(body)).facts
    assert fields(fact, "wire_id", "qty", "price", "ts") == (
        "4d96324ff9d44481926157",
        847,
        2341610,
        1684804350068 * MS,
    )


def test_futures_answers(shared: Path) -> None:
    folder = "binance-usdm/jkorf/Endpoints/UsdFutures/Trading"
    reply = USDM_CODEC.reply(
        USDM_CODEC.modify_order(order(PERP), None, 7), answer(endpoint_sample(shared, f"{folder}/EditOrder.txt"))
    )
    (fact,) = reply.facts
    assert (reply.exchange_id, *fields(fact, "wire_id", "price", "qty", "status")) == (
        "20072994037",
        "LJ9R4QZDihCaS8UAOOLpgW",
        300050,
        1000,
        OrderStatus.New,
    )
    stop = order(BNB, -1, "0", order_type=OrderType.TakeProfit, stop_price="750")
    body = endpoint_sample(shared, f"{folder}/PlaceConditionalOrder.txt")
    reply = USDM_CODEC.reply(USDM_CODEC.new_order(stop), answer(body))
    (fact,) = reply.facts
    assert (reply.exchange_id, *fields(fact, "wire_id", "status", "stop_price")) == (
        "algo-2146760",
        "6B2I9XVcJpCjqPAJ4YoFX7",
        OrderStatus.Untriggered,
        75000,
    )
    body = endpoint_sample(shared, f"{folder}/CancelAllOrders.txt")
    assert USDM_CODEC.reply(USDM_CODEC.cancel_all(PERP)[0], answer(body)).accepted
    body = endpoint_sample(shared, f"{folder}/CancelOrder.txt") | {
        "origQty": "0.4",
        "type": "LIMIT",
        "origType": "LIMIT",
    }
    (fact,) = USDM_CODEC.reply(USDM_CODEC.cancel_order(order(PERP)), answer(body)).facts
    assert fields(fact, "wire_id", "status") == ("myOrder1", OrderStatus.Cancelled)


REFUSALS = [
    (400, -2010, "Account has insufficient balance for requested action.", GtwRejectCode.InsufficientBalance),
    (400, -2010, "Order would immediately match and take.", GtwRejectCode.PostOnlyWouldTake),
    (400, -2010, "Duplicate order sent.", GtwRejectCode.DuplicateClientId),
    (400, -2010, "Stop price would trigger immediately.", GtwRejectCode.StopWouldTrigger),
    (400, -2010, "Market is closed.", GtwRejectCode.NoMarket),
    (400, -2010, "This action is disabled on this account.", GtwRejectCode.InvalidRequest),
    (400, -1013, "Filter failure: PRICE_FILTER", GtwRejectCode.PriceNotOnTick),
    (400, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE", GtwRejectCode.InvalidPrice),
    (400, -1013, "Filter failure: LOT_SIZE", GtwRejectCode.InvalidQty),
    (400, -1013, "Filter failure: NOTIONAL", GtwRejectCode.NotionalBelowMinimum),
    (400, -1021, "Timestamp for this request is outside of the recvWindow.", GtwRejectCode.InvalidRequest),
    (401, -2015, "Invalid API-key, IP, or permissions for action.", GtwRejectCode.NotLoggedIn),
    (400, -2019, "Margin is insufficient.", GtwRejectCode.InsufficientMargin),
    (400, -2021, "Order would immediately trigger.", GtwRejectCode.StopWouldTrigger),
    (400, -2022, "ReduceOnly Order is rejected.", GtwRejectCode.ReduceOnlyWouldIncrease),
    (400, -4014, "Price not increased by tick size.", GtwRejectCode.PriceNotOnTick),
    (400, -4164, "Order's notional must be no smaller than 5.0", GtwRejectCode.NotionalBelowMinimum),
    (400, -5022, "Due to the order could not be executed as maker, the Post Only order will be rejected.",
     GtwRejectCode.PostOnlyWouldTake),
    (503, 0, "Service Unavailable.", GtwRejectCode.InvalidRequest),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "text", "expected"), REFUSALS)
def test_refusals(status: int, code: int, text: str, expected: GtwRejectCode) -> None:
    reply = USDM_CODEC.reply(USDM_CODEC.new_order(order(PERP)), answer({"code": code, "msg": text}, status))
    assert (reply.accepted, reply.unknown, reply.missing, reply.limited, reply.code) == (
        False,
        False,
        False,
        False,
        expected,
    )
    assert text in reply.reason


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"code": -1007, "msg": "Timeout waiting for response from backend server. Send status unknown"}),
        (400, {"code": -1006, "msg": "An unexpected response was received from the message bus."}),
        (400, {"code": -1000, "msg": "An unknown error occurred while processing the request."}),
        (503, {"code": 0, "msg": "Unknown error, please check your request or try again later."}),
        (502, b"<html>Bad Gateway</html>"),
        (504, b""),
        (408, b""),
    ],
)
def test_what_the_exchange_itself_does_not_know(status: int, body: object) -> None:
    reply = SPOT_CODEC.reply(SPOT_CODEC.new_order(order(SPOT)), answer(body, status))
    assert (reply.accepted, reply.unknown, reply.missing, reply.limited) == (False, True, False, False)


def test_missing_orders() -> None:
    body = {"code": -2011, "msg": "Unknown order sent."}
    for request in (
        SPOT_CODEC.cancel_order(order(SPOT)),
        SPOT_CODEC.modify_order(order(SPOT), None, 1),
    ):
        reply = SPOT_CODEC.reply(request, answer(body, 400))
        assert (reply.missing, reply.code) == (True, GtwRejectCode.UnknownOrder)
    assert SPOT_CODEC.reply(SPOT_CODEC.cancel_all(SPOT)[0], answer(body, 400)).accepted
    stop = order(PERP, order_type=OrderType.Stop, stop_price="1", state=OrderStatus.Untriggered)
    assert USDM_CODEC.reply(USDM_CODEC.cancel_order(stop), answer(body, 400)).missing


def test_rate_limits() -> None:
    request = SPOT_CODEC.new_order(order(SPOT))
    until = 1659146400000
    body = {"code": -1003, "msg": f"Way too much request weight used; IP banned until {until}. Please use ..."}
    banned = answer(body, 418, recv_ts=(until - 2500) * MS)
    reply = SPOT_CODEC.reply(request, banned)
    assert (reply.limited, reply.retry_after_s, reply.code) == (True, 2.5, GtwRejectCode.RateLimited)
    assert list(SPOT_CODEC.usage(request, banned)) == [
        Usage(rule.name, banned_until=until * MS) for rule in SPOT_CODEC.rules
    ]
    slow = answer({"code": -1003, "msg": "Too much request weight used"}, 429, {"retry-after": "7"}, recv_ts=MS)
    assert SPOT_CODEC.reply(request, slow).retry_after_s == 7.0
    assert list(SPOT_CODEC.usage(request, slow)) == [Usage("weight", banned_until=7 * 10**9 + MS)]
    many = answer({"code": -1015, "msg": "Too many new orders"}, 429, {"retry-after": "1"})
    assert [usage.rule for usage in SPOT_CODEC.usage(request, many)] == ["orders-10s", "orders-1d"]
    assert SPOT_CODEC.reply(request, answer({"code": -1015, "msg": "Too many new orders"}, 400)).limited
    assert SPOT_CODEC.reply(request, answer(b"<html>403 Forbidden</html>", 403)).limited


def test_headers_tell_what_is_used() -> None:
    headers = {"x-mbx-used-weight-1m": "17", "x-mbx-order-count-10s": "3", "x-mbx-order-count-1d": "x"}
    request = SPOT_CODEC.new_order(order(SPOT))
    assert list(SPOT_CODEC.usage(request, answer({}, 200, headers))) == [
        Usage("weight", used=17),
        Usage("orders-10s", used=3),
    ]
    assert {usage.rule for usage in SPOT_CODEC.usage(request, answer({}, 200, headers))} <= {
        rule.name for rule in SPOT_CODEC.rules
    }


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"symbol":"BTCUSDT"}', b'{"symbol":"BTCUSDT","orderId":"x"}']
)
def test_a_broken_answer(body: bytes) -> None:
    with pytest.raises(BadMessage, match="new order"):
        SPOT_CODEC.reply(SPOT_CODEC.new_order(order(SPOT)), answer(body))
