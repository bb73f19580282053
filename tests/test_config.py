"""Configuration: what a file and settings make, and what is told when they are wrong."""

from pathlib import Path

import pytest

from mlthon.config import RunConfig, load_config, params_by_name
from mlthon.data.timing import FeedModel
from mlthon.errors import UserError


def written(folder: Path, text: str) -> Path:
    file = folder / "run.toml"
    file.write_text(text)
    return file


def test_without_anything_there_are_defaults() -> None:
    config = load_config()
    assert (config.seed, config.timezone, config.stop_ack_timeout_s) == (1, None, 3.0)
    assert (config.error_budget.count, config.error_budget.window_s) == (10, 60.0)
    assert config == RunConfig()


def test_a_whole_file(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        [engine]
        seed = 7
        timezone = "Europe/Vienna"
        error_budget = { count = 3, window_s = 5 }
        timing = { model = "constant", constant_ms = 2 }
        data = ["store", "/elsewhere"]

        [exchanges.Bybit]
        instruments = ["byt:perp:btc-usdt"]
        maker_fee = -0.0001
        balances = { USDT = 1000 }
        entry_latency = { model = "empirical", samples_ms = [1, 2.5] }

        [strategies.left]
        strategy = "demo_strat"
        exchanges = ["Bybit"]
        account = "second"
        params = { qty = "0.1", deep = { of = [1, 2] } }
        """,
    )
    config = load_config(file)
    assert config.seed == 7
    assert config.timezone == "Europe/Vienna"
    assert config.error_budget.window_s == 5.0
    assert config.timing.model is FeedModel.CONSTANT
    assert config.data == [str(tmp_path / "store"), "/elsewhere"]
    bybit = config.exchanges["Bybit"]
    assert bybit.instruments == ["byt:perp:btc-usdt"]
    assert (bybit.maker_fee, bybit.balances) == (-0.0001, {"USDT": 1000.0})
    assert bybit.entry_latency.samples_ms == (1.0, 2.5)
    left = config.strategies["left"]
    assert (left.strategy, left.exchanges, left.account) == ("demo_strat", ["Bybit"], "second")
    assert left.params == {"qty": "0.1", "deep": {"of": [1, 2]}}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("q=0.01", 0.01),
        ("q=5", 5),
        ("q=-5", -5),
        ("q=true", True),
        ('q="5"', "5"),
        ("q=hello", "hello"),
        ("q=btc-usdt", "btc-usdt"),
        ("q=", ""),
        ("q=a=b", "a=b"),
        ("q=00:00:00", "see below"),
        ("q=[1, 2]", [1, 2]),
        ("q=1\np = 2", "1\np = 2"),
    ],
)
def test_the_value_of_a_setting_is_toml_and_else_the_text(setting: str, value: object) -> None:
    got = load_config(None, [setting]).params["q"]
    if value == "see below":
        assert str(got) == "00:00:00"
    else:
        assert (got, type(got)) == (value, type(value))


def test_settings_beat_the_file_wherever_they_belong(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        [engine]
        seed = 1
        [params]
        qty = 1
        [strategies.left]
        strategy = "demo_strat"
        params = { qty = 1, other = 2 }
        """,
    )
    config = load_config(
        file,
        [
            "qty=3",
            "deep.key=4",
            "left.qty=5",
            "engine.seed=6",
            "engine.error_budget.count=7",
            "exchanges.Kraken.maker_fee=0.001",
        ],
    )
    assert config.params == {"qty": 3, "deep": {"key": 4}}
    assert config.strategies["left"].params == {"qty": 5, "other": 2}
    assert (config.seed, config.error_budget.count) == (6, 7)
    assert config.exchanges["Kraken"].maker_fee == 0.001


