"""A bot file: read, mended where tabs and spaces are mixed, run, and its class found.

The hosted platform shows a tab as four columns, and many bots mix tabs and spaces so that they line up there and
nowhere else. A file is compiled as it is; only if that fails on its indentation are the tabs at the beginning of its
lines expanded to four columns (a line that begins inside of a string is left alone) and is it compiled again.

The folder of the file comes first on `sys.path`: packages beside a bot are imported as everywhere. Whatever is wrong
with a file is a `UserError` that names the file and the line.
"""

import inspect
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from traceback import extract_tb
from types import CodeType, ModuleType
from typing import Any, Final

from attrs import frozen

from mlthon.errors import UserError, near
from mlthon.link.bot.http import routes_of
from mlthon.link.bot.link import Link, overridden

KINDS: Final = ("Trading", "Signals")
TAB: Final = 4
"""Columns of a tab on the hosted platform."""

_IMPORT: Final = re.compile(r"\s*(?:from\s+profitview\s+import\b|import\s+(?:[\w.]+\s*,\s*)*profitview\b)")
_CLASS: Final = re.compile(r"class\s+(\w+)\s*(?:\((.*))?")
_LINK: Final = re.compile(r"\bLink\b")
_TEMPLATE: Final = "from profitview import Link, and write class Trading(Link): (or Signals)."
_STRING: Final = re.compile(r"#|'''|\"\"\"|'|\"")
"""What begins a comment or a string."""
_LIBRARIES: Final = frozenset({"numpy", "pandas", "requests", "scipy", "sklearn", "talib"})


@frozen
class Program:
    """A bot that is loaded: its class, which of the two kinds it is, its module, and whether its tabs were expanded."""

    cls: type[Link]
    kind: str
    module: ModuleType
    mended: bool


def is_bot(path: Path) -> bool:
    """The file is a bot for the Link: it imports from `profitview` and has a class `Trading` or `Signals`. The text is
    looked at and nothing run; False for what is no readable Python file. Raises `UserError` for a bot whose class has
    another name: one that derives from `Link`, or is spelled much like it."""
    try:
        lines = list(_lines(read(path)))
    except UserError:
        return False
    code = [line for line, inside in lines if not inside]
    if not any(_IMPORT.match(line) for line in code):
        return False
    classes = {found[1]: found[2] or "" for line in code if (found := _CLASS.match(line))}
    meant = [name for name, bases in classes.items() if _LINK.search(bases) or near(name, KINDS)]
    if meant and not classes.keys() & set(KINDS):
        raise _misnamed(path, meant)
    return not classes.keys().isdisjoint(KINDS)


def _misnamed(path: Path, names: Iterable[str]) -> UserError:
    """A bot without a class of the right name; `names`: those it has."""
    has = "".join(f", but {name}{near(name, KINDS)}" for name in names)
    return UserError(
        f"{path}: a ProfitView bot needs a class Trading or Signals, and this one has none{has}", _TEMPLATE
    )


def read(path: Path) -> str:
    """The text of a file. Raises `UserError`."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}", "A bot is a Python file in UTF-8.") from None


def compiled(text: str, path: Path) -> tuple[CodeType, bool]:
    """The code of a file's text, and whether its tabs had to be expanded. Raises `UserError`."""
    try:
        return compile(text, str(path), "exec", dont_inherit=True), False
    except IndentationError:  # TabError is one.
        pass
    except (SyntaxError, ValueError) as error:
        raise _no_python(path, error) from None
    try:
        return compile(expand_tabs(text), str(path), "exec", dont_inherit=True), True
    except (SyntaxError, ValueError) as error:
        raise _no_python(path, error) from None


def expand_tabs(text: str) -> str:
    """`text` with the tabs at the beginning of its lines expanded to four columns, but for lines that begin inside of a
    string."""
    return "".join(line if inside else _expanded(line) for line, inside in _lines(text))


