"""A strategy's life in the engine: order of callbacks, stopping, failing, timers, hooks, parameters."""

import logging
from typing import Any

import pytest

from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import Exchange, FeedHandlerStatus, GtwRejectCode, GtwStatus, OrderType, Side
from mlthon.engine.clock import SECOND
from mlthon.engine.engine import EngineSettings
from mlthon.engine.session import CommandParams, ErrorBudget, Phase
from tests.engine.rig import BTC, ETH, Recorder, Rig


def buy(rig: Rig, client_id: Any = None, price: Any = "100") -> Any:
    return rig.env.send_new_order(client_id, Exchange.Bybit, BTC.get_instrument_id(), Side.Buy, price, "0.001")


def quote(rig: Rig) -> None:
    rig.engine.feed(BTC).quote(100, 1, 101, 1, rig.clock.now, rig.clock.now)


# -- life cycle ------------------------------------------------------------------------------------------------------


def test_start_up_comes_in_the_documented_order_with_the_present_statuses_at_the_end() -> None:
    strategy = Recorder()
    strategy.then["on_start"] = lambda _: strategy.env.subscribe_to_market_data(
        Exchange.Bybit, [BTC.get_instrument_id()], [MDSub.BBO]
    )
    Rig(strategy)
    assert strategy.names() == [
        "on_framework_connected",
        "on_start",
        "on_instruments",
        "on_strat_params_update",
        "on_gateway_status",
        "on_feed_handler_status",
        "on_feed_handler_status",
    ]
    assert strategy.of("on_start") == [("",)]
    assert strategy.of("on_instruments") == [([BTC, ETH],)]
    assert strategy.of("on_strat_params_update") == [({"size": 1},)]
    assert strategy.of("on_gateway_status") == [(Exchange.Bybit, GtwStatus.ReadyToTrade, "")]
    assert [each[1] for each in strategy.of("on_feed_handler_status")] == [
        FeedHandlerStatus.SnapshotStart,
        FeedHandlerStatus.SnapshotEnd,
    ]


def test_nothing_starts_before_login_and_login_may_come_later() -> None:
    strategy = Recorder()
    strategy.login_at_once = False
    strategy.then["on_framework_connected"] = lambda env: env.setup_timer(50, lambda: env.login("late"))
    rig = Rig(strategy)
    assert strategy.names() == ["on_framework_connected"]
    rig.wait(50)
    assert strategy.names()[1:3] == ["on_start", "on_instruments"]


def test_timers_daily_callbacks_and_hooks_may_be_set_up_before_login_and_requests_may_not() -> None:
    strategy = Recorder()
    strategy.login_at_once = False
    fired: list[str] = []

    def connected(env: Any) -> None:
        env.setup_timer(10, lambda: fired.append("timer"))
        env.setup_daily_callback("00:00:01", lambda: fired.append("daily"))
        env.add_cmd_hook("ping", lambda words: fired.append("hook"))
        env.send_new_order(1, Exchange.Bybit, BTC.get_instrument_id(), Side.Buy, "1", "1")

    strategy.then["on_framework_connected"] = connected
    rig = Rig(strategy)
    rig.session.command("PING")
    rig.wait(1_000)
    assert fired == ["hook", "timer", "daily"]
    (refusal,) = strategy.of("on_request_reject")
    assert refusal[1] is GtwRejectCode.NotLoggedIn
    assert refusal[3] == "NewOrder"


def test_a_second_login_changes_nothing() -> None:
    rig = Rig()
    rig.env.login("again")
    rig.wait(1)
    assert rig.strategy.names().count("on_instruments") == 1


def test_a_gateway_tells_each_change_of_its_status() -> None:
    rig = Rig()
    rig.gateway.port.gateway_status(GtwStatus.Maintenance, "upgrade")
    assert rig.strategy.calls[-1] == ("on_gateway_status", Exchange.Bybit, GtwStatus.Maintenance, "upgrade")


def test_asking_for_a_connection_later_tells_the_present_status_again() -> None:
    rig = Rig()
    rig.env.request_execution_connection(Exchange.Bybit, [BTC.get_instrument_id()])
    rig.wait(0)
    assert rig.strategy.calls[-1] == ("on_gateway_status", Exchange.Bybit, GtwStatus.ReadyToTrade, "")


# -- stopping --------------------------------------------------------------------------------------------------------


def test_requests_pass_after_on_stop_until_the_acknowledgement_and_are_refused_after_it() -> None:
    rig = Rig()
    rig.session.stop("now please")
    assert rig.strategy.of("on_stop") == [("now please",)]
    buy(rig, 1)
    assert len(rig.gateway.requests) == 1
    rig.env.send_stop_ack()
    buy(rig, 2)
    rig.env.send_cancel_order(Exchange.Bybit, BTC.get_instrument_id(), 1)
    rig.env.send_modify_order(Exchange.Bybit, 1, "101", None)
    rig.env.send_cancel_all(Exchange.Bybit, BTC.get_instrument_id())
    rig.env.fetch_wallet_info(Exchange.Bybit, "USDT")
    rig.wait(0)
    assert len(rig.gateway.requests) == 1
    refusals = rig.strategy.of("on_request_reject")
    assert {each[1] for each in refusals} == {GtwRejectCode.StrategyStopped}
    assert [each[3] for each in refusals] == ["NewOrder", "CancelOrder", "ModifyOrder", "CancelAll", "WalletInfo"]
    rig.session.start("go on")
    buy(rig, 3)
    assert rig.strategy.of("on_start")[-1] == ("go on",)
    assert len(rig.gateway.requests) == 2


