"""Metrics and health: for whom, and what they say when the engine does not."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.ops.client import EngineState, NoAnswer
from tests.ops.prometheus import faults
from tests.ops.web.kit import API_KEY, SECRET, Site

pytestmark = pytest.mark.trio


async def test_metrics_are_the_engines_and_the_servers_own(tmp_path: Path) -> None:
    site = Site(tmp_path)
    await site.get("/health")
    await site.get(f"/trading/bot/{SECRET}/balances")
    answer = await site.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert "mlthon_up 1" in lines
    assert 'mlthon_web_requests_total{endpoint="bot",status="200"} 1.0' in lines
    assert "mlthon_web_stream_clients 0.0" in lines
    assert SECRET not in answer.text
    assert faults(answer.text.replace("mlthon_up 1\n", "")) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"metrics_token": "the-token-of-metrics"},
        {"host": "0.0.0.0"},
        {"url": "https://trader.example"},
        {"trusted_proxies": ["127.0.0.1"]},
    ],
)
async def test_metrics_with_a_token(tmp_path: Path, settings: dict[str, Any]) -> None:
    site = Site(tmp_path, **settings)
    token = settings.get("metrics_token", API_KEY)
    assert (await site.get("/metrics")).status_code == 401
    assert (await site.get("/metrics?token=wrong")).status_code == 401
    assert (await site.get(f"/metrics?token={token}")).status_code == 200
    assert (await site.get("/metrics", headers={"authorization": f"Bearer {token}"})).status_code == 200
    assert (await site.get("/metrics", headers={"authorization": f"Bearer {API_KEY}"})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"host": each}
            for each in ("trader.example", "evil.example:8800", "evil:99999999", "a@127.0.0.1", "[::1", "")
        ),
        *({"host": each} for each in ("a@127.0.0.1", "127.0.0.1.evil.example", "127.0.0.1:8800@evil", "[::1]evil")),
        *({"x-forwarded-for": "203.0.113.9"}, {"via": "1.1 x"}, {"x-real-ip": "203.0.113.9"}),
    ],
)
async def test_metrics_of_a_server_behind_a_tunnel_need_a_token_too(tmp_path: Path, headers: dict[str, str]) -> None:
    site = Site(tmp_path)
    assert (await site.get("/metrics", headers=headers)).status_code == 401
    assert (await site.get("/metrics", headers={**headers, "authorization": f"Bearer {API_KEY}"})).status_code == 200
    for name in ("127.0.0.1:8800", "localhost:8800", "[::1]:8800", "localhost"):
        assert (await site.get("/metrics", headers={"host": name})).status_code == 200


async def test_metrics_are_cut_where_they_are_too_long(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.engine.figures = "x" * 10_000_000
    assert len((await site.get("/metrics")).content) == 128 * 1024


async def test_metrics_without_an_engine(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.engine.failure = NoAnswer("the engine has not answered within 5 s: it is busy or hangs")
    answer = await site.get("/metrics")
    assert (answer.status_code, answer.json()["error"]) == (504, site.engine.failure.args[0])


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [(EngineState.LIVES, 200, "lives"), (EngineState.HANGS, 503, "hangs"), (EngineState.AWAY, 503, "not there")],
)
async def test_health(tmp_path: Path, state: EngineState, status: int, said: str) -> None:
    site = Site(tmp_path)
    site.engine.state = state
    answer = await site.get("/health")
    assert (answer.status_code, answer.json()) == (status, {"engine": said})


@pytest.mark.parametrize("path", ["/", "/nowhere", "/trading/bot/x", "/health/", "/stream", "//", "/tradingview/"])
async def test_where_there_is_nothing(tmp_path: Path, path: str) -> None:
    answer = await Site(tmp_path).get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "there is nothing here"})
