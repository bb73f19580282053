"""Changes of a bot's files taken over while it runs: the file itself, and modules beside it.

A module that has changed is run again in its own namespace (as `importlib.reload` does, but always from its source),
so what it sets at module level is set anew. Then what others hold of it is brought up to date: classes keep their
identity and get the new methods and attributes, so that objects which exist behave as the new code says; functions that
other modules of the folder imported by name are replaced there. A module that no longer compiles or raises is reported
and stays as it was. What runs meanwhile goes on with the code it began with; routes and overridden callbacks are looked
up anew and told to the host, schedules of cron jobs are not (their methods are).
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

from mlthon.errors import UserError
from mlthon.link.bot.source import Program, compiled, execute, place, read

_NOT_OURS: Final = frozenset({"site-packages", "dist-packages", "__pycache__"})
_KEPT: Final = frozenset({"__dict__", "__weakref__", "__module__", "__qualname__"})
_PARTS: Final = ("fget", "fset", "fdel", "__func__", "__wrapped__")
"""Where a property, a static or class method, and a decorated function keep their functions."""


class Reloader:
    """Looks for changes when `check` is called."""

    def __init__(self, program: Program, report: Callable[[str], None]) -> None:
        self._program = program
        self._path = Path(str(program.module.__file__))
        self._report = report
        self._seen = {name: _stamp(module) for name, module in self._modules()}

    def check(self) -> bool:
        """Take over what has changed since the last look; whether anything was."""
        changed = []
        for name, module in self._modules():
            stamp = _stamp(module)
            if self._seen.setdefault(name, stamp) != stamp:
                self._seen[name] = stamp
                changed.append(module)
        # The bot comes last: it imports the others.
        changed.sort(key=lambda module: module is self._program.module)
        taken = [self._take(module) for module in changed]
        return any(taken)

    def _modules(self) -> Iterator[tuple[str, ModuleType]]:
        """The bot's module and those of its folder."""
        folder = self._path.parent
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not isinstance(module, ModuleType):
                continue
            path = Path(file)
            if path.is_relative_to(folder) and not _NOT_OURS.intersection(path.relative_to(folder).parts):
                yield name, module

    def _take(self, module: ModuleType) -> bool:
        before = dict(vars(module))
        try:
            self._run(module)
        except Exception as error:  # noqa: BLE001 - whatever the new code raises
            vars(module).clear()
            vars(module).update(before)
            said = error.message if isinstance(error, UserError) else f"{place(error, self._path)}: {error}"
            self._report(f"{module.__file__} has changed and is not taken over: {said}")
            return False
        self._update(module, before)
        self._report(f"{module.__file__} has changed and is taken over")
        return True

    def _run(self, module: ModuleType) -> None:
        path = Path(str(module.__file__))
        code, _ = compiled(read(path), path)
        execute(code, module, path)

    def _update(self, module: ModuleType, before: dict[str, Any]) -> None:
        """Bring what others hold of a module up to date."""
        names = vars(module)
        replaced: dict[int, Any] = {}
        for name, old in before.items():
            new = names.get(name)
            if new is old or getattr(old, "__module__", None) != module.__name__:
                continue
            if isinstance(old, type) and isinstance(new, type):
                _renew(old, new)
                names[name] = old
            elif isinstance(old, FunctionType) and callable(new):
                replaced[id(old)] = new
        for _, other in self._modules():
            for name, value in list(vars(other).items()):
                if id(value) in replaced:
                    setattr(other, name, replaced[id(value)])


def _renew(old: type, new: type) -> None:
    """Give a class what its new version has."""
    for name in set(vars(old)) - set(vars(new)) - _KEPT:
        delattr(old, name)
    for name, value in list(vars(new).items()):
        if name not in _KEPT:
            _adopt(value, old)
            setattr(old, name, value)


def _adopt(value: Any, owner: type) -> None:
    """Let `super()` in a method mean the class that it moves to."""
    for part in (value, *(getattr(value, each, None) for each in _PARTS)):
        if isinstance(part, FunctionType) and "__class__" in part.__code__.co_freevars and part.__closure__:
            part.__closure__[part.__code__.co_freevars.index("__class__")].cell_contents = owner


def _stamp(module: ModuleType) -> tuple[int, int]:
    """What changes when a module's file does."""
    try:
        found = os.stat(str(module.__file__))
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