def test_without_an_acknowledgement_it_is_taken_as_given_after_three_seconds(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.session.stop()
    rig.wait(2_999)
    assert rig.session.phase is Phase.STOPPING
    with caplog.at_level(logging.WARNING):
        rig.wait(1)
    assert rig.session.phase is Phase.STOPPED
    assert "no send_stop_ack within 3 s" in caplog.text


def test_the_end_stops_cancels_and_disconnects_once() -> None:
    rig = Rig()
    rig.strategy.then["on_stop"] = lambda _: rig.env.send_stop_ack()
    buy(rig, 1)
    rig.wait(10)
    rig.engine.wind_down()
    rig.engine.end()
    rig.engine.end()
    names = rig.strategy.names()
    assert names.count("on_framework_disconnected") == 1
    assert names[-4:] == ["on_stop", "on_cancel_order_ack", "on_order_cancelled", "on_framework_disconnected"]


# -- failing ---------------------------------------------------------------------------------------------------------


def test_a_callback_that_raises_is_logged_counted_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    strategy = Recorder()
    strategy.then["on_instruments"] = lambda _: 1 // 0
    rig = Rig(strategy)
    assert "on_instruments raised ZeroDivisionError" in caplog.text
    assert "Traceback" in caplog.text
    assert rig.session.failures == 1
    assert "on_gateway_status" in strategy.names()


def test_too_many_errors_in_the_window_stop_the_strategy_and_cancel_its_orders() -> None:
    rig = Rig(settings=EngineSettings(error_budget=ErrorBudget(3, 1.0)))
    buy(rig, 1)
    rig.wait(5)
    rig.env.setup_timer(100, lambda: 1 // 0)
    for _ in range(3):
        rig.env.setup_timer(200, lambda: 1 // 0)
    rig.wait(199)
    assert rig.session.phase is Phase.RUNNING
    rig.wait(10)
    assert rig.session.phase is Phase.STOPPED
    assert rig.strategy.of("on_stop") == [("error budget exceeded",)]
    assert rig.gateway.requests[-1][0] == "cancel"


def test_a_start_after_too_many_errors_brings_back_data_and_timers() -> None:
    rig = Rig(settings=EngineSettings(error_budget=ErrorBudget(1, 1.0)))
    rig.env.subscribe_to_market_data(Exchange.Bybit, [BTC], [MDSub.BBO])
    rung: list[int] = []
    rig.env.setup_timer(300, lambda: not rung.append(rig.clock.now))
    rig.env.setup_timer(100, lambda: 1 // 0)
    rig.wait(1000)
    assert (rig.session.phase, rung) == (Phase.STOPPED, [])
    quote(rig)
    assert not rig.strategy.of("on_best_bid_level_update")
    rig.session.start()
    rig.wait(350)
    quote(rig)
    assert len(rung) == 1
    assert len(rig.strategy.of("on_best_bid_level_update")) == 1


def test_errors_spread_wider_than_the_window_do_not_stop_it() -> None:
    rig = Rig(settings=EngineSettings(error_budget=ErrorBudget(3, 1.0)))
    for number in range(10):
        rig.env.setup_timer(600 * (number + 1), lambda: 1 // 0)
    rig.wait(10_000)
    assert rig.session.phase is Phase.RUNNING
    assert rig.session.failures == 10


def test_one_strategys_error_does_not_reach_another() -> None:
    broken, sound = Recorder(), Recorder()
    broken.then["on_gateway_status"] = lambda *_: 1 // 0
    rig = Rig(broken, sound)
    rig.gateway.port.gateway_status(GtwStatus.Connecting, "")
    assert sound.of("on_gateway_status")[-1][1] is GtwStatus.Connecting


# -- callbacks -------------------------------------------------------------------------------------------------------


def test_a_strategy_may_replace_its_callbacks_while_it_runs() -> None:
    class Changing(Recorder):
        pass

    rig = Rig(Changing())
    seen: list[Any] = []
    object.__setattr__(rig.strategy, "on_best_levels_update", lambda *args: seen.append(args))
    rig.env.subscribe_to_market_data(Exchange.Bybit, BTC, MDSub.BBO)
    rig.wait(0)
    feed = rig.engine.feed(BTC)
    feed.quote(10, 1, 11, 1, rig.clock.now, rig.clock.now)
    object.__setattr__(rig.strategy, "on_best_levels_update", lambda *args: seen.append("second"))
    feed.quote(10, 1, 11, 2, rig.clock.now, rig.clock.now)
    assert len(seen) == 2
    assert seen[1] == "second"


def test_no_answer_arrives_inside_the_call_that_asked_even_without_latency() -> None:
    rig = Rig()
    inside: list[bool] = []
    depth = 0

    def act(*_: Any) -> None:
        nonlocal depth
        depth += 1
        before = len(rig.strategy.calls)
        buy(rig, 7, price="0.05")  # between ticks: refused on this side, at once
        inside.append(len(rig.strategy.calls) != before or depth != 1)
        depth -= 1

    rig.strategy.then["on_gateway_status"] = act
    rig.gateway.port.gateway_status(GtwStatus.ReadyToTrade, "")
    assert inside == [False]
    rig.wait(0)
    assert rig.strategy.calls[-1][0] == "on_new_order_reject"


# -- timers and hooks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("returned", "times"), [(True, 4), (None, 1), (1, 1), ("yes", 1), (False, 1)])
def test_a_timer_is_renewed_only_by_true(returned: Any, times: int) -> None:
    rig = Rig()
    fired: list[int] = []

    def tick() -> Any:
        fired.append(rig.clock.now)
        return returned

    start = rig.clock.now
    rig.env.setup_timer(10, tick)
    rig.wait(45)
    assert [(each - start) // 1_000_000 for each in fired] == [10, 20, 30, 40][:times]


def test_a_daily_callback_is_renewed_only_by_true() -> None:
    rig = Rig()
    fired: list[int] = []
    rig.env.setup_daily_callback("16:30:00", lambda: fired.append(rig.clock.now) is None)
    rig.env.setup_daily_callback("16:30:00", lambda: fired.append(-1))
    rig.wait(3 * 86_400_000)
    assert [each // SECOND % 86_400 for each in fired if each > 0] == [59_400] * 3
    assert fired.count(-1) == 1


def test_a_hole_in_time_moves_intervals_and_leaves_times_of_day() -> None:
    rig = Rig()
    fired: list[str] = []
    rig.env.setup_timer(60_000, lambda: fired.append("interval"))
    rig.env.setup_daily_callback("12:00:00", lambda: fired.append("noon") is None)
    rig.clock.leap(24 * 3600 * SECOND)  # to midnight of the next day: one noon was never lived
    rig.session.leapt()
    rig.wait(60_000)
    assert fired == ["interval"]
    rig.wait(12 * 3_600_000)
    assert fired == ["interval", "noon"]
    assert rig.clock.now // SECOND % 86_400 == 43_260


def test_hooks_ignore_case_and_hand_over_words_that_also_join_to_a_string() -> None:
    rig = Rig()
    given: list[Any] = []
    rig.env.add_cmd_hook("Status", given.append)
    assert rig.session.command("sTATUS", ["all", "now"])
    assert given == [["all", "now"]]
    assert " reason:" + given[0] == " reason:all now"
    assert f"{given[0]}" == "all now"
    assert not rig.session.command("nothing")


def test_start_and_stop_belong_to_the_framework(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.env.add_cmd_hook("STOP", lambda _: None)
    assert "framework's own" in caplog.text
    rig.session.command("Stop", ["for", "lunch"])
    assert rig.strategy.of("on_stop") == [("for lunch",)]


def test_command_params_do_not_join_to_anything_else() -> None:
    with pytest.raises(TypeError):
        3 + CommandParams(["a"])  # type: ignore[operator]


def test_messages_to_the_owner_go_out_in_order() -> None:
    rig = Rig()
    rig.env.publish_telegram("one")
    rig.env.publish_telegram(2)
    assert rig.published == [("s0", "one"), ("s0", "2")]


def test_parameters_change_while_it_runs() -> None:
    rig = Rig()
    rig.session.update_params({"size": 2})
    assert rig.strategy.of("on_strat_params_update")[-1] == ({"size": 2},)


@pytest.mark.parametrize("order_type", [OrderType.Limit])
def test_two_strategies_see_their_own_orders(order_type: OrderType) -> None:
    one, two = Recorder(), Recorder()
    rig = Rig(one, two)
    for each in (one, two):
        each.env.send_new_order(1, Exchange.Bybit, BTC, Side.Buy, "100", "0.001", ord_type=order_type)
    rig.wait(5)
    assert [each[1] for each in one.of("on_new_order_ack")] == ["1"]
    assert [each[1] for each in two.of("on_new_order_ack")] == ["1"]
    wire = [each[1].wire_id for each in rig.gateway.requests]
    assert len(set(wire)) == 2
    one.env.fetch_orders_info(Exchange.Bybit)
    rig.wait(5)
    ((_, orders),) = one.of("on_orders_info")
    assert [each.get_client_id() for each in orders] == ["1"]


def test_a_spent_error_budget_stops_it_once(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(settings=EngineSettings(error_budget=ErrorBudget(3, 1.0)))
    for _ in range(30):
        rig.env.setup_timer(10, lambda: 1 // 0)
    rig.wait(10)
    assert caplog.text.count("stopped, and its orders cancelled") == 1


def test_who_never_logs_in_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    strategy = Recorder()
    strategy.login_at_once = False
    Rig(strategy).engine.end()
    assert "never called env.login" in caplog.text
