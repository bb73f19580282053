"""What strategies may pass to `IStratEnv`, and how what cannot be understood is refused."""

from decimal import Decimal
from typing import Any

import pytest

from mlthon.basics.defs import TIF, Exchange, ExecInstructions, GtwRejectCode, GtwStatus, OrderStatus, OrderType, Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.engine.clock import SECOND
from tests.engine.rig import BTC, ETH, START, Recorder, Rig

ID = BTC.get_instrument_id()


def sent(rig: Rig) -> Any:
    return rig.gateway.requests[-1][1]


@pytest.mark.parametrize("price", ["100.5", Price("100.50"), Decimal("100.5"), 100.5])
@pytest.mark.parametrize("qty", ["0.002", Qty("0.002"), Decimal("0.0020"), 0.002])
def test_prices_and_quantities_in_every_form(price: Any, qty: Any) -> None:
    rig = Rig()
    rig.env.send_new_order(
        1, Exchange.Bybit, ID, Side.Buy, price, qty, ExecInstructions.Unset, OrderType.Limit, TIF.GTC, 0
    )
    assert (sent(rig).price, sent(rig).qty, sent(rig).side) == (1005, 2, 1)


@pytest.mark.parametrize("key", [ID, str(ID), "byt:perp:btc-usdt", "BTCUSDT", "btcusdt", "btc-usdt", BTC])
def test_instruments_under_every_name(key: Any) -> None:
    rig = Rig()
    rig.env.send_new_order(None, Exchange.Bybit, key, Side.Sell, "100", "0.001")
    assert sent(rig).instrument is BTC
    rig.env.send_new_order(None, Exchange.Bybit, symbol=key, side=Side.Sell, price="100", qty="0.001")
    assert len(rig.gateway.requests) == 2


@pytest.mark.parametrize(("given", "returned"), [(17, 17), ("17", 17), ("a-17", "a-17"), (0, 0)])
def test_the_client_id_comes_back_as_an_int_where_it_is_one(given: Any, returned: Any) -> None:
    rig = Rig()
    assert rig.env.send_new_order(given, Exchange.Bybit, ID, Side.Buy, "100", "0.001") == returned
    rig.wait(5)
    assert rig.strategy.of("on_new_order_ack")[0][1] == str(given)


def test_without_a_client_id_one_is_made() -> None:
    rig = Rig()
    first = rig.env.send_new_order(None, Exchange.Bybit, ID, Side.Buy, "100", "0.001")
    second = rig.env.send_new_order("", Exchange.Bybit, ID, Side.Buy, "100", "0.001")
    assert isinstance(first, int)
    assert first != second
    rig.env.send_cancel_order(Exchange.Bybit, ID, first)
    assert rig.gateway.requests[-1][0] == "cancel"


