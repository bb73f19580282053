"""Figures for Prometheus, and what its owner is told of a run."""

from typing import Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families as parse

from mlthon.basics.defs import Exchange, GtwStatus, Side
from mlthon.engine.taps import Tally
from mlthon.live.histogram import LATENCIES_NS, Histogram
from mlthon.live.services import Host
from mlthon.ops.contract import Level
from mlthon.ops.lookout import DEAD_GUARD, Lookout
from mlthon.ops.metrics import MOST_TEXT, Figures, HostTimes, OrderTimes, one, tell_of_run
from tests.engine.rig import BTC, Recorder, Rig
from tests.ops.prometheus import faults


def values(figures: Figures, name: str) -> dict[tuple[str, ...], float]:
    """The samples of this name, by the values of their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in parse(figures.text())
        for sample in family.samples
        if sample.name == name
    }


class Desk:
    def __init__(self) -> None:
        self.tally, self.times = Tally(), OrderTimes()
        self.strategy = Recorder()
        self.rig = Rig(self.strategy, taps=(self.tally, self.times))
        self.figures = Figures()
        tell_of_run(self.figures, self.rig.engine, lambda: 5, self.tally.counts, 10**9)

    def order(self) -> Any:
        return self.strategy.env.send_new_order(None, Exchange.Bybit, BTC, Side.Buy, "100", "0.010")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_run_tells_its_figures(desk: Desk) -> None:
    desk.order()
    desk.rig.wait(5)
    assert values(desk.figures, "mlthon_market_events_total") == {(): 5.0}
    assert values(desk.figures, "mlthon_order_flow_total")[("new",)] == 1.0
    assert values(desk.figures, "mlthon_open_orders") == {("s0",): 1.0}
    assert values(desk.figures, "mlthon_gateway_ready") == {("Bybit", "main"): 1.0}
    assert values(desk.figures, "mlthon_feed_connected")[("Bybit",)] == 1.0


def test_orders_are_timed_on_their_way_out_and_back(desk: Desk) -> None:
    desk.times.time(desk.rig.engine, lambda: desk.rig.clock.now + 30_000)
    desk.times.tell(desk.figures)
    order = desk.order()
    desk.rig.wait(5)
    desk.strategy.env.send_cancel_order(Exchange.Bybit, BTC, order)
    key = ("Bybit", "main")
    assert desk.times.out[key].count >= 1
    assert desk.times.out[key].counts[2] == desk.times.out[key].count
    assert desk.times.back[key].count == 1
    buckets = values(desk.figures, "mlthon_tick_to_order_seconds_bucket")
    assert buckets[("Bybit", "main", "2.5e-05")] == 0.0
    assert buckets[("Bybit", "main", "+Inf")] == desk.times.out[key].count


def test_histograms_count_each_value_once() -> None:
    histogram = Histogram((10, 20))
    for value in (-5, 10, 11, 20, 21, 10**12):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert histogram.count == 6
    assert histogram.total == 10 + 11 + 20 + 21 + 10**12
    assert list(LATENCIES_NS) == sorted(set(LATENCIES_NS))


def test_whoever_plays_a_run_has_its_orders_and_rows_timed(desk: Desk) -> None:
    """On paper the clock is known only when the run begins."""
    desk.times.time(desk.rig.engine, None)
    desk.times.tell(desk.figures)
    batches = Histogram()
    host = Host(lambda call, *args: True, lambda: desk.rig.clock.now + 30_000, batches)
    trio.run(HostTimes(desk.figures, desk.times).serve, host)
    batches.observe(40_000)
    desk.order()
    assert desk.times.out["Bybit", "main"].counts[2] == 1
    assert values(desk.figures, "mlthon_batch_seconds_count") == {("all", "recording"): 1.0}
    assert faults(desk.figures.text()) == []


def test_faults_of_a_page_are_found() -> None:
    """What the other tests rely on."""
    figures = Figures()
    figures.gauge("bad_total", "x", (), one(lambda: 3))
    figures.gauge("slow_ms", "How slow it is.", ("a",), lambda: [(("x",), 1), (("x",), 2)])
    assert faults(figures.text()) == [
        "mlthon_bad_total: is not explained: 'x'",
        "mlthon_bad_total: ends like something else",
        "mlthon_slow_ms: units are seconds and bytes",
        "mlthon_slow_ms: a series stands there twice",
    ]
    assert faults("mlthon_x 1") != []


def test_a_figure_that_cannot_be_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    figures = Figures()
    figures.gauge("bad", "This one fails.", (), lambda: [((), 1 / 0)])
    figures.gauge("good", "This one does not.", (), one(lambda: 3))
    assert values(figures, "mlthon_good") == {(): 3.0}
    assert "mlthon_bad" not in figures.text()
    assert "cannot be read" in caplog.text


def test_names_may_hold_what_the_format_uses_itself() -> None:
    figures = Figures()
    name = 'a "quoted" \\ and\nbroken name'
    figures.gauge("odd", "An odd name.", ("name",), lambda: [((name,), 1.5)])
    assert values(figures, "mlthon_odd") == {(name,): 1.5}


def test_the_text_is_capped_at_whole_families() -> None:
    figures = Figures()
    for number in range(40):
        rows = [((str(row),), 1.0) for row in range(100)]
        figures.gauge(f"many_{number}", "Many rows.", ("row",), lambda rows=rows: rows)  # type: ignore[misc]
    text = figures.text()
    assert len(text) <= MOST_TEXT
    assert text.endswith("more figures than fit\n")
    assert all(len(family.samples) == 100 for family in parse(text))


def test_the_owner_is_told_of_what_changes_and_of_nothing_else(desk: Desk) -> None:
    told: list[tuple[object, ...]] = []
    alive = [True]
    lookout = Lookout(desk.rig.engine, lambda *news: told.append(news), lambda: alive[0])
    lookout.look()
    lookout.look()
    assert told == []
    desk.rig.engine.feeds[Exchange.Bybit].disconnect("a test")
    desk.rig.sessions[0].stop("enough")
    desk.strategy.env.send_stop_ack()
    alive[0] = False
    lookout.look()
    lookout.look()
    assert told == [
        ("alert", "s0", "s0 is stopped", Level.INFO),
        ("alert", "feed Bybit", "market data of Bybit ARE LOST", Level.WARNING),
        ("alert", "guard", DEAD_GUARD, Level.ERROR),
    ]


def test_what_its_error_budget_stopped_is_told_as_such_until_it_is_started_again(desk: Desk) -> None:
    told: list[tuple[object, ...]] = []
    lookout = Lookout(desk.rig.engine, lambda *news: told.append(news))
    lookout.look()
    session = desk.rig.sessions[0]
    for _ in range(10):
        session.failed("on_x", ValueError("no"))
    desk.rig.wait(1)
    lookout.look()
    session.start()
    lookout.look()
    assert told == [
        ("alert", "s0", "s0 is stopped by its error budget", Level.ERROR),
        ("alert", "s0", "s0 is running", Level.INFO),
    ]


def test_an_account_that_cannot_trade_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[object, ...]] = []
    lookout = Lookout(desk.rig.engine, lambda *news: told.append(news))
    lookout.look()
    monkeypatch.setattr(desk.rig.gateway, "status", lambda: (GtwStatus.Connecting, "line lost"))
    lookout.look()
    assert told == [("alert", "Bybit main", "Bybit main: Connecting (line lost)", Level.WARNING)]


def test_quotes_are_sampled_once_each(desk: Desk) -> None:
    quotes = [("Bybit", "btc", 100, 1_100_100)]
    lookout = Lookout(desk.rig.engine, lambda *news: None, quotes=lambda: iter(quotes))
    lookout.look()
    lookout.look()
    assert lookout.feed_times[("Bybit",)].count == 1
    quotes[0] = ("Bybit", "btc", 200, 2_000_200)
    lookout.look()
    assert lookout.feed_times[("Bybit",)].count == 2