WRONG = [
    ("[engine]\nsed = 1", "engine has no key 'sed'; did you mean 'seed'?"),
    ("[engin]\nseed = 1", "has no key 'engin'; did you mean 'engine'?"),
    ("[engine]\nseed = '1'", "engine.seed: needs a whole number, not '1'"),
    ("[engine]\nseed = 1.5", "engine.seed: needs a whole number, not 1.5"),
    ("[engine]\nseed = true", "engine.seed: needs a whole number, not True"),
    ("[engine]\nseed = -1", "'seed' must be >= 0"),
    ("[engine]\nstop_ack_timeout_s = nan", "'stop_ack_timeout_s' must be > 0"),
    ("[engine]\ntimezone = 'Europe/Vienne'", "'Europe/Vienne' is no time zone; did you mean 'Europe/Vienna'"),
    ("[engine]\ntimezone = '../etc/passwd'", "'../etc/passwd' is no time zone"),
    ("[engine]\nerror_budget = 3", "engine.error_budget: needs a table, not 3"),
    ("[engine.error_budget]\ncount = 0", "engine.error_budget: 'count' must be >= 1"),
    ("[engine]\ndata = 'a'", "engine.data: needs a list"),
    ("[engine]\ndata = [1]", "engine.data.0: needs a text, not 1"),
    ("[engine.timing]\nmodel = 'recordd'", "engine.timing.model: needs one of none, recorded, constant, distribution"),
    ("[exchanges.Byebit]", "'Byebit' is no exchange; did you mean 'Bybit'"),
    ("[exchanges.Mars]", "'Mars' is no exchange; there are Blade, "),
    ("[exchanges]\nBybit = 1", "exchanges.Bybit: needs a table, not 1"),
    ("[exchanges.Bybit]\nmaker_fees = 0", "exchanges.Bybit has no key 'maker_fees'; did you mean 'maker_fee'"),
    ("[exchanges.Bybit]\nmaker_fee = '1%'", "exchanges.Bybit.maker_fee: needs a number, not '1%'"),
    ("[exchanges.Bybit]\nmaker_fee = 3", "exchanges.Bybit: maker_fee = 3.0 is not between -0.1 and 0.1"),
    ("[exchanges.Bybit.queue]\nmodel = 'x'", "exchanges.Bybit.queue: model = 'x' is not one of pessimistic"),
    ("[strategies.a]\naccount = 'x'", "strategies.a lacks the key 'strategy'"),
    (
        "[strategies.a]\nstrategy = 'x'\nexchanges = ['Bibit']",
        "strategies.a: 'Bibit' is no exchange; did you mean 'Bybit'",
    ),
    ("[strategies.engine]\nstrategy = 'x'", "a strategy cannot be named 'engine'"),
    ("params = 1", "params: needs a table, not 1"),
    ("[engine\nseed = 1", "not valid TOML: "),
    ("[engine]\nseed 1", "Line 2: seed 1"),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_a_wrong_file_is_told_with_its_name_and_key(tmp_path: Path, text: str, told: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_config(file)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["q"], "--set q: not of the form key=value"),
        (["=1"], "--set =1: not of the form key=value"),
        (["a..b=1"], "--set a..b=1: not of the form key=value"),
        (["exchanges=3"], "--set exchanges=3: exchanges: needs a table, not 3"),
        (["engine.seed=x"], "--set engine.seed=x: engine.seed: needs a whole number, not 'x'"),
        (["a=1", "a.b=2"], "--set a.b=2: params.a is 1 and holds no keys"),
        (["engine.sed=2"], "--set engine.sed=2: engine has no key 'sed'; did you mean 'seed'?"),
        (
            ["engine.seed=2", "exchanges.Bybit.maker_fee=3", "exchanges.Bybit.taker_fee=0"],
            "--set exchanges.Bybit.maker_fee=3: exchanges.Bybit: maker_fee = 3.0 is not between -0.1 and 0.1",
        ),
        (
            ["exchanges.Bybit.queue.model=x"],
            "--set exchanges.Bybit.queue.model=x: exchanges.Bybit.queue: model = 'x' is not one of pessimistic,",
        ),
        (
            ["exchanges.Bybit.entry_latency.model=empirical"],
            "--set exchanges.Bybit.entry_latency.model=empirical: exchanges.Bybit.entry_latency: samples_ms is empty",
        ),
        (
            ["exchanges.Bybit.balances.USDT=1", "exchanges.Bybit.balances.BTC=-1"],
            "--set exchanges.Bybit.balances.BTC=-1: exchanges.Bybit: balances: BTC = -1.0 is not between",
        ),
        (
            ["exchanges.Bybt.fills=full"],
            "--set exchanges.Bybt.fills=full: 'Bybt' is no exchange; did you mean 'Bybit'?",
        ),
        (["engine.timezone=Mars"], "--set engine.timezone=Mars: engine: 'Mars' is no time zone"),
        (["engine.seed=x", "engine.seed=x"], "--set: engine.seed: needs a whole number, not 'x'"),
        (["engine.seed=1", "engine.seed=x"], "--set engine.seed=x: engine.seed: needs a whole number"),
        (["engine={}", "engine.seed=x"], "--set engine.seed=x: engine.seed: needs a whole number"),
    ],
)
def test_a_wrong_setting_is_told_as_it_was_written(settings: list[str], told: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(None, settings)
    assert str(caught.value).startswith(told)


def test_a_fault_of_the_file_is_not_laid_to_a_setting(tmp_path: Path) -> None:
    file = written(tmp_path, "params = 3\n[exchanges.Bybit]\nmaker_fee = 3\n[exchanges.Bybit.balances]\nUSDT = -1\n")
    with pytest.raises(UserError) as caught:
        load_config(file, ["params={}", "params.a=1", "exchanges.Bybit.balances.BTC=1", "exchanges.Bybit.taker_fee=2"])
    assert str(caught.value) == f"{file}: exchanges.Bybit: maker_fee = 3.0 is not between -0.1 and 0.1"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    written(tmp_path, "")
    with pytest.raises(UserError, match=r"no such configuration file; did you mean 'run.toml'\?"):
        load_config(tmp_path / "rum.toml")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        load_config(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(UserError, match="not UTF-8"):
        load_config(tmp_path / "bytes.toml")


def test_no_more_than_five_errors_are_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "[engine]\n" + "\n".join(f"k{n} = 1" for n in range(9)))
    with pytest.raises(UserError) as caught:
        load_config(file)
    assert caught.value.message.count("has no key") == 5
    assert caught.value.message.endswith("... and 4 more")


def test_parameters_are_read_again_with_the_settings_on_top(tmp_path: Path) -> None:
    file = written(tmp_path, "[params]\na = 1\nb = 1\n[strategies.left]\nstrategy = 'x'\nparams = { c = 1 }")
    config = load_config(file, ["b=2"])
    file.write_text("[params]\na = 3\nb = 3\n[strategies.left]\nstrategy = 'x'\nparams = { c = 4 }")
    again = load_config(config.file, config.overrides)
    assert params_by_name(again) == {"": {"a": 3, "b": 2}, "left": {"c": 4}}


def test_live_settings(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        [live]
        journal = "run.journal"
        secrets_file = "/keys.toml"
        [exchanges.Bybit.live]
        environment = "testnet"
        options = { orders = "websocket" }
        dead_man_s = 10
        """,
    )
    config = load_config(file, ["live.yes_trade_real_money=true"])
    assert (config.live.journal, config.live.secrets_file) == (str(tmp_path / "run.journal"), "/keys.toml")
    assert config.live.yes_trade_real_money
    assert config.live.cancel_on_stop
    bybit = config.exchanges["Bybit"].live
    assert (bybit.environment, bybit.options, bybit.dead_man_s) == ("testnet", {"orders": "websocket"}, 10.0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("live.durability=disk", "live.durability"),
        ("live.heartbeat_s=0", "live.heartbeat_s"),
        ("exchanges.Bybit.live.url=127.0.0.1:80", "is no base URL; write it like http://127.0.0.1:8080"),
        ("exchanges.Bybit.live.url=https://me:secret@host", "is no base URL"),
        ("exchanges.Bybit.live.dead_man_s=3", "dead_man_s"),
        ("exchanges.Bybit.live.enviroment=main", "has no key 'enviroment'"),
    ],
)
def test_bad_live_settings(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        load_config(None, [setting])


def test_a_strategy_has_limits_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        """
        [live.risk]
        max_open_orders = 5
        max_orders_per_s = 9
        [strategies.careful]
        strategy = "demo_strat"
        risk = { max_open_orders = 1 }
        [strategies.bold]
        strategy = "demo_strat"
        """
    )
    config = load_config(file)
    careful = config.live.limits_of(config.strategies["careful"].risk)
    assert (careful.max_open_orders, careful.max_orders_per_s) == (1, 9)
    assert config.live.limits_of(config.strategies["bold"].risk) == config.live.risk
    assert config.live.limits_of(None) == config.live.risk
    with pytest.raises(UserError, match="risk"):
        load_config(file, ["strategies.careful.risk.max_open_orders=0"])
