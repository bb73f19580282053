"""An exchange's own calls, made as they are named: what the codecs that offer them (`NativeCodec`) share.

A bot names a call by path, method and parameters; the codec knows where the path begins, how the call is signed and
against which limits it counts. What comes back is the exchange's JSON, whole.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from mlthon.venue.codec import Question, Refused
from mlthon.venue.wire import HttpAnswer

PAUSE_S: Final = 1.0
"""How long to wait after a refusal for the rate that does not say how long."""


@runtime_checkable
class NativeCodec(Protocol):
    """A codec that can make any call of its exchange."""

    def native(self, path: str, version: str, method: str, params: Mapping[str, Any]) -> Question[Any]:
        """The call `method path`, the path as the exchange documents it or below what all of its paths begin with.
        `version`: `public` (no key is needed) or `private` (signed). Gives what the exchange answers. Raises `Refused`,
        with `retry_after_s` where it was refused for its rate, and the other troubles of a question."""


def texts(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Parameters as they stand in a query, in their order, those that are None left out."""
    return [(name, text(value)) for name, value in params.items() if value is not None]


def text(value: Any) -> str:
    """One value: numbers in plain decimals (exchanges refuse 1e-05, and 5.0 for a count), flags as `true` and `false`,
    lists and objects as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        plain = format(Decimal(repr(value)), "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return msgspec.json.encode(value).decode()


def decoded(answer: HttpAnswer) -> Any:
    """The JSON of an answer. Raises `Refused` for what is none."""
    try:
        return msgspec.json.decode(answer.body)
    except msgspec.MsgspecError:
        shown = " ".join(answer.body[:80].decode("utf-8", "replace").split())
        raise Refused(f"the answer is no JSON: HTTP {answer.status}: {shown}") from None
