"""A feed whose instruments come over several lines: what is wanted, and what is told when only some are lost."""

from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import Exchange
from mlthon.engine.faces import LIVE, RESET, SET_ASK, SET_BID
from tests.engine.rig import BTC, ETH
from tests.engine.test_feed import book, statuses, subscribed


def test_what_is_wanted_is_told_at_each_change() -> None:
    rig = subscribed(MDSub.BBO)
    feed = rig.engine.feeds[Exchange.Bybit]
    changes: list[dict[str, set[MDSub]]] = []
    feed.on_change = lambda: changes.append({each.symbol: kinds for each, kinds in feed.wanted().items()})
    rig.env.subscribe_to_market_data(Exchange.Bybit, [BTC, ETH], [MDSub.PublicTrades])
    rig.env.unsubscribe_from_market_data(Exchange.Bybit, BTC)
    assert changes == [
        {BTC.symbol: {MDSub.BBO, MDSub.PublicTrades}, ETH.symbol: {MDSub.PublicTrades}},
        {ETH.symbol: {MDSub.PublicTrades}},
    ]


def test_only_who_reads_a_lost_instrument_is_told() -> None:
    rig = subscribed(MDSub.BBO)
    feed = rig.engine.feeds[Exchange.Bybit]
    feed.disconnect("line 2: cut off", [ETH])
    assert statuses(rig) == []
    feed.disconnect("line 1: cut off", [BTC])
    feed.reconnect("line 2 is connected", [ETH])
    assert statuses(rig) == [("Disconnected", "line 1: cut off")]
    feed.reconnect("line 1 is connected", [BTC])
    assert statuses(rig)[1:] == [("SnapshotStart", "line 1 is connected"), ("SnapshotEnd", "line 1 is connected")]


def test_the_book_of_another_line_stays_whole() -> None:
    rig = subscribed(MDSub.PriceLevelBook, instruments=[BTC, ETH])
    feed = rig.engine.feeds[Exchange.Bybit]
    for instrument in (BTC, ETH):
        rig.engine.feed(instrument).expect_books()
        book(rig, instrument, (RESET, 0, 0), (SET_BID, 10, 1), (SET_ASK, 11, 1), (LIVE, 0, 0))
    rig.strategy.calls.clear()
    feed.disconnect("line 2: cut off", [ETH])
    book(rig, BTC, (SET_BID, 9, 5))
    feed.reconnect("line 2 is connected", [ETH])
    assert statuses(rig) == [("Disconnected", "line 2: cut off")]
    rig.strategy.calls.clear()
    book(rig, ETH, (RESET, 0, 0), (SET_BID, 20, 1), (LIVE, 0, 0))
    levels = [each[1] for each in rig.strategy.of("on_add_price_level")]
    assert levels == [BTC.number] * 3 + [ETH.number]


def test_who_subscribes_to_a_lost_instrument_waits_for_it() -> None:
    rig = subscribed(MDSub.BBO)
    rig.engine.feeds[Exchange.Bybit].disconnect("not yet", [ETH])
    rig.env.subscribe_to_market_data(Exchange.Bybit, ETH, [MDSub.BBO])
    rig.wait(0)
    assert statuses(rig) == [("Disconnected", f"not connected: {ETH.name}")]
