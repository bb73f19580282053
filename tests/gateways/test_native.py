"""Calls of exchanges' own: where they go, how they are signed, what they count against, and what their answers say."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from gateways import binance, bybit
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.venue.codec import Credentials, Question, Refused, Unsupported
from mlthon.venue.native import NativeCodec
from mlthon.venue.wire import HttpAnswer, HttpMessage, Request

NOW = 1735689600000
KEYS = Credentials("test-key", "test-secret")
MODULES = {Exchange.Bybit: bybit, Exchange.Binance: binance, Exchange.BinanceUsdm: binance}


def codec(exchange: Exchange, credentials: Credentials | None = KEYS, environment: str = "main") -> Any:
    module = MODULES[exchange]
    name = "byt:perp:btc-usdt" if exchange is Exchange.Bybit else "BTCUSDT"
    endpoints = module.environments(exchange)[environment]
    return module.codec(exchange, "a", [resolve(exchange, name)], endpoints, credentials, {})


def call(
    found: Any, path: str, version: str = "public", method: str = "GET", **params: Any
) -> tuple[Question[Any], Request, HttpMessage]:
    question = found.native(path, version, method, params)
    request = next(question)
    message = request.build(NOW)
    assert isinstance(message, HttpMessage)
    return question, request, message


def finish(question: Question[Any], body: object, status: int = 200, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(StopIteration) as stopped:
        question.send(HttpAnswer(status, headers, data))
    return stopped.value.value


def signed(text: str) -> str:
    return hmac.new(b"test-secret", text.encode(), hashlib.sha256).hexdigest()


# -- Bybit -----------------------------------------------------------------------------------------------------------


def test_bybits_public_calls_are_not_signed_and_answered_whole() -> None:
    found = codec(Exchange.Bybit)
    assert isinstance(found, NativeCodec)
    for path in ("market/tickers", "/v5/market/tickers"):
        question, request, message = call(found, path, category="linear", limit=5.0, cursor=None)
        assert (message.method, message.target) == ("GET", "/v5/market/tickers?category=linear&limit=5")
        assert message.headers == {}
    said = {"retCode": 0, "retMsg": "OK", "result": {"list": []}}
    assert request.costs == (("ip", 1),)
    assert finish(question, said) == said


def test_bybits_private_calls_sign_what_they_send() -> None:
    _, request, message = call(codec(Exchange.Bybit), "position/list", "private", category="linear", symbol="BTCUSDT")
    query = "category=linear&symbol=BTCUSDT"
    assert message.headers["X-BAPI-SIGN"] == signed(f"{NOW}test-key5000{query}")
    assert request.costs == (("ip", 1), ("/v5/position/list", 1))
    _, _, message = call(codec(Exchange.Bybit), "position/set-leverage", "private", "POST", symbol="BTCUSDT", n=1)
    assert (message.target, message.body) == ("/v5/position/set-leverage", b'{"symbol":"BTCUSDT","n":1}')
    assert message.headers["X-BAPI-SIGN"] == signed(f"{NOW}test-key5000" + message.body.decode())


def test_what_bybit_refuses() -> None:
    found = codec(Exchange.Bybit)
    with pytest.raises(Refused, match="DELETE order: Bybit's calls are GET and POST alone"):
        call(found, "order", "private", "DELETE")
    with pytest.raises(Unsupported, match="API key"):
        call(codec(Exchange.Bybit, None), "position/list", "private")
    with pytest.raises(Refused, match=r"params error \(code 10001\)") as caught:
        call(found, "market/time")[0].send(HttpAnswer(200, {}, b'{"retCode": 10001, "retMsg": "params error"}'))
    assert caught.value.retry_after_s is None
    with pytest.raises(Refused, match="Too many visits") as caught:
        call(found, "market/time")[0].send(HttpAnswer(200, {}, b'{"retCode": 10006, "retMsg": "Too many visits"}'))
    assert caught.value.retry_after_s == 1.0
    with pytest.raises(Refused, match="HTTP 403") as caught:
        call(found, "market/time")[0].send(HttpAnswer(403, {}, b"access too frequent"))
    assert caught.value.retry_after_s == 600.0
    for body, message in ((b"<html>", "no JSON"), (b"[]", "no retCode"), (b'{"retCode": null}', "no retCode")):
        with pytest.raises(Refused, match=message):
            call(found, "market/time")[0].send(HttpAnswer(200, {}, body))


# -- Binance -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exchange", "path", "target", "weight"),
    [
        (Exchange.Binance, "ticker/price", "/api/v3/ticker/price", 2),
        (Exchange.Binance, "api/v3/klines", "/api/v3/klines", 2),
        (Exchange.Binance, "v1/something", "/api/v1/something", 10),
        (Exchange.BinanceUsdm, "premiumIndex", "/fapi/v1/premiumIndex", 1),
        (Exchange.BinanceUsdm, "v3/balance", "/fapi/v3/balance", 5),
        (Exchange.BinanceUsdm, "/fapi/v2/ticker/price", "/fapi/v2/ticker/price", 10),
    ],
)
def test_where_binances_calls_go_and_what_they_weigh(exchange: Exchange, path: str, target: str, weight: int) -> None:
    question, request, message = call(codec(exchange), path, symbol="BTCUSDT")
    assert message.target == f"{target}?symbol=BTCUSDT"
    assert message.headers == {"X-MBX-APIKEY": "test-key"}
    assert dict(request.costs)["weight"] == weight
    assert finish(question, {"price": "1"}) == {"price": "1"}


def test_binances_private_calls_are_signed_in_the_query() -> None:
    params = {"symbol": "BTCUSDT", "quantity": 0.00001, "price": 100000.0, "reduceOnly": True, "list": ["a", 1]}
    for method in ("GET", "POST", "PUT", "DELETE"):
        _, _, message = call(codec(Exchange.BinanceUsdm), "leverage", "private", method, **params)
        query, _, signature = message.target.partition("?")[2].rpartition("&signature=")
        assert (message.method, signature, message.body) == (method, signed(query), b"")
        assert dict(parse_qsl(query)) == {
            "symbol": "BTCUSDT",
            "quantity": "0.00001",
            "price": "100000",
            "reduceOnly": "true",
            "list": '["a",1]',
            "timestamp": str(NOW),
        }


def test_binances_wallet_has_a_site_of_its_own_that_test_sites_lack() -> None:
    _, request, message = call(codec(Exchange.Binance), "/sapi/v1/account/status", "private")
    assert (message.base, request.costs) == ("sapi", ())
    with pytest.raises(Refused, match="the testnet site has no such calls"):
        call(codec(Exchange.Binance, environment="testnet"), "sapi/v1/account/status", "private")


def test_what_binance_refuses() -> None:
    found = codec(Exchange.Binance)
    _, _, message = call(codec(Exchange.Binance, None), "time")
    assert message.headers == {}, "public calls need no key"
    with pytest.raises(Refused, match="no API key"):
        call(codec(Exchange.Binance, None), "account", "private")
    with pytest.raises(Refused, match="PATCH time"):
        call(found, "time", method="PATCH")
    with pytest.raises(Refused, match=r"Invalid symbol\. \(code -1121\)") as caught:
        call(found, "ticker/price")[0].send(HttpAnswer(400, {}, b'{"code": -1121, "msg": "Invalid symbol."}'))
    assert caught.value.retry_after_s is None
    with pytest.raises(Refused) as caught:
        call(found, "ticker/price")[0].send(HttpAnswer(429, {}, b'{"code": -1003, "msg": "Too many"}'))
    assert caught.value.retry_after_s == 1.0
    with pytest.raises(Refused, match="no JSON"):
        call(found, "ticker/price")[0].send(HttpAnswer(200, {}, b"<html>"))
