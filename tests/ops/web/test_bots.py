"""Bots' webhooks: the documented addresses, what the bot gets, and what whoever calls gets back."""

import logging
import math
from pathlib import Path
from typing import Any

import pytest

from mlthon.ops.client import AskFailed, EngineState
from mlthon.ops.contract import WebCall, WebReply
from tests.ops.web.kit import SECRET, Site

pytestmark = pytest.mark.trio

BASE = f"/trading/bot/{SECRET}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_get_gives_the_query_to_the_bots_method(site: Site) -> None:
    answer = await site.get(f"{BASE}/balances?venue=BitMEX&sym=a&sym=b&empty=&sym=c&last=%E2%82%AC+x")
    assert answer.status_code == 200
    data = {"venue": "BitMEX", "sym": ["a", "b", "c"], "empty": "", "last": "€ x"}
    assert site.engine.actions == [WebCall("bot", "get", "balances", data)]
    assert list(site.engine.actions[0].data) == ["venue", "sym", "empty", "last"]
    assert answer.json() == {"data": data}


async def test_post_takes_a_form_as_curl_sends_it(site: Site) -> None:
    answer = await site.post(f"{BASE}/cancel_order", data={"venue": "BitMEX", "order_id": "7"})
    assert answer.status_code == 200
    assert site.engine.actions == [WebCall("bot", "post", "cancel_order", {"venue": "BitMEX", "order_id": "7"})]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
async def test_post_takes_json_with_its_types(site: Site, kind: str) -> None:
    body = b' {"venue": "BitMEX", "size": 1.5, "list": [1, null, true], "in": {"x": "\xe2\x82\xac"}}'
    answer = await site.post(f"{BASE}/cancel_order?dry=1", content=body, headers={"content-type": kind})
    assert answer.status_code == 200
    data = {"dry": "1", "venue": "BitMEX", "size": 1.5, "list": [1, None, True], "in": {"x": "€"}}
    assert site.engine.actions == [WebCall("bot", "post", "cancel_order", data)]


@pytest.mark.parametrize(
    ("reply", "status", "text"),
    [
        (WebReply(200, [1, 2]), 200, "[1,2]"),
        (WebReply(200, None), 200, "null"),
        (WebReply(200, "ok"), 200, '"ok"'),
        (WebReply(200, {"a": math.nan}), 200, '{"a":null}'),
        (WebReply(500, {"error": "KeyError: 'venue'"}), 500, '{"error":"KeyError: \'venue\'"}'),
        (WebReply(7, "x"), 502, '"x"'),
    ],
)
async def test_the_answer_is_what_the_bot_said(site: Site, reply: WebReply, status: int, text: str) -> None:
    site.engine.reply = lambda _: reply
    answer = await site.get(f"{BASE}/balances")
    assert (answer.status_code, answer.text) == (status, text)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


async def test_an_answer_that_is_too_long_is_an_error(site: Site) -> None:
    site.engine.reply = lambda _: WebReply(200, "x" * 200_000)
    answer = await site.get(f"{BASE}/balances")
    assert answer.status_code == 502
    assert "200,002 bytes" in answer.json()["error"]


async def test_a_wrong_secret_is_refused_and_reaches_no_engine_and_no_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await site.get("/trading/bot/the-webhook-secret-of-test/balances?token=hidden")
    assert (answer.status_code, answer.json()) == (401, {"error": "the webhook secret is wrong"})
    await site.get(f"{BASE}/balances?venue=private")
    assert len(site.engine.actions) == 1
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("mlthon")]
    assert any("bot" in each for each in ours)
    for hidden in ("the-webhook-secret", "hidden", "private"):
        assert not any(hidden in each for each in ours)
    assert site.rejected() == [("bot", "", 401, "the webhook secret is wrong")]


async def test_who_tries_many_secrets_is_not_listened_to_any_more_and_others_are(site: Site) -> None:
    tried = [(await site.get(f"/trading/bot/wrong{n}/balances")).status_code for n in range(12)]
    assert tried == [401] * 10 + [429] * 2
    refused = await site.get(f"{BASE}/balances")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) == 5
    assert (await site.get(f"{BASE}/balances", address="203.0.113.8")).status_code == 200
    site.seconds += 5
    assert (await site.get(f"{BASE}/balances")).status_code == 200


async def test_a_name_that_two_bots_have_names_both_and_each_has_an_address_of_its_own(site: Site) -> None:
    site.engine.routes = {"one": [("get", "status")], "two": [("get", "status"), ("post", "status")]}
    answer = await site.get(f"{BASE}/status")
    assert answer.status_code == 409
    assert "one and two" in answer.json()["error"]
    assert (await site.get(f"{BASE}/two/status")).status_code == 200
    assert (await site.post(f"{BASE}/status")).status_code == 200
    assert [(call.bot, call.method) for call in site.engine.actions] == [("two", "get"), ("two", "post")]


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "balance", 404, "did you mean 'balances'"),
        ("POST", "balances", 404, "no bot has a webhook POST balances"),
        ("GET", "nobody/balances", 404, "no bot 'nobody' has webhooks"),
        ("PUT", "balances", 405, "GET or POST"),
        ("DELETE", "balances", 405, "GET or POST"),
    ],
)
async def test_what_is_not_there(site: Site, method: str, path: str, status: int, said: str) -> None:
    answer = await site.ask(method, f"{BASE}/{path}")
    assert answer.status_code == status
    assert said in answer.json()["error"]


async def test_head_calls_no_bot(site: Site) -> None:
    assert (await site.ask("HEAD", f"{BASE}/balances")).status_code == 405
    assert site.engine.actions == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"[1]", "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b'{"a": 1', "application/json", 400),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "application/json", 400),
        (b"[" * 30_000, "application/json", 400),
        (b'{"a": 99999999999999999999999}', "application/json", 400),
        (b'{"a": "\\ud800"}', "application/json", 400),
        (b"\xff\xfe{", "application/json", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"a=\xe2\x82", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=1"] * 2000), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * 40_000, "application/x-www-form-urlencoded", 413),
        (b"--x", "multipart/form-data; boundary=x", 415),
    ],
)
async def test_hostile_bodies_are_refused_and_reach_no_bot(site: Site, body: bytes, kind: str, status: int) -> None:
    answer = await site.post(f"{BASE}/cancel_order", content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.json()["error"]
    assert site.engine.actions == []


@pytest.mark.parametrize(("state", "status"), [(EngineState.HANGS, 504), (EngineState.AWAY, 503)])
async def test_an_engine_that_is_silent_or_gone(
    site: Site, autojump_clock: Any, state: EngineState, status: int
) -> None:
    site.engine.silent = True
    site.engine.state = state
    assert (await site.get(f"{BASE}/bot/balances")).status_code == status


async def test_what_the_engine_refuses_is_told(site: Site) -> None:
    site.engine.failure = AskFailed("the audit log cannot be written", "Look at the disk.")
    answer = await site.get(f"{BASE}/bot/balances")
    assert answer.status_code == 502
    assert answer.json() == {"error": "the audit log cannot be written", "hint": "Look at the disk."}


async def test_a_fault_of_the_server_says_nothing_and_is_logged_without_secrets(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.engine.failure = RuntimeError(f"broken at {SECRET}")
    answer = await site.get(f"{BASE}/bot/balances")
    assert answer.status_code == 500
    assert SECRET not in answer.text
    assert "RuntimeError: broken at ***" in caplog.text
