"""Whatever is sent to any endpoint: it is answered, never by a 500, and the engine hears of nothing unauthorised."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings

from mlthon.ops.contract import GetFigures, GetWebhooks
from mlthon.ops.web.bodies import Refused, read_data, read_form, read_json, read_text
from mlthon.ops.web.limits import Rates
from tests.ops.web.kit import API_KEY, SECRET, Site

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

METHODS = st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "X"])
WORDS = ("trading", "bot", "trading-signal", "webhook", "tradingview", "metrics", "health", "stream", "TOKEN")
PIECES = st.sampled_from([*WORDS, SECRET, "balances", "cancel_order", "..", "%00", "%2e%2e", "%ff", "*", ""]) | st.text(
    st.characters(codec="ascii", categories=("L", "N")), max_size=20
)
PATHS = st.lists(PIECES, max_size=6).map(lambda parts: "/" + "/".join(parts))
QUERIES = st.one_of(
    st.just(""),
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4),
    st.sampled_from(["token=" + API_KEY, "%", "a=%ff", "&&&=", "a" * 3000]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["connectorName", "connectorToken", "action", "clientOrderId", "fixed", "delaySeconds", "x"])
SIGNALS = st.dictionaries(NAMES, JSON | st.sampled_from(["tv", "TOKEN"]), max_size=7)
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    SIGNALS.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"[" * 30_000, b'{"a":' * 9_000, b"NaN", b'"\\ud800"', b"\xef\xbb\xbf{}", b"1e999"]),
)
KINDS = st.sampled_from(
    ["", "application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "a/b; c", "\xff"]
)
HEADERS = st.dictionaries(
    st.sampled_from(["x-forwarded-for", "x-nonce", "x-timestamp", "x-signature", "authorization", "content-length"]),
    st.sampled_from(
        ["", "1", "-1", "1e9", "a b", "203.0.113.7, x", "[::1]:80", "9" * 30, f"Bearer {API_KEY}", "\xff\xfe"]
    ),
    max_size=3,
)

ALLOWED = {200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 502, 503}


@pytest.fixture(scope="module")
def folder() -> Any:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


async def call(
    site: Site, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> tuple[int, bytes]:
    """One request, by ASGI itself, so that nothing is mended on its way."""
    sent: list[dict[str, Any]] = []
    asked = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return asked.pop() if asked else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("latin-1", "replace"),
        "query_string": query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()],
        "client": ("203.0.113.7", 1),
        "server": ("here", 80),
    }
    with trio.fail_after(5):
        await site.app(scope, receive, send)
    body = b"".join(each.get("body", b"") for each in sent if each["type"] == "http.response.body")
    return sent[0]["status"], body


def as_query(query: Any) -> str:
    return query if isinstance(query, str) else "&".join(f"{name}={value}" for name, value in query)


@QUICK
@given(method=METHODS, path=PATHS, query=QUERIES, kind=KINDS, headers=HEADERS, body=BODIES)
def test_any_request_is_answered_and_no_unauthorised_one_does_anything(
    folder: Path, method: str, path: str, query: Any, kind: str, headers: dict[str, str], body: bytes
) -> None:
    site = Site(folder, address_rate=1e6)
    try:
        status, said = trio.run(call, site, method, path, as_query(query), {**headers, "content-type": kind}, body)
    finally:
        site.store.close()
    assert status in ALLOWED
    if status >= 400 and said:
        assert json.loads(said)["error"]
    if SECRET not in path:
        assert [what for what, _ in site.engine.asked if not isinstance(what, GetWebhooks | GetFigures)] == []


@QUICK
@given(query=QUERIES, kind=KINDS, body=BODIES)
def test_any_request_with_the_secret_is_answered(folder: Path, query: Any, kind: str, body: bytes) -> None:
    site = Site(folder, address_rate=1e6)
    path = f"/trading/bot/{SECRET}/cancel_order"
    try:
        status, _ = trio.run(call, site, "POST", path, as_query(query), {"content-type": kind}, body)
    finally:
        site.store.close()
    assert status in (200, 400, 413, 415)
    assert len(site.engine.actions) == (status == 200)


@QUICK
@given(payload=SIGNALS, headers=HEADERS)
def test_any_signal_with_its_token_is_answered(folder: Path, payload: dict[str, Any], headers: dict[str, str]) -> None:
    site = Site(folder, address_rate=1e6)
    token = site.store.make_token("tv", replace=True).text
    payload = {**payload, "connectorName": "tv", "connectorToken": token}
    headers.pop("content-length", None)
    try:
        status, said = trio.run(
            call, site, "POST", "/trading-signal/webhook", "", headers, json.dumps(payload).encode()
        )
    finally:
        site.store.prune(site.wall() + 1)
        site.store.close()
    assert status in (200, 400, 401)
    assert token.encode() not in said
    assert not any(token in str(what) for what, _ in site.engine.asked)


@QUICK
@given(body=BODIES, kind=KINDS)
@example(b'{"a":1}', "application/json")
def test_bodies_become_plain_values_or_a_refusal(body: bytes, kind: str) -> None:
    for read in (lambda: read_data(body, kind), lambda: read_json(body), lambda: read_text(body)):
        status, value = outcome(read)
        assert status == 200 or 400 <= status < 500
        json.dumps(value, allow_nan=False).encode()


def outcome(read: Callable[[], Any]) -> tuple[int, Any]:
    try:
        return 200, read()
    except Refused as refused:
        return refused.status, None


@QUICK
@given(text=st.binary(max_size=100))
def test_forms_are_texts_or_lists_of_texts(text: bytes) -> None:
    try:
        found = read_form(text, "form")
    except Refused:
        return
    for value in found.values():
        assert isinstance(value, str) or all(isinstance(each, str) for each in value)


@QUICK
@given(steps=st.lists(st.tuples(st.floats(0, 3), st.sampled_from("abc")), max_size=60))
def test_nobody_gets_more_permits_than_the_rate_gives(steps: list[tuple[float, str]]) -> None:
    rates = Rates(2.0, 5.0, most=2)
    now, taken = 0.0, 0
    for wait, name in steps:
        now += wait
        refused = rates.take(name, now)
        if name == "a":
            taken += not refused
        assert refused >= 0
        assert len(rates) <= 2
    forgotten = sum(name != "a" for _, name in steps) // 2
    assert taken <= 5 + 2 * now + 1 + 5 * forgotten
