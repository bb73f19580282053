"""Calls about orders in Bybit's and Binance's own spelling, carried out on a venue of an embedded exchange."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.basics.defs import Exchange
from mlthon.exchange.dialects.bitmex_request import Fault
from mlthon.link.host import native
from mlthon.link.host.native import NativeOrders
from mlthon.link.host.native_binance import BinanceOrders
from mlthon.link.host.native_bitmex import BitmexOrders
from mlthon.link.host.native_bybit import BybitOrders
from tests.link.host.scripted import ScriptedBot, linked

MARKETS = {
    Exchange.Bybit: ("bybit:BTCUSDT", BybitOrders),
    Exchange.Binance: ("binance:BTCUSDT", BinanceOrders),
    Exchange.BinanceUsdm: ("binanceusdm:BTCUSDT", BinanceOrders),
    Exchange.BitMEX: ("bitmex:XBTUSD", BitmexOrders),
}


class Rig:
    """A bot on one venue whose native calls a test makes, one after the other; `told` is what each was answered."""

    def __init__(self, tmp_path: Path, exchange: Exchange, *more: str) -> None:
        market, kind = MARKETS[exchange]
        self.run = linked(tmp_path, seconds=20, subscribe=[market, *more])
        (self.venue,) = self.run.bot.host.venues.values()
        instruments = [each.instrument for each in self.venue.listings.values()]
        self.orders: NativeOrders = kind(self.run.linked.run.assembly.engine.clock, instruments, lambda each: 0)
        self.told: list[Any] = []
        self.calls: list[Any] = []

    def go(self, *calls: Any) -> list[Any]:
        """Make calls (`method`, `path`, parameters, or what gives these from the bid); what was answered."""
        self.calls = list(calls)
        self.run.go(lambda bot: self._next())
        return self.told

    def _next(self) -> None:
        if not self.calls:
            return
        call = self.calls.pop(0)
        method, path, params = call(self.run.bot) if callable(call) else call
        try:
            change = self.orders.change(method, path)
            assert change is not None
            change(self.venue, params, self._done, lambda code, reason: self._done(f"{code.name}: {reason}"))
        except Fault as fault:
            self._done(f"fault: {fault.message}")

    def _done(self, answer: Any) -> None:
        self.told.append(answer)
        self.run.bot.host.clock.call_soon(self._next)


def limit(bot: ScriptedBot) -> Any:
    price = str(round(bot.quotes[-1][1]) - 500)
    params = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": 0.01}
    return "POST", "v5/order/create", params | {"price": price, "orderLinkId": "mine", "timeInForce": "PostOnly"}


LINEAR = {"category": "linear", "symbol": "BTCUSDT"}
MARKET = LINEAR | {"side": "Buy", "orderType": "Market", "qty": "0.01"}


def test_bybits_orders_are_sent_amended_and_cancelled(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Exchange.Bybit)
    mine = LINEAR | {"orderLinkId": "mine"}
    created, amended, again, gone, held, closed, none = rig.go(
        limit,
        ("POST", "order/amend", mine | {"qty": "0.02"}),
        ("POST", "order/amend", mine | {"qty": "0.02", "triggerPrice": "1"}),
        ("POST", "order/cancel", mine),
        ("POST", "order/create", MARKET),
        ("POST", "order/create", MARKET | {"side": "Sell", "reduceOnly": True}),
        ("POST", "order/cancel-all", LINEAR),
    )
    assert set(created) == {"retCode", "retMsg", "result", "retExtInfo", "time"}
    order, *_ = rig.venue.session.orders.values()
    assert order is not None
    assert created["result"] == {"orderId": order.exchange_id, "orderLinkId": "mine"} == amended["result"]
    assert (order.qty, order.exec_instr.post_only) == (20, True)
    assert again.startswith("fault: triggerPrice is not supported here")
    assert gone["result"] == created["result"]
    assert held["retCode"] == closed["retCode"] == 0
    assert none["result"] == {"list": [], "success": "1"}
    assert rig.orders.as_given([{"orderLinkId": order.wire_id}]) == [{"orderLinkId": "mine"}]
    assert rig.orders.as_sent({"orderLinkId": "mine"}) == {"orderLinkId": order.wire_id}


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("order/create", {"takeProfit": "1"}, "takeProfit is not supported here"),
        ("order/create", {"category": "option"}, "category must be one of spot, linear, inverse, not 'option'"),
        ("order/create", {"symbol": "NOPE"}, "linear has no symbol 'NOPE'"),
        ("order/create", {"positionIdx": 1}, "positionIdx: hedge mode"),
        ("order/create", {"side": "buy"}, "side must be Buy or Sell"),
        ("order/create", {"orderType": "Limit"}, "price is required"),
        ("order/create", {"qty": "0.0001"}, "qty: 0.0001 is no multiple of the lot size 0.001"),
        ("order/create", {"qty": "0"}, "qty must be more than 0"),
        ("order/create", {"qty": "-1"}, "qty: -1 is no multiple"),
        ("order/create", {"qty": "much"}, "Invalid qty"),
        ("order/create", {"timeInForce": "Day"}, "timeInForce must be one of"),
        ("order/create", {"triggerPrice": "60000"}, "triggerPrice needs a triggerDirection"),
        ("order/amend", {}, "orderType is not supported here"),
        ("order/create-batch", {}, "POST order/create-batch: orders are sent and changed by POST order/create"),
    ],
)
def test_what_bybits_orders_cannot_be_is_refused(
    tmp_path: Path, path: str, change: dict[str, Any], message: str
) -> None:
    rig = Rig(tmp_path, Exchange.Bybit)
    (told,) = rig.go(("POST", path, MARKET | change))
    assert told.startswith(f"fault: {message}")
    assert not rig.venue.session.orders


def test_a_market_buy_of_spot_must_be_in_the_base_coin(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Exchange.Bybit, "bybit:byt:spot:btc-usdt")
    spot = MARKET | {"category": "spot"}
    assert rig.go(("POST", "order/create", spot))[0].startswith("fault: a market buy of spot is in the quote coin")


def usual(bot: ScriptedBot) -> Any:
    price = round(bot.quotes[-1][1]) - 500
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    return "POST", "order", params | {"price": price, "newClientOrderId": "mine"}


@pytest.mark.parametrize("exchange", [Exchange.Binance, Exchange.BinanceUsdm])
def test_binances_orders_are_sent_and_cancelled(tmp_path: Path, exchange: Exchange) -> None:
    rig = Rig(tmp_path, exchange)
    spot = exchange is Exchange.Binance
    every = "openOrders" if spot else "allOpenOrders"
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
    created, gone, bought, rested, cleared = rig.go(
        usual,
        ("DELETE", "order", {"symbol": "BTCUSDT", "origClientOrderId": "mine"}),
        ("POST", "order", market),
        usual,
        ("DELETE", every, {"symbol": "BTCUSDT"}),
    )
    assert (created["clientOrderId"], created["status"], created["origQty"]) == ("mine", "NEW", "0.01")
    assert (gone["orderId"], gone["status"]) == (created["orderId"], "CANCELED")
    assert (bought["status"], bought["executedQty"], bought["type"]) == ("FILLED", "0.01", "MARKET")
    assert ("transactTime" in bought, "updateTime" in bought) == (spot, not spot)
    if spot:
        assert [each["orderId"] for each in cleared] == [rested["orderId"]]
    else:
        assert cleared["code"] == 200


def test_binances_futures_orders_are_amended_and_closed(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Exchange.BinanceUsdm)

    def move(bot: ScriptedBot) -> Any:
        price = round(bot.quotes[-1][1]) - 600
        return "PUT", "fapi/v1/order", {"symbol": "BTCUSDT", "origClientOrderId": "mine", "price": price}

    created, moved, wrong = rig.go(usual, move, ("PUT", "order", {"symbol": "BTCUSDT", "orderId": 99, "price": 1}))
    assert (moved["orderId"], moved["price"] != created["price"]) == (created["orderId"], True)
    assert wrong == "fault: there is no open order 99 of this bot"


@pytest.mark.parametrize(
    ("method", "path", "change", "message"),
    [
        ("POST", "order", {"quoteOrderQty": 10}, "quoteOrderQty is not supported here"),
        ("POST", "order", {"type": "TRAILING_STOP_MARKET"}, "type must be one of LIMIT"),
        ("POST", "order", {"side": "Buy"}, "side must be BUY or SELL"),
        ("POST", "order", {"type": "LIMIT"}, "price is required"),
        ("POST", "order", {"type": "STOP_MARKET"}, "stopPrice is required"),
        ("POST", "order", {"quantity": None}, "quantity is required"),
        ("POST", "order", {"timeInForce": "GTD"}, "timeInForce must be one of"),
        ("POST", "order", {"positionSide": "LONG"}, "positionSide: hedge mode"),
        ("POST", "batchOrders", {}, "POST batchOrders: orders are sent and changed by"),
        ("DELETE", "openOrders", {}, "DELETE openOrders: orders are sent and changed by"),
        ("POST", "fapi/v1/countdownCancelAll", {}, "POST countdownCancelAll: orders are"),
    ],
)
def test_what_binances_orders_cannot_be_is_refused(
    tmp_path: Path, method: str, path: str, change: dict[str, Any], message: str
) -> None:
    rig = Rig(tmp_path, Exchange.BinanceUsdm)
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
    (told,) = rig.go((method, path, market | change))
    assert told.startswith(f"fault: {message}")
    assert not rig.venue.session.orders


def test_what_is_about_no_orders_is_passed_on(tmp_path: Path) -> None:
    for exchange, calls in {
        Exchange.Bybit: (("GET", "order/realtime"), ("POST", "v5/position/set-leverage")),
        Exchange.Binance: (("GET", "order"), ("POST", "api/v3/order/test")),
        Exchange.BitMEX: (("GET", "order"), ("POST", "position/leverage")),
    }.items():
        rig = Rig(tmp_path, exchange)
        assert [rig.orders.change(*each) for each in calls] == [None, None]


def test_client_ids_are_forgotten_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "KEPT", 1)
    rig = Rig(tmp_path, Exchange.Binance)
    one, two = rig.go(usual, lambda bot: (*usual(bot)[:2], usual(bot)[2] | {"newClientOrderId": "other"}))
    assert (one["clientOrderId"], two["clientOrderId"]) == ("mine", "other")
    assert rig.orders.as_sent({"origClientOrderId": "mine"}) == {"origClientOrderId": "mine"}
    assert rig.orders.as_sent({"origClientOrderId": "other"}) != {"origClientOrderId": "other"}


def test_bitmex_refuses_what_would_be_dropped(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Exchange.BitMEX)
    hidden = {"symbol": "XBTUSD", "orderQty": 100, "price": 1000, "displayQty": 0, "clOrdLinkID": "x"}
    (told,) = rig.go(("POST", "order", hidden))
    assert told == "fault: clOrdLinkID is not supported here"


@pytest.mark.parametrize(
    ("exchange", "path", "params"),
    [
        (Exchange.BitMEX, "order", {"symbol": "XBTUSD", "side": "Buy", "orderQty": 100, "price": 100, "clOrdID": "x"}),
        (
            Exchange.Bybit,
            "order/create",
            {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "1", "price": "100"}
            | {"orderLinkId": "x"},
        ),
    ],
)
def test_an_order_is_known_by_the_bots_id_before_it_is_answered(
    tmp_path: Path, exchange: Exchange, path: str, params: dict[str, Any]
) -> None:
    rig = Rig(tmp_path, exchange)
    key = next(each for each in params if each in rig.orders.client_ids)
    asked: list[Any] = []

    def send(bot: ScriptedBot) -> None:
        change = rig.orders.change("POST", path)
        assert change is not None
        change(rig.venue, params, rig.told.append, lambda code, reason: rig.told.append(reason))
        asked.append((list(rig.told), rig.orders.as_sent({key: "x"})))

    rig.run.go(send)
    (order,) = rig.venue.session.orders.values()
    assert order is not None
    assert asked == [([], {key: order.wire_id})]
    assert len(rig.told) == 1
