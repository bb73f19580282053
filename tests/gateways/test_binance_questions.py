"""Questions: what they ask, page by page, and what they make of the answers; refusals and broken answers."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.basics import catalogue, money
from mlthon.basics.defs import Exchange, InstrumentType, OrderStatus, OrderType
from mlthon.venue.codec import BadMessage, NoAnswer, Refused, Unsupported
from mlthon.venue.facts import FundingFact, PositionFact, WalletFact
from mlthon.venue.wire import HttpAnswer, Request
from tests.gateways.binance_kit import (
    NOW_MS,
    PERP,
    SPOT,
    answer,
    ask,
    by_path,
    endpoint_sample,
    made,
    order,
    params,
    path,
    sample,
    spot,
    usdm,
)

MS = 10**6
BNB = made(Exchange.Binance, "BNBBTC", "bnb-btc", "0.000001", "0.01")
USDM_FOLDER = "binance-usdm/jkorf/Endpoints/UsdFutures"


def test_server_time() -> None:
    assert ask(spot().server_time(), by_path({"/api/v3/time": {"serverTime": NOW_MS}}))[0] == NOW_MS * MS


# -- instruments -------------------------------------------------------------------------------------------------------


def test_spot_instruments(shared: Path) -> None:
    info = sample(shared, "binance/nautilus-py/http_responses/http_spot_market_exchange_info.json")
    found, _ = ask(spot(credentials=None).instruments(), by_path({"/api/v3/exchangeInfo": info}))
    btc, eth = found
    assert btc == SPOT  # the id of the catalogue
    assert (btc.name, btc.price_scale.step.to_str(), btc.qty_scale.step.to_str()) == (
        "bin:spot:btc-usdt",
        "0.01",
        "0.00001",
    )
    assert (str(btc.min_quantity), str(btc.max_quantity), str(btc.min_notional)) == ("0.00001", "9000", "10")
    assert eth.symbol == "ETHUSDT"
    assert btc.taker_fee == SPOT.taker_fee


def test_futures_instruments(shared: Path) -> None:
    info = endpoint_sample(shared, f"{USDM_FOLDER}/ExchangeData/GetExchangeInfo.txt")
    blz = info["symbols"][0]
    dated = blz | {"symbol": "BTCUSDT_260327", "baseAsset": "BTC", "contractType": "CURRENT_QUARTER"}
    dated |= {"deliveryDate": 1774598400000}
    others = [
        blz | {"symbol": "GONE", "status": "SETTLING"},
        blz | {"symbol": "ODD", "contractType": "UNHEARD_OF"},
        blz | {"symbol": "BARE", "filters": []},
    ]
    answers = by_path({"/fapi/v1/exchangeInfo": info | {"symbols": [blz, dated, *others]}})
    found, _ = ask(usdm(credentials=None).instruments(), answers)
    assert [each.name for each in found] == ["bnu:perp:blz-usdt", "bnu:fut:btc-usdt-260327"]
    perp, future = found
    assert (perp.price_scale.step.to_str(), perp.min_lots, perp.max_lots, str(perp.min_notional)) == (
        "0.0001",
        1,
        10_000_000,
        "5",
    )
    assert perp.number >= Exchange.BinanceUsdm.value * catalogue.IDS_PER_EXCHANGE + catalogue.DEFINED_FROM
    assert (future.instrument_type, future.valid_end_ts) == (InstrumentType.Future, 1774598400000)


# -- orders ------------------------------------------------------------------------------------------------------------


def test_open_spot_orders(shared: Path) -> None:
    ltc = made(Exchange.Binance, "LTCBTC", "ltc-btc", "0.1", "0.1")
    body = sample(shared, "binance/nautilus/http_json/open_orders_response.json")
    codec = spot(ltc)
    found, asked = ask(codec.open_orders(None), by_path({"/api/v3/openOrders": body}))
    (fact,) = found
    assert (fact.wire_id, fact.status, fact.qty, fact.filled) == ("myOrder1", OrderStatus.New, 10, 0)
    assert (params(asked[0]), dict(asked[0].costs)) == ({}, {"weight": 80})
    found, asked = ask(codec.open_orders(ltc), by_path({"/api/v3/openOrders": body}))
    assert len(found) == 1
    assert (params(asked[0]), dict(asked[0].costs)) == ({"symbol": "LTCBTC"}, {"weight": 6})
    assert ask(spot().open_orders(None), by_path({"/api/v3/openOrders": body}))[0] == []


def test_open_futures_orders_are_ordinary_ones_and_stops(shared: Path) -> None:
    stops = sample(shared, "binance-usdm/nautilus/http_json/open_algo_orders.json")
    orders = sample(shared, "binance-usdm/nautilus-py/http_responses/http_futures_account_orders.json")
    found, asked = ask(
        usdm().open_orders(PERP), by_path({"/fapi/v1/openOrders": orders, "/fapi/v1/openAlgoOrders": stops})
    )
    assert [path(request) for request in asked] == ["/fapi/v1/openOrders", "/fapi/v1/openAlgoOrders"]
    assert [(fact.wire_id, fact.exchange_id, fact.status) for fact in found] == [
        ("abc", "1917641", OrderStatus.Untriggered),
        ("test-algo-order-1", "algo-123456789", OrderStatus.Untriggered),
    ]


def test_the_state_of_an_order(shared: Path) -> None:
    ltc = made(Exchange.Binance, "LTCBTC", "ltc-btc", "0.1", "0.01")
    body = endpoint_sample(shared, "binance/jkorf/Endpoints/Spot/Trading/GetOrder.txt")
    codec = spot(ltc)
    fact, asked = ask(codec.order_status(order(ltc, wire_id="myOrder1")), by_path({"/api/v3/order": body}))
    assert fact is not None
    assert (fact.wire_id, fact.status) == ("myOrder1", OrderStatus.New)
    assert params(asked[0]) == {"symbol": "LTCBTC", "origClientOrderId": "myOrder1"}
    missing = answer({"code": -2013, "msg": "Order does not exist."}, 400)
    assert ask(codec.order_status(order(ltc)), lambda request: missing)[0] is None


def test_a_triggered_stop_is_asked_for_by_the_order_that_it_became(shared: Path) -> None:
    stop = order(PERP, order_type=OrderType.Stop, stop_price="69080.2", wire_id="m1-7")
    algo = endpoint_sample(shared, f"{USDM_FOLDER}/Trading/GetConditionalOrder.txt") | {"clientAlgoId": "m1-7"}
    became = {
        "symbol": "BTCUSDT", "orderId": 974828356187, "clientOrderId": "any", "status": "FILLED", "side": "BUY",
        "type": "MARKET", "origType": "MARKET", "origQty": "0.002", "executedQty": "0.002", "updateTime": 5,
    }  # fmt: skip
    answers = by_path({"/fapi/v1/algoOrder": algo, "/fapi/v1/order": became})
    fact, asked = ask(usdm().order_status(stop), answers)
    assert fact is not None
    assert (fact.wire_id, fact.exchange_id, fact.status, fact.filled) == ("m1-7", "974828356187", OrderStatus.Filled, 2)
    assert [params(request) for request in asked] == [
        {"clientAlgoId": "m1-7"},
        {"symbol": "BTCUSDT", "orderId": "974828356187"},
    ]
    waiting = by_path({"/fapi/v1/algoOrder": algo | {"algoStatus": "NEW", "actualOrderId": ""}})
    fact, asked = ask(usdm().order_status(stop), waiting)
    assert fact is not None
    assert (fact.status, len(asked)) == (OrderStatus.Untriggered, 1)
    missing = answer({"code": -2013, "msg": "Order does not exist."}, 400)
    assert ask(usdm().order_status(stop), lambda request: missing)[0] is None


# -- fills -------------------------------------------------------------------------------------------------------------


class Trades:
    """A spot account's fills, and how `myTrades` tells them."""

    def __init__(self, times: list[int], now_ms: int = NOW_MS) -> None:
        self.times = times
        self.now_ms = now_ms

    def __call__(self, request: Request) -> HttpAnswer:
        said = params(request)
        if path(request) == "/api/v3/time":
            return answer({"serverTime": self.now_ms})
        if path(request) == "/api/v3/allOrders":
            first = int(said["orderId"])
            return answer([self.order(each) for each in range(len(self.times)) if 500 + each >= first][:1000])
        if "fromId" in said:
            found = [each for each in range(len(self.times)) if 100 + each >= int(said["fromId"])]
        else:
            start, end = int(said["startTime"]), int(said["endTime"])
            assert 0 <= end - start < 86_400_000
            found = [each for each, time in enumerate(self.times) if start <= time <= end]
        return answer([self.trade(each) for each in found[: int(said["limit"])]])

    def trade(self, number: int) -> dict[str, object]:
        return {
            "symbol": "BNBBTC", "id": 100 + number, "orderId": 500 + number, "price": "4.000001", "qty": "12.00",
            "commission": "10.1", "commissionAsset": "BNB", "time": self.times[number], "isBuyer": number % 2 == 0,
            "isMaker": False,
        }  # fmt: skip

    def order(self, number: int) -> dict[str, object]:
        return {"symbol": "BNBBTC", "orderId": 500 + number, "clientOrderId": f"m1-{number}"}


