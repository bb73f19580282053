"""What the API promises a strategy, end to end: real strategies on made market data and the embedded exchange."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlthon.basics.defs import (
    TIF,
    CancelCode,
    Exchange,
    ExecInstructions,
    FeedHandlerStatus,
    GtwRejectCode,
    GtwStatus,
    OrderType,
    Side,
)
from mlthon.basics.qty import Qty
from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.config import RateLimitConfig
from tests.backtest.play import BTC, ETH, START, Script, Tape, configured, instances, play, source, still
from tests.backtest.test_run import check_conserved
from tests.engine.rig import Recorder

BYBIT = Exchange.Bybit


def order(client_id: Any, price: Any = "90", qty: Any = "1", side: Side = Side.Buy, **more: Any) -> Callable[..., Any]:
    return lambda script, *_: script.env.send_new_order(client_id, BYBIT, BTC, side, price, qty, **more)


def acts(script: Recorder, callback: str, *doing: Callable[[Any], Any]) -> None:
    """Do these things in the callback."""
    script.then[callback] = lambda *_: [each(script) for each in doing] and None


def ack_stop(script: Any) -> None:
    script.env.send_stop_ack()


# -- life cycle ------------------------------------------------------------------------------------------------------


def test_a_whole_life_in_order() -> None:
    script = Script({100: order(1)})
    acts(script, "on_stop", ack_stop)
    play(script, still(3_000))
    names = [each for each in script.names() if not each.startswith("on_best")]
    assert names == [
        "on_framework_connected",
        "on_start",
        "on_instruments",
        "on_strat_params_update",
        "on_gateway_status",
        "on_feed_handler_status",
        "on_feed_handler_status",
        "on_new_order_ack",
        "on_stop",
        "on_cancel_order_ack",
        "on_order_cancelled",
        "on_framework_disconnected",
    ]
    assert script.of("on_start") == [("",)]
    assert [len(each) for each in script.of("on_stop")] == [1]
    assert script.of("on_gateway_status") == [(BYBIT, GtwStatus.ReadyToTrade, "")]
    assert [each[1] for each in script.of("on_feed_handler_status")] == [
        FeedHandlerStatus.SnapshotStart,
        FeedHandlerStatus.SnapshotEnd,
    ]


def test_a_run_that_is_stopped_ends_like_one_that_is_over() -> None:
    script = Script({100: order(1)})
    acts(script, "on_stop", ack_stop)
    played = play(script, still(300_000, every=10), stop=lambda: bool(script.of("on_new_order_ack")))
    assert played.result.ended == "it was stopped"
    assert played.result.end_ns < START + 100 * SECOND
    assert script.names()[-4:] == [
        "on_stop",
        "on_cancel_order_ack",
        "on_order_cancelled",
        "on_framework_disconnected",
    ]


def test_one_that_never_acknowledges_is_given_three_seconds(caplog: pytest.LogCaptureFixture) -> None:
    script = Script({100: order(1)})
    played = play(script, still(1_000))
    assert "no send_stop_ack within 3 s" in caplog.text
    assert played.result.end_ns >= START + 4 * SECOND
    assert script.names()[-2:] == ["on_order_cancelled", "on_framework_disconnected"]


def test_one_that_raises_in_on_stop_is_wound_down_all_the_same() -> None:
    script = Script({100: order(1)})
    acts(script, "on_stop", lambda _: 1 // 0)
    played = play(script, still(1_000))
    assert played.result.errors == 1
    assert script.names()[-2:] == ["on_order_cancelled", "on_framework_disconnected"]


def test_one_that_never_logs_in_hears_of_nothing_but_the_end() -> None:
    script = Script()
    script.login_at_once = False
    script.then.clear()
    play(script, still(1_000))
    assert script.names() == ["on_framework_connected", "on_framework_disconnected"]


def test_orders_sent_from_on_stop_pass_and_are_gone_at_the_end() -> None:
    script = Script()
    acts(script, "on_stop", order(1), order(2, "100.1"), ack_stop, order(3))
    played = play(script, still(1_000))
    assert [each[1] for each in script.of("on_new_order_ack")] == ["1", "2"]
    assert [each[1] for each in script.of("on_order_execution")] == ["2"]
    assert [each[1] for each in script.of("on_order_cancelled")] == ["1"]
    assert [(each[1], each[3]) for each in script.of("on_request_reject")] == [
        (GtwRejectCode.StrategyStopped, "NewOrder")
    ]
    (session,) = played.run.assembly.engine.sessions.values()
    assert not session.open
    check_conserved(played)


def test_too_many_errors_stop_one_strategy_and_leave_the_other() -> None:
    broken, sound = Script({100: order(1)}), Script({100: order(1), 6_000: order(2)})
    broken.then["on_best_bid_level_update"] = lambda *_: 1 // 0
    played = play([broken, sound], still(20_000, every=500))
    assert played.result.errors == 10
    assert broken.of("on_stop") == [("error budget exceeded",)]
    (cancelled,) = broken.of("on_order_cancelled")
    assert cancelled[4] < (START + 8 * SECOND) // MS
    assert [each[1] for each in sound.of("on_new_order_ack")] == ["1", "2"]
    assert len(sound.of("on_best_bid_level_update")) == 40


# -- orders ----------------------------------------------------------------------------------------------------------


def test_no_answer_arrives_inside_the_call_even_without_latency() -> None:
    depth: list[int] = []
    deepest: list[int] = []
    script = Script({100: order(1), 200: order(2, "100.1"), 300: order(3, "nonsense")})
    for name in ("on_new_order_ack", "on_order_execution", "on_new_order_reject"):

        def nest(*args: Any) -> None:
            depth.append(1)
            deepest.append(len(depth))
            order(f"{len(script.calls)}", "95")(script) if len(deepest) < 6 else None
            depth.pop()

        script.then[name] = nest
    play(script, still(1_000), configured(0.0))
    assert len(deepest) >= 6
    assert set(deepest) == {1}


def test_ids_come_back_as_text_and_are_used_once() -> None:
    returned: list[Any] = []
    script = Script(
        {
            100: lambda s: returned.extend(order(each)(s) for each in (7, "8", "mine", None)),
            200: order(7),
            300: lambda s: s.env.send_cancel_order(BYBIT, BTC.name, 8),
        }
    )
    play(script, still(1_000))
    assert returned[:3] == [7, 8, "mine"]
    assert isinstance(returned[3], int)
    assert [each[1] for each in script.of("on_new_order_ack")] == ["7", "8", "mine", str(returned[3])]
    assert [each[1:3] for each in script.of("on_new_order_reject")] == [("7", GtwRejectCode.DuplicateClientId)]
    assert script.of("on_cancel_order_ack")[0] == (BYBIT, "8")
    assert script.of("on_order_cancelled")[0][1:3] == ("8", False)


def test_what_a_modification_left_alone_is_none() -> None:
    def modify(price: Any, qty: Any) -> Callable[[Script], Any]:
        return lambda s: s.env.send_modify_order(BYBIT, 1, price, qty)

    script = Script({100: order(1), 200: modify("91", None), 300: modify(None, "2"), 400: modify("92", "3")})
    play(script, still(1_000))
    told = [[each and each.to_str() for each in args[2:]] for args in script.of("on_modify_order_ack")]
    assert told == [["91", None, "1"], [None, "2", "2"], ["92", "3", "3"]]


def test_every_type_and_time_in_force_passes_through() -> None:
    script = Script(
        {
            100: order("limit"),
            110: order("market", None, ord_type=OrderType.Market),
            120: order("stop", None, ord_type=OrderType.Stop, stop_price="110"),
            130: order("stop-limit", "111", ord_type=OrderType.StopLimit, stop_price="110"),
            140: order("take-profit", None, ord_type=OrderType.TakeProfit, stop_price="95"),
            150: order("ioc", "95", time_in_force=TIF.IOC),
            160: order("fok", "100.1", time_in_force=TIF.FOK),
            170: order("day", time_in_force=TIF.Day),
            180: order("maker", exec_instr=ExecInstructions.PostOnly),
            190: order("reduce", "110", side=Side.Sell, exec_instr=ExecInstructions.ReduceOnly),
            200: order("both", "111", side=Side.Sell, exec_instr=ExecInstructions.PostOnlyReduceOnly),
            210: order("close", None, None, Side.Sell, ord_type=OrderType.Market, close_position=True),
        }
    )
    played = play(script, still(2_000))
    acked = {each[1] for each in script.of("on_new_order_ack")}
    assert len(acked) == 12, script.of("on_new_order_reject")
    assert [each[1] for each in script.of("on_order_execution")] == ["market", "fok", "close"]
    ended = {each[1]: each[5] for each in script.of("on_order_cancelled")}
    assert ended["ioc"] is CancelCode.TimeInForce
    assert ended["reduce"] is ended["both"] is CancelCode.ReduceOnly
    assert played.result.position == {BTC.name: 0}
    check_conserved(played)


def test_rejections_name_the_value_and_the_rule() -> None:
    script = Script({100: order(1, "100.05"), 110: order(2, "90", "0.0005"), 120: order(3, "90", "99999")})
    play(script, still(1_000))
    reasons = {each[1]: (each[2], each[3]) for each in script.of("on_new_order_reject")}
    assert reasons["1"][0] is GtwRejectCode.PriceNotOnTick
    assert "100.05" in reasons["1"][1]
    assert reasons["2"][0] is GtwRejectCode.QtyNotOnLot
    assert "0.0005" in reasons["2"][1]
    assert reasons["3"][0] is GtwRejectCode.QtyAboveMaximum
    assert re.search("99999.*1500", reasons["3"][1])


def test_cancel_all_and_orders_info_concern_ones_own_orders_on_a_shared_account() -> None:
    one = Script(
        {
            100: order(1),
            110: order(2),
            200: lambda s: s.env.send_cancel_all(BYBIT, BTC.number),
            300: lambda s: s.env.fetch_orders_info(BYBIT),
        }
    )
    two = Script({100: order(1), 300: lambda s: s.env.fetch_orders_info(BYBIT)})
    play([one, two], still(1_000))
    assert one.of("on_cancel_all_ack") == [(BYBIT, BTC.number)]
    assert [each[1] for each in one.of("on_order_cancelled")][:2] == ["1", "2"]
    assert [len(each[1]) for each in one.of("on_orders_info")] == [0]
    ((_, orders),) = two.of("on_orders_info")
    assert [each.get_client_id() for each in orders] == ["1"]


def test_a_short_position_is_negative() -> None:
    sell = order(1, "100", "1.5", Side.Sell)
    script = Script({100: sell, 200: lambda s: s.env.fetch_position_info(BYBIT, BTC)})
    play(script, still(1_000))
    assert [each[2].to_str() for each in script.of("on_position_info")] == ["-1.5"]


def test_strategies_on_two_accounts_meet_in_one_book() -> None:
    maker = Script({100: order(1, "100.1", "1", Side.Sell)})
    taker = Script({200: order(1, "100.1", "1")})
    tape = Tape()
    for at in range(0, 2_000, 100):
        tape.quote(at, 1000, 1_000, 1002, 1_000)
    both = instances({"maker": maker}, account="a") | instances({"taker": taker}, account="b")
    played = play(both, source(tape))
    assert [each[3].to_str() for each in maker.of("on_order_execution")] == ["100.1"]
    assert [each[3].to_str() for each in taker.of("on_order_execution")] == ["100.1"]
    check_conserved(played)


def test_the_rate_limit_is_told_in_percent_and_then_enforced() -> None:
    several = {100 + number: order(number, "90") for number in range(12)}
    script = Script(several)
    config = configured(exchange={"rate_limit": RateLimitConfig(requests=10, interval_s=60)})
    play(script, still(1_000), config)
    told = script.of("on_rate_limit_info")[:3]
    assert [each[1:3] for each in told] == [(100, 50), (100, 10), (100, 0)]
    assert {each[3] for each in told} == {(START + 60 * SECOND) // SECOND}
    assert [each[2] for each in script.of("on_new_order_reject")] == [GtwRejectCode.RateLimited] * 2


# -- market data -----------------------------------------------------------------------------------------------------


def test_quotes_are_never_seen_crossed_and_the_one_callback_replaces_both() -> None:
    tape = Tape().quote(0, 999, 1, 1000, 2)
    for number, (bid, ask) in enumerate(((1000, 1001), (1005, 1006), (990, 991), (990, 995), (994, 995))):
        tape.quote(1_000 * (number + 1), bid, 1, ask, 2)
    two, one = Script(), Script()
    pairs: list[Any] = []
    object.__setattr__(one, "on_best_levels_update", lambda *args: pairs.append((args[2], args[4])))
    play([two, one], source(tape))
    seen: dict[str, Any] = {}
    for name, *args in two.calls:
        if name.startswith("on_best"):
            seen[name] = args[2]
            if len(seen) == 2:
                assert seen["on_best_bid_level_update"] < seen["on_best_ask_level_update"]
    assert [str(bid) for bid, _ in pairs] == ["100", "100.5", "99", "99", "99.4"]
    assert len(two.of("on_best_bid_level_update")) == len(two.of("on_best_ask_level_update")) == 5
    assert not one.of("on_best_bid_level_update", "on_best_ask_level_update")


def test_instruments_come_once_and_whole() -> None:
    script = Script()
    play(script, source(still(1_000), still(1_000, instrument=ETH)))
    assert script.of("on_instruments") == [([BTC, ETH],)]


# -- hooks and timers ------------------------------------------------------------------------------------------------


def test_timers_and_daily_callbacks_fire_at_their_times_of_the_data() -> None:
    fired: list[tuple[str, int]] = []
    script = Script()

    def connected(env: Any) -> None:
        now = env._session.clock
        env.setup_timer(700, lambda: fired.append(("once", (now.now - START) // MS)))
        env.setup_daily_callback("00:00:02", lambda: fired.append(("daily", (now.now - START) // MS)) is None)

    script.then["on_framework_connected"] = connected
    day = 86_400_000
    tape = still(5_000)
    for at in range(60_000, day + 5_000, 300_000):
        tape.quote(at, 1000, 1, 1001, 1)
    tape.quote(day + 5_000, 1000, 1, 1001, 1)
    play(script, source(tape))
    assert fired == [("once", 700), ("daily", 2_000), ("daily", day + 2_000)]


def test_a_strategy_may_stop_by_its_own_hook(tmp_path: Path) -> None:
    script = Script({2_000: lambda s: sessions[0].command("STOP", ["enough"])})
    acts(script, "on_stop", ack_stop)
    sessions: list[Any] = []
    connect = script.then["on_framework_connected"]
    script.then["on_framework_connected"] = lambda env: (sessions.append(env._session), connect(env))
    script.then["on_gateway_status"] = lambda *_: order(1)(script)
    play(script, still(10_000))
    assert script.of("on_stop") == [("enough",)]
    assert script.names()[-1] == "on_framework_disconnected"
    assert [each[1] for each in script.of("on_order_cancelled")] == ["1"]


def test_what_the_rate_limit_keeps_open_at_the_end_is_cancelled_once_it_allows() -> None:
    script = Script({100 + 1_000 * number: order(number) for number in range(6)})
    acts(script, "on_stop", ack_stop)
    config = configured(exchange={"rate_limit": RateLimitConfig(requests=2, interval_s=0.9)})
    played = play(script, still(7_000), config)
    assert len(script.of("on_new_order_ack")) == 6
    assert sorted(each[1] for each in script.of("on_order_cancelled")) == [str(number) for number in range(6)]
    (session,) = played.run.assembly.engine.sessions.values()
    assert not session.open


@pytest.mark.parametrize("more", [{"exec_instr": ExecInstructions.ReduceOnly}, {"close_position": True}])
def test_a_stop_that_may_only_reduce_tells_its_size_when_it_is_cut_at_its_trigger(more: dict[str, Any]) -> None:
    script = Script(
        {
            100: order("buy", "100.1", "1"),
            200: order("stop", None, "5", Side.Sell, ord_type=OrderType.Stop, stop_price="95", **more),
        }
    )
    tape = still(900, every=100)
    for at in (1000, 2000):
        tape.quote(at, 940, 100_000, 941, 100_000)
    play(script, tape)
    assert script.of("on_modify_order_ack") == [(Exchange.Bybit, "stop", None, Qty(1), Qty(1))]
    assert [(each[1], each[4], each[5]) for each in script.of("on_order_execution")][1:] == [("stop", Qty(1), Qty(0))]
