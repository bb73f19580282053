"""What a bot hands over, as values that JSON can say: numpy numbers and arrays, tuples, times and Decimals included."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final

_AS_IT_IS: Final = (str, float, bool, type(None))
_LARGEST: Final = 2**63


def plain(value: Any) -> Any:
    """`value` in None, bool, int, float, str, list and dict with string keys. Integers beyond 64 bits become floats.
    Raises `TypeError` naming the type that cannot be said, `ValueError` for a value that contains itself."""
    try:
        return _plain(value)
    except RecursionError:
        raise ValueError("a value that contains itself (or is nested too deeply) cannot be sent") from None


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is int:
        return value if -_LARGEST <= value < _LARGEST else float(value)
    if kind is dict:
        return {key if type(key) is str else _key(key): _plain(each) for key, each in value.items()}
    if kind is list or kind is tuple:
        return [_plain(each) for each in value]
    return _unusual(value)


def _unusual(value: Any) -> Any:
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float | Decimal):
        return float(value)
    if isinstance(value, int):
        return _plain(int(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {_key(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | AbstractSet):
        return [_plain(each) for each in value]
    # numpy's numbers and arrays, pandas' series and indexes; then pandas' frames.
    for way in ("tolist", "to_dict"):
        convert = getattr(value, way, None)
        if callable(convert) and not isinstance(value, type):
            return _plain(convert())
    if hasattr(type(value), "__iter__") and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(each) for each in value]
    raise TypeError(f"a {type(value).__name__} is nothing that JSON can say: {value!r:.80}")


def _key(key: Any) -> str:
    said = _plain(key)
    if isinstance(said, list | dict):
        return str(key)
    return said if isinstance(said, str) else str(said)
