"""A strategy file of the platform: recognised by its text, loaded with the globals that it never imports.

`class Strategy(StrategyBase)` is the platform's form. The older one is a plain `class Strategy` whose `trade` takes
`information`, or which names the pairs it reads as `subscribedBooks`. What such a file needs of numpy, TA-Lib and
pandas is imported when its text mentions it, and only then.
"""

import ast
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from attrs import field, frozen

from mlthon.engine.clock import SECOND
from mlthon.errors import UserError

CLASS: Final = "Strategy"
BASE: Final = "StrategyBase"
CA: Final = "CA"
RESERVED: Final = {"exchange_fee": "0.001", "spread": "0", "leverage": "1", "IS_DEBUG": "false"}
"""The platform's own options, and what they are unless they are set."""
EXTRA: Final = "link"
"""The extra of this project that has TA-Lib and pandas."""
SHORTEST: Final = 60
LONGEST: Final = 7 * 86_400
"""The least and the greatest period, in seconds."""
_LIBRARIES: Final = {"np": "numpy", "talib": "talib", "pd": "pandas"}
_HOOKS: Final = ("trade", "on_order_state_change", "on_tradingview_signal")


class Form(Enum):
    """How a strategy is written: for `CA`, or returning lists of orders."""

    CURRENT = "current"
    OLDER = "older"


@frozen
class Source:
    """What a file says before it is run. `books`: the exchanges and pairs that it names, as far as they are written
    out; `needs`: the libraries' global names; `hooks`: the platform's methods that it has; `members`: what it uses of
    `CA`; `options`: those that it declares, as far as they are written out."""

    file: Path
    text: str
    form: Form
    books: Mapping[str, tuple[str, ...]] = field(factory=dict)
    needs: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(factory=dict)


def read(file: Path) -> Source | None:
    """What the file says; None where it is no strategy of the platform's (or no Python that can be parsed, about which
    others say more). It is not run."""
    text = file.read_bytes().decode("utf-8-sig", "replace")
    if CLASS not in text:
        return None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    cls = next((each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == CLASS), None)
    form = None if cls is None else _form(cls, tree)
    if cls is None or form is None:
        return None
    names = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    methods = {each.name for each in cls.body if isinstance(each, ast.FunctionDef)}
    return Source(
        file,
        text,
        form,
        _books(cls),
        tuple(each for each in _LIBRARIES if each in names),
        tuple(each for each in _HOOKS if each in methods),
        tuple(dict.fromkeys(_members(tree))),
        _options(cls),
    )


def _members(tree: ast.Module) -> Iterator[str]:
    for each in ast.walk(tree):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == CA:
            yield each.attr


def _form(cls: ast.ClassDef, tree: ast.Module) -> Form | None:
    bases = [each.id for each in cls.bases if isinstance(each, ast.Name)]
    if BASE in bases:
        return None if BASE in _imported(tree) else Form.CURRENT
    if cls.bases and bases != ["object"]:
        return None
    trade = next((each for each in cls.body if isinstance(each, ast.FunctionDef) and each.name == "trade"), None)
    if trade is None or len(trade.args.args) != 2:
        return None
    old = trade.args.args[1].arg == "information" or "subscribedBooks" in ast.dump(cls)
    return Form.OLDER if old else None


def _imported(tree: ast.Module) -> set[str]:
    """What the module defines itself or imports: then it is some other framework's."""
    found = {each.name for each in tree.body if isinstance(each, ast.ClassDef)}
    for each in ast.walk(tree):
        if isinstance(each, ast.Import | ast.ImportFrom):
            found |= {name.asname or name.name for name in each.names}
    return found


class _WrittenOut(ast.NodeTransformer):
    """Puts in the place of `self.name` what was assigned to it."""

    def __init__(self, written: Mapping[str, Any]) -> None:
        self._written = written

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return ast.Constant(self._written[node.attr]) if node.attr in self._written else node


def _books(cls: ast.ClassDef) -> dict[str, tuple[str, ...]]:
    """`self.subscribed_books = {"Binance": {"pairs": ["BTC-USDT"]}}`."""
    value = _assigned(cls, "subscribed_books", "subscribedBooks")
    try:
        return {str(name): tuple(map(str, what["pairs"])) for name, what in value.items()}
    except (TypeError, KeyError, AttributeError):
        return {}


def _options(cls: ast.ClassDef) -> dict[str, Any]:
    """`self.options = {"leverage": "5"}`."""
    value = _assigned(cls, "options")
    return {name: each for name, each in value.items() if isinstance(name, str)} if isinstance(value, dict) else {}


