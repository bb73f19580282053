"""What Binance's feed handler module says of live data: addresses, streams, messages, snapshots, what was heard."""

import json

import pytest

from feedhandlers import binance
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.data.rows import Kind
from mlthon.venue.wire import HttpMessage
from tests.feedhandlers.test_binance import Rig

SPOT = resolve(Exchange.Binance, "BTCUSDT")
USDM = resolve(Exchange.BinanceUsdm, "BTCUSDT")


@pytest.mark.parametrize(
    ("exchange", "url"),
    [
        (Exchange.Binance, "wss://stream.binance.com:9443/stream"),
        (Exchange.BinanceUsdm, "wss://fstream.binance.com/public/stream"),
        (Exchange.BinanceCoinm, "wss://dstream.binance.com/stream"),
    ],
)
def test_the_line_of_each_exchange(exchange: Exchange, url: str) -> None:
    places = binance.environments(exchange)
    assert places["main"].real_money
    assert not places["testnet"].real_money
    line = binance.line(exchange, places["main"], binance.line_name(exchange, SPOT), "one")
    assert (line.name, line.url(0)) == ("one", url)
    assert line.max_age_s is not None
    assert line.max_age_s < 24 * 3600


def test_streams() -> None:
    topics = [binance.topic(Exchange.Binance, SPOT, kind, 50) for kind in binance.KINDS]
    assert topics == ["btcusdt@bookTicker", "btcusdt@trade", "btcusdt@depth@100ms"]
    with pytest.raises(ValueError, match="no stream of flow"):
        binance.topic(Exchange.Binance, SPOT, Kind.FLOW, 50)


def test_subscriptions_are_cut_and_numbered() -> None:
    topics = [f"s{number}@trade" for number in range(120)]
    messages = [json.loads(text) for text in binance.subscribe(Exchange.Binance, topics, 7)]
    assert [message["id"] for message in messages] == [7, 8, 9]
    assert [topic for message in messages for topic in message["params"]] == topics
    assert {message["method"] for message in messages} == {"SUBSCRIBE"}
    (gone,) = binance.unsubscribe(Exchange.Binance, topics[:1], 1)
    assert json.loads(gone) == {"method": "UNSUBSCRIBE", "params": ["s0@trade"], "id": 1}


@pytest.mark.parametrize(
    ("instrument", "target"),
    [(SPOT, "/api/v3/depth?symbol=BTCUSDT&limit=1000"), (USDM, "/fapi/v1/depth?symbol=BTCUSDT&limit=1000")],
)
def test_snapshots_count_against_a_declared_rule(instrument: object, target: str) -> None:
    request = binance.snapshot_request(instrument.exchange, instrument, 50)  # type: ignore[attr-defined]
    assert request.build(0) == HttpMessage("GET", target)
    assert {name for name, _ in request.costs} <= {rule.name for rule in binance.RULES}


def test_everything_that_comes_is_heard_readable_or_not() -> None:
    rig = Rig()
    kinds = (Kind.QUOTE, Kind.TRADE, Kind.BOOK)
    assert [rig.handler.heard(USDM, kind) for kind in kinds] == [0, 0, 0]
    for stream in ("bookTicker", "trade", "trade", "depth@100ms", "markPrice"):
        rig.handler.message(f'{{"stream":"btcusdt@{stream}","data":{{}}}}'.encode(), 1)
    assert [rig.handler.heard(USDM, kind) for kind in kinds] == [1, 2, 1]
