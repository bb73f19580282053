"""Binance's private messages as facts: the reference samples, of spot and of USD-M, and broken ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlthon.basics import money
from mlthon.basics.defs import CancelCode, ExecInstructions, GtwRejectCode, OrderStatus, OrderType
from mlthon.engine.clock import MS
from mlthon.venue.codec import BadMessage
from mlthon.venue.facts import ExecutionFact, LineInterrupted, LineReady, LineRefused, PositionFact, WalletFact
from tests.gateways.binance_kit import ETH, PERP, SPOT, SPOT_CODEC, USDM_CODEC, fields, sample, spot, usdm


def told(codec: Any, message: object) -> list[Any]:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return list(codec.line_message("private", data, 0))


def wrapped(event: Any) -> Any:
    return {"subscriptionId": 0, "event": event}


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
        PositionFact(instrument=ETH, position=50000, ts=ts),
    ]


def test_spot_positions_follow_the_wallet() -> None:
    balances = [{"a": "BTC", "f": "0.500019", "l": "0.25"}, {"a": "USDT", "f": "1", "l": "0"}]
    event = {"e": "outboundAccountPosition", "E": 5, "u": 5, "B": balances}
    btc, usdt, position = told(SPOT_CODEC, wrapped(event))
    assert (btc.coin, usdt.coin) == ("BTC", "USDT")
    assert position == PositionFact(instrument=SPOT, position=75001, ts=5 * MS)


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
