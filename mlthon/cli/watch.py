"""The configuration file, watched while a paper run goes on: changed parameters go to the strategies they are for."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from mlthon.config import BOT_PREFIX, RunConfig, params_by_name, reload_params
from mlthon.errors import UserError

log = logging.getLogger("mlthon.config")


class TakesParams(Protocol):
    """What gets new parameters: a session."""

    def update_params(self, params: Mapping[str, Any]) -> None: ...


class ParamsWatch:
    """`look` reads the file again when it has changed. A file that cannot be used is told once, and the old parameters
    stay. A strategy whose parameters are as they were hears nothing."""

    def __init__(self, config: RunConfig, sessions: Mapping[str, TakesParams]) -> None:
        self._config = config
        self._sessions = sessions
        self._seen = self._stamp()
        self._params = self._of(params_by_name(config))

    def look(self) -> None:
        """Called every now and then."""
        stamp = self._stamp()
        if stamp == self._seen or stamp is None:
            return
        self._seen = stamp
        try:
            fresh = self._of(reload_params(self._config))
        except UserError as error:
            log.warning("the parameters stay as they are: %s", error)
            return
        for name, params in fresh.items():
            if params != self._params.get(name):
                log.warning("%s: new parameters from %s", name, self._config.file)
                self._sessions[name].update_params(params)
        self._params = fresh

    def _of(self, params: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        """By the names of the strategies that run: their table's parameters, or those of the single strategy. A signal
        bot whose table is gone has none, and stops trading."""
        return {name: params.get(name, {} if name.startswith(BOT_PREFIX) else params[""]) for name in self._sessions}

    def _stamp(self) -> tuple[int, int] | None:
        if self._config.file is None:
            return None
        try:
            stat = self._config.file.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size
