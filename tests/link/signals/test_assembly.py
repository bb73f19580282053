"""Signal bots in runs of scripts: made from the configuration, joined to engine and signals."""

import logging
from pathlib import Path
from typing import Any

import pytest
from attrs import NOTHING, fields

from mlthon.config import BotConfig
from mlthon.errors import UserError
from mlthon.link.contract import Signalled
from mlthon.link.host.signals import SignalBoard
from mlthon.link.signals.intents import Quote
from mlthon.link.signals.kinds import KINDS, kind_of, params_of
from mlthon.link.signals.params import Params
from tests.link.host.scripted import Linked, ScriptedBot, linked

POSITION = {
    "type": '"Position"',
    "venue": '"BitMEX"',
    "symbol": '"XBTUSD"',
    "description": '"a test"',
    "params.max_position_size": "1000",
}


def settings(*bots: str, **changes: str) -> list[str]:
    keys = POSITION | {key.replace("__", "."): value for key, value in changes.items()}
    return ['venues.BitMEX.src="bitmex"'] + [f"bots.{bot}.{key}={value}" for bot in bots for key, value in keys.items()]


def says(src: str = "bitmex", sym: str = "XBTUSD", **intents: Any) -> Any:
    return lambda script: script.host.tell(Signalled(src, sym, intents))


def held(run: Linked, name: str) -> int:
    return run.linked.bots.signal_bots.bots[name].position.lots


def test_a_bot_carries_out_what_a_script_signals(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5, settings=settings("trend"))
    run.go(says(size=0.5), lambda script: None, says(size=-1))
    assert held(run, "bot.trend") == -10
    session = run.linked.run.assembly.engine.sessions["bot.trend"]
    assert len(session.orders) == 2
    assert "bot.trend: Position bot on BitMEX XBTUSD, hears size= of bitmex" in run.linked.bots.told


def test_its_market_is_in_the_run_although_the_script_hears_another(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5, settings=settings("eth", symbol='"ETHUSD"'), subscribe=["bitmex:XBTUSD"])
    run.go(says(sym="ETHUSD", size=0.5))
    assert held(run, "bot.eth") > 0


def test_several_bots_follow_one_script_and_those_that_share_a_symbol_count_their_own(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5, settings=settings("one", "two"))
    run.go(says(size=0.5))
    assert (held(run, "bot.one"), held(run, "bot.two")) == (5, 5)
    assert all("it shares the symbol" in line for line in run.linked.bots.told if line.startswith("bot."))


def test_a_bot_that_is_switched_off_does_nothing(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5, settings=settings("off", enabled="false"))
    run.go(says(size=0.5))
    assert held(run, "bot.off") == 0
    assert any(line.endswith("switched off") for line in run.linked.bots.told)


def test_it_trades_another_exchanges_contract_by_the_scripts_symbol(tmp_path: Path) -> None:
    elsewhere = ['venues.BitMEX.trade_on="bybit"', 'venues.BitMEX.symbols={XBTUSD="BTCUSD"}']
    run = linked(tmp_path, seconds=5, settings=[*settings("trend"), *elsewhere])
    run.go(says(size=0.5))
    session = run.linked.run.assembly.engine.sessions["bot.trend"]
    (order,) = [each for each in session.orders.values() if each is not None]
    assert (order.instrument.symbol, held(run, "bot.trend")) == ("BTCUSD", 500)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": '"positon"'}, "bots.b.type: 'positon' is no type of signal bot; did you mean 'position'?"),
        ({"venue": '"BitMEXX"'}, "bots.b.venue: there is no venue 'BitMEXX'; did you mean 'BitMEX'?"),
        ({"symbol": '"XBTUSDD"'}, "bots.b.symbol: BitMEX has no symbol 'XBTUSDD'; did you mean 'XBTUSD'"),
        ({"description": '""'}, "bots.b.description"),
        ({"params__max_position_size": "0"}, "max_position_size"),
        ({"params__max_position": "1"}, "params has no key 'max_position'; did you mean 'max_position_size'?"),
        ({"private": '["stop"]'}, "bots.b.private: Position has no parameter 'stop'"),
        ({"params__max_position_size": "50"}, "less than the smallest order of XBTUSD"),
    ],
)
def test_bots_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        linked(tmp_path, settings=settings("b", **changes))
    assert message in f"{refused.value}"


def test_a_bot_called_like_a_venue_of_the_script_bot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\[bots.BitMEX\] is called like the venue bot.BitMEX"):
        linked(tmp_path, settings=settings("BitMEX"))