@pytest.mark.parametrize(
    ("times", "ago_ms", "expected"),
    [
        ([], 1000, []),
        ([NOW_MS - 500], 1000, [100]),
        ([NOW_MS - 2000, NOW_MS - 500], 1000, [101]),
        # Days without one, then some, the last now.
        ([NOW_MS - 4 * 86_400_000, NOW_MS - 86_400_000, NOW_MS], 6 * 86_400_000, [100, 101, 102]),
        # More than a page in one day, and more than two.
        ([NOW_MS - 5000 + each for each in range(2500)], 6000, list(range(100, 2600))),
        # So long ago that they are counted from the first.
        ([NOW_MS - 900 * 86_400_000, NOW_MS - 400 * 86_400_000, NOW_MS], 500 * 86_400_000, [101, 102]),
    ],
)
def test_every_fill_is_found(times: list[int], ago_ms: int, expected: list[int]) -> None:
    found, asked = ask(spot(BNB).executions((NOW_MS - ago_ms) * MS, BNB), Trades(times))
    assert [fact.exec_id[:-1] for fact in found] == [str(each) for each in expected]
    assert [fact.wire_id for fact in found] == [f"m1-{each - 100}" for each in expected]
    assert len(asked) <= 2 + len(times) // 500 + 7
    for fact in found:
        assert (fact.side, fact.exec_id[-1]) in ((1, "b"), (-1, "s"))
        assert (fact.price, fact.qty, fact.fee, fact.fee_coin) == (4000001, 1200, money.parse("10.1"), "BNB")


