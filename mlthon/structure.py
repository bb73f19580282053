"""From TOML to typed classes, and from whatever is wrong in it to one message a person can act on.

cattrs builds the classes; the hooks here make it strict (a text is no number, a single text is no list) and the walk
over its errors turns each into `place: what is wrong; what was meant`.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar, get_origin

from attrs import fields, has
from cattrs import AttributeValidationNote, Converter, IterableValidationNote
from cattrs.cols import homogenous_tuple_structure_factory, list_structure_factory, mapping_structure_factory
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn

from mlthon.errors import UserError, near

Tree = dict[str, Any]
KeyPath = tuple[str, ...]
Fault = tuple[KeyPath, str]
"""The key or table that is wrong, and what is wrong with it."""
T = TypeVar("T")

_SHOWN: Final = 5
"""How many errors of one file are told at once."""


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_toml(file: Path) -> Tree:
    """The content of a TOML file. Raises `UserError` with the line at fault when there is none to be had."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise UserError(f"{file}: no such configuration file{_neighbours(file)}") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}: not UTF-8 text (byte {error.start})", "A configuration is a TOML text file."
        ) from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file}: not valid TOML: {error}", _line_of(text, str(error))) from None


def _neighbours(file: Path) -> str:
    try:
        return near(file.name, [path.name for path in file.parent.glob("*.toml")])
    except OSError:
        return ""


def _line_of(text: str, error: str) -> str:
    """The source line that a TOML error ("… (at line 3, column 5)") speaks of."""
    _, _, tail = error.rpartition("(at line ")
    number = tail.partition(",")[0]
    lines = text.splitlines()
    if not number.isdigit() or not 0 < int(number) <= len(lines):
        return ""
    return f"Line {number}: {lines[int(number) - 1].strip()}"


def parse_setting(setting: str) -> tuple[KeyPath, Any]:
    """The keys and the value of `a.b=VALUE`. The value is read as TOML; what is no TOML is the text itself."""
    key, equals, text = setting.partition("=")
    keys = tuple(part.strip() for part in key.split("."))
    if not equals or not all(keys):
        raise UserError(f"--set {setting}: not of the form key=value", "For example: --set quote_qty=0.01")
    try:
        parsed = tomllib.loads(f"value = {text.strip()}")
    except tomllib.TOMLDecodeError:
        return keys, text
    return keys, parsed["value"] if len(parsed) == 1 else text


# ── building ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_SCALARS: Final[Mapping[type, tuple[tuple[type, ...], str]]] = {
    int: ((int,), "a whole number"),
    float: ((float, int), "a number"),
    str: ((str,), "a text"),
    bool: ((bool,), "true or false"),
}


def _scalar(wanted: type, allowed: tuple[type, ...], name: str) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, allowed) or (isinstance(value, bool) and wanted is not bool):
            raise ValueError(f"needs {name}, not {value!r}")
        return wanted(value)

    return hook


def _decimal(value: Any, _: Any) -> Decimal:
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, TypeError, ValueError):
        raise ValueError(f"needs a number, not {value!r}") from None
    if isinstance(value, bool) or not number.is_finite():
        raise ValueError(f"needs a number, not {value!r}")
    return number


def _enum(value: Any, kind: type[Enum]) -> Enum:
    """A member by its name, or by its value where that is a text."""
    named = {each.value if isinstance(each.value, str) else name: each for name, each in kind.__members__.items()}
    if isinstance(value, str) and value in named:
        return named[value]
    raise ValueError(f"needs one of {', '.join(named)}, not {value!r}{near(str(value), named)}")


def _needs(container: type, name: str, build: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def hook(value: Any, kind: Any) -> Any:
        if not isinstance(value, container):
            raise ValueError(f"needs {name}, not {value!r}")
        return build(value, kind)

    return hook


def _is(*origins: type) -> Callable[[Any], bool]:
    return lambda kind: (get_origin(kind) or kind) in origins


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for kind, (allowed, name) in _SCALARS.items():
        converter.register_structure_hook(kind, _scalar(kind, allowed, name))
    converter.register_structure_hook(Decimal, _decimal)
    converter.register_structure_hook_func(lambda t: isinstance(t, type) and issubclass(t, Enum), _enum)
    containers: tuple[tuple[Callable[[Any], bool], type, str, Callable[[Any, Converter], Any]], ...] = (
        (_is(list), list, 'a list such as ["a", "b"]', list_structure_factory),
        (_is(tuple), list, 'a list such as ["a", "b"]', homogenous_tuple_structure_factory),
        (_is(dict, Mapping), dict, "a table", mapping_structure_factory),
        (has, dict, "a table", _class_factory),
    )
    for applies, container, name, factory in containers:
        converter.register_structure_hook_factory(applies, _strict(container, name, factory))
    return converter


def _class_factory(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    return make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)


def _strict(
    container: type, name: str, factory: Callable[[Any, Converter], Callable[[Any, Any], Any]]
) -> Callable[[Any, Converter], Callable[[Any, Any], Any]]:
    return lambda kind, converter: _needs(container, name, factory(kind, converter))


_CONVERTER: Final = _converter()


def structure(tree: Tree, kind: type[T], place: Callable[[Fault], str]) -> T:
    """Build `kind` from `tree`. `place` says where a fault comes from: the file, or the setting.

    Raises `UserError` with every (at most five) fault.
    """
    try:
        return _CONVERTER.structure(tree, kind)
    except BaseValidationError as error:
        found = [f"{place(fault)}: {fault[1]}" for fault in _walk(error, ())]
    more = [f"... and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    raise UserError("\n".join(found[:_SHOWN] + more))


def faults(tree: Tree, kind: type) -> list[Fault]:
    """What keeps `kind` from being built from `tree`; nothing where it can be."""
    try:
        _CONVERTER.structure(tree, kind)
    except BaseValidationError as error:
        return list(_walk(error, ()))
    return []


# ── telling what is wrong ────────────────────────────────────────────────────────────────────────────────────────────


def _walk(error: BaseException, path: KeyPath) -> Iterator[Fault]:
    """Every wrong key below `error`, with its path."""
    if isinstance(error, BaseValidationError):
        for part in error.exceptions:
            yield from _walk(part, path + _step(part))
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.alias or field.name for field in fields(error.cl)]
        for key in sorted(error.extra_fields):
            yield (*path, key), f"{_name(path)} has no key {key!r}{near(key, known)}\n  Its keys: {', '.join(known)}"
    elif isinstance(error, KeyError):
        yield path, f"{_name(path[:-1])} lacks the key {path[-1]!r}"
    else:
        text = f"{error.args[0] if error.args else error}"
        yield path, f"{_name(path)}: {text}" if path else text


def _step(error: BaseException) -> KeyPath:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return (note.name,)
        if isinstance(note, IterableValidationNote):
            return (str(note.index),)
    return ()


def _name(path: KeyPath) -> str:
    return ".".join(path) or "the top level"