def load(path: Path, profitview: ModuleType) -> Program:
    """Run a bot file, which gets `profitview` as the module of this name, and find its class. Raises `UserError`."""
    path = path.resolve()
    code, mended = compiled(read(path), path)
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules["profitview"] = profitview
    module = ModuleType(f"bot_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    execute(code, module, path)
    cls = find_class(module, path)
    refuse_coroutines(cls)
    return Program(cls, "Signals" if vars(module).get("Signals") is cls else "Trading", module, mended)


def execute(code: CodeType, module: ModuleType, path: Path) -> None:
    """Run a bot file's code in its module. Raises `UserError` for whatever it raises."""
    try:
        exec(code, module.__dict__)
    except UserError as error:
        raise UserError(f"{place(error, path)}: {error.message}", error.hint) from None
    except ImportError as error:
        library = (error.name or "").partition(".")[0]
        hint = "Install the libraries that bots use: pip install 'mlthon-framework[link]'."
        beside = "Install it, or put it beside the bot."
        raise UserError(f"{place(error, path)}: {error}", hint if library in _LIBRARIES else beside) from error
    except SyntaxError as error:  # of a module that it imports
        raise UserError(f"{error.filename}:{error.lineno}: {error.msg}", "The bot imports this file.") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{place(error, path)}: {type(error).__name__}: {error}", "") from error


def find_class(module: ModuleType, path: Path) -> type[Link]:
    """The one class `Trading` or `Signals` of a bot's module. Raises `UserError`."""
    names: Mapping[str, Any] = vars(module)
    found: dict[str, type] = {name: names[name] for name in KINDS if isinstance(names.get(name), type)}
    if not found:
        own = [name for name, each in names.items() if isinstance(each, type) and issubclass(each, Link)]
        raise _misnamed(path, [name for name in own if names[name] is not Link])
    if len(found) > 1:
        raise UserError(f"{path}: has both a class Trading and a class Signals", "Keep one, and the other in a file.")
    ((name, cls),) = found.items()
    if issubclass(cls, Link):
        return cls
    raise UserError(f"{path}: class {name} does not derive from Link", _TEMPLATE)


def refuse_coroutines(cls: type[Link]) -> None:
    """A callback or webhook that is an `async def` would be called, and never run. Raises `UserError`."""
    for name in (*overridden(cls), *routes_of(cls).values()):
        method = getattr(cls, name)
        if inspect.iscoroutinefunction(method):
            code = method.__code__
            raise UserError(
                f"{code.co_filename}:{code.co_firstlineno}: async def {name}: it is called, and nobody awaits it",
                f"Write def {name}, with asyncio.run(...) where something is awaited. "
                "Methods under @cron.run may be async.",
            )


def place(error: BaseException, path: Path) -> str:
    """`file:line` of the last line of the bot's folder that an error came through, else of the file."""
    inside = [each for each in extract_tb(error.__traceback__) if each.filename.startswith(str(path.parent))]
    mine = [each for each in inside if "site-packages" not in each.filename]
    return f"{mine[-1].filename}:{mine[-1].lineno}" if mine else str(path)


def _no_python(path: Path, error: SyntaxError | ValueError) -> UserError:
    if isinstance(error, SyntaxError):
        return UserError(f"{path}:{error.lineno}: {type(error).__name__}: {error.msg}", (error.text or "").strip())
    return UserError(f"{path}: {error}", "A bot is a Python file in UTF-8.")


def _expanded(line: str) -> str:
    body = line.lstrip(" \t")
    return line[: len(line) - len(body)].expandtabs(TAB) + body


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it begins inside of a string."""
    quote = ""
    for line in text.splitlines(keepends=True):
        yield line, bool(quote)
        quote = _after(line, quote)


def _after(line: str, quote: str) -> str:
    """The quotation mark that is still open at the end of a line that begins with `quote` open."""
    at = 0
    while at < len(line):
        if quote:
            end = _closing(line, at, quote)
            if end < 0:
                return quote if len(quote) == 3 or _goes_on(line) else ""
            at, quote = end, ""
        else:
            opening = _STRING.search(line, at)
            if opening is None or opening.group() == "#":
                return ""
            at, quote = opening.end(), opening.group()
    return quote if len(quote) == 3 else ""


def _closing(line: str, at: int, quote: str) -> int:
    """Where the string that is open at `at` has been closed, or -1."""
    while at < len(line):
        if line[at] == "\\":
            at += 2
        elif line.startswith(quote, at):
            return at + len(quote)
        else:
            at += 1
    return -1


def _goes_on(line: str) -> bool:
    """The line ends with a backslash that joins the next one to it."""
    body = line.rstrip("\r\n")
    return body != line and (len(body) - len(body.rstrip("\\"))) % 2 == 1