def test_a_client_id_is_used_once() -> None:
    rig = Rig()
    for _ in range(2):
        rig.env.send_new_order(5, Exchange.Bybit, ID, Side.Buy, "100", "0.001")
    rig.wait(5)
    assert len(rig.gateway.requests) == 1
    ((_, client_id, code, reason),) = rig.strategy.of("on_new_order_reject")
    assert (client_id, code) == ("5", GtwRejectCode.DuplicateClientId)
    assert "5" in reason


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"price": "100.05"}, GtwRejectCode.PriceNotOnTick, "100.05"),
        ({"price": "dear"}, GtwRejectCode.InvalidPrice, "dear"),
        ({"price": None}, GtwRejectCode.InvalidPrice, ""),
        ({"price": float("nan")}, GtwRejectCode.InvalidPrice, "nan"),
        ({"qty": "0.0005"}, GtwRejectCode.QtyNotOnLot, "0.0005"),
        ({"qty": ""}, GtwRejectCode.InvalidQty, ""),
        ({"qty": None}, GtwRejectCode.InvalidQty, ""),
        ({"instrument_id": "DOGE"}, GtwRejectCode.UnknownInstrument, "DOGE"),
        ({"side": "sideways"}, GtwRejectCode.InvalidRequest, "sideways"),
        ({"side": None}, GtwRejectCode.InvalidRequest, "Side"),
        ({"time_in_force": "tomorrow"}, GtwRejectCode.InvalidRequest, "tomorrow"),
        ({"ord_type": OrderType.Stop, "price": None}, GtwRejectCode.InvalidPrice, "stop price"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_name(
    changes: dict[str, Any], code: GtwRejectCode, named: str
) -> None:
    rig = Rig()
    order = {
        "client_id": 1,
        "exchange": Exchange.Bybit,
        "instrument_id": ID,
        "side": Side.Buy,
        "price": "100",
        "qty": "1",
    }
    rig.env.send_new_order(**(order | changes))
    rig.wait(0)
    assert rig.gateway.requests == []
    ((exchange, client_id, given, reason),) = rig.strategy.of("on_new_order_reject")
    assert (exchange, client_id, given) == (Exchange.Bybit, "1", code)
    assert named in reason


def test_an_exchange_that_is_not_configured() -> None:
    rig = Rig()
    rig.env.send_new_order(1, Exchange.BitMEX, ID, Side.Buy, "100", "1")
    rig.wait(0)
    ((exchange, code, detail, what),) = rig.strategy.of("on_request_reject")
    assert (exchange, code, what) == (Exchange.BitMEX, GtwRejectCode.UnknownExchange, "NewOrder")
    assert "Bybit" in detail


def test_a_gateway_that_is_not_ready_refuses_with_1000() -> None:
    rig = Rig()
    rig.gateway.now_status = (GtwStatus.Connecting, "")
    rig.env.send_new_order(1, Exchange.Bybit, ID, Side.Buy, "100", "0.001")
    rig.wait(1)
    ((_, _, code, _),) = rig.strategy.of("on_new_order_reject")
    assert code.value == 1000
    assert rig.session.open == {}


def test_market_orders_need_no_price_and_stops_take_theirs_from_either_place() -> None:
    rig = Rig()
    for price in (None, "", 0, "0"):
        rig.env.send_new_order(None, Exchange.Bybit, ID, Side.Buy, price, "0.001", ord_type=OrderType.Market)
        assert sent(rig).price == 0
    rig.env.send_new_order(None, Exchange.Bybit, ID, Side.Buy, "120", "0.001", ord_type=OrderType.Stop)
    assert (sent(rig).price, sent(rig).stop_price) == (0, 1200)
    rig.env.send_new_order(
        None, Exchange.Bybit, ID, Side.Buy, "121", "0.001", ord_type=OrderType.StopLimit, stop_price="120"
    )
    assert (sent(rig).price, sent(rig).stop_price) == (1210, 1200)


def test_modification_of_one_thing_leaves_the_other_none() -> None:
    rig = Rig()
    rig.env.send_new_order(1, Exchange.Bybit, ID, Side.Buy, "100", "0.003")
    rig.wait(5)
    rig.env.send_modify_order(Exchange.Bybit, "1", "101", None)
    rig.wait(5)
    rig.env.send_modify_order(Exchange.Bybit, 1, None, "0.002")
    rig.wait(5)
    assert rig.strategy.of("on_modify_order_ack") == [
        (Exchange.Bybit, "1", Price("101"), None, Qty("0.003")),
        (Exchange.Bybit, "1", None, Qty("0.002"), Qty("0.002")),
    ]
    rig.env.send_modify_order(Exchange.Bybit, 1, None, None)
    rig.env.send_modify_order(Exchange.Bybit, 2, "101", None)
    rig.wait(5)
    assert [each[2] for each in rig.strategy.of("on_modify_order_reject")] == [
        GtwRejectCode.InvalidRequest,
        GtwRejectCode.UnknownOrder,
    ]


def test_a_cancel_is_acknowledged_and_then_the_order_is_cancelled() -> None:
    rig = Rig()
    rig.env.send_new_order(1, Exchange.Bybit, ID, Side.Buy, "100", "0.001")
    rig.wait(5)
    rig.env.send_cancel_order(Exchange.Bybit, "BTCUSDT", "1")
    rig.wait(5)
    assert rig.strategy.names()[-2:] == ["on_cancel_order_ack", "on_order_cancelled"]
    assert rig.strategy.of("on_order_cancelled")[0][1:3] == ("1", False)
    rig.env.send_cancel_order(Exchange.Bybit, ID, 99)
    rig.wait(5)
    assert rig.strategy.of("on_cancel_order_reject")[0][1:3] == ("99", GtwRejectCode.UnknownOrder)


def test_an_order_of_one_exchange_is_no_order_of_another() -> None:
    rig = Rig(exchanges=(Exchange.Bybit, Exchange.BinanceUsdm))
    rig.env.send_new_order(1, Exchange.Bybit, ID, Side.Buy, "100", "0.001")
    rig.wait(5)
    rig.env.send_cancel_order(Exchange.BinanceUsdm, "btc-usdt", 1)
    rig.env.send_modify_order(Exchange.BinanceUsdm, 1, "101", None)
    rig.env.fetch_order_status(Exchange.BinanceUsdm, "btc-usdt", 1)
    rig.wait(5)
    assert rig.gateways[Exchange.BinanceUsdm].requests == []
    names = ("on_cancel_order_reject", "on_modify_order_reject", "on_request_reject")
    refusals = [call for name in names for call in rig.strategy.of(name)]
    assert [each[0] for each in refusals] == [Exchange.BinanceUsdm] * 3
    for refusal in refusals:
        assert GtwRejectCode.UnknownOrder in refusal
        assert "the order with client id 1 is on Bybit, not on BinanceUsdm" in refusal
    assert rig.session.open["1"].is_open


def test_cancel_all_is_one_request_where_the_account_is_the_strategys_alone() -> None:
    rig = Rig()
    rig.env.send_new_order(1, Exchange.Bybit, ID, Side.Buy, "100", "0.001")
    rig.env.send_cancel_all(Exchange.Bybit, ID)
    rig.wait(5)
    assert rig.gateway.requests[-1] == ("cancel_all", BTC)
    assert rig.strategy.of("on_cancel_all_ack") == [(Exchange.Bybit, ID)]


def test_cancel_all_leaves_the_orders_of_others_who_share_the_account() -> None:
    one, two = Recorder(), Recorder()
    rig = Rig(one, two)
    for client_id, strategy, instrument in ((1, one, BTC), (2, one, BTC), (3, one, ETH), (1, two, BTC)):
        strategy.env.send_new_order(client_id, Exchange.Bybit, instrument, Side.Buy, "100", "0.01")
    rig.wait(5)
    one.env.send_cancel_all(Exchange.Bybit, ID)
    rig.wait(5)
    assert [each[1].client_id for each in rig.gateway.requests if each[0] == "cancel"] == ["1", "2"]
    assert all(each[1].session is rig.sessions[0] for each in rig.gateway.requests if each[0] == "cancel")
    assert one.of("on_cancel_all_ack") == [(Exchange.Bybit, ID)]
    assert one.names().count("on_cancel_order_ack") == 0
    assert [each[1] for each in one.of("on_order_cancelled")] == ["1", "2"]
    two.env.send_cancel_all(Exchange.Bybit, ETH.get_instrument_id())
    rig.wait(5)
    assert two.of("on_cancel_all_ack") == [(Exchange.Bybit, ETH.get_instrument_id())]


def test_questions_are_answered() -> None:
    rig = Rig()
    rig.env.send_new_order(1, Exchange.Bybit, ID, Side.Buy, "100", "0.001")
    rig.wait(5)
    rig.env.fetch_order_status(Exchange.Bybit, ID, 1)
    rig.env.fetch_position_info(Exchange.Bybit, ID)
    rig.env.fetch_wallet_info(Exchange.Bybit, "USDT")
    rig.env.fetch_funding_info(Exchange.Bybit, ID)
    rig.env.fetch_account_info(Exchange.Bybit)
    rig.env.fetch_order_status(Exchange.Bybit, ID, 77)
    rig.wait(5)
    (status,) = rig.strategy.of("on_order_status")
    assert status[:4] == (Exchange.Bybit, ID, "1", "X1")
    assert status[7] is OrderStatus.New
    assert rig.strategy.of("on_position_info") == [(Exchange.Bybit, ID, Qty("-0.003"))]
    assert rig.strategy.of("on_wallet_info") == [(Exchange.Bybit, "USDT", Qty(5), Qty(4))]
    assert rig.strategy.of("on_funding_info") == [
        (Exchange.Bybit, ID, 0.0001, (START + 8 * 3600 * SECOND) // 1_000_000)
    ]
    assert rig.strategy.of("on_account_info") == [(Exchange.Bybit, "user-1")]
    assert rig.strategy.of("on_request_reject")[0][1] is GtwRejectCode.UnknownOrder


def test_rate_limits_are_told_in_percent_and_seconds() -> None:
    rig = Rig()
    rig.gateway.port.rate_limit_info(90, START + 5 * SECOND)
    assert rig.strategy.of("on_rate_limit_info") == [(Exchange.Bybit, 100, 10, START // SECOND + 5)]


def test_what_an_exchange_cannot_do() -> None:
    rig = Rig()
    rig.gateway.port.unsupported("ModifyOrder")
    assert rig.strategy.of("on_unsupported_op") == [(Exchange.Bybit, "ModifyOrder")]


@pytest.mark.parametrize("duration", [0, -5])
def test_a_timer_needs_a_duration(duration: int) -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="milliseconds over 0"):
        rig.env.setup_timer(duration, lambda: True)


async def later() -> bool:
    return True


@pytest.mark.parametrize(
    ("wrong", "told"), [(None, "must be callable, not None"), (later, "a plain function, not the async def")]
)
def test_what_cannot_be_called_back_is_refused(wrong: Any, told: str) -> None:
    env = Rig().env
    with pytest.raises(TypeError, match=told):
        env.setup_timer(10, wrong)
    with pytest.raises(TypeError, match=told):
        env.setup_daily_callback("16:30:00", wrong)
    with pytest.raises(TypeError, match=told):
        env.add_cmd_hook("status", wrong)
