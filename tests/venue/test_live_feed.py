"""The live feed: what is subscribed to, on which line, and when."""

import json

import pytest

from feedhandlers import binance
from mlthon.api.istrat_env import MDSub
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.data.rows import Kind
from mlthon.engine.clock import SECOND
from tests.venue.feed_kit import BTC, ETH, START, Module, Rig, wanting


def test_nothing_is_opened_while_nothing_is_wanted() -> None:
    rig = Rig()
    rig.feed.start()
    rig.run(5)
    assert rig.names() == []
    assert rig.statuses.told == [("gone", "BinanceUsdm is not connected yet", frozenset({"BTCUSDT", "ETHUSDT"}))]


def test_what_strategies_and_others_want_is_subscribed_to_once_the_line_is_open() -> None:
    rig = Rig()
    rig.statuses.subs = {BTC: {MDSub.BBO, MDSub.PriceLevelBook, MDSub.LevelBook}}
    rig.started({BTC: {Kind.QUOTE}, ETH: {Kind.TRADE}})
    assert rig.names() == ["BinanceUsdm-public-1"]
    assert rig.edge.lines["BinanceUsdm-public-1"][0].url(0) == "wss://fstream.binance.com/public/stream"
    assert rig.edge.said() == []
    rig.open()
    ((method, topics),) = rig.edge.said()
    assert method == "SUBSCRIBE"
    assert sorted(topics) == ["btcusdt@bookTicker", "btcusdt@depth@100ms", "ethusdt@trade"]
    assert rig.statuses.told[1:] == [("back", "BinanceUsdm-public-1 is connected", frozenset({"BTCUSDT", "ETHUSDT"}))]
    rig.quote()
    assert len(rig.seen[BTC].quotes) == 1


def test_changes_while_it_runs() -> None:
    rig = wanting(Kind.QUOTE)
    rig.open()
    rig.edge.said()
    rig.statuses.subs = {ETH: {MDSub.PublicTrades}}
    assert rig.statuses.on_change is not None
    rig.statuses.on_change()
    rig.statuses.on_change()
    rig.run(0)
    assert rig.edge.said() == [("SUBSCRIBE", ("ethusdt@trade",))]
    rig.feed.want("test", {})
    rig.run(0)
    assert rig.edge.said() == [("UNSUBSCRIBE", ("btcusdt@bookTicker",))]
    assert not rig.feed.connected(BTC)
    assert rig.feed.connected(ETH)
    rig.statuses.subs = {}
    rig.statuses.on_change()
    rig.run(0)
    assert rig.names() == []


def test_ids_of_messages_count_upwards() -> None:
    rig = wanting(Kind.QUOTE)
    rig.open()
    rig.feed.want("test", {ETH: {Kind.QUOTE}})
    rig.run(2)
    assert [message["id"] for _, message in rig.edge.sent] == [1, 2, 3]


def test_subscriptions_are_replayed_at_each_connect() -> None:
    rig = wanting(Kind.QUOTE, Kind.TRADE)
    for _ in range(3):
        rig.open()
        ((method, topics),) = rig.edge.said()
        assert (method, set(topics)) == ("SUBSCRIBE", {"btcusdt@bookTicker", "btcusdt@trade"})
        rig.lose(reason="reset by peer")
        assert rig.statuses.told[-1] == ("gone", "BinanceUsdm-public-1: reset by peer", frozenset({"BTCUSDT"}))
        told = len(rig.statuses.told)
        rig.lose(reason="refused")
        assert len(rig.statuses.told) == told
        rig.run(5)


def test_topics_are_spread_over_lines_and_lines_lost_one_by_one() -> None:
    rig = Rig(Module(MOST_TOPICS=2)).started({BTC: {Kind.QUOTE, Kind.TRADE}, ETH: {Kind.QUOTE}})
    first, second = rig.names()
    assert rig.feed.lines() == {first: 2, second: 1}
    rig.open(first)
    assert rig.feed.connected(BTC)
    assert not rig.feed.connected(ETH)
    rig.open(second)
    rig.lose(first)
    assert rig.statuses.told[-1][2] == {"BTCUSDT"}
    assert rig.feed.connected(ETH)


def test_subscribing_keeps_to_the_rate_rule() -> None:
    many = Module(subscribe=lambda _exchange, topics, number: [
        json.dumps({"method": "SUBSCRIBE", "params": [topic], "id": number}) for topic in topics
    ])  # fmt: skip
    rig = Rig(many).started({BTC: set(binance.KINDS), ETH: set(binance.KINDS)})
    rig.open()
    assert len(rig.edge.sent) == 4
    rig.run(3)
    assert len(rig.edge.sent) == 6
    assert rig.edge.at[4] == START + SECOND


def test_a_kind_that_the_exchange_has_not_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig().started({BTC: {Kind.QUOTE, Kind.FLOW}})
    rig.open()
    assert rig.edge.said() == [("SUBSCRIBE", ("btcusdt@bookTicker",))]
    rig.feed.want("other", {})
    rig.run(0)
    assert caplog.text.count("no stream of flow") == 1


def test_an_instrument_without_receiver_is_refused() -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="is none of the instruments of this feed"):
        rig.feed.want("test", {resolve(Exchange.Binance, "BTCUSDT"): {Kind.QUOTE}})


def test_stopping_closes_every_line_and_asks_for_nothing_more() -> None:
    rig = wanting(Kind.BOOK)
    rig.open()
    rig.feed.stop()
    assert rig.names() == []
    assert rig.statuses.told[-1] == ("gone", "BinanceUsdm-public-1 is closed", frozenset({"BTCUSDT"}))
    rig.feed.want("test", {ETH: {Kind.QUOTE}})
    rig.run(10)
    assert rig.names() == []
    assert rig.edge.asked == []
