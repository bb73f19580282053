"""Private messages and answers about orders as facts: the reference samples, refusals, rate limits, broken messages."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlthon.basics import money
from mlthon.basics.defs import CancelCode, Exchange, ExecInstructions, GtwRejectCode, OrderStatus, OrderType
from mlthon.venue.codec import BadMessage
from mlthon.venue.facts import (
    ExecutionFact,
    LineInterrupted,
    LineReady,
    LineRefused,
    OrderFact,
    PositionFact,
    WalletFact,
)
from mlthon.venue.rate_rules import Usage
from tests.gateways.binance_kit import PERP, SPOT, answer, endpoint_sample, made, order, sample, spot, usdm

ETH = made(Exchange.Binance, "ETHUSDT", "eth-usdt", "0.01", "0.0001")
LTC = made(Exchange.Binance, "LTCBTC", "ltc-btc", "0.01", "0.01")
ADA = made(Exchange.Binance, "ADAUSDT", "ada-usdt", "0.0001", "0.1")
BNB = made(Exchange.BinanceUsdm, "BNBUSDT", "bnb-usdt", "0.01", "0.01")
DOGE = made(Exchange.BinanceUsdm, "DOGEUSDT", "doge-usdt", "0.00001", "1")
ETH_PERP = made(Exchange.BinanceUsdm, "ETHUSDT", "eth-usdt", "0.01", "0.001")
MS = 10**6

SPOT_CODEC = spot(SPOT, ETH, LTC, ADA)
USDM_CODEC = usdm(PERP, BNB, DOGE, ETH_PERP)


def told(codec: Any, message: object) -> list[Any]:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return list(codec.line_message("private", data, 0))


def wrapped(event: Any) -> Any:
    return {"subscriptionId": 0, "event": event}


def fields(fact: Any, *names: str) -> tuple[Any, ...]:
    return tuple(getattr(fact, name) for name in names)


# -- spot --------------------------------------------------------------------------------------------------------------


def test_a_spot_fill(shared: Path) -> None:
    event = sample(shared, "binance/nautilus/user_data_json/execution_report_trade.json")
    fill, after = told(SPOT_CODEC, wrapped(event))
    assert fill == ExecutionFact(
        exec_id="98765432b",
        wire_id="x-TD67BGP9-T0000000000000",
        exchange_id="12345678",
        instrument=ETH,
        side=1,
        price=250000,
        qty=10000,
        fee=money.parse("0.001"),
        fee_coin="ETH",
        maker=True,
        ts=1709654401000 * MS,
        cumulative=10000,
    )
    assert fields(after, "wire_id", "status", "filled", "qty") == (fill.wire_id, OrderStatus.Filled, 10000, 10000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nautilus/user_data_json/execution_report_new", (OrderStatus.New, 0, CancelCode.Unset, "")),
        (
            "nautilus/user_data_json/execution_report_expired",
            (OrderStatus.Cancelled, 0, CancelCode.TimeInForce, "INSUFFICIENT_LIQUIDITY"),
        ),
        (
            "nautilus-py/ws_messages/ws_spot_execution_report_expired",
            (OrderStatus.Cancelled, 0, CancelCode.ByExchange, ""),
        ),
        (
            "nautilus-py/ws_messages/ws_spot_execution_report_trade_prevention",
            (OrderStatus.Cancelled, 0, CancelCode.SelfTradePrevention, "SELF_TRADE_PREVENTION"),
        ),
        (
            "nautilus-py/ws_messages/ws_spot_execution_report_pending_cancel",
            (OrderStatus.Cancelled, 1000, CancelCode.CanceledByUser, ""),
        ),
        # A fill whose price is 0 in the sample: no fill is told, but that so much has traded.
        (
            "nautilus-py/ws_messages/ws_spot_execution_report_trade_l_zero",
            (OrderStatus.Filled, 10, CancelCode.Unset, ""),
        ),
        (
            "nautilus-py/ws_messages/ws_spot_execution_report_trade_l_zero_canceled",
            (OrderStatus.Cancelled, 0, CancelCode.CanceledByUser, ""),
        ),
    ],
)
def test_spot_orders(shared: Path, name: str, expected: tuple[Any, ...]) -> None:
    event = sample(shared, f"binance/{name}.json")
    (fact,) = told(SPOT_CODEC, wrapped(event.get("data", event)))
    assert fields(fact, "status", "filled", "cancel_code", "reason") == expected


def test_a_cancel_names_the_order_by_its_own_id(shared: Path) -> None:
    event = sample(shared, "binance/nautilus/user_data_json/execution_report_new.json")
    event |= {"x": "CANCELED", "X": "CANCELED", "C": "m1-7", "c": "of-the-cancel"}
    (fact,) = told(SPOT_CODEC, wrapped(event))
    assert fields(fact, "wire_id", "status") == ("m1-7", OrderStatus.Cancelled)


def test_a_spot_stop_waits_until_it_works(shared: Path) -> None:
    event = sample(shared, "binance/nautilus/user_data_json/execution_report_stop_loss.json") | {"w": False}
    (fact,) = told(SPOT_CODEC, wrapped(event))
    assert fields(fact, "status", "order_type", "price", "stop_price") == (
        OrderStatus.Untriggered,
        OrderType.StopLimit,
        240000,
        245000,
    )
    (fact,) = told(SPOT_CODEC, wrapped(event | {"w": True}))
    assert fact.status is OrderStatus.New


def test_a_rejected_spot_order(shared: Path) -> None:
    event = sample(shared, "binance/nautilus/user_data_json/execution_report_new.json")
    event |= {"x": "REJECTED", "X": "REJECTED", "r": "INSUFFICIENT_BALANCES", "o": "LIMIT_MAKER"}
    (fact,) = told(SPOT_CODEC, wrapped(event))
    assert fields(fact, "status", "reject_code", "exec_instr") == (
        OrderStatus.Rejected,
        GtwRejectCode.InsufficientBalance,
        ExecInstructions.PostOnly,
    )


def test_spot_wallets(shared: Path) -> None:
    event = sample(shared, "binance/nautilus/user_data_json/account_position.json")
    ts = 1709654400000 * MS
    assert told(SPOT_CODEC, wrapped(event)) == [
        WalletFact(coin="USDT", total=12500 * money.UNIT, available=10000 * money.UNIT, ts=ts),
        WalletFact(coin="ETH", total=5 * money.UNIT, available=5 * money.UNIT, ts=ts),
    ]


def test_spot_line_answers() -> None:
    assert told(SPOT_CODEC, {"id": "user-data", "status": 200, "result": {"subscriptionId": 0}}) == [
        LineReady(line="private")
    ]
    error = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
    assert told(SPOT_CODEC, {"id": "user-data", "status": 401, "error": error}) == [
        LineRefused(line="private", reason=f"{error['msg']} (code -2015)", final=True)
    ]
    error = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
    (refused,) = told(SPOT_CODEC, {"id": "user-data", "status": 400, "error": error})
    assert not refused.final


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        (SPOT_CODEC, wrapped({"e": "eventStreamTerminated", "E": 1757896885229})),
        (SPOT_CODEC, {"e": "serverShutdown", "E": 1757896885229}),
        (USDM_CODEC, {"stream": "key", "data": {"e": "listenKeyExpired", "E": 1, "listenKey": "key"}}),
        (USDM_CODEC, {"e": "listenKeyExpired", "E": 1}),
    ],
)
def test_lines_that_will_miss_messages(codec: Any, message: Any) -> None:
    (fact,) = told(codec, message)
    assert isinstance(fact, LineInterrupted)


# -- USD-M -------------------------------------------------------------------------------------------------------------


def test_a_futures_fill(shared: Path) -> None:
    event = sample(shared, "binance-usdm/nautilus/user_data_json/order_update_trade_partial.json")
    fill, after = told(USDM_CODEC, event)
    assert fill == ExecutionFact(
        exec_id="12345678b",
        wire_id="TEST",
        exchange_id="8886774",
        instrument=PERP,
        side=1,
        price=71005,
        qty=1,
        fee=money.parse("0.01"),
        fee_coin="USDT",
        maker=True,
        ts=1568879465651 * MS,
        cumulative=1,
    )
    assert fields(after, "status", "filled", "qty") == (OrderStatus.PartiallyFilled, 1, 2)
    assert told(USDM_CODEC, {"stream": "key", "data": event}) == [fill, after]


@pytest.mark.parametrize(
    ("name", "reason", "qty"),
    [
        ("nautilus/user_data_json/order_update_calculated", "liquidation", 14),
        ("nautilus/user_data_json/order_update_adl", "auto-deleveraging", 5),
        ("nautilus/user_data_json/order_update_settlement", "settlement of the contract", 10),
        ("nautilus-py/ws_messages/ws_futures_order_update_liquidation", "liquidation", 100),
        ("nautilus-py/ws_messages/ws_futures_order_update_adl", "auto-deleveraging", 1000),
        ("nautilus-py/ws_messages/ws_futures_order_update_settlement", "settlement of the contract", 50),
    ],
)
def test_what_the_exchange_does_unasked(shared: Path, name: str, reason: str, qty: int) -> None:
    fill, after = told(USDM_CODEC, sample(shared, f"binance-usdm/{name}.json"))
    assert fields(fill, "reason", "qty") == (reason, qty)
    assert fields(after, "status", "reason", "filled") == (OrderStatus.Filled, reason, qty)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nautilus/user_data_json/order_update_calculated_pending", (OrderStatus.New, OrderType.Limit, None)),
        ("nautilus/user_data_json/order_update_new", (OrderStatus.Untriggered, OrderType.Stop, 71030)),
        ("nautilus-py/ws_messages/ws_futures_order_update_new_price_match", (OrderStatus.New, OrderType.Limit, None)),
        (
            "nautilus-py/ws_messages/ws_futures_order_update_new_stop_limit_price_match",
            (OrderStatus.Untriggered, OrderType.StopLimit, 240000),
        ),
        (
            "nautilus-py/ws_messages/ws_futures_order_update_new_limit_if_touched_price_match",
            (OrderStatus.Untriggered, OrderType.TakeProfit, 250000),
        ),
    ],
)
def test_futures_orders(shared: Path, name: str, expected: tuple[Any, ...]) -> None:
    (fact,) = told(USDM_CODEC, sample(shared, f"binance-usdm/{name}.json"))
    assert fields(fact, "status", "order_type", "stop_price") == expected


def test_a_post_only_order_that_would_take_expires(shared: Path) -> None:
    event = sample(shared, "binance-usdm/nautilus/user_data_json/order_update_new.json")
    event["o"] |= {"o": "LIMIT", "f": "GTX", "x": "EXPIRED", "X": "EXPIRED", "p": "7100.5", "sp": "0"}
    (fact,) = told(USDM_CODEC, event)
    assert fields(fact, "status", "cancel_code", "exec_instr") == (
        OrderStatus.Cancelled,
        CancelCode.PostOnlyWouldTake,
        ExecInstructions.PostOnly,
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nautilus/user_data_json/algo_update_new", (OrderStatus.Untriggered, "algo-2148719", 0, CancelCode.Unset, "")),
        (
            "nautilus/user_data_json/algo_update_canceled",
            (OrderStatus.Cancelled, "algo-2148719", 0, CancelCode.CanceledByUser, "Reduce Only reject"),
        ),
        (
            "nautilus-py/ws_messages/ws_futures_algo_update_triggering",
            (OrderStatus.Untriggered, "algo-1000000033225453", 0, CancelCode.Unset, ""),
        ),
        (
            "nautilus-py/ws_messages/ws_futures_algo_update_triggered",
            (OrderStatus.New, "88937381063", 0, CancelCode.Unset, ""),
        ),
        (
            "nautilus-py/ws_messages/ws_futures_algo_update_finished",
            (OrderStatus.Filled, "88937381063", 38, CancelCode.Unset, ""),
        ),
    ],
)
def test_the_life_of_a_stop(shared: Path, name: str, expected: tuple[Any, ...]) -> None:
    (fact,) = told(USDM_CODEC, sample(shared, f"binance-usdm/{name}.json"))
    assert fields(fact, "status", "exchange_id", "filled", "cancel_code", "reason") == expected


def test_a_stop_refused_when_triggered(shared: Path) -> None:
    event = sample(shared, "binance-usdm/nautilus/user_data_json/algo_update_canceled.json")
    event["o"]["X"] = "REJECTED"
    (fact,) = told(USDM_CODEC, event)
    assert fields(fact, "status", "reject_code") == (OrderStatus.Rejected, GtwRejectCode.ReduceOnlyWouldIncrease)


def test_futures_wallet_and_position(shared: Path) -> None:
    event = sample(shared, "binance-usdm/nautilus/user_data_json/account_update.json")
    ts = 1564745798939 * MS
    assert told(USDM_CODEC, event) == [
        WalletFact(coin="USDT", total=money.parse("122624.12345678"), available=money.parse("100.12345678"), ts=ts),
        PositionFact(instrument=PERP, position=0, entry_price=0.0, ts=ts),
    ]
    event["a"]["P"] = [{"s": "BTCUSDT", "pa": "-0.02", "ep": "6563.8", "ps": "BOTH"}]
    assert told(USDM_CODEC, event)[1] == PositionFact(instrument=PERP, position=-20, entry_price=6563.8, ts=ts)


def test_futures_line_answers() -> None:
    assert told(USDM_CODEC, {"result": None, "id": 1}) == [LineReady(line="private")]
    (refused,) = told(USDM_CODEC, {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": 1})
    assert refused == LineRefused(line="private", reason="Invalid request: invalid stream (code 2)")
    (refused,) = told(USDM_CODEC, {"code": -2015, "msg": "Invalid API-key", "id": 1})
    assert refused.final


@pytest.mark.parametrize(
    ("codec", "event"),
    [
        (SPOT_CODEC, wrapped({"e": "balanceUpdate", "a": "BTC", "d": "100"})),
        (USDM_CODEC, {"e": "TRADE_LITE", "s": "BTCUSDT"}),
        (USDM_CODEC, {"e": "ACCOUNT_CONFIG_UPDATE", "ac": {"s": "BTCUSDT", "l": 25}}),
    ],
)
def test_events_that_say_nothing_more(codec: Any, event: Any) -> None:
    assert told(codec, event) == []


def test_orders_in_instruments_that_nobody_knows_are_left_out(shared: Path) -> None:
    event = sample(shared, "binance/nautilus/user_data_json/execution_report_trade.json")
    assert told(spot(), wrapped(event)) == []
    delivery = sample(shared, "binance-usdm/nautilus/user_data_json/order_update_delivery.json")
    assert told(usdm(), delivery) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{}",
        b'{"subscriptionId":0,"event":{}}',
        b'{"subscriptionId":0,"event":{"e":"unheardOf"}}',
        b'{"subscriptionId":0,"event":{"e":"executionReport","s":"BTCUSDT"}}',
        b'{"subscriptionId":0,"event":{"e":"outboundAccountPosition","E":1,"B":[{"a":"BTC","f":"NaN","l":"0"}]}}',
    ],
)
def test_broken_messages_on_spot(data: bytes) -> None:
    with pytest.raises(BadMessage):
        told(SPOT_CODEC, data)


@pytest.mark.parametrize(
    "change",
    [{"X": "DREAMING"}, {"S": "HOLD"}, {"o": "WISH"}, {"f": "NEVER"}, {"q": "0.0001"}, {"p": "cheap"}, {"i": None}],
)
def test_broken_messages_on_futures(shared: Path, change: dict[str, Any]) -> None:
    event = sample(shared, "binance-usdm/nautilus/user_data_json/order_update_trade.json")
    event["o"] |= change
    with pytest.raises(BadMessage):
        told(USDM_CODEC, event)


# -- answers to requests -----------------------------------------------------------------------------------------------


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