def test_fills_are_told_without_client_ids_where_orders_cannot_be_listed() -> None:
    trades = Trades([NOW_MS - 500])

    def answers(request: Request) -> HttpAnswer:
        return answer(b"not found", 404) if path(request) == "/api/v3/allOrders" else trades(request)

    (fact,), _ = ask(spot(BNB).executions((NOW_MS - 1000) * MS, None), answers)
    assert (fact.wire_id, fact.exchange_id) == ("", "500")


def test_futures_fills() -> None:
    trade = {
        "symbol": "BTCUSDT", "id": 698759, "orderId": 25851813, "price": "7819.1", "qty": "0.002", "side": "SELL",
        "commission": "-0.078", "commissionAsset": "USDT", "time": NOW_MS - 5, "maker": True, "buyer": False,
        "positionSide": "BOTH", "realizedPnl": "-0.91",
    }  # fmt: skip
    orders = [{"symbol": "BTCUSDT", "orderId": 25851813, "clientOrderId": "autoclose-1"}]
    answers = by_path(
        {"/fapi/v1/time": {"serverTime": NOW_MS}, "/fapi/v1/userTrades": [trade], "/fapi/v1/allOrders": orders}
    )
    (fact,), _ = ask(usdm().executions((NOW_MS - 10) * MS, PERP), answers)
    assert (fact.exec_id, fact.side, fact.maker, fact.fee) == ("698759s", -1, True, money.parse("-0.078"))
    assert (fact.wire_id, fact.reason) == ("autoclose-1", "liquidation")


# -- account -----------------------------------------------------------------------------------------------------------


