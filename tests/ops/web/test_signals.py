"""Trading signals: who may send them, and that each is carried out once."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mlthon.ops.client import AskFailed, EngineState
from mlthon.ops.contract import Signal
from mlthon.ops.web.signals import signature
from tests.ops.web.kit import START, Site

pytestmark = pytest.mark.trio

PATH = "/trading-signal/webhook"


class Desk(Site):
    """A site with the connector `tv`."""

    def __init__(self, folder: Path, *, signed: bool = False, **settings: Any) -> None:
        super().__init__(folder, **settings)
        self.token = self.store.make_token("tv", signed=signed)

    def payload(self, **more: Any) -> dict[str, Any]:
        said = {"action": "buy", "percent": "100", "connectorName": "tv", "connectorToken": self.token.text}
        return {key: value for key, value in {**said, **more}.items() if value is not None}

    async def signal(self, **more: Any) -> Any:
        return await self.post(PATH, json=self.payload(**more))

    async def signed(self, body: bytes, timestamp: int | str, nonce: str, key: str | None = None) -> Any:
        secret = key or self.token.signing_key or ""
        said = signature(secret, str(timestamp), nonce, body)
        headers = {"x-timestamp": str(timestamp), "x-nonce": nonce, "x-signature": f"sha256={said}"}
        return await self.post(PATH, content=body, headers=headers)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_signal_reaches_its_strategy_without_its_token_and_is_answered_ok(desk: Desk) -> None:
    answer = await desk.signal(log="Buy")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-outcome"] == "taken"
    payload = {"action": "buy", "percent": "100", "connectorName": "tv", "log": "Buy"}
    assert desk.engine.asked == [(Signal("tv", payload), "webhook tv from 203.0.113.7")]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"connectorToken": None}, 400, "connectorToken is missing"),
        ({"connectorName": None}, 400, "connectorName is missing"),
        ({"connectorName": ""}, 400, "connectorName is missing"),
        ({"connectorName": 7}, 400, "connectorName must be a text"),
        ({"connectorToken": ["x"]}, 400, "connectorToken must be a text"),
        ({"connectorToken": "x" * 300}, 400, "connectorToken must be a text"),
        ({"connectorToken": "wrong"}, 401, "connectorName or connectorToken is wrong"),
        ({"connectorName": "tw"}, 401, "connectorName or connectorToken is wrong"),
        ({"clientOrderId": {"a": 1}}, 400, "clientOrderId must be a text"),
        ({"clientOrderId": True}, 400, "clientOrderId must be a text"),
    ],
)
async def test_what_is_no_signal_is_refused_and_written_down(
    desk: Desk, change: dict[str, Any], status: int, said: str
) -> None:
    answer = await desk.signal(**change)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert desk.engine.asked == []
    what, _, written, reason = desk.rejected()[0]
    assert (what, written) == ("signal", status)
    assert said in reason
    assert desk.token.text not in str(desk.rejected())


@pytest.mark.parametrize("body", [b"", b"buy", b"[]", b'"x"', b"null", b'{"connectorName": NaN}', b"\xff", b"[" * 5000])
async def test_bodies_that_are_no_json_object(desk: Desk, body: bytes) -> None:
    answer = await desk.post(PATH, content=body)
    assert answer.status_code == 400
    assert desk.engine.asked == []


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE", "OPTIONS"])
async def test_other_methods(desk: Desk, method: str) -> None:
    assert (await desk.ask(method, PATH)).status_code == 405


async def test_a_revoked_token_is_void_at_once(desk: Desk) -> None:
    desk.store.revoke("tv")
    assert (await desk.signal()).status_code == 401


async def test_what_has_no_id_is_carried_out_each_time(desk: Desk) -> None:
    assert [(await desk.signal()).text for _ in range(3)] == ["ok"] * 3
    assert len(desk.engine.actions) == 3


async def test_a_client_order_id_is_carried_out_once_also_after_a_restart(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    assert (await first.signal(clientOrderId="a")).text == "ok"
    again = await first.signal(clientOrderId="a", action="openLong")
    assert (again.status_code, again.text, again.headers["x-duplicate"]) == (200, "ok", "true")
    assert len(first.engine.actions) == 1
    assert first.rejected()[0] == ("signal", "tv", 200, "a duplicate: not done again")
    first.store.close()

    second = Site(tmp_path)
    answer = await second.post(PATH, json=first.payload(clientOrderId="a"))
    assert (answer.text, second.engine.actions) == ("ok", [])
    assert (await second.post(PATH, json=first.payload(clientOrderId="b"))).text == "ok"
    assert len(second.engine.actions) == 1


async def test_an_order_and_its_cancel_have_one_id_and_are_two_signals(desk: Desk) -> None:
    await desk.signal(clientOrderId="a")
    await desk.signal(clientOrderId="a", action="cancel")
    await desk.signal(clientOrderId="a", action="cancel")
    assert [each.payload["action"] for each in desk.engine.actions] == ["buy", "cancel"]


async def test_two_connectors_do_not_share_ids(desk: Desk) -> None:
    other = desk.store.make_token("other")
    await desk.signal(clientOrderId="a")
    await desk.signal(clientOrderId="a", connectorName="other", connectorToken=other.text)
    assert [each.connector for each in desk.engine.actions] == ["tv", "other"]


async def test_what_the_engine_refused_may_be_sent_again(desk: Desk) -> None:
    desk.engine.failure = AskFailed("no strategy takes signals as 'tv'", "Connectors of this run: none.")
    answer = await desk.signal(clientOrderId="a")
    assert answer.status_code == 422
    assert answer.json()["hint"] == "Connectors of this run: none."
    desk.engine.failure = None
    assert (await desk.signal(clientOrderId="a")).text == "ok"
    assert len(desk.engine.actions) == 2


async def test_what_nobody_knows_the_end_of_is_not_carried_out_again(desk: Desk, autojump_clock: Any) -> None:
    desk.engine.silent = True
    answer = await desk.signal(clientOrderId="a")
    assert answer.status_code == 504
    assert "may have been carried out" in answer.json()["hint"]
    desk.engine.silent = False
    again = await desk.signal(clientOrderId="a")
    assert again.status_code == 409
    assert len(desk.engine.actions) == 1


async def test_without_an_engine_nothing_is_claimed(desk: Desk) -> None:
    desk.engine.state = EngineState.AWAY
    answer = await desk.signal(clientOrderId="a")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    desk.engine.state = EngineState.LIVES
    assert (await desk.signal(clientOrderId="a")).text == "ok"


async def test_what_cannot_be_written_down_is_not_done(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(desk.store, "claim", full)
    assert (await desk.signal(clientOrderId="a")).status_code == 503
    assert desk.engine.actions == []


async def test_what_was_done_is_answered_ok_and_not_done_again_when_that_cannot_be_written_down(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(desk.store, "settle", full)
        assert (await desk.signal(clientOrderId="a")).text == "ok"
    assert (await desk.signal(clientOrderId="a")).status_code == 409
    assert len(desk.engine.actions) == 1


async def test_what_is_old_is_forgotten(desk: Desk) -> None:
    await desk.signal(clientOrderId="a")
    desk.store.prune(desk.wall() + 1)
    await desk.signal(clientOrderId="a")
    assert len(desk.engine.actions) == 2


# -- signatures --------------------------------------------------------------------------------------------------------

NOW = START // 10**9


@pytest.fixture
def signing(tmp_path: Path) -> Desk:
    return Desk(tmp_path, signed=True)


async def test_a_signed_signal_is_taken_once(signing: Desk) -> None:
    body = json.dumps(signing.payload()).encode()
    assert (await signing.signed(body, NOW, "n1")).text == "ok"
    replayed = await signing.signed(body, NOW, "n1")
    assert (replayed.text, replayed.headers["x-duplicate"]) == ("ok", "true")
    assert len(signing.engine.actions) == 1
    assert (await signing.signed(body, NOW, "n2")).text == "ok"
    assert len(signing.engine.actions) == 2


@pytest.mark.parametrize(
    ("timestamp", "nonce", "key", "status", "said"),
    [
        (NOW, "n", "another key", 401, "X-Signature is wrong"),
        (NOW - 301, "n", None, 401, "more than 300 s away"),
        (NOW + 301, "n", None, 401, "more than 300 s away"),
        ("soon", "n", None, 400, "whole seconds"),
        ("9" * 40, "n", None, 400, "whole seconds"),
        (NOW, "", None, 401, "X-Nonce is missing"),
        (NOW, "n" * 200, None, 400, "X-Nonce must be"),
    ],
)
async def test_what_is_not_rightly_signed(
    signing: Desk, timestamp: int | str, nonce: str, key: str | None, status: int, said: str
) -> None:
    answer = await signing.signed(json.dumps(signing.payload()).encode(), timestamp, nonce, key)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert signing.engine.actions == []


async def test_a_body_that_was_changed_after_it_was_signed(signing: Desk) -> None:
    body = json.dumps(signing.payload()).encode()
    said = signature(signing.token.signing_key or "", str(NOW), "n", body)
    headers = {"x-timestamp": str(NOW), "x-nonce": "n", "x-signature": said}
    answer = await signing.post(PATH, content=body.replace(b"buy", b"sell"), headers=headers)
    assert (answer.status_code, signing.engine.actions) == (401, [])


async def test_an_unsigned_signal_of_a_signing_connector(signing: Desk) -> None:
    assert (await signing.signal()).status_code == 401


async def test_a_nonce_and_a_timestamp_count_without_a_signature_too(desk: Desk) -> None:
    for _ in range(2):
        await desk.post(PATH, json=desk.payload(), headers={"x-nonce": "n", "x-timestamp": str(NOW)})
    assert len(desk.engine.actions) == 1
    old = await desk.post(PATH, json=desk.payload(), headers={"x-timestamp": str(NOW - 1000)})
    assert old.status_code == 401


# -- how often, and from where -----------------------------------------------------------------------------------------


async def test_a_flood_of_one_connector_is_answered_429_and_another_connector_is_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path, connector_rate=1.0)
    told = [(await desk.signal()).status_code for _ in range(15)]
    assert told == [200] * 10 + [429] * 5
    other = desk.store.make_token("other")
    assert (await desk.signal(connectorName="other", connectorToken=other.text)).status_code == 200
    desk.seconds += 1
    assert (await desk.signal()).status_code == 200
    assert len(desk.engine.actions) == 12


async def test_whoever_has_no_token_cannot_use_up_a_connectors_rate(tmp_path: Path) -> None:
    desk = Desk(tmp_path, connector_rate=1.0)
    for number in range(50):
        refused = await desk.post(PATH, address=f"198.51.100.{number}", json=desk.payload(connectorToken="wrong"))
        assert refused.status_code == 401
    assert (await desk.signal()).status_code == 200


async def test_a_flood_of_one_address_is_answered_429_before_anything_is_read(tmp_path: Path) -> None:
    desk = Desk(tmp_path, address_rate=2.0)
    told = [(await desk.post(PATH, content=b"[" * 20_000)).status_code for _ in range(25)]
    assert told == [400] * 20 + [429] * 5
    assert (await desk.post(PATH, address="203.0.113.8", json=desk.payload())).text == "ok"


async def test_who_is_refused_before_its_body_is_read_is_told_that_the_connection_ends(tmp_path: Path) -> None:
    desk = Desk(tmp_path, address_rate=0.1)
    first, second = [await desk.signal(connectorToken="wrong") for _ in range(2)]
    assert (first.status_code, "connection" in first.headers) == (401, False)
    assert (second.status_code, second.headers["connection"]) == (429, "close")
    bare = await desk.get("/health")
    assert (bare.status_code, "connection" in bare.headers) == (429, False)


async def test_a_flood_is_a_few_lines_of_the_audit_log(tmp_path: Path) -> None:
    desk = Desk(tmp_path, address_rate=1.0)
    for _ in range(500):
        await desk.post(PATH, content=b"")
    desk.server.edge.rejections.flush()
    written = [each for each in desk.store.rejections(100) if each.status == 429]
    assert sum(each.count for each in written) == 490
    assert len(written) <= 2


@pytest.mark.parametrize(
    ("address", "forwarded", "status"),
    [
        ("52.89.214.238", None, 200),
        ("203.0.113.7", None, 403),
        ("203.0.113.7", "52.89.214.238", 403),  # only a trusted proxy is believed
        ("10.0.0.1", "52.89.214.238", 200),
        ("10.0.0.1", "52.89.214.238, 203.0.113.7", 403),  # the sender made up what stands left
        ("10.0.0.1", "203.0.113.7, 52.89.214.238", 200),
        ("10.0.0.1", "52.89.214.238:4711, 10.0.0.2", 200),
        ("10.0.0.1", "nonsense", 403),
        ("10.0.0.1", None, 403),
    ],
)
async def test_signals_come_from_where_they_may(
    tmp_path: Path, address: str, forwarded: str | None, status: int
) -> None:
    desk = Desk(tmp_path, allow=["tradingview"], trusted_proxies=["10.0.0.0/8"])
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    answer = await desk.post(PATH, address=address, json=desk.payload(), headers=headers)
    assert answer.status_code == status
    assert len(desk.engine.actions) == (status == 200)


async def test_a_signal_sent_to_two_runs_is_carried_out_by_both(tmp_path: Path) -> None:
    """Such as one on paper beside the live one: they share the store, and take the same connector's signals."""
    paper = Desk(tmp_path, run="webhook-paper")
    live = Site(tmp_path, run="webhook")
    again = Site(tmp_path, run="webhook")
    body = paper.payload(clientOrderId="7")
    answers = [await each.post(PATH, json=body) for each in (paper, live, again)]
    assert [(each.text, each.headers.get("x-duplicate")) for each in answers] == [
        ("ok", None),
        ("ok", None),
        ("ok", "true"),
    ]
    assert [len(each.engine.asked) for each in (paper, live, again)] == [1, 1, 0]
