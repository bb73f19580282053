"""From what the command line calls STRATEGY to a class: `module`, `module:Class`, `my.py`, `my.py:Class`.

A module or file without a class name must hold exactly one strategy: one class derived from `IStrategy` that it defines
(a package: that its `__init__` re-exports from itself). The folder of the file, or the working folder, is put in front
of `sys.path`, so that a strategy finds what lies beside it, also later from a callback. Before that the packages that
come with mlthon are made known from where they are installed: a folder called `feedhandlers` there does not hide ours.

Whatever is wrong with a strategy is a `UserError` that names the file and line at fault. A callback that nobody could
call (`async def`) is wrong; a method whose name is nearly a callback's is pointed at, because nobody calls it.
"""

import importlib
import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.machinery import PathFinder
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, Final

from attrs import frozen

from mlthon.api.istrategy import IStrategy
from mlthon.errors import UserError, near

log = logging.getLogger("mlthon.strategy")

_HOW: Final = "A strategy is a module (demo_strat), module:Class, or a file (my.py, my.py:Class)."
_OURS: Final = ("feedhandlers", "gateways")
"""What stands beside the package `mlthon` and is imported only when it is needed."""
_ROOT: Final = Path(__file__).resolve().parents[2]
_EXTENSIONS: Final = ("on_best_levels_update", "on_position_details")
"""Callbacks that `IStrategy` does not have: what a strategy defines of them is called."""
_CALLBACKS: Final = (*(name for name in vars(IStrategy) if name.startswith("on_")), *_EXTENSIONS)
_ALIKE: Final = 0.85
"""How much of a name must be a callback's to be taken for one: `on_best_bid_update` is, `on_status` is not."""
_DERIVE: Final = "from mlthon.api.istrategy import IStrategy, and write class {}(IStrategy):"


@frozen
class Spec:
    """What a STRATEGY argument says: a file or a module, and the class in it if it names one."""

    text: str
    target: str
    class_name: str | None
    file: Path | None

    @property
    def name(self) -> str:
        """What the strategy is called where its configuration gives no name."""
        return self.class_name or (self.file.stem if self.file else self.target.rpartition(".")[2])


def parse_spec(text: str) -> Spec:
    """Take a STRATEGY argument apart. Raises `UserError` when it can be none."""
    target, colon, class_name = text.strip().partition(":")
    if not target or (colon and not class_name.isidentifier()):
        raise UserError(f"{text!r} names no strategy", _HOW)
    looks_like_file = target.endswith(".py") or os.sep in target
    file = Path(target).expanduser() if looks_like_file else None
    if file is None and not all(part.isidentifier() for part in target.split(".")):
        raise UserError(f"{text!r} names no strategy: {target!r} is neither a module nor a .py file", _HOW)
    if file is not None and file.is_dir():
        return Spec(text, str(file), class_name or None, file / "__init__.py")
    return Spec(text, target, class_name or None, file)


def load_strategy(text: str) -> type[IStrategy]:
    """The class that STRATEGY names. Raises `UserError` for whatever keeps it from being loaded."""
    spec = parse_spec(text)
    module = _load_file(spec, spec.file) if spec.file else _load_module(spec)
    found = _named(spec, module) if spec.class_name else _only(spec, module)
    _check_callbacks(found)
    return found


def _check_callbacks(cls: type[IStrategy]) -> None:
    for name in dir(cls):
        if not name.startswith("on_"):
            continue
        function = getattr(cls, name)
        if name in _CALLBACKS:
            if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
                code = inspect.unwrap(function).__code__
                raise UserError(
                    f"{_short(code.co_filename)}:{code.co_firstlineno}: {cls.__name__}.{name} is an async def",
                    "Write def: callbacks are plain functions, and what answers a request is a callback of its own.",
                )
        elif alike := get_close_matches(name, _CALLBACKS, n=1, cutoff=_ALIKE):
            log.warning("%s.%s is no callback: did you mean %s?", cls.__name__, name, alike[0])


def default_config(text: str) -> Path | None:
    """The configuration that lies beside a strategy: `my.toml` of `my.py`, `demo_strat/demo_strat.toml` of the package
    `demo_strat`; None where there is none."""
    spec = parse_spec(text)
    file = spec.file or _file_of(spec.target)
    if file is None:
        return None
    stem = file.resolve().parent.name if file.name == "__init__.py" else file.stem
    beside = file.parent / f"{stem}.toml"
    return beside if beside.is_file() else None