def test_a_spot_account(shared: Path) -> None:
    account = sample(shared, "binance/nautilus/http_json/account_response.json")
    rights = {"enableWithdrawals": True, "enableSpotAndMarginTrading": True}
    table = {"/api/v3/account": account, "/sapi/v1/account/apiRestrictions": rights}
    found, asked = ask(spot().account_info(), by_path(table))
    assert (found.user_id, found.may_trade, found.may_withdraw, found.refusal) == ("354937868", True, True, "")
    assert found.fees == "maker 0.00150000, taker 0.00150000"
    assert [request.build(NOW_MS).base for request in asked] == ["rest", "sapi"]  # type: ignore[union-attr]
    found, _ = ask(spot().account_info(), by_path({"/api/v3/account": account}))
    assert (found.may_trade, found.may_withdraw) == (True, None)
    table["/sapi/v1/account/apiRestrictions"] = {"enableSpotAndMarginTrading": False, "enableWithdrawals": False}
    found, _ = ask(spot().account_info(), by_path(table))
    assert (found.may_trade, found.may_withdraw) == (False, False)


def test_a_futures_account(shared: Path) -> None:
    config = endpoint_sample(shared, f"{USDM_FOLDER}/Account/GetAccountConfiguration.txt")
    symbol = endpoint_sample(shared, f"{USDM_FOLDER}/Account/GetSymbolConfiguration.txt")
    fees = endpoint_sample(shared, f"{USDM_FOLDER}/Account/GetUserCommissionRate.txt")
    mode: dict[str, object] = {"dualSidePosition": False}
    table = {
        "/fapi/v1/positionSide/dual": mode,
        "/fapi/v1/accountConfig": config,
        "/fapi/v1/symbolConfig": symbol,
        "/fapi/v1/commissionRate": fees,
    }
    found, _ = ask(usdm().account_info(), by_path(table))
    assert (found.position_mode, found.margin_mode, found.refusal) == ("one-way", "crossed", "")
    assert (found.may_trade, found.may_withdraw) == (True, None)
    assert found.notes == ("BTCUSDT: leverage 21, margin crossed",)
    assert found.fees == "tier 0; BTCUSDT: maker 0.0002, taker 0.0004"
    found, _ = ask(usdm().account_info(), by_path({"/fapi/v1/positionSide/dual": {"dualSidePosition": True}}))
    assert (found.position_mode, found.may_trade) == ("hedge", None)
    assert "hedge mode" in found.refusal


def test_wallets_and_positions_of_spot(shared: Path) -> None:
    body = sample(shared, "binance/nautilus/http_json/account_response.json")
    body["balances"].append({"asset": "ETH", "free": "0", "locked": "0.00"})
    wallets, _ = ask(spot().wallet(), by_path({"/api/v3/account": body}))
    assert [(each.coin, each.total) for each in wallets] == [
        ("BTC", money.parse("4723846.89208129")),
        ("LTC", money.parse("4763368.68006011")),
    ]
    positions, _ = ask(spot(SPOT, BNB).positions(None), by_path({"/api/v3/account": body}))
    assert positions == [PositionFact(instrument=SPOT, position=472384689208), PositionFact(instrument=BNB, position=0)]
    with pytest.raises(Unsupported, match="no funding"):
        spot().funding(SPOT)


def test_futures_positions_in_one_way_mode() -> None:
    listed = [
        {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-0.010", "entryPrice": "44525.0",
         "markPrice": "45464.17", "liquidationPrice": "60000", "updateTime": "1722062678998"},
        {"symbol": "BTCUSDT", "positionSide": "LONG", "positionAmt": "5", "entryPrice": "1"},
        {"symbol": "WLDUSDT", "positionSide": "BOTH", "positionAmt": "5", "entryPrice": "2.3483"},
    ]  # fmt: skip
    eth = made(Exchange.BinanceUsdm, "ETHUSDT", "eth-usdt", "0.01", "0.001")
    found, asked = ask(usdm(PERP, eth).positions(None), by_path({"/fapi/v3/positionRisk": listed}))
    assert found == [
        PositionFact(
            instrument=PERP,
            position=-10,
            entry_price=44525.0,
            mark_price=45464.17,
            liquidation_price=60000.0,
            ts=1722062678998 * MS,
        ),
        PositionFact(instrument=eth, position=0),
    ]
    assert params(asked[0]) == {}


