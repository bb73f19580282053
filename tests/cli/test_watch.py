"""Parameters that change while a run goes on."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlthon.cli.watch import ParamsWatch
from mlthon.config import load_config


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
