"""What `python -m mlthon bots …` does: see `mlthon.cli.bots`."""

import getpass
import json as text_json
from pathlib import Path
from typing import Any, Final

from mlthon.backtest.show import columns
from mlthon.cli.bot_file import BotFile
from mlthon.config import BotConfig, load_config
from mlthon.errors import UserError
from mlthon.link.signals.assembly import checked
from mlthon.link.signals.kinds import kind_of
from mlthon.ops.client import ask_once
from mlthon.ops.contract import Reread
from mlthon.ops.place import control_folder, living_runs
from mlthon.structure import parse_setting

HIDDEN: Final = "(private)"
"""Shown in place of a private parameter's value."""


def create_bot(
    config: Path,
    name: str,
    *,
    type: str,  # noqa: A002 - what the option is called
    venue: str,
    symbol: str,
    description: str,
    title: str | None,
    param: tuple[str, ...],
    default: tuple[str, ...],
    private: tuple[str, ...],
    stopped: bool,
) -> int:
    """Add a bot to the file. Raises `UserError`."""
    table: dict[str, Any] = {
        "type": kind_of(type, "--type").name,
        "venue": venue,
        "symbol": symbol,
        "description": description,
    }
    if title is not None:
        table["name"] = title
    if private:
        table["private"] = list(private)
    if stopped:
        table["enabled"] = False
    table["params"] = _settings("--param", param)
    if default:
        table["defaults"] = _settings("--default", default)
    BotFile(config).add(name, table)
    print(f"{config}: [bots.{name}] is there")
    return _tell_runs(config)


def list_bots(config: Path, *, json: bool) -> int:
    """Print all bots of the file. Raises `UserError`."""
    bots = BotFile(config).bots()
    if json:
        for name, bot in bots.items():
            print(text_json.dumps(_as_json(name, bot)))
        return 0
    rows: list[tuple[str, ...]] = [("bot", "type", "venue", "symbol", "state", "parameters", "description")]
    for name, bot in bots.items():
        shown = " ".join(f"{key}={value}" for key, value in _shown(name, bot).items())
        rows.append((bot.name or name, bot.type, bot.venue, bot.symbol, _state(bot), shown, bot.description))
    print("\n".join(columns(rows, left=len(rows[0]))) if bots else f"{config} has no bots")
    return 0


def show_bot(config: Path, name: str, *, json: bool) -> int:
    """Print one bot with all its parameters. Raises `UserError`."""
    bot = BotFile(config).bot(name)
    if json:
        print(text_json.dumps(_as_json(name, bot)))
        return 0
    kind, params = checked(name, bot)
    print(f"{bot.name or name}: {kind.title} on {bot.venue} {bot.symbol}, {_state(bot)}; hears {kind.takes}=")
    print(bot.description)
    given = _shown(name, bot)
    rows = [("parameter", "value", "")]
    for key in kind.parameters:
        value = given[key] if key in given else getattr(params, key)
        origin = "" if key in bot.params else "default" if key in bot.defaults else "not set"
        rows.append((key, "none" if value is None else str(value), origin))
    print("\n".join(columns(rows, left=3)))
    return 0


def delete_bot(config: Path, name: str) -> int:
    """Take a bot out of the file. Raises `UserError`."""
    BotFile(config).remove(name)
    print(f"{config}: [bots.{name}] is gone")
    return _tell_runs(config)


def switch_bot(config: Path, name: str, *, on: bool) -> int:
    """Have a bot trade or not. Raises `UserError`."""
    word = "on" if on else "off"
    changed = BotFile(config).switch(name, on=on)
    print(f"{config}: {name} is switched {word}{'' if changed else ' already'}")
    return _tell_runs(config) if changed else 0


def _tell_runs(config: Path) -> int:
    """Have the runs with this configuration read it again, and show what they say; the file is changed in any case."""
    folder = control_folder(load_config(config).ops.state)
    mine = [name for name, info in living_runs(folder).items() if info.config == str(config.resolve())]
    for name in mine:
        try:
            told = ask_once(folder / f"{name}.sock", Reread(), f"bots {getpass.getuser()}")
        except UserError as error:
            told = f"{error.message}; it reads the file by itself about once a second"
        for line in str(told).splitlines():
            print(f"run {name}: {line}")
    if not mine:
        print("no run with this configuration goes on: it counts from the next start")
    return 0


def _settings(option: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """`KEY=VALUE` as values. Raises `UserError`."""
    found = {}
    for setting in settings:
        if "=" not in setting:
            raise UserError(f"{option} {setting}: not of the form KEY=VALUE", f"For example: {option} grid_count=5")
        keys, value = parse_setting(setting)
        found[".".join(keys)] = value
    return found


def _state(bot: BotConfig) -> str:
    return "on" if bot.enabled else "off"


def _shown(name: str, bot: BotConfig) -> dict[str, Any]:
    """The parameters that are set, private ones without their values."""
    checked(name, bot)
    return {key: HIDDEN if key in bot.private else value for key, value in bot.effective.items()}


def _as_json(name: str, bot: BotConfig) -> dict[str, Any]:
    return {
        "bot": name,
        "name": bot.name or name,
        "type": kind_of(bot.type, f"bots.{name}.type").name,
        "venue": bot.venue,
        "symbol": bot.symbol,
        "description": bot.description,
        "enabled": bot.enabled,
        "params": _shown(name, bot),
    }