def test_futures_wallet_and_funding(shared: Path) -> None:
    body = [
        {"accountAlias": "SgsR", "asset": "USDT", "balance": "122607.35", "availableBalance": "23.7", "updateTime": 7}
    ]
    wallets, _ = ask(usdm().wallet(), by_path({"/fapi/v3/balance": body}))
    assert wallets == [
        WalletFact(coin="USDT", total=money.parse("122607.35"), available=money.parse("23.7"), ts=7 * MS)
    ]
    index = endpoint_sample(shared, f"{USDM_FOLDER}/ExchangeData/GetMarkPrice.txt")
    funding, _ = ask(usdm().funding(PERP), by_path({"/fapi/v1/premiumIndex": index}))
    assert funding == FundingFact(instrument=PERP, rate=0.00038246, next_ts=1597392000000 * MS)


# -- candles -----------------------------------------------------------------------------------------------------------


def klines(request: Request) -> HttpAnswer:
    said = params(request)
    start, end, limit = int(said["startTime"]), int(said["endTime"]), int(said["limit"])
    times = range(-(-start // 60_000) * 60_000, end + 1, 60_000)
    rows = [[time, "1.00", "2.50", "0.50", "2.00", "3.000014", time + 59_999, "6", 9, "1", "2", "0"] for time in times]
    return answer(rows[:limit])


def test_candles_page_by_page() -> None:
    start, end = NOW_MS * MS, (NOW_MS + 2500 * 60_000) * MS
    found, asked = ask(spot(credentials=None).candles(SPOT, 60, start, end), klines)
    assert [each.open_ts for each in found] == [(NOW_MS + each * 60_000) * MS for each in range(2500)]
    assert len(asked) == 3
    one = found[0]
    assert (one.open, one.high, one.low, one.close, one.volume) == (100, 250, 50, 200, 300001)
    assert one.close_ts == one.open_ts + 60 * 10**9
    assert ask(spot().candles(SPOT, 60, start, start), klines)[0] == []


@pytest.mark.parametrize(("codec", "instrument", "interval"), [(spot(), SPOT, 61), (usdm(), PERP, 1)])
def test_intervals_that_do_not_exist(codec: Any, instrument: Any, interval: int) -> None:
    with pytest.raises(Unsupported, match="no candles"):
        codec.candles(instrument, interval, 0, 1)


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_questions_that_are_refused() -> None:
    wrong_key = answer({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, 401)
    with pytest.raises(Refused, match="Invalid API-key") as refusal:
        ask(usdm().wallet(), lambda request: wrong_key)
    assert refusal.value.final
    limited = answer({"code": -1003, "msg": "Too much request weight used"}, 429, {"retry-after": "9"})
    with pytest.raises(Refused) as refusal:
        ask(usdm().account_info(), lambda request: limited)
    assert (refusal.value.final, refusal.value.retry_after_s) == (False, 9.0)
    with pytest.raises(Refused, match="HTTP 502"):
        ask(spot().open_orders(None), lambda request: answer(b"<html>Bad Gateway</html>", 502))


def test_the_listen_key_is_kept() -> None:
    codec = usdm()
    question = codec.keep_alive()
    assert question is not None
    _, asked = ask(question, by_path({"/fapi/v1/listenKey": {"listenKey": "key"}}))
    assert [path(request) for request in asked] == ["/fapi/v1/listenKey"]
    question = codec.keep_alive()
    assert question is not None
    gone = answer({"code": -1125, "msg": "This listenKey does not exist."}, 400)
    with pytest.raises(Refused, match="listenKey"):
        ask(question, lambda request: gone)
    assert spot().keep_alive() is None


def test_a_lost_answer_ends_a_question() -> None:
    question = usdm().wallet()
    next(question)
    with pytest.raises(NoAnswer):
        question.throw(NoAnswer("timeout"))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'[{"asset":"USDT"}]', b'[{"asset":"USDT","balance":"x","availableBalance":"1"}]']
)
def test_broken_answers(body: bytes) -> None:
    with pytest.raises(BadMessage):
        ask(usdm().wallet(), lambda request: answer(body))