def construct(cls: type[IStrategy], params: Mapping[str, Any]) -> IStrategy:
    """An instance of a strategy: its constructor gets a copy of the parameters where it takes an argument.

    Raises `UserError` when the constructor wants more than that, or raises.
    """
    try:
        taken = _takes(cls)
    except ValueError:
        taken = 0
    try:
        return cls(dict(params)) if taken else cls()  # type: ignore[call-arg]
    except Exception as error:
        place = place_of(error, _folder_of(cls))
        raise UserError(
            f"{place}: the constructor of {cls.__name__} raised {_say(error)}",
            f"It was called with {'the parameters ' + repr(dict(params)) if taken else 'no argument'}.",
        ) from error


def _takes(cls: type) -> int:
    """How many arguments (0 or 1) the constructor of `cls` is to be given."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(cls).parameters.values())
    required = [each for each in parameters if each.kind in positional and each.default is each.empty]
    if len(required) > 1:
        names = ", ".join(each.name for each in required)
        raise UserError(
            f"the constructor of {cls.__name__} wants {len(required)} arguments ({names})",
            "Let it take one, the dict of its parameters, or none.",
        )
    return int(any(each.kind in (*positional, inspect.Parameter.VAR_POSITIONAL) for each in parameters))


# ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _file_of(module: str) -> Path | None:
    """The file of a module, without running it."""
    _make_importable(Path.cwd())
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError, SyntaxError):
        return None
    return Path(found.origin) if found and found.origin and found.has_location else None


def keep_ours() -> None:
    """Settle that `feedhandlers` and `gateways` are mlthon's, whatever folders of these names come first on `sys.path`:
    the working folder does, in `python -m`. What is imported already stays."""
    for name in _OURS:
        found = None if name in sys.modules else PathFinder.find_spec(name, [str(_ROOT)])
        if found is not None and found.loader is not None:
            module = importlib.util.module_from_spec(found)
            sys.modules[name] = module
            found.loader.exec_module(module)


def _make_importable(folder: Path) -> None:
    keep_ours()
    path = str(folder.resolve())
    if path not in sys.path:
        sys.path.insert(0, path)
        importlib.invalidate_caches()


def _load_module(spec: Spec) -> ModuleType:
    _make_importable(Path.cwd())
    try:
        return importlib.import_module(spec.target)
    except ModuleNotFoundError as error:
        if error.name and (spec.target == error.name or spec.target.startswith(error.name + ".")):
            raise _no_such(spec, Path.cwd()) from None
        raise _broken(spec, error, Path.cwd()) from error
    except (Exception, SystemExit) as error:
        raise _broken(spec, error, Path.cwd()) from error


def _load_file(spec: Spec, file: Path) -> ModuleType:
    if not file.is_file():
        raise _no_such(spec, file.parent)
    package = file.parent if file.name == "__init__.py" else None
    _make_importable(package.resolve().parent if package else file.parent)
    name = _module_name(file.resolve())
    present = sys.modules.get(name)
    if present is not None:
        return present
    found = importlib.util.spec_from_file_location(name, file.resolve())
    if found is None or found.loader is None:
        raise UserError(f"{file}: not a Python file", _HOW)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(spec, error, file.parent) from error
    return module


def _module_name(file: Path) -> str:
    """The name under which a file is loaded: its own, so that what lies beside it can import it, unless another module
    has that name."""
    stem = file.parent.name if file.name == "__init__.py" else file.stem
    taken = sys.modules.get(stem)
    if taken is not None and getattr(taken, "__file__", None) == str(file):
        return stem
    clashes = taken is not None or stem in sys.stdlib_module_names or not stem.isidentifier()
    return f"strategy_file:{file}" if clashes else stem


# ── choosing the class ───────────────────────────────────────────────────────────────────────────────────────────────


def _classes(module: ModuleType) -> dict[str, type]:
    return {name: value for name, value in vars(module).items() if isinstance(value, type)}


def _is_own(cls: type, module: ModuleType) -> bool:
    return cls.__module__ == module.__name__ or cls.__module__.startswith(module.__name__ + ".")


def _named(spec: Spec, module: ModuleType) -> type[IStrategy]:
    name = spec.class_name or ""
    found = getattr(module, name, None)
    if found is None:
        known = _classes(module)
        raise UserError(f"{spec.target} has no class {name!r}{near(name, known)}", _listing(module))
    if not isinstance(found, type):
        raise UserError(f"{spec.text} is no class, but of type {type(found).__name__}", _listing(module))
    if not issubclass(found, IStrategy):
        raise UserError(f"{spec.text} is no strategy: the class does not derive from IStrategy", _DERIVE.format(name))
    return found


def _listing(module: ModuleType) -> str:
    names = [cls.__name__ for cls in _strategies(module)]
    return f"Its strategies: {', '.join(names)}." if names else ""


def _strategies(module: ModuleType) -> list[type[IStrategy]]:
    """The strategies of a module: its own, and only where it has none those that it imports."""
    every = [cls for cls in _classes(module).values() if issubclass(cls, IStrategy) and cls is not IStrategy]
    own = [cls for cls in every if _is_own(cls, module)]
    return list(dict.fromkeys(own or every))


def _only(spec: Spec, module: ModuleType) -> type[IStrategy]:
    found = _strategies(module)
    leaves = [cls for cls in found if not any(other is not cls and issubclass(other, cls) for other in found)]
    if len(leaves) == 1:
        return leaves[0]
    if leaves:
        names = ", ".join(f"{spec.target}:{cls.__name__}" for cls in leaves)
        raise UserError(f"{spec.target} holds {len(leaves)} strategies", f"Name one of them: {names}.")
    alike = next((cls for cls in _classes(module).values() if _is_own(cls, module) and _looks_alike(cls)), None)
    raise UserError(
        f"{spec.target} holds no strategy: no class in it derives from IStrategy",
        _DERIVE.format(alike.__name__ if alike else "MyStrategy"),
    )


def _looks_alike(cls: type) -> bool:
    return any(name.startswith("on_") and name in vars(IStrategy) for name in vars(cls))


# ── telling what is wrong ────────────────────────────────────────────────────────────────────────────────────────────


def _no_such(spec: Spec, folder: Path) -> UserError:
    wanted = Path(spec.target).name if spec.file else spec.target
    known = list(_candidates(folder, files=spec.file is not None))
    what = "file" if spec.file else "module"
    return UserError(f"no such strategy: there is no {what} {spec.target}{near(wanted, known)}", _HOW)


def _candidates(folder: Path, *, files: bool) -> Iterator[str]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py":
            yield path.name if files else path.stem
        elif not files and (path / "__init__.py").is_file():
            yield path.name


def _broken(spec: Spec, error: BaseException, folder: Path) -> UserError:
    """What is told of a strategy whose module raised while it was imported."""
    if isinstance(error, SyntaxError):
        source = (error.text or "").rstrip()
        mark = (
            f"\n  {' ' * (error.offset - 1 - len(source) + len(source.lstrip()))}^" if error.offset and source else ""
        )
        place = f"{_short(error.filename or spec.target)}:{error.lineno}"
        return UserError(f"{place}: syntax error: {error.msg}", f"  {source.lstrip()}{mark}" if source else "")
    return UserError(f"{place_of(error, folder)}: loading {spec.text} raised {_say(error)}", _hint(error))


def _say(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if top in ("mlthon", *_OURS):
            return f"mlthon has a package {top} of its own: give a folder or file of yours another name."
        return f"Install what provides {error.name!r}, or put {error.name}.py beside the strategy."
    return ""


def _folder_of(cls: type) -> Path:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return Path(file).parent if file else Path.cwd()


def place_of(error: BaseException, folder: Path) -> str:
    """`file:line` of the innermost frame in `folder`; of the innermost of all where none is there."""
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    root = str(folder.resolve()) + os.sep
    inside = [each for each in frames if each.filename.startswith(root) and "site-packages" not in each.filename]
    theirs = [
        each for each in inside if not each.filename.startswith(str(Path(__file__).resolve().parents[1]) + os.sep)
    ]
    chosen = (theirs or [each for each in frames if each.filename != __file__] or frames)[-1]
    return f"{_short(chosen.filename)}:{chosen.lineno}"


def _short(filename: str) -> str:
    """The path as a person would write it from here."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
