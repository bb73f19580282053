"""Bybit's trades on the short way, straight to the one strategy that hears them, beside the engine's own way."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from feedhandlers.bybit import BybitFeedHandler
from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import Exchange
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS
from mlthon.engine.faces import LoneHearer
from mlthon.engine.feed import InstrumentFeed
from tests.engine.rig import BTC, Recorder, Rig
from tests.venue.receivers import Seen

TRADE = {"T": 3, "s": "BTCUSDT", "S": "Buy", "v": "0.002", "p": "100.1", "i": "7"}
Act = Callable[[Rig, Seen], None]


def message(*changes: dict[str, Any]) -> bytes:
    rows = [TRADE | change for change in changes]
    text = json.dumps(
        {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 5, "data": rows}, separators=(",", ":")
    )
    return text.encode()


MESSAGES = [
    message({}),
    message({"p": "100.2"}, {"S": "Sell", "v": "1.5"}, {"T": 1_735_689_600_123}),
    message({"p": "100.25"}),
    message({}, {"v": "0"}, {"p": "7.0"}),
    message({"BT": True}, {"p": "0"}),
    message({"v": "900000.001", "p": "1000000.5"}, {"S": "None"}),
    message({"v": "0.0005"}),
    message({"p": "100.3"}, {"p": "100.4"}, {"p": "100.5"}),
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":5,"data":[{',
    message({"p": "99.9"}),
]


class Around(Seen):
    """Has the engine's feed take trades by its own way alone."""

    def __init__(self, feed: InstrumentFeed) -> None:
        super().__init__()
        self.feed = feed

    @property
    def reads_trade_ids(self) -> bool:
        return self.feed.reads_trade_ids

    def trade(self, *trade: int) -> None:
        self.feed.trade(*trade)


def nothing(_rig: Rig, _tap: Seen) -> None:
    """The strategy only listens."""


def raises(rig: Rig, _tap: Seen) -> None:
    if len(rig.strategy.of("on_public_trade")) % 2:
        raise ValueError("a fault of the strategy")


def leaves(rig: Rig, _tap: Seen) -> None:
    if len(rig.strategy.of("on_public_trade")) == 3:
        rig.env.unsubscribe_from_market_data(Exchange.Bybit, [BTC.name], [MDSub.PublicTrades])


def is_joined(rig: Rig, tap: Seen) -> None:
    if len(rig.strategy.of("on_public_trade")) == 3:
        rig.engine.feed(BTC).add_tap(tap)


def play(act: Act, at_once: bool) -> tuple[Any, ...]:
    rig = Rig(Recorder())
    tap = Seen()
    rig.env.subscribe_to_market_data(Exchange.Bybit, [BTC.name], [MDSub.PublicTrades])
    rig.wait(0)
    rig.strategy.then["on_public_trade"] = lambda *_args: act(rig, tap)
    feed = rig.engine.feed(BTC)
    problems: list[str] = []
    handler = BybitFeedHandler(
        Exchange.Bybit, {BTC: feed if at_once else Around(feed)}, lambda what, _data: problems.append(what)
    )
    for number, data in enumerate(MESSAGES):
        handler.message(data, 1_735_689_600_000 * MS + number * 700_000)
    counts = handler.counts
    heard = handler.heard(BTC, Kind.TRADE)
    told = rig.strategy.of("on_public_trade")
    return told, tap.trades, heard, counts.trades, counts.block_trades, counts.problems, len(problems)


@pytest.mark.parametrize("act", [nothing, raises, leaves, is_joined])
def test_the_short_way_tells_what_the_engines_way_tells(act: Act) -> None:
    short, engines = play(act, True), play(act, False)
    assert short == engines
    assert len(short[0]) >= 3
    assert short[2:] == (len(MESSAGES), 9, 1, 6, 6)


def test_what_a_strategy_raises_is_counted_and_the_rest_is_heard() -> None:
    rig = Rig(Recorder())
    rig.env.subscribe_to_market_data(Exchange.Bybit, [BTC.name], [MDSub.PublicTrades])
    rig.wait(0)
    rig.strategy.then["on_public_trade"] = lambda *_args: raises(rig, Seen())
    BybitFeedHandler(Exchange.Bybit, {BTC: rig.engine.feed(BTC)}, pytest.fail).message(message({}, {}, {}), 1)
    assert (len(rig.strategy.of("on_public_trade")), rig.session.failures) == (3, 2)


def test_the_engines_feed_says_when_one_strategy_hears_alone() -> None:
    rig = Rig(Recorder(), Recorder())
    feed = rig.engine.feed(BTC)
    assert isinstance(feed, LoneHearer)
    assert feed.trade_hearer is None
    sessions = rig.sessions
    for session, lone in zip(sessions, (sessions[0], None), strict=True):
        session.strategy.env.subscribe_to_market_data(Exchange.Bybit, [BTC.name], [MDSub.PublicTrades])
        rig.wait(0)
        assert feed.trade_hearer is lone
