"""Alerts that call a strategy's command: by token alone, with text or JSON."""

from pathlib import Path

import pytest

from mlthon.ops.client import AskFailed
from mlthon.ops.contract import RunCommand
from mlthon.ops.web.settings import Alert
from tests.ops.web.kit import Site

pytestmark = pytest.mark.trio


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def path_of(site: Site, name: str = "cross", *, signed: bool = False) -> str:
    return f"/tradingview/{site.store.make_token(name, signed=signed).text}"


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"buy 0.01  BTC\n", "text/plain; charset=utf-8", ("buy", "0.01", "BTC")),
        (b"it's over 70,000 \xe2\x82\xac", "text/plain", ("it's", "over", "70,000", "€")),
        (b'{"side": "buy", "price": 1.5}', "application/json", ('{"side":"buy","price":1.5}',)),
        (b' ["a"]', "text/plain", ('["a"]',)),
        (b"", "text/plain", ()),
    ],
)
async def test_an_alert_calls_its_hook(site: Site, body: bytes, kind: str, words: tuple[str, ...]) -> None:
    answer = await site.post(path_of(site), content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.text) == (200, "ok")
    assert site.engine.asked == [(RunCommand("demo", "cross", words), "alert cross from 203.0.113.7")]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff", "text/plain"),
        (b"a\x00b", "text/plain"),
        (b"{", "text/plain"),
        (b'{"a": NaN}', "application/json"),
        (b"buy", "application/json"),
        (b"a " * 300, "text/plain"),
    ],
)
async def test_what_is_no_alert(site: Site, body: bytes, kind: str) -> None:
    answer = await site.post(path_of(site), content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert site.engine.asked == []


async def test_an_alert_that_names_itself_calls_once(site: Site) -> None:
    path = path_of(site)
    body = b'{"clientOrderId": "a1", "side": "buy"}'
    first = await site.post(path, content=body)
    again = await site.post(path, content=body)
    assert (first.text, again.text, again.headers["x-duplicate"]) == ("ok", "ok", "true")
    assert len(site.engine.asked) == 1
    for _ in range(2):
        await site.post(path, content=b"buy", headers={"x-nonce": "n1"})
    assert len(site.engine.asked) == 2
    for _ in range(2):
        await site.post(path, content=b"buy")
    assert len(site.engine.asked) == 4, "one that says nothing of itself is carried out as often as it comes"
    assert (await site.post(path, content=b'{"clientOrderId": [1]}')).status_code == 400
    assert (await site.post(path, content=b"buy", headers={"x-nonce": "a b"})).status_code == 400


async def test_an_alert_that_the_engine_refused_may_come_again(site: Site) -> None:
    path, body = path_of(site), b'{"clientOrderId": "a2"}'
    site.engine.failure = AskFailed("no such command")
    assert (await site.post(path, content=body)).status_code == 422
    site.engine.failure = None
    assert (await site.post(path, content=body)).text == "ok"


async def test_who_has_no_token_calls_nothing(site: Site) -> None:
    path_of(site)
    assert (await site.post("/tradingview/wrong", content=b"buy")).status_code == 401
    assert (await site.post("/tradingview/%ff%00", content=b"buy")).status_code == 401
    assert (await site.post(path_of(site, "elsewhere"), content=b"buy")).status_code == 404
    assert (await site.post(path_of(site, "signed", signed=True), content=b"buy")).status_code == 401
    assert (await site.get(path_of(site, "other"))).status_code == 405
    assert site.engine.asked == []


async def test_the_token_of_a_signal_is_no_header_away_from_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    path = path_of(site)
    await site.post(path, content=b"buy")
    await site.post(path[:-3], content=b"buy")
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("mlthon")]
    assert any("alert cross: 200" in each for each in ours)
    assert not any(path[-20:-5] in each for each in ours)


async def test_an_alert_comes_from_where_it_may(tmp_path: Path) -> None:
    site = Site(tmp_path, alerts={"cross": Alert("demo", "cross", ["tradingview"])}, allow=["192.0.2.0/24"])
    path = path_of(site)
    told = [(await site.post(path, address=each, content=b"x")).status_code for each in ("34.212.75.30", "192.0.2.9")]
    assert told == [200, 200]
    assert (await site.post(path, address="203.0.113.7", content=b"x")).status_code == 403


async def test_what_the_strategy_refuses_is_told(site: Site) -> None:
    site.engine.failure = AskFailed("demo has no command 'cross'", "It has start, stop.")
    answer = await site.post(path_of(site), content=b"x")
    assert (answer.status_code, answer.json()["hint"]) == (422, "It has start, stop.")


async def test_wrong_tokens_of_a_shared_address_keep_no_right_one_out(site: Site) -> None:
    """TradingView's alerts come from four addresses: anybody can have it send wrong ones to a server that he knows."""
    right = path_of(site)
    wrong = [(await site.post("/tradingview/wrong", content=b"x")).status_code for _ in range(15)]
    assert wrong == [401] * 10 + [429] * 5
    assert (await site.post(right, content=b"buy")).status_code == 200
    assert (await site.get("/trading/bot/a-guessed-secret/balances")).status_code == 429
    assert len(site.engine.asked) == 1
