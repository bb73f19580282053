"""What a request says, as plain values: query, form and JSON, strictly read.

Everything that comes from outside comes through here, so nothing beyond can meet a text that is no UTF-8, a number that
is none, or a nesting without end. Whatever is wrong raises `Refused` with the HTTP status and a sentence.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

MOST_BYTES: Final = 32 * 1024
"""The longest body that is read: half of what the control socket carries."""
DEEPEST: Final = 32
MOST_FIELDS: Final = 1_000
LARGEST: Final = 2**63
"""Whole numbers beyond 64 bits would be refused on the way to the engine."""
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"


class Refused(Exception):
    """A request that is not carried out. `status`: HTTP. `message`: for the sender, and free of secrets. `audit`: what
    stands in the audit log instead, where that may say more. `headers`: of the answer."""

    def __init__(
        self, status: int, message: str, hint: str = "", *, audit: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.hint = hint
        self.audit = audit or message
        self.headers = dict(headers or {})


def read_json(body: bytes) -> Any:
    """A JSON text (RFC 8259, so no NaN) as plain values. Raises `Refused`."""
    try:
        value = msgspec.json.decode(body)
        _check(value, DEEPEST)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(400, f"the body is no valid JSON: {_reason(error)}") from None
    except RecursionError:
        raise Refused(400, f"the JSON is nested more than {DEEPEST} deep") from None
    return value


def _reason(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ") or type(error).__name__


def _check(value: Any, deeper: int) -> None:
    """Raise what `read_json` tells of where a value is too deep or a number too large."""
    if isinstance(value, dict | list):
        if not deeper:
            raise RecursionError
        for each in value.values() if isinstance(value, dict) else value:
            _check(each, deeper - 1)
    elif isinstance(value, int) and not -LARGEST <= value < LARGEST:
        raise Refused(400, "the JSON has a whole number of more than 64 bits", "Send it as a text.")


def read_text(body: bytes) -> str:
    """UTF-8 text without control characters. Raises `Refused`."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(400, f"the body is no UTF-8 text (byte {error.start})") from None
    if any(ord(each) < 0x20 and each not in "\t\r\n" for each in text):
        raise Refused(400, "the body has control characters")
    return text


def read_form(text: bytes, what: str) -> dict[str, Any]:
    """A query string or form as texts by name, in its order; of a repeated name a list. Raises `Refused`."""
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS, separator="&"
        )
    except UnicodeError:
        raise Refused(400, f"the {what} is not URL-encoded UTF-8") from None
    except ValueError:
        raise Refused(400, f"the {what} has more than {MOST_FIELDS} fields") from None
    return collect(pairs)


def collect(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Pairs as a dict in their order; of a repeated name a list."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def media_type(header: str) -> str:
    """`application/json` of `application/json; charset=utf-8`."""
    return header.partition(";")[0].strip().lower()


def read_data(body: bytes, kind: str) -> dict[str, Any]:
    """The body of a POST as a dict: JSON where its media type or its first character says so, else a form. Raises
    `Refused`."""
    if not body.strip():
        return {}
    media = media_type(kind)
    if media == JSON or media.endswith("+json") or (media != FORM and body.lstrip()[:1] in (b"{", b"[")):
        value = read_json(body)
        if not isinstance(value, dict):
            raise Refused(400, f"the JSON must be an object, not {_kind(value)}", 'Such as {"venue": "BitMEX"}.')
        return value
    if media not in ("", FORM, "text/plain"):
        raise Refused(415, f"a body of type {media[:80]!r} is not read", f"Send {FORM} or {JSON}.")
    # what `requests` and JavaScript send where they were given a JSON text without a type
    if body.lstrip()[:1] == b"{":
        return read_data(body, JSON)
    return read_form(body.strip(), "form")


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