def _assigned(cls: ast.ClassDef, *names: str) -> Any:
    """What an attribute of one of these names is first set to, as far as it is written out: also with `[self.pair]`,
    where that is. None where it is not."""
    written = {
        each.targets[0].attr: each.value.value
        for each in ast.walk(cls)
        if isinstance(each, ast.Assign)
        and isinstance(each.targets[0], ast.Attribute)
        and isinstance(each.value, ast.Constant)
    }
    for each in ast.walk(cls):
        if not isinstance(each, ast.Assign) or not isinstance(each.targets[0], ast.Attribute):
            continue
        if each.targets[0].attr in names:
            try:
                return ast.literal_eval(_WrittenOut(written).visit(each.value))
            except (ValueError, TypeError):
                return None
    return None


def texts(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as options: the platform's are all text."""
    return {
        str(name): value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in params.items()
    }


def period_of(user: Any) -> int:
    """The strategy's period in ns. Raises `UserError`."""
    period = getattr(user, "period", None)
    try:
        seconds = float(period)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        seconds = 0.0
    if not SHORTEST <= seconds <= LONGEST or seconds % 60:
        raise UserError(
            f"{CLASS}.period is {period!r}",
            f"It is in seconds: whole minutes, at least {SHORTEST}, at most {LONGEST} (7 days).",
        )
    return int(seconds) * SECOND


def load(source: Source, given: Mapping[str, Any]) -> type[Any]:
    """Run the file with these globals and those libraries that it needs; gives its class. Raises `UserError` for a
    library that is not installed; whatever the file raises comes through."""
    name = f"arsenal_strategy_{source.file.stem}"
    module = ModuleType(name)
    file = str(source.file.resolve())  # as frames of errors show it
    module.__file__ = file
    vars(module).update(given)
    for each in source.needs:
        vars(module)[each] = _library(each, source.file)
    sys.modules[name] = module
    code = compile(source.text, file, "exec", dont_inherit=True)
    exec(code, vars(module))
    cls = vars(module)[CLASS]
    if not isinstance(cls, type):
        raise UserError(f"{source.file}: {CLASS} is no class any more once the file has run")
    return cls


def _library(name: str, file: Path) -> Any:
    library = _LIBRARIES[name]
    try:
        found = importlib.import_module(library)
        if name == "pd":
            _give_append(found)
        return found
    except ModuleNotFoundError:
        raise UserError(
            f"{file}: the strategy uses {name} ({library}), which is not installed",
            f"Install the extra that has it: pip install 'mlthon-framework[{EXTRA}]'",
        ) from None


def _give_append(pandas: Any) -> None:
    """`DataFrame.append`, which pandas had until its version 2 and strategies written for the platform use: rows of a
    dict, a Series, another frame, or a list of these, below one's own."""

    def append(frame: Any, other: Any, ignore_index: bool = False) -> Any:
        added = other if isinstance(other, list) else [other]
        frames = [each if isinstance(each, pandas.DataFrame) else pandas.DataFrame([each]) for each in added]
        return pandas.concat([frame, *frames], ignore_index=ignore_index)

    if not hasattr(pandas.DataFrame, "append"):
        pandas.DataFrame.append = append


class StrategyBase:
    """What the platform's strategies derive from. `self["name"]` reads an option, "" where there is none; the options
    that are given from outside beat those that the strategy declares."""

    period: Any
    subscribed_books: Any
    given: Mapping[str, str] = {}
    """The options from outside, and the platform's own: set on a class of its own for each strategy."""
    outside: frozenset[str] = frozenset()
    """Which of them are from outside."""
    reserved_set: Callable[[str, Any], str]
    """Told what the strategy's code sets one of the platform's own options to; gives what it is then."""

    @property
    def options(self) -> dict[str, Any]:
        found: dict[str, Any] = self.__dict__.setdefault("_options", dict(self.given))
        return found

    @options.setter
    def options(self, declared: Any) -> None:
        declared = declared if isinstance(declared, dict) else {}
        found = self.__dict__["_options"] = {**declared, **self.given}
        for name in RESERVED:
            if name in declared and name not in self.outside:
                found[name] = self.reserved_set(name, declared[name])

    def __getitem__(self, key: str) -> Any:
        return self.options.get(key, "")

    def __setitem__(self, key: str, value: Any) -> None:
        self.options[key] = value
        if key in RESERVED:
            self.reserved_set(key, value)
