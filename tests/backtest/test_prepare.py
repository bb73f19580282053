"""From a configuration to a run: commands given at their times, several strategies, and what cannot be prepared."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.basics.defs import Exchange, Side
from mlthon.config import Command, StrategyConfig, load_config
from mlthon.data.rows import MemorySource
from mlthon.engine.clock import MS
from mlthon.errors import UserError
from tests.backtest.play import BTC, START, Script, configured, instances, play, ready, still


def with_hook(name: str = "status") -> tuple[Script, list[Any]]:
    script = Script()
    given: list[Any] = []
    connect = script.then["on_framework_connected"]

    def connected(env: Any) -> None:
        connect(env)
        env.add_cmd_hook(name, lambda words: given.append(((env._session.clock.now - START) // MS, words)))

    script.then["on_framework_connected"] = connected
    return script, given


# -- commands --------------------------------------------------------------------------------------------------------


def test_commands_of_the_configuration_are_given_at_their_times() -> None:
    script, given = with_hook()
    config = configured(
        commands=(
            Command(after="2.5s", run="Status all now"),
            Command(after="4s", run="stop for lunch"),
            Command(after="6s", run="start"),
        )
    )
    play(script, still(10_000), config)
    assert given == [(2_500, ["all", "now"])]
    assert script.of("on_stop")[0] == ("for lunch",)
    # a stop without acknowledgement is over after three seconds: at six it is too early to start
    assert script.of("on_start") == [("",)]


def test_a_command_is_for_one_strategy_or_for_all() -> None:
    (one, to_one), (two, to_two) = with_hook(), with_hook()
    config = configured(
        commands=(Command(after="1s", run="status", strategy="two"), Command(after="2s", run="status everyone"))
    )
    play({"one": one, "two": two}, still(5_000), config)
    assert to_one == [(2_000, ["everyone"])]
    assert to_two == [(1_000, []), (2_000, ["everyone"])]


def test_an_unknown_command_is_told_with_those_there_are(caplog: pytest.LogCaptureFixture) -> None:
    script, given = with_hook()
    play(script, still(5_000), configured(commands=(Command(after="1s", run="statsu now"),)))
    assert given == []
    assert "s0: no command 'statsu'; did you mean 'status'?; it has start, stop, status" in caplog.text


def test_a_command_for_a_strategy_that_does_not_run() -> None:
    config = configured(commands=(Command(after="1s", run="status", strategy="makr"),))
    with pytest.raises(UserError, match="'makr', which does not run; did you mean 'maker'") as told:
        ready({"maker": Script(), "taker": Script()}, still(1_000), config)
    assert "maker, taker" in str(told.value)


def test_a_command_for_a_strategy_that_is_configured_and_left_out_of_the_run() -> None:
    commands = (Command(after="1s", run="status", strategy="taker"),)
    config = configured(commands=commands, strategies={"taker": StrategyConfig(strategy="taker")})
    assert ready({"maker": Script()}, still(1_000), config) is not None


def test_commands_are_read_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        '[[commands]]\nafter = "10m"\nrun = "status all"\n[[commands]]\nafter="1.5h"\nrun="x"\nstrategy="a"'
    )
    assert load_config(file).commands == (
        Command(after="10m", run="status all"),
        Command(after="1.5h", run="x", strategy="a"),
    )
    assert [each.after_ns for each in load_config(file).commands] == [600 * 10**9, 5400 * 10**9]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[commands]]\nafter = "soon"\nrun = "x"', "'soon' is no duration"),
        ('[[commands]]\nafter = "-5s"\nrun = "x"', "'-5s' is no duration"),
        ('[[commands]]\nafter = "5s"\nrun = "  "', "a command needs a name"),
        ('[[commands]]\nafter = "5s"', "lacks the key 'run'"),
        ('[[commands]]\nafter = "5s"\nrun = "x"\nfor = "y"', "no key 'for'"),
        ("commands = 5", "needs a list"),
    ],
)
def test_wrong_commands_are_told(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=told):
        load_config(file)


# -- what can and cannot be prepared ---------------------------------------------------------------------------------


def test_a_strategy_cannot_trade_where_the_run_has_nothing() -> None:
    strategies = {"s": (Script, StrategyConfig(strategy="s", exchanges=["Oanda"]))}
    with pytest.raises(UserError, match="trades on Oanda, which this run has not"):
        ready(strategies, still(1_000))


def test_data_without_rows_and_a_span_without_data() -> None:
    with pytest.raises(UserError, match="no rows"):
        ready(Script(), MemorySource({}))
    with pytest.raises(UserError, match="between the start and the end"):
        ready(Script(), still(1_000), start=START + 10**15)


def test_the_data_is_cut_by_start_and_duration() -> None:
    script = Script()
    played = play(script, still(10_000), start=START + 2_000 * MS, duration=3_000 * MS)
    stamps = [each[4] - START // MS for each in script.of("on_best_bid_level_update")]
    assert min(stamps) >= 2_000
    assert max(stamps) < 5_000
    assert played.result.start_ns == START + 2_000 * MS
    assert played.result.ended == "its time was over"


def test_data_that_is_not_cut_ends_by_itself() -> None:
    assert play(Script(), still(1_000)).result.ended == "the data ended"


def test_strategies_on_one_account_share_its_position_and_others_do_not() -> None:
    def buy(script: Script) -> None:
        script.env.send_new_order(1, Exchange.Bybit, BTC, Side.Buy, "100.1", "1")

    def ask(script: Script) -> None:
        script.env.fetch_position_info(Exchange.Bybit, BTC)

    buyer, partner, stranger = Script({100: buy}), Script({200: ask}), Script({200: ask})
    strategies = instances({"buyer": buyer, "partner": partner}) | instances({"stranger": stranger}, account="other")
    play(strategies, still(5_000))
    assert [each[2].to_str() for each in partner.of("on_position_info")] == ["1"]
    assert [each[2].to_str() for each in stranger.of("on_position_info")] == ["0"]
    assert not partner.of("on_order_execution")
