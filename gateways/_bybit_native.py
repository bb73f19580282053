"""Bybit's own calls, as `mlthon.venue.native` has them: `market/tickers`, with or without the `/v5/` before it.

There are GET calls, whose parameters go in the query, and POST calls, whose parameters are a JSON body. An answer is
the whole of Bybit's: `retCode`, `retMsg`, `result`, `retExtInfo`, `time`. One whose `retCode` is not 0 is a refusal.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors
from mlthon.protocols import bybit_private as wire
from mlthon.venue.codec import Question, Refused
from mlthon.venue.native import PAUSE_S, decoded, texts
from mlthon.venue.scrub import scrub
from mlthon.venue.wire import HttpAnswer, HttpMessage, Request

ROOT: Final = "/v5/"
METHODS: Final = ("GET", "POST")


def native(
    sign: tables.Signer | None,
    key: str,
    window: int,
    costs: Sequence[tuple[str, int]],
    path: str,
    method: str,
    params: Mapping[str, Any],
) -> Question[Any]:
    """Make a call; signed if there is something to sign with. `costs`: what every call counts against."""
    target = path_of(path)
    if method not in METHODS:
        raise Refused(f"{method} {path}: Bybit's calls are {' and '.join(METHODS)} alone")
    query = "&".join(f"{name}={quote(value, safe='%:,')}" for name, value in texts(params)) if method == "GET" else ""
    body = wire.encode({name: value for name, value in params.items() if value is not None}) if method == "POST" else ""

    def build(now_ms: int) -> HttpMessage:
        headers = tables.signed_headers(sign, key, now_ms, window, query or body) if sign else {}
        if method == "POST":
            headers["Content-Type"] = "application/json"
        return HttpMessage(method, f"{target}?{query}" if query else target, headers, body.encode())

    rules = (*costs, (target, 1)) if target in tables.READ_LIMITS else tuple(costs)
    answer = yield Request(f"{method} {target}", build, rules)
    return _told(answer, key)


def path_of(path: str) -> str:
    """A path as it is sent."""
    return ROOT + path.strip("/").removeprefix("v5/")


def _told(answer: HttpAnswer, key: str) -> Any:
    if answer.status in (403, 429):
        pause = tables.IP_BAN_S if answer.status == 403 else PAUSE_S
        raise Refused(f"too many requests (HTTP {answer.status})", retry_after_s=pause)
    if answer.status != 200:
        raise Refused("there is no such call (HTTP 404)" if answer.status == 404 else f"HTTP {answer.status}")
    said = decoded(answer)
    code = said.get("retCode") if isinstance(said, dict) else None
    if code == errors.OK:
        return said
    if not isinstance(code, int):
        raise Refused("the answer has no retCode")
    limited = code in errors.LIMITED
    raise Refused(f"{scrub(str(said.get('retMsg')), (key,))} (code {code})", retry_after_s=PAUSE_S if limited else None)
