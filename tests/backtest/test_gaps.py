"""Holes in the data: everything is disconnected before them and comes back after, and the time between is not lived."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.basics.defs import CancelCode, Exchange, FeedHandlerStatus, GtwRejectCode, GtwStatus, Side
from mlthon.config import RunConfig
from mlthon.data.sources import open_sources
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.faces import LIVE, RESET, SET_ASK, SET_BID
from mlthon.exchange.config import FundingConfig
from tests.backtest.play import BTC, START, Script, Tape, configured, play, source
from tests.backtest.test_run import check_conserved

HOUR = 3_600_000
BEFORE = 60_000
AFTER = BEFORE + 3 * HOUR
"""Data until the first minute is over, then three hours of nothing."""


def with_a_hole(books: bool = False) -> Tape:
    tape = Tape()
    for begin in (0, AFTER):
        if books and not begin:
            tape.book(0, RESET).book(0, SET_BID, 999, 5).book(0, SET_ASK, 1001, 5).book(0, LIVE)
        for at in range(begin, begin + BEFORE + 1, 1000):
            tape.quote(at, 1000, 1_000, 1001, 1_000)
        if books and begin:
            tape.book(begin + 500, SET_BID, 998, 7)
            tape.book(begin + 5_000, RESET).book(begin + 5_000, SET_BID, 997, 5).book(begin + 5_000, LIVE)
    return tape


def buy(script: Script) -> None:
    script.env.send_new_order(1, Exchange.Bybit, BTC, Side.Buy, "90", "1")


def test_orders_are_cancelled_and_everything_says_so_before_the_hole_and_after() -> None:
    script = Script({100: buy})
    played = play(script, with_a_hole())
    story = [
        (name, *[each for each in args if isinstance(each, (GtwStatus, FeedHandlerStatus, CancelCode))])
        for name, *args in script.calls
        if name in ("on_gateway_status", "on_feed_handler_status", "on_order_cancelled")
    ]
    assert story == [
        ("on_gateway_status", GtwStatus.ReadyToTrade),
        ("on_feed_handler_status", FeedHandlerStatus.SnapshotStart),
        ("on_feed_handler_status", FeedHandlerStatus.SnapshotEnd),
        ("on_feed_handler_status", FeedHandlerStatus.Disconnected),
        ("on_order_cancelled", CancelCode.Disconnected),
        ("on_gateway_status", GtwStatus.Connecting),
        ("on_feed_handler_status", FeedHandlerStatus.SnapshotStart),
        ("on_feed_handler_status", FeedHandlerStatus.SnapshotEnd),
        ("on_gateway_status", GtwStatus.ReadyToTrade),
    ]
    (cancelled,) = script.of("on_order_cancelled")
    assert cancelled[1:3] == ("1", True)
    assert (START // MS + BEFORE) <= cancelled[4] <= (START // MS + BEFORE + 5_000)
    assert "no data for 10800 s" in script.of("on_gateway_status")[1][2]
    check_conserved(played)


def test_the_clock_passes_over_the_hole_and_nothing_fires_for_it() -> None:
    fired: list[tuple[str, int]] = []
    clock: list[Any] = []

    def note(name: str) -> Any:
        def fire() -> bool:
            fired.append((name, (clock[0].now - START) // MS))
            return True

        return fire

    script = Script()
    connect = script.then["on_framework_connected"]

    def connected(env: Any) -> None:
        clock.append(env._session.clock)
        connect(env)
        env.setup_timer(20_000, note("every 20 s"))
        env.setup_daily_callback("01:00:00", note("in the hole"))
        env.setup_daily_callback("03:01:30", note("after it"))

    script.then["on_framework_connected"] = connected
    played = play(script, with_a_hole())
    assert "in the hole" not in [name for name, _ in fired]
    assert ("after it", 3 * HOUR + 90_000) in fired
    ticks = [at for name, at in fired if name == "every 20 s"]
    # three before the hole, three after it: not one for the three hours between
    assert len(ticks) in (6, 7)
    assert not [at for at in ticks if BEFORE + 10_000 < at < AFTER]
    assert played.result.end_ns >= START + (AFTER + BEFORE) * MS


def test_funding_that_falls_into_the_hole_is_not_paid() -> None:
    def go(script: Script) -> None:
        script.env.send_new_order(1, Exchange.Bybit, BTC, Side.Buy, "100.1", "1")

    def funding(interval_hours: float) -> int:
        config = configured(exchange={"funding": FundingConfig(rate=0.01, interval_hours=interval_hours)})
        played = play(Script({100: go}), with_a_hole(), config)
        check_conserved(played)
        (holding,) = played.result.holdings
        assert holding.position
        return holding.funding

    assert funding(1.0) == 0, "01:00, 02:00 and 03:00 lie in the hole"
    assert funding(1 / 60) < 0, "the full minutes before and after it do not"


def test_requests_around_the_hole_are_refused_or_pass() -> None:
    script = Script()

    def status(exchange: Any, status: GtwStatus, detail: str) -> None:
        number = len(script.of("on_gateway_status"))
        script.env.send_new_order(number, Exchange.Bybit, BTC, Side.Buy, "90", "1")

    script.then["on_gateway_status"] = status
    play(script, with_a_hole())
    assert [each[1] for each in script.of("on_new_order_ack")] == ["1", "3"]
    assert [(each[1], each[2]) for each in script.of("on_new_order_reject")] == [("2", GtwRejectCode.GtwNotReady)]


def test_books_come_back_only_with_their_next_snapshot() -> None:
    script = Script({10: lambda s: s.env.subscribe_to_market_data(Exchange.Bybit, [BTC], ["PriceLevelBook"])})
    play(script, with_a_hole(books=True))
    story = [
        (name, *[str(each) for each in args if isinstance(each, FeedHandlerStatus) or str(each).startswith("99")])
        for name, *args in script.calls
        if name in ("on_feed_handler_status", "on_add_price_level")
    ]
    lost = max(index for index, each in enumerate(story) if "Disconnected" in each)
    assert story[lost:] == [
        ("on_feed_handler_status", "Disconnected"),
        ("on_feed_handler_status", "SnapshotStart"),
        ("on_add_price_level", "99.7"),
        ("on_feed_handler_status", "SnapshotEnd"),
    ]


@pytest.mark.parametrize("minutes", [9, 11])
def test_only_holes_of_more_than_ten_minutes_count(minutes: int) -> None:
    tape = Tape().quote(0, 1000, 1, 1001, 1).quote(1000, 1000, 1, 1001, 1)
    tape.quote(1000 + minutes * 60_000, 1000, 1, 1001, 1)
    script = Script()
    play(script, source(tape))
    told = [each[1] for each in script.of("on_gateway_status")]
    assert (GtwStatus.Connecting in told) is (minutes > 10)


def test_two_recordings_with_more_than_a_year_between_them(shared: Path) -> None:
    folder = shared / "exchange-data/binance-usdm/hftbacktest"
    sources, problems = open_sources([folder / "btcusdt_20230404.dat.gz", folder / "btcusdt_20240718.gz"])
    assert not problems
    instrument = sources[0].instruments[0]
    exchange = instrument.venue
    script = Script()
    ticks: list[int] = []

    def connected(env: Any) -> None:
        env.setup_timer(10_000, lambda: ticks.append(1) is None)
        env.setup_timer(
            500, lambda: env.send_new_order(1, exchange, instrument, Side.Buy, "10000", "0.1") is not None and False
        )

    script.then["on_framework_connected"] = connected
    script.then["on_start"] = lambda _: script.env.subscribe_to_market_data(
        exchange, [instrument], ["PriceLevelBook", "BBO"]
    )
    played = play(script, list(sources), RunConfig())
    statuses = [each[1] for each in script.of("on_gateway_status")]
    assert statuses == [GtwStatus.ReadyToTrade, GtwStatus.Connecting, GtwStatus.ReadyToTrade]
    (cancelled,) = script.of("on_order_cancelled")
    assert cancelled[2] is True
    assert cancelled[5] is CancelCode.Disconnected
    span = (played.result.end_ns - played.result.start_ns) // SECOND
    assert 20 < len(ticks) < 40 < span // 10, "ten seconds apart in five minutes of data, not in fifteen months"
    feed = [each[1] for each in script.of("on_feed_handler_status")]
    lost = len(feed) - 1 - feed[::-1].index(FeedHandlerStatus.Disconnected)
    assert feed[lost + 1 : lost + 3] == [FeedHandlerStatus.SnapshotStart, FeedHandlerStatus.SnapshotEnd]
    check_conserved(played)