def test_signals_that_nobody_executes_are_shown_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = linked(tmp_path, seconds=5, settings=settings("trend"))
    with caplog.at_level(logging.WARNING):
        run.go(says(mid=7), says(mid=8), says(sym="ETHUSD", size=1), says(size=0.5))
    shown = [each.getMessage() for each in caplog.records if "no bot executes it" in each.getMessage()]
    assert shown == [
        "bot: signal bitmex XBTUSD mid=7: no bot executes it",
        "bot: signal bitmex ETHUSD size=1: no bot executes it",
    ]
    assert run.linked.bots.board.summary() == [
        "2 signals of bitmex XBTUSD had no bot to execute them; the last one of the market: size=0.5",
        "1 signal of bitmex ETHUSD had no bot to execute it; the last one of the market: size=1",
    ]


def test_a_board_tells_those_who_hear_the_intent() -> None:
    board, sizes, everything = SignalBoard(lambda signal: None), list[Any](), list[Any]()
    board.listen("bitmex", "XBTUSD", sizes.append, ("size",))
    board.listen("bitmex", "XBTUSD", everything.append)
    board.signal("bitmex", "XBTUSD", {"size": 1, "mid": None}, "script", 1)
    board.signal("bitmex", "XBTUSD", {"size": None, "mid": 5}, "script", 2)
    board.signal("bitmex", "XBTUSD", {"size": None}, "script", 3)
    assert [each.ts for each in sizes] == [1]
    assert [each.ts for each in everything] == [1, 2]
    assert board.unheard == {}


@pytest.mark.parametrize("name", ["neutral_grid", "Neutral Grid", "NEUTRAL-GRID", " neutral  grid "])
def test_types_by_any_spelling(name: str) -> None:
    assert kind_of(name, "here").title == "Neutral Grid"


DOCUMENTED = {
    "position": (
        "max_position_size stop_loss_pct take_profit_pct close_on_stop trading_start_time trading_stop_time "
        "order_fill_delay order_min_pct_change limit_post_only"
    ),
    "neutral_grid": (
        "grid_count grid_spread min_spread max_order_size order_refresh_delay take_profit_pct stop_loss_pct "
        "trail_stop_loss_pct trail_stop_loss_entry_pct limit_post_only"
    ),
    "market_maker": "max_position_size min_spread limit_post_only order_refresh_delay order_min_pct_change",
}
DOCUMENTED["short_grid"] = DOCUMENTED["long_grid"] = f"{DOCUMENTED['neutral_grid']} grid_side"


PAGE = Path(__file__).parents[3] / "docs" / "signal-bots.md"
SECTIONS = {"position": "## Position", "market_maker": "## Market Maker"}
WORDS = {"none": None, "false": False, "midnight": None, "smallest order": None, "mandatory": NOTHING}


