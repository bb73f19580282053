"""Reading a configuration: a file, and the `KEY=VALUE` settings on top of it."""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, fields

from mlthon.config.bots import BOT_PREFIX
from mlthon.config.operations import WebConfig
from mlthon.config.run import PARAMS, RESERVED, STRATEGIES, Content, RunConfig
from mlthon.config.trading import EngineConfig, LiveConfig
from mlthon.errors import UserError, near
from mlthon.structure import Fault, KeyPath, Tree, faults, parse_setting, read_toml, structure


def load_config(file: Path | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration in `file` (none: all defaults) with the `KEY=VALUE` settings applied.

    Raises `UserError` for a file that cannot be read or is no TOML, an unknown key, and a value that is not allowed.
    """
    written: Tree = read_toml(file) if file else {}
    content = structure(_with(overrides, written), Content, partial(_source, written, str(file or "--set"), overrides))
    data = content.engine.data
    if data is not None and file:
        data = [str(file.parent / path) for path in data]
    engine = evolve(content.engine, data=data)
    return RunConfig(
        **{each.name: getattr(engine, each.name) for each in fields(EngineConfig)},
        exchanges=content.exchanges,
        strategies=content.strategies,
        params=content.params,
        commands=content.commands,
        live=_beside(content.live, file),
        venues=content.venues,
        link=content.link,
        bots=content.bots,
        arsenal=evolve(content.arsenal, state=_placed(content.arsenal.state, file)),
        ops=evolve(content.ops, state=_placed(content.ops.state, file)),
        telegram=content.telegram,
        web=_web_beside(content.web, file),
        file=file,
        overrides=tuple(overrides),
    )


def _beside(live: LiveConfig, file: Path | None) -> LiveConfig:
    """The paths of the table, which are relative to the configuration file."""
    return evolve(live, journal=_placed(live.journal, file), secrets_file=_placed(live.secrets_file, file))


def _web_beside(web: WebConfig | None, file: Path | None) -> WebConfig | None:
    if web is None:
        return None
    return evolve(web, certificate=_placed(web.certificate, file), private_key=_placed(web.private_key, file))


def _placed(path: str | None, file: Path | None) -> str | None:
    return path if path is None or file is None else str(file.parent / path)


def _with(settings: Sequence[str], written: Tree) -> Tree:
    """What the file says, with the settings on top."""
    tree = deepcopy(written)
    for setting in settings:
        keys, value = parse_setting(setting)
        _put(tree, _place(keys, tree), value, setting)
    return tree


def _source(written: Tree, file: str, settings: Sequence[str], fault: Fault) -> str:
    """Where a fault comes from: the settings without which it would not be there, else the file. Some faults are known
    by the table only, others need several keys to come about, so each setting is left out in turn to see."""
    blamed = []
    for place, setting in enumerate(settings):
        try:
            without = _with([*settings[:place], *settings[place + 1 :]], written)
        except UserError:  # another setting builds on this one
            continue
        if fault not in faults(without, Content):
            blamed.append(f"--set {setting}")
    return " ".join(blamed) or file


def _place(keys: KeyPath, tree: Tree) -> KeyPath:
    """Where in the file's tree a setting with these keys belongs."""
    if keys[0] in RESERVED:
        return keys
    strategies = tree.get(STRATEGIES)
    if isinstance(strategies, dict) and keys[0] in strategies and len(keys) > 1:
        return (STRATEGIES, keys[0], PARAMS, *keys[1:])
    return (PARAMS, *keys)


def _put(tree: Tree, path: KeyPath, value: object, setting: str) -> None:
    *tables, last = path
    for depth, name in enumerate(tables, 1):
        below = tree.setdefault(name, {})
        if not isinstance(below, dict):
            raise UserError(
                f"--set {setting}: {'.'.join(path[:depth])} is {below!r} and holds no keys",
                f"Set it as a whole: --set {'.'.join(path[:depth])}=VALUE",
            )
        tree = below
    tree[last] = value


def refuse_strays(config: RunConfig) -> None:
    """Settings that reach no strategy: `[params]` is for the one that the command line names, not for those that have
    tables. Raises `UserError` for the first."""
    tables = config.strategies
    for setting in config.overrides if tables else ():
        keys, _ = parse_setting(setting)
        if keys[0] == PARAMS or keys[0] not in (*RESERVED, *(tables if len(keys) > 1 else ())):
            raise UserError(
                f"--set {setting}: no strategy has this parameter{near(keys[0], tables) if len(keys) > 1 else ''}",
                f"Write --set NAME.KEY=VALUE, NAME being one of {', '.join(tables)}.",
            )


def params_by_name(config: RunConfig) -> dict[str, dict[str, Any]]:
    """The parameters of each strategy by name, those of `[params]` under ``, of `[bots.NAME]` under `bot.NAME`."""
    found = {"": config.params} | {name: strategy.params for name, strategy in config.strategies.items()}
    return found | {f"{BOT_PREFIX}{name}": bot.as_params for name, bot in config.bots.items()}
