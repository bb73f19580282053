"""The configuration file, watched while a paper or live run goes on: changed parameters go to the strategies they are
for, and signal bots that are new in it join the run. Whatever else is changed in it counts from the next start on.
"""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import evolve, fields

from mlthon.config import BOT_PREFIX, BotConfig, EngineConfig, RunConfig, load_config, params_by_name
from mlthon.errors import UserError

if TYPE_CHECKING:
    from mlthon.link.host.assembly import Bots

log = logging.getLogger("mlthon.config")


class TakesParams(Protocol):
    """What gets new parameters: a session."""

    def update_params(self, params: Mapping[str, Any]) -> None: ...


class TakesBots(Protocol):
    """What lets signal bots join a run."""

    def same(self, name: str, config: BotConfig) -> bool | None:
        """Whether the run has a bot of this name and it is this one; None: it has none."""

    def join(self, name: str, config: RunConfig) -> str:
        """Let a bot of the configuration join and say so. Raises `UserError` where it cannot."""


class JoinsBots:
    """`TakesBots` of a run's bots. `admit` is given a strategy's name and the configuration that has its limits."""

    def __init__(self, bots: "Bots", admit: Callable[[str, RunConfig], None] | None = None) -> None:
        self._bots = bots.signal_bots
        self._admit = admit

    def same(self, name: str, config: BotConfig) -> bool | None:
        return self._bots.same(name, config)

    def join(self, name: str, config: RunConfig) -> str:
        if self._admit is not None:
            self._admit(f"{BOT_PREFIX}{name}", config)
        return self._bots.join(name, config.bots[name])


class ParamsWatch:
    """`look` reads the file again when it has changed. A file that cannot be used is told once, and the old parameters
    stay. A strategy whose parameters are as they were hears nothing. What was done is told in the log."""

    def __init__(self, config: RunConfig, sessions: Mapping[str, TakesParams], bots: TakesBots | None = None) -> None:
        """`sessions` of the run, as they are at any time."""
        self._config = config
        self._sessions = sessions
        self._bots = bots
        self._seen = self._stamp()
        self._settings = self._read_settings()
        self._left_out: set[str] = set()
        """Bots (`bot.NAME`) that wait for the next start."""
        self._params = self._of(params_by_name(config))

    def _read_settings(self) -> RunConfig | None:
        """Those of the file as it is: the run's own have been completed by its options. None where there is no file, or
        no good one any more."""
        try:
            return None if self._seen is None else _settings(load_config(self._config.file, self._config.overrides))
        except UserError:
            return None

    def look(self) -> None:
        """Called every now and then."""
        self.reread()

    def reread(self) -> list[str]:
        """Read the file if it has changed; what came of it, in sentences."""
        stamp = self._stamp()
        if stamp == self._seen or stamp is None:
            return []
        self._seen = stamp
        told = self._changes()
        for line in told:
            log.warning("%s", line)
        return told

    def _changes(self) -> list[str]:
        try:
            config = load_config(self._config.file, self._config.overrides)
        except UserError as error:
            return [f"the parameters stay as they are: {error}"]
        told = self._new_bots(config)
        fresh = self._of(params_by_name(config))
        for name, params in fresh.items():
            if name in self._params and params != self._params[name]:
                told.append(f"{name}: {_change(name, self._params[name], params)} {self._config.file}")
                self._sessions[name].update_params(params)
        self._params = fresh
        return told + self._settings_changed(config)

    def _settings_changed(self, config: RunConfig) -> list[str]:
        before, self._settings = self._settings, _settings(config)
        if before is None:
            return []
        engine = {each.name for each in fields(EngineConfig)}
        changed = {
            "engine" if each.name in engine else each.name
            for each in fields(RunConfig)
            if getattr(before, each.name) != getattr(self._settings, each.name)
        }
        if not changed:
            return []
        tables = ", ".join(f"[{each}]" for each in sorted(changed))
        return [f"{config.file}: what changed in {tables} besides parameters counts from the next start on"]

    def _new_bots(self, config: RunConfig) -> list[str]:
        """Let bots join that the run has not. One that is to be another under the same name stops."""
        bots = self._bots
        if bots is None:
            return []
        told = []
        left_out, self._left_out = self._left_out, set()
        for name, bot in config.bots.items():
            try:
                same = bots.same(name, bot)
                if same is None:
                    told.append(bots.join(name, config))
                elif not same:
                    raise UserError("it has another type, venue or symbol than the bot of this name in the run")
            except UserError as error:
                self._left_out.add(f"{BOT_PREFIX}{name}")
                if f"{BOT_PREFIX}{name}" not in left_out:
                    told.append(f"{BOT_PREFIX}{name} waits for the next start of this run: {error.message}")
        return told

    def _of(self, params: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        """By the names of the strategies that run: their table's parameters, or those of the single strategy. A signal
        bot whose table is gone, or that of another one, has none, and stops trading."""
        mine = {name: each for name, each in params.items() if name not in self._left_out}
        return {name: mine.get(name, {} if name.startswith(BOT_PREFIX) else params[""]) for name in self._sessions}

    def _stamp(self) -> tuple[int, int] | None:
        if self._config.file is None:
            return None
        try:
            stat = self._config.file.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size


def _settings(config: RunConfig) -> RunConfig:
    """The configuration without what may change while a run goes on."""
    strategies = {name: evolve(each, params={}) for name, each in config.strategies.items()}
    return evolve(config, params={}, strategies=strategies, bots={})


def _change(name: str, before: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """What a change is to who reads of it; before the file's name."""
    if not params:
        return "is no more in"
    if name.startswith(BOT_PREFIX) and before and before["params"] == params["params"]:
        return f"switched {'on' if params['enabled'] else 'off'} in"
    return "new parameters from"