def told(name: str) -> dict[str, Any]:
    """The parameters in the page's table for a type, with their defaults."""
    page = PAGE.read_text("utf-8")
    section = page[page.index(SECTIONS.get(name, "## Neutral")) :].split("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    return {row[1].strip(" `"): WORDS[row[3].strip()] if row[3].strip() in WORDS else float(row[3]) for row in rows}


@pytest.mark.parametrize("name", KINDS)
def test_each_type_has_the_documented_parameters_and_the_page_tells_each(name: str) -> None:
    kind = KINDS[name]
    assert sorted(kind.parameters) == sorted(DOCUMENTED[name].split())
    page = told(name)
    defaults = {each.name: each.default for each in fields(kind.params)}
    # the trailing stop begins at once where nothing is said
    page |= {"trail_stop_loss_entry_pct": None} if page.get("trail_stop_loss_entry_pct") == 0 else {}
    assert {key: page[key] for key in kind.parameters} == defaults


def test_defaults_stand_in_for_what_is_not_set() -> None:
    bot = BotConfig(
        type="position",
        venue="V",
        symbol="S",
        description="d",
        params={"max_position_size": 5},
        defaults={"max_position_size": 9, "stop_loss_pct": 2},
    )
    params: Params = params_of(KINDS["position"], bot.effective, "here")
    assert (params.exits.stop_loss, bot.effective["max_position_size"]) == (2, 5)


def test_scripts_hear_of_what_bots_do_on_their_account(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5, settings=settings("trend"))
    script: ScriptedBot = run.go(says(size=0.5))
    assert held(run, "bot.trend") == 5
    assert [each["remain_size"] for each in script.private("order_update")] == [500.0, 0.0]
    assert [(each["side"], each["fill_size"]) for each in script.private("fill_update")] == [("Buy", 500.0)]


EXAMPLES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"size": 0.5}, {"position": 0.5}),
    ({"size": -0.5}, {"position": -0.5}),
    ({"size": 0.1}, {"position": 0.1}),
    ({"mid": 30000}, {"neutral_grid": 30000.0}),
    ({"bid": 29500}, {"long_grid": 29500.0}),
    ({"quote": [29950, 30050]}, {"market_maker": Quote(29950.0, 30050.0)}),
    ({"quote": [2300, 2305]}, {"market_maker": Quote(2300.0, 2305.0)}),
    ({"mid": "30123.5"}, {"neutral_grid": 30123.5}),
    ({"bid": 1, "ask": 2, "size": None}, {"long_grid": 1.0, "short_grid": 2.0}),
]
"""What the platform's documentation has scripts signal, and which types hear it."""


@pytest.mark.parametrize(("intents", "heard"), EXAMPLES)
def test_the_documented_examples_reach_their_bots(
    tmp_path: Path, intents: dict[str, Any], heard: dict[str, Any]
) -> None:
    grid = {"params.grid_count": "1", "params.grid_spread": "1"}
    params = {
        "position": {"params.max_position_size": "100"},
        "neutral_grid": grid,
        "short_grid": {**grid, "params.grid_side": '"sell"'},
        "long_grid": {**grid, "params.grid_side": '"buy"'},
        "market_maker": {"params.max_position_size": "100"},
    }
    config = ['venues.BitMEX.src="bitmex"']
    for name, mine in params.items():
        table = POSITION | {"type": f'"{name}"', **mine}
        config += [
            f"bots.{name}.{key}={value}" for key, value in table.items() if not key.startswith("params.") or key in mine
        ]
    run = linked(tmp_path, seconds=2, settings=config)
    run.go(says(**intents))
    bots = run.linked.bots.signal_bots.bots
    assert {bot.kind.name: bot.intent for bot in bots.values() if bot.intent is not None} == heard


# -- while the run goes on ---------------------------------------------------------------------------------------------


def made(**changes: Any) -> BotConfig:
    given: dict[str, Any] = {
        "type": "position",
        "venue": "BitMEX",
        "symbol": "XBTUSD",
        "description": "d",
        "params": {"max_position_size": 1000},
    }
    return BotConfig(**{**given, **changes})


def test_a_bot_that_joins_later_begins_with_the_last_signal(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5, settings=['venues.BitMEX.src="bitmex"'])
    bots = run.linked.bots.signal_bots
    told: list[str] = []
    run.go(
        says(size=0.5),
        lambda script: told.append(bots.join("late", made())),
        lambda script: told.append(str(held(run, "bot.late"))),
    )
    assert told[0] == "bot.late: Position bot on BitMEX XBTUSD, hears size= of bitmex"
    assert held(run, "bot.late") == 5
    assert not run.linked.bots.board.unheard or run.linked.bots.board.unheard[("bitmex", "XBTUSD")] == 1
    assert (bots.same("late", made()), bots.same("late", made(symbol="ETHUSD")), bots.same("x", made())) == (
        True,
        False,
        None,
    )
    assert bots.same("late", made(type="Market Maker")) is False


def test_what_a_run_has_not_cannot_join_it(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5, settings=settings("one"), subscribe=["bitmex:XBTUSD"])
    bots = run.linked.bots.signal_bots
    told = []
    for name, config in (
        ("b", made()),
        ("b", made(symbol="ETHUSD")),
        ("b", made(symbol="NONE")),
        ("b", made(venue="Other")),
        ("b", made(type="nothing")),
        ("b", made(params={})),
    ):
        with pytest.raises(UserError) as caught:
            bots.join(name, config)
        told.append(caught.value.message)
    assert told == [
        "bot.b would share account and symbol with bot.one, which follows the account's position",
        "this run has no ETHUSD of BitMEX",
        "bots.b.symbol: BitMEX has no symbol 'NONE'",
        "bots.b.venue: there is no venue 'Other'",
        "bots.b.type: 'nothing' is no type of signal bot",
        "bots.b: params lacks the key 'max_position_size'",
    ]
    assert list(bots.bots) == ["bot.one"]
    assert list(run.linked.run.assembly.engine.sessions) == ["bot.BitMEX", "bot.one"]
    run.go(says(size=0.5))
    assert held(run, "bot.one") == 5


def test_a_bot_whose_sizes_are_too_small_leaves_nothing_behind(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5, settings=['venues.BitMEX.src="bitmex"'])
    bots = run.linked.bots.signal_bots
    told: list[str] = []

    def join(script: ScriptedBot) -> None:
        with pytest.raises(UserError, match="max_position_size 50 is less than the smallest order"):
            bots.join("late", made(params={"max_position_size": 50}))
        told.append(bots.join("late", made()))

    run.go(join, says(size=0.5))
    assert len(told) == 1
    assert held(run, "bot.late") == 5
