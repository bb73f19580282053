"""Binance's side of its protocol, spot and USD-M, in virtual time: signed requests in, answers and pushes out."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.exchange.config import ExchangeConfig
from mlthon.exchange.dialects.binance_spot import BinanceSpotDialect
from mlthon.exchange.dialects.binance_usdm import BinanceUsdmDialect
from mlthon.exchange.served.contract import ServerRequest, ServerResponse
from mlthon.exchange.served.exchange import IdStyle, ServedExchange
from tests.exchange.dialects.rig import START, Client


class Rig(Client):
    """A served Binance with one market, one account and its clock."""

    def __init__(self, usdm: bool) -> None:
        self.clock = Clock(START)
        self.usdm = usdm
        exchange = Exchange.BinanceUsdm if usdm else Exchange.Binance
        instrument = resolve(exchange, "BTCUSDT")
        config = ExchangeConfig(balances={"USDT": 100_000.0} if usdm else {"USDT": 100_000.0, "BTC": 2.0})
        self.served = ServedExchange(exchange, [instrument], self.clock, config, ids=IdStyle.NUMBER)
        self.account = self.served.add_account("main", [("test-key", "test-secret")])
        self.dialect = (BinanceUsdmDialect if usdm else BinanceSpotDialect)(self.served)
        self.instrument = instrument
        self.market = self.served.markets[instrument]
        self.scale = 10**18 // instrument.price_scale.step_units
        self.quote(50_000, 50_001)

    def quote(self, bid: int, ask: int) -> None:
        now = self.clock.now
        touch = (bid * self.scale, 5000, ask * self.scale, 5000)
        self.served.embedded.market(self.instrument).on_quote(*touch, now)
        self.market.quote(*touch, now, now)

    def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        key: str = "test-key",
        secret: str = "test-secret",
        late_ms: int = 0,
        form: bool = False,
        signed: bool = True,
    ) -> ServerResponse:
        """A request, and its answer once it is there."""
        given = dict(params or {})
        text = urlencode(given)
        if signed:
            text = urlencode({**given, "timestamp": self.clock.now // MS - late_ms})
            text += "&signature=" + hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        headers = {"x-mbx-apikey": key} if key else {}
        query, body = ("", text.encode()) if form else (text, b"")
        return self.send(ServerRequest(method, path, query, headers, body, "127.0.0.1"))

    def code(self, *args: Any, **options: Any) -> int:
        answer = self.ask(*args, **options)
        assert answer.status >= 400, answer.body
        return int(msgspec.json.decode(answer.body)["code"])


LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "49000",
}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


@pytest.fixture
def spot() -> Rig:
    return Rig(usdm=False)


@pytest.fixture
def usdm() -> Rig:
    return Rig(usdm=True)


def test_a_spot_order_rests_and_is_cancelled(spot: Rig) -> None:
    row = spot.json("POST", "/api/v3/order", {**LIMIT, "newClientOrderId": "mine"}, form=True)
    assert (row["status"], row["clientOrderId"], row["executedQty"], row["fills"]) == ("NEW", "mine", "0.00000000", [])
    (listed,) = spot.json("GET", "/api/v3/openOrders", {"symbol": "BTCUSDT"})
    assert listed["orderId"] == row["orderId"]
    account = spot.json("GET", "/api/v3/account")
    usdt = next(each for each in account["balances"] if each["asset"] == "USDT")
    assert float(usdt["locked"]) == pytest.approx(490, rel=0.002)  # and the fee it may cost
    gone = spot.json("DELETE", "/api/v3/order", {"symbol": "BTCUSDT", "origClientOrderId": "mine"})
    assert (gone["status"], gone["origClientOrderId"]) == ("CANCELED", "mine")
    assert spot.code("DELETE", "/api/v3/order", {"symbol": "BTCUSDT", "origClientOrderId": "mine"}) == -2011
    assert spot.json("GET", "/api/v3/order", {"symbol": "BTCUSDT", "orderId": row["orderId"]})["status"] == "CANCELED"


def test_a_spot_market_order_answers_with_its_fills(spot: Rig) -> None:
    row = spot.json("POST", "/api/v3/order", MARKET)
    assert row["status"] == "FILLED"
    (fill,) = row["fills"]
    assert (fill["price"], fill["qty"]) == ("50001.00000000", "0.01000000")
    (trade,) = spot.json("GET", "/api/v3/myTrades", {"symbol": "BTCUSDT"})
    assert (trade["id"], trade["isBuyer"], trade["isMaker"]) == (fill["tradeId"], True, False)
    by_value = spot.json("POST", "/api/v3/order", {**MARKET, "quantity": "", "quoteOrderQty": "1000"})
    assert float(by_value["executedQty"]) == pytest.approx(1000 / 50_001, abs=1e-5)


def test_an_ioc_expires_and_a_crossing_maker_is_refused(spot: Rig) -> None:
    row = spot.json("POST", "/api/v3/order", {**LIMIT, "timeInForce": "IOC"})
    assert row["status"] == "EXPIRED"
    maker = {**LIMIT, "type": "LIMIT_MAKER", "price": "50010"}
    maker.pop("timeInForce")
    assert spot.code("POST", "/api/v3/order", maker) == -2010


def test_a_spot_order_is_made_smaller_in_place_or_replaced(spot: Rig) -> None:
    order_id = spot.json("POST", "/api/v3/order", LIMIT)["orderId"]
    path = "/api/v3/order/amend/keepPriority"
    amended = spot.json("PUT", path, {"symbol": "BTCUSDT", "orderId": order_id, "newQty": "0.005"})
    assert amended["amendedOrder"]["qty"] == "0.00500000"
    assert spot.code("PUT", path, {"symbol": "BTCUSDT", "orderId": order_id, "newQty": "0.02"}) == -2038
    replace = {**LIMIT, "price": "48000", "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": order_id}
    body = spot.json("POST", "/api/v3/order/cancelReplace", replace)
    assert (body["cancelResult"], body["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    (listed,) = spot.json("GET", "/api/v3/openOrders")
    assert listed["price"] == "48000.00000000"
    assert spot.code("POST", "/api/v3/order/cancelReplace", replace) == -2022  # it is cancelled already
    assert len(spot.json("GET", "/api/v3/openOrders")) == 1


def test_a_spot_order_is_cancelled_only_in_the_state_that_it_may_be_cancelled_in(spot: Rig) -> None:
    order_id = spot.json("POST", "/api/v3/order", LIMIT)["orderId"]
    named = {"symbol": "BTCUSDT", "orderId": order_id}
    restricted = {"cancelRestrictions": "ONLY_PARTIALLY_FILLED"}
    assert spot.code("DELETE", "/api/v3/order", {**named, **restricted}) == -2011
    assert spot.code("DELETE", "/api/v3/order", {**named, "cancelRestrictions": "NEVER"}) == -1145
    replace = {**LIMIT, "price": "48000", "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": order_id}
    assert spot.code("POST", "/api/v3/order/cancelReplace", {**replace, **restricted}) == -2022
    (listed,) = spot.json("GET", "/api/v3/openOrders")
    assert (listed["orderId"], listed["status"]) == (order_id, "NEW")
    body = spot.json("POST", "/api/v3/order/cancelReplace", {**replace, "cancelRestrictions": "ONLY_NEW"})
    assert (body["cancelResult"], body["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    (listed,) = spot.json("GET", "/api/v3/openOrders")
    assert listed["orderId"] != order_id


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NONE"}, -1121),
        ({"symbol": ""}, -1102),
        ({"side": "UP"}, -1117),
        ({"type": "MAGIC"}, -1116),
        ({"timeInForce": "SOON"}, -1115),
        ({"timeInForce": ""}, -1102),
        ({"price": "49000.001"}, -1013),
        ({"price": "1000000.01"}, -1013),
        ({"price": "x"}, -1100),
        ({"price": "-1"}, -1100),
        ({"quantity": "0.0000001"}, -1013),
        ({"quantity": ""}, -1102),
        ({"quantity": "100"}, -2010),
        ({"newClientOrderId": "x" * 37}, -1105),
    ],
)
def test_bad_spot_orders_have_the_exchanges_codes(spot: Rig, changes: dict[str, str], code: int) -> None:
    assert spot.code("POST", "/api/v3/order", {**LIMIT, **changes}) == code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"key": ""}, -2014),
        ({"key": "nobody"}, -2015),
        ({"secret": "wrong"}, -1022),
        ({"late_ms": 6000}, -1021),
        ({"late_ms": -2000}, -1021),
        ({"signed": False}, -1102),
    ],
)
def test_keys_signatures_and_times_are_enforced(spot: Rig, usdm: Rig, options: dict[str, Any], code: int) -> None:
    assert spot.code("GET", "/api/v3/account", **options) == code
    assert usdm.code("GET", "/fapi/v3/balance", **options) == code


def test_listen_keys_are_gone_on_spot_and_unknown_paths_are_told(spot: Rig) -> None:
    assert spot.ask("POST", "/api/v3/userDataStream", signed=False).status == 410
    assert spot.ask("GET", "/api/v3/nothing", signed=False).status == 404


def test_weights_and_order_counts_are_told_and_enforced(usdm: Rig) -> None:
    answer = usdm.ask("POST", "/fapi/v1/order", LIMIT)
    assert answer.headers["x-mbx-order-count-10s"] == "1"
    assert answer.headers["x-mbx-used-weight-1m"] == "0"
    assert usdm.ask("GET", "/fapi/v1/depth", {"symbol": "BTCUSDT"}, signed=False).headers["x-mbx-used-weight-1m"] == "1"
    statuses = [usdm.ask("GET", "/fapi/v1/positionSide/dual").status for _ in range(81)]
    assert statuses.count(429) == 2  # 80 x 30, and one is spent


def test_a_usdm_order_is_amended_and_cancelled(usdm: Rig) -> None:
    row = usdm.json("POST", "/fapi/v1/order", {**LIMIT, "newClientOrderId": "a"})
    assert row["status"] == "NEW"
    change = {"symbol": "BTCUSDT", "side": "BUY", "origClientOrderId": "a", "quantity": "0.02", "price": "48000"}
    assert usdm.json("PUT", "/fapi/v1/order", change)["origQty"] == "0.020"
    assert usdm.code("PUT", "/fapi/v1/order", change) == -5027
    assert usdm.code("PUT", "/fapi/v1/order", {**change, "price": "1000000.1"}) == -4002
    assert (
        usdm.json("DELETE", "/fapi/v1/order", {"symbol": "BTCUSDT", "origClientOrderId": "a"})["status"] == "CANCELED"
    )
    assert usdm.code("DELETE", "/fapi/v1/order", {"symbol": "BTCUSDT", "origClientOrderId": "a"}) == -2011


def test_usdm_positions_and_refusals(usdm: Rig) -> None:
    usdm.json("POST", "/fapi/v1/order", MARKET)
    (position,) = usdm.json("GET", "/fapi/v3/positionRisk", {"symbol": "BTCUSDT"})
    assert (position["positionAmt"], float(position["entryPrice"])) == ("0.010", 50_001)
    reduce = {**MARKET, "reduceOnly": "true"}
    assert usdm.code("POST", "/fapi/v1/order", reduce) == -2022
    usdm.json("POST", "/fapi/v1/order", {**reduce, "side": "SELL"})
    assert usdm.json("GET", "/fapi/v3/positionRisk") == []
    assert usdm.code("POST", "/fapi/v1/order", {**LIMIT, "timeInForce": "GTX", "price": "50010"}) == -5022
    assert usdm.code("POST", "/fapi/v1/order", {**LIMIT, "quantity": "900"}) == -2019


def test_conditional_orders_are_algo_orders(usdm: Rig) -> None:
    stop = {"symbol": "BTCUSDT", "side": "BUY", "type": "STOP_MARKET", "quantity": "0.01"}
    assert usdm.code("POST", "/fapi/v1/order", {**stop, "stopPrice": "51000"}) == -4120
    handler, socket = usdm.connect("/private/stream")
    key = usdm.json("POST", "/fapi/v1/listenKey", signed=False)["listenKey"]
    handler.message(msgspec.json.encode({"method": "SUBSCRIBE", "params": [key], "id": 1}))
    assert socket.sent == [{"result": None, "id": 1}]
    algo = usdm.json("POST", "/fapi/v1/algoOrder", {**stop, "algoType": "CONDITIONAL", "triggerPrice": "51000"})
    assert (algo["algoStatus"], algo["triggerPrice"]) == ("NEW", "51000.00")
    assert usdm.json("GET", "/fapi/v1/openOrders") == []
    assert len(usdm.json("GET", "/fapi/v1/openAlgoOrders")) == 1
    usdm.quote(51_000, 51_001)
    usdm.run()
    assert usdm.json("GET", "/fapi/v1/openAlgoOrders") == []
    kinds = [message["data"]["e"] for message in socket.sent[1:]]
    assert kinds[0] == "ALGO_UPDATE"
    fills = [
        m["data"]["o"]
        for m in socket.sent[1:]
        if m["data"]["e"] == "ORDER_TRADE_UPDATE" and m["data"]["o"]["x"] == "TRADE"
    ]
    assert [fill["X"] for fill in fills] == ["FILLED"]
    assert kinds[-1] == "ACCOUNT_UPDATE"


def test_the_countdown_cancels_unless_it_is_repeated(usdm: Rig) -> None:
    usdm.json("POST", "/fapi/v1/order", LIMIT)
    for _ in range(3):
        usdm.json("POST", "/fapi/v1/countdownCancelAll", {"symbol": "BTCUSDT", "countdownTime": 2000})
        usdm.run(SECOND)
    assert len(usdm.json("GET", "/fapi/v1/openOrders")) == 1
    usdm.run(2 * SECOND)
    assert usdm.json("GET", "/fapi/v1/openOrders") == []


def test_spot_user_data_over_the_websocket_api(spot: Rig) -> None:
    handler, socket = spot.connect("/ws-api/v3")
    params = {"apiKey": "test-key", "timestamp": spot.clock.now // MS}
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    signature = hmac.new(b"test-secret", text.encode(), hashlib.sha256).hexdigest()
    method = "userDataStream.subscribe.signature"
    handler.message(msgspec.json.encode({"id": "x", "method": method, "params": {**params, "signature": signature}}))
    assert (socket.sent[0]["status"], socket.sent[0]["result"]) == (200, {"subscriptionId": 0})
    spot.json("POST", "/api/v3/order", {**MARKET, "newClientOrderId": "m"})
    events = [message["event"] for message in socket.sent[1:]]
    reports = [each for each in events if each["e"] == "executionReport"]
    assert [(each["x"], each["X"]) for each in reports] == [("NEW", "NEW"), ("TRADE", "FILLED")]
    assert events[-1]["e"] == "outboundAccountPosition"
    handler.message('{"id": 2, "method": "fly"}')
    handler.message("{")
    assert [message["status"] for message in socket.sent[-2:]] == [400, 400]


@pytest.mark.parametrize("usdm_", [False, True])
def test_depth_diffs_continue_the_snapshot(usdm_: bool) -> None:
    rig = Rig(usdm_)
    handler, socket = rig.connect("/public/stream" if usdm_ else "/stream", "streams=btcusdt@depth@100ms")
    now = rig.clock.now
    scale = rig.scale
    for step in range(5):
        rig.market.book(0, (50_000 - step) * scale, 10 + step, 0, now, now)
        rig.market.book(1, (50_001 + step) * scale, 10, 0, now, now)
    rig.run(100 * MS)
    path = "/fapi/v1/depth" if usdm_ else "/api/v3/depth"
    snapshot = rig.json("GET", path, {"symbol": "BTCUSDT"}, signed=False)
    levels = {side: dict(snapshot[side]) for side in ("bids", "asks")}
    first = snapshot["lastUpdateId"]
    rig.market.book(0, 50_000 * scale, 0, 0, now, now)
    rig.run(200 * MS)
    rig.market.book(0, 49_999 * scale, 77, 0, now, now)
    rig.run(200 * MS)
    last = None
    for message in socket.sent:
        diff = message["data"]
        if diff["u"] <= first:
            continue
        assert diff["U"] <= (first if last is None else last) + 1 <= diff["u"]
        if usdm_ and last is not None:
            assert diff["pu"] == last
        last = diff["u"]
        for side, name in (("b", "bids"), ("a", "asks")):
            for price, qty in diff[side]:
                if float(qty):
                    levels[name][price] = qty
                else:
                    levels[name].pop(price, None)
    again = rig.json("GET", path, {"symbol": "BTCUSDT"}, signed=False)
    assert {side: dict(again[side]) for side in ("bids", "asks")} == levels
    handler.closed()
    count = len(socket.sent)
    rig.quote(49_000, 49_001)
    rig.run()
    assert len(socket.sent) == count


def test_public_streams_push_and_unknown_ones_stay_silent(usdm: Rig) -> None:
    handler, socket = usdm.connect("/market/ws/btcusdt@aggTrade")
    handler.message('{"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m", "btcusdt@markPrice@1s", "x@y"], "id": 7}')
    handler.message('{"method": "FLY", "id": 8}')
    handler.message("[]")
    now = usdm.clock.now
    usdm.market.trade(50_000 * usdm.scale, 20, -1, 1, now, now)
    usdm.run(1500 * MS)
    kinds = [message.get("e") for message in socket.sent]
    assert {"aggTrade", "kline", "markPriceUpdate"} <= set(kinds)
    trade = next(message for message in socket.sent if message.get("e") == "aggTrade")
    assert (trade["p"], trade["q"], trade["m"]) == ("50000.00", "0.020", True)
    assert [message["error"]["code"] for message in socket.sent if "error" in message] == [2, 3]
