"""`CA.get_request` and `CA.post_request`: what is sent, and what a strategy is given for it.

https://docs.crypto-arsenal.io, "get_request / post_request": a URL and the arguments of the library `requests`, whose
answer has `status_code`, `text` and `json()`. Here the request is only written down; a run carries it out (`Fetch`).
An address may hold a key in its query, so messages name the host alone.
"""

import base64
import json as json_library
from collections.abc import Callable, Mapping
from http.client import responses
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit, urlunsplit

from attrs import frozen

from mlthon.arsenal.wishes import ArgumentError, number, shown

PATIENCE_S: Final = 10.0
LONGEST_S: Final = 60.0
"""How long an answer is waited for, unless the strategy says so, and at most."""
MOST_BYTES: Final = 2 * 1024 * 1024
"""Of an answer: more would keep the engine busy with what is no trading."""
REQUESTS: Final = ("params", "data", "json", "headers", "auth", "cookies", "timeout", "allow_redirects")
"""The arguments of a request beside its URL."""
_SAFE: Final = "!$%&'()*+,/:;=?@[]~"
"""What is left as it is in an address: it may be quoted already."""


class RequestFailed(OSError):
    """No answer came, or one that `raise_for_status` does not take. An OSError, as the errors of `requests` are."""


@frozen(kw_only=True, repr=False)
class PageRequest:
    """`url` is whole, with its query, in ASCII. `timeout_s` is for all of it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    timeout_s: float = PATIENCE_S
    redirects: bool = True

    @property
    def host(self) -> str:
        """Where it goes, without what may be secret."""
        return urlsplit(self.url).hostname or ""

    def __repr__(self) -> str:
        return f"PageRequest({self.method} {self.host})"


@frozen(kw_only=True, repr=False)
class Page:
    """An answer, with the members of the answers of `requests` that strategies use."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes
    encoding: str = "utf-8"
    url: str = ""

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    @property
    def reason(self) -> str:
        return responses.get(self.status_code, "")

    @property
    def text(self) -> str:
        return self.content.decode(self.encoding, "replace")

    def json(self) -> Any:
        """Raises ValueError where it is no JSON."""
        return json_library.loads(self.content)

    def raise_for_status(self) -> None:
        """Raises `RequestFailed` for a status of 400 and above."""
        if not self.ok:
            raise RequestFailed(f"{urlsplit(self.url).hostname} answered {self.status_code} {self.reason}")

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"


Fetched = Page | RequestFailed
Fetch = Callable[[PageRequest, Callable[[Fetched], None]], None]
"""Carries a request out; the function it is given takes what came of it, at once or later."""


def page_request(
    method: str,
    url: Any = None,
    *,
    params: Any = None,
    data: Any = None,
    json: Any = None,
    headers: Any = None,
    auth: Any = None,
    cookies: Any = None,
    timeout: Any = None,
    allow_redirects: Any = True,
) -> PageRequest:
    """What these arguments, which are those of `requests`, ask for. Raises `ArgumentError`."""
    own: dict[str, str] = {}
    body = b""
    if data is not None and data not in ({}, "", b""):
        body = _body(data)
        if not isinstance(data, str | bytes):
            own["content-type"] = "application/x-www-form-urlencoded"
    elif json is not None:
        try:
            body = json_library.dumps(json, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise ArgumentError("json", f"cannot be written as JSON: {error}") from None
        own["content-type"] = "application/json"
    if auth is not None:
        own["authorization"] = _basic(auth)
    if cookies:
        pairs = _mapping(cookies, "cookies").items()
        own["cookie"] = _header("; ".join(f"{name}={value}" for name, value in pairs), "cookies")
    given = _mapping(headers, "headers").items()
    own |= {_header(name, "headers").lower(): _header(value, "headers") for name, value in given if value is not None}
    return PageRequest(
        method=method,
        url=_address(url, params),
        headers=own,
        body=body,
        timeout_s=_seconds(timeout),
        redirects=bool(allow_redirects),
    )


def _address(url: Any, params: Any) -> str:
    """The URL with the parameters behind the query that it has."""
    if not isinstance(url, str):
        raise ArgumentError("url", f"{shown(url)} is no text")
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
        name = "" if host is None else host if ":" in host else host.encode("idna").decode()
    except (ValueError, UnicodeError):
        raise ArgumentError("url", "it is no address") from None
    if parts.scheme not in ("http", "https") or not name:
        raise ArgumentError("url", "it is no address that begins with http:// or https://")
    if parts.username is not None:
        raise ArgumentError("url", "it has a user's name in it: use auth=(user, password)")
    place = (f"[{name}]" if ":" in name else name) + ("" if port is None else f":{port}")
    query = "&".join(filter(None, (quote(parts.query, safe=_SAFE), _query(params))))
    return urlunsplit(SplitResult(parts.scheme, place, quote(parts.path, safe=_SAFE) or "/", query, ""))


def _query(params: Any) -> str:
    if params is None:
        return ""
    if isinstance(params, str | bytes):
        return quote(params, safe=_SAFE)
    return _form(params, "params")


def _form(values: Any, argument: str) -> str:
    """Names and values as a form; a list is several values, None is left out."""
    items = values.items() if isinstance(values, Mapping) else values
    try:
        return urlencode([(name, value) for name, value in items if value is not None], doseq=True)
    except (TypeError, ValueError, UnicodeError):
        raise ArgumentError(argument, "it is no {key: value}") from None


def _body(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return (data if isinstance(data, str) else _form(data, "data")).encode()
    except UnicodeEncodeError:
        raise ArgumentError("data", "it cannot be written as UTF-8") from None


def _mapping(value: Any, argument: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ArgumentError(argument, "it is no {key: value}")
    return value


def _header(value: Any, argument: str) -> str:
    """Part of a request's head: a line break in it would begin another header."""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if not (text.isascii() and text.isprintable()):
        raise ArgumentError(argument, "a name or value has other characters than those of ASCII that can be printed")
    return text


def _basic(auth: Any) -> str:
    if not isinstance(auth, tuple | list) or len(auth) != 2:
        raise ArgumentError("auth", "it is no (user, password)")
    return "Basic " + base64.b64encode(f"{auth[0]}:{auth[1]}".encode()).decode()


def _seconds(timeout: Any) -> float:
    """`requests` takes a pair too: for connecting and for each read."""
    if isinstance(timeout, tuple | list):
        timeout = max((each for each in timeout if each is not None), default=None)
    seconds = number(timeout, "timeout")
    if seconds is None:
        return PATIENCE_S
    return min(float(seconds), LONGEST_S)
