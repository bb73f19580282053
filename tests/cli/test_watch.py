"""Parameters that change while a run goes on."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlthon.cli.watch import ParamsWatch
from mlthon.config import BotConfig, RunConfig, load_config
from mlthon.errors import UserError


class Session:
    def __init__(self) -> None:
        self.got: list[Mapping[str, Any]] = []

    def update_params(self, params: Mapping[str, Any]) -> None:
        self.got.append(params)


def write(file: Path, text: str, moment: int) -> None:
    file.write_text(text)
    os.utime(file, (moment, moment))


def test_a_changed_file_reaches_the_strategy_once(tmp_path: Path) -> None:
    file, mine = tmp_path / "run.toml", Session()
    write(file, "[params]\nqty = 1\n", 1)
    watch = ParamsWatch(load_config(file, ["other=5"]), {"mine": mine})
    watch.look()
    assert mine.got == []
    write(file, "[params]\nqty = 2\n", 2)
    watch.look()
    watch.look()
    assert mine.got == [{"qty": 2, "other": 5}]


def test_only_the_strategy_whose_parameters_changed_hears_of_it(tmp_path: Path) -> None:
    file, left, right = tmp_path / "run.toml", Session(), Session()
    text = "[strategies.left]\nstrategy='x'\nparams={{a={}}}\n[strategies.right]\nstrategy='x'\nparams={{a=1}}\n"
    write(file, text.format(1), 1)
    watch = ParamsWatch(load_config(file), {"left": left, "right": right})
    write(file, text.format(2), 2)
    watch.look()
    assert (left.got, right.got) == ([{"a": 2}], [])


def test_a_file_that_cannot_be_used_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, mine = tmp_path / "run.toml", Session()
    write(file, "[params]\nqty = 1\n", 1)
    watch = ParamsWatch(load_config(file), {"mine": mine})
    with caplog.at_level(logging.WARNING):
        write(file, "[params\n", 2)
        watch.look()
        watch.look()
        file.unlink()
        watch.look()
    assert mine.got == []
    assert len([each for each in caplog.messages if "the parameters stay as they are" in each]) == 1
    write(file, "[params]\nqty = 3\n", 3)
    watch.look()
    assert mine.got == [{"qty": 3}]


def test_what_counts_from_the_next_start_is_told_by_its_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, mine = tmp_path / "run.toml", Session()
    text = "[strategies.mine]\nstrategy = 'x'\nparams = {{ a = {} }}\n[engine]\nseed = {}\n[exchanges.Bybit]\n{}\n"
    write(file, text.format(1, 3, ""), 1)
    watch = ParamsWatch(load_config(file), {"mine": mine})
    write(file, text.format(2, 3, ""), 2)
    assert watch.reread() == [f"mine: new parameters from {file}"]
    write(file, text.format(2, 4, "maker_fee = 0"), 3)
    told = f"{file}: what changed in [engine], [exchanges] besides parameters counts from the next start on"
    assert watch.reread() == [told]
    assert told in caplog.text
    assert mine.got == [{"a": 2}]
    write(file, text.format(2, 4, "maker_fee = 0") + "# a comment\n", 4)
    assert watch.reread() == []


def test_without_a_file_there_is_nothing_to_watch() -> None:
    mine = Session()
    ParamsWatch(load_config(None, ["a=1"]), {"mine": mine}).look()
    assert mine.got == []


def test_a_signal_bot_is_switched_changed_and_taken_out(tmp_path: Path) -> None:
    file, one, other = tmp_path / "run.toml", Session(), Session()
    bot = "[bots.one]\ntype='position'\nvenue='V'\nsymbol='S'\ndescription='d'\n"
    text = f"[params]\nx = 1\n{bot}enabled={{}}\nparams={{{{a={{}}}}}}\n"
    write(file, text.format("true", 1), 1)
    watch = ParamsWatch(load_config(file), {"bot.one": one, "other": other})
    write(file, text.format("false", 1), 2)
    watch.look()
    write(file, text.format("true", 2), 3)
    watch.look()
    write(file, "[params]\nx = 1\n", 4)
    watch.look()
    assert one.got == [{"enabled": False, "params": {"a": 1}}, {"enabled": True, "params": {"a": 2}}, {}]
    assert other.got == []


# -- signal bots -------------------------------------------------------------------------------------------------------

BOT = """
[bots.{name}]
type = "position"
venue = "V"
symbol = "{symbol}"
description = "d"
params = {{ max_position_size = {size} }}
"""


def bot(name: str, size: int = 1, symbol: str = "XBTUSD") -> str:
    return BOT.format(name=name, size=size, symbol=symbol)


class Bots:
    """The bots of a run: those of other symbols than XBTUSD cannot join."""

    def __init__(self, sessions: dict[str, Session]) -> None:
        self.sessions = sessions
        self.symbols = {name.removeprefix("bot."): "XBTUSD" for name in sessions}
        self.tried: list[str] = []

    def same(self, name: str, config: BotConfig) -> bool | None:
        return None if name not in self.symbols else self.symbols[name] == config.symbol

    def join(self, name: str, config: RunConfig) -> str:
        self.tried.append(name)
        if config.bots[name].symbol != "XBTUSD":
            raise UserError("no such symbol")
        self.symbols[name] = config.bots[name].symbol
        self.sessions[f"bot.{name}"] = Session()
        return f"bot.{name} has joined"


def watched(tmp_path: Path, *names: str) -> tuple[Path, ParamsWatch, Bots]:
    file = tmp_path / "run.toml"
    write(file, "".join(map(bot, names)), 1)
    sessions = {f"bot.{name}": Session() for name in names}
    bots = Bots(sessions)
    return file, ParamsWatch(load_config(file), sessions, bots), bots


def test_a_bot_that_is_new_in_the_file_joins_once(tmp_path: Path) -> None:
    file, watch, bots = watched(tmp_path, "a")
    write(file, bot("a") + bot("b"), 2)
    assert watch.reread() == ["bot.b has joined"]
    assert watch.reread() == []
    write(file, bot("a") + bot("b", size=2), 3)
    assert watch.reread() == [f"bot.b: new parameters from {file}"]
    assert bots.tried == ["b"]
    assert [each["params"] for each in bots.sessions["bot.b"].got] == [{"max_position_size": 2}]
    assert bots.sessions["bot.a"].got == []


def test_a_bot_that_is_switched_off_or_on_is_told_so(tmp_path: Path) -> None:
    file, watch, bots = watched(tmp_path, "a")
    write(file, bot("a") + "enabled = false\n", 2)
    assert watch.reread() == [f"bot.a: switched off in {file}"]
    write(file, bot("a"), 3)
    assert watch.reread() == [f"bot.a: switched on in {file}"]
    assert [each["enabled"] for each in bots.sessions["bot.a"].got] == [False, True]


def test_a_bot_that_cannot_join_is_told_once_and_tried_again_when_the_file_changes(tmp_path: Path) -> None:
    file, watch, bots = watched(tmp_path)
    write(file, bot("b", symbol="ETHUSD"), 2)
    assert watch.reread() == ["bot.b waits for the next start of this run: no such symbol"]
    write(file, bot("b", symbol="ETHUSD") + "# more\n", 3)
    assert watch.reread() == []
    write(file, bot("b"), 4)
    assert watch.reread() == ["bot.b has joined"]
    assert bots.tried == ["b", "b", "b"]


def test_a_bot_that_is_gone_or_another_one_stops(tmp_path: Path) -> None:
    file, watch, bots = watched(tmp_path, "a", "b")
    write(file, bot("b", symbol="ETHUSD"), 2)
    waits = "it has another type, venue or symbol than the bot of this name in the run"
    gone = [f"bot.{name}: is no more in {file}" for name in "ab"]
    assert watch.reread() == [f"bot.b waits for the next start of this run: {waits}", *gone]
    assert [bots.sessions[each].got for each in ("bot.a", "bot.b")] == [[{}], [{}]]
    write(file, bot("a", size=3) + bot("b"), 3)
    assert watch.reread() == [f"bot.{name}: new parameters from {file}" for name in "ab"]
    assert [each.got[-1]["params"]["max_position_size"] for each in bots.sessions.values()] == [3, 1]


def test_a_run_without_bots_leaves_theirs_alone(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    write(file, "", 1)
    watch = ParamsWatch(load_config(file), {})
    write(file, bot("a"), 2)
    assert watch.reread() == []
