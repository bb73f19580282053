"""Runs played by the wall clock: everything at its time, by trio's own clock, which jumps over the waiting."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from mlthon.backtest.result import Progress
from mlthon.basics.defs import Exchange, Side
from mlthon.cli.watch import ParamsWatch
from mlthon.config import StrategyConfig, load_config
from mlthon.engine.clock import SECOND
from mlthon.live.paced import go_paced
from mlthon.live.services import Host
from tests.backtest.play import BTC, START, Played, Script, Tape, configured, ready, still


def paced(played: Played, **options: Any) -> float:
    """Play the run and return how long (s of trio's clock) it took."""

    async def go() -> float:
        began = trio.current_time()
        played.result = await go_paced(played.run, **options)
        return trio.current_time() - began

    took: float = trio.run(go, clock=MockClock(autojump_threshold=0))
    played.report.close(played.result)
    return took


def walls(script: Script, *names: str) -> list[tuple[str, float]]:
    """(callback, wall time) of each call from here on; the first call of the strategy is at 0."""
    seen: list[tuple[str, float]] = []
    began: list[float] = []
    for name in names:
        before = script.then.get(name)

        def note(*args: Any, name: str = name, before: Callable[..., Any] | None = before) -> Any:
            began.append(trio.current_time())
            seen.append((name, trio.current_time() - began[0]))
            return before(*args) if before else None

        script.then[name] = note
    return seen


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("speed", [1.0, 4.0, 0.5])
def test_rows_and_timers_come_at_their_wall_times(speed: float) -> None:
    script = Script()
    seen = walls(script, "on_framework_connected", "on_best_bid_level_update")
    ticks: list[float] = []
    connect = script.then["on_framework_connected"]

    def connected(env: Any) -> None:
        connect(env)
        env.setup_timer(1500, lambda: ticks.append(trio.current_time() - began[0]) is None)

    began: list[float] = []
    script.then["on_framework_connected"] = lambda env: (began.append(trio.current_time()), connected(env))
    played = ready(script, still(10_000))
    took = paced(played, speed=speed)
    arrived = [at for name, at in seen if name == "on_best_bid_level_update"]
    assert arrived == pytest.approx([second / speed for second in range(1, 11)], abs=0.01)
    assert ticks[:6] == pytest.approx([1.5 * number / speed for number in range(1, 7)], abs=0.01)
    assert took == pytest.approx(10 / speed, abs=0.5)
    assert played.result.events == 11


def test_it_gives_what_the_same_run_gives_as_a_backtest() -> None:
    def trade(script: Script) -> None:
        script.env.send_new_order(1, Exchange.Bybit, BTC, Side.Buy, "100.1", "1")

    fast, slow = ready(Script({1500: trade}), still(5_000)), ready(Script({1500: trade}), still(5_000))
    fast.go()
    paced(slow, speed=2.0)
    assert slow.result.fills == fast.result.fills == 1
    assert slow.result.digest == fast.result.digest


def test_orders_are_answered_between_rows() -> None:
    script = Script({1500: lambda s: s.env.send_new_order(1, Exchange.Bybit, BTC, Side.Buy, "100.1", "1")})
    seen = walls(script, "on_framework_connected", "on_order_execution")
    paced(ready(script, still(8_000, every=4_000)))
    assert dict(seen)["on_order_execution"] == pytest.approx(1.502, abs=0.01)


def test_a_stop_is_noticed_soon_and_ends_properly() -> None:
    script = Script()
    script.then["on_stop"] = lambda _: script.env.send_stop_ack()
    played = ready(script, still(100_000))
    asked: list[float] = []
    paced(played, stop=lambda: asked.append(trio.current_time()) or asked[-1] - asked[0] > 3.1)
    assert 3.1 < asked[-1] - asked[0] < 10
    assert played.result.ended == "it was stopped"
    assert script.names()[-2:] == ["on_stop", "on_framework_disconnected"]


def test_a_hole_is_passed_over_at_once() -> None:
    tape = Tape()
    for at in (0, 1000, 2000, 7_202_000, 7_203_000):
        tape.quote(at, 1000, 1_000, 1001, 1_000)
    script = Script()
    played = ready(script, tape)
    took = paced(played)
    assert took < 10
    assert played.result.end_ns >= START + 7203 * SECOND
    assert len(script.of("on_gateway_status")) == 3


def test_it_takes_place_now_whenever_the_data_was_recorded() -> None:
    now = START + 10**18
    script = Script()
    played = ready(script, still(3_000), now=now, mode="paper")
    paced(played)
    stamps = [each[4] for each in script.of("on_best_bid_level_update")]
    assert stamps[0] == (now + SECOND) // 10**6
    assert played.result.start_ns == now


@pytest.mark.parametrize(
    ("late_s", "speed", "took_s"), [(2.0, 1.0, 8.0), (2.0, 2.0, 5.0), (-2.0, 1.0, 10.0), (3600.0, 1.0, 10.0)]
)
def test_a_run_of_the_present_keeps_to_the_time_of_the_wall_clock(
    monkeypatch: pytest.MonkeyPatch, late_s: float, speed: float, took_s: float
) -> None:
    now = START + 10**18
    monkeypatch.setattr("mlthon.live.paced.time_ns", lambda: now + round(late_s * SECOND))
    played = ready(Script(), still(10_000), now=now, mode="paper")
    assert paced(played, speed=speed) == pytest.approx(took_s, abs=0.5)
    assert played.result.start_ns == now


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(ValueError, match="the speed of a paced run"):
        paced(ready(Script(), still(1_000)), speed=speed)


def test_progress_is_told_several_times_a_second() -> None:
    told: list[Progress] = []
    paced(ready(Script(), still(5_000)), on_progress=told.append)
    assert 10 <= len(told) <= 25
    assert [each.now_ns for each in told] == sorted(each.now_ns for each in told)


def test_an_edited_file_reaches_the_strategy_while_the_run_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[params]\nsize = 1\n")
    config = load_config(file)
    script = Script()

    def edit(_: Script) -> None:
        file.write_text("[params]\nsize = 22\n")
        os.utime(file, ns=(1, 1))

    def break_it(_: Script) -> None:
        file.write_text("[params\n")

    script.then["on_framework_connected"] = lambda env: (
        env.setup_timer(2_000, lambda: edit(script)),
        env.setup_timer(5_000, lambda: break_it(script)),
    )
    strategies = {"s": (lambda: script, StrategyConfig(strategy="s", params=config.params))}
    played = ready(strategies, still(8_000), configured())
    watch = ParamsWatch(config, played.run.assembly.engine.sessions)
    paced(played, look=watch.look)
    assert script.of("on_strat_params_update") == [({"size": 1},), ({"size": 22},)]


class _SlowToStart:
    """A service that does something to the engine while it starts, two seconds after the run was made."""

    name = "slow"

    def __init__(self, done: Callable[[], object]) -> None:
        self._done = done

    async def serve(self, host: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await trio.sleep(2)
        host.deliver(self._done)
        task_status.started()
        await trio.sleep_forever()


def test_services_that_take_long_to_start_do_not_have_the_run_miss_its_first_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = ready(Script(), still(5_000))
    clock = played.run.assembly.clock
    seen: list[str] = []
    clock.call_at(played.run.start + SECOND, seen.append, "a second")
    begin = played.run.begin

    def begun() -> None:
        seen.append("begun")
        begin()

    monkeypatch.setattr(played.run, "begin", begun)
    paced(played, services=[_SlowToStart(lambda: seen.append("service"))])
    assert seen == ["service", "begun", "a second"]
