"""`python -m mlthon webhook`: tokens are shown once, and what is printed can be pasted."""

import json
from pathlib import Path

import pytest

from mlthon.cli import main
from mlthon.ops.web.store import Rejection, WebhookStore


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(
        '[ops]\nstate = "state"\n[web]\nurl = "https://bots.example.org/"\n'
        '[web.alerts.cross]\nstrategy = "demo"\nhook = "cross"\n'
    )
    return path


def run(config: Path, *arguments: str) -> int:
    return main(["webhook", *arguments, "--config", str(config)])


def store_of(config: Path) -> WebhookStore:
    return WebhookStore(config.parent / "state" / "run" / "webhook.db")


def test_a_token_is_made_listed_and_revoked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "token", "tv", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["signing_key"] is None
    assert store_of(config).verify("tv", made["token"]) is not None
    assert run(config, "token", "tv") == 2
    assert "there is a token for 'tv' already" in capsys.readouterr().err
    assert run(config, "token", "tv", "--replace", "--signed") == 0
    assert "signing key: " in capsys.readouterr().out
    assert store_of(config).verify("tv", made["token"]) is None
    assert run(config, "list", "--json") == 0
    told = capsys.readouterr().out
    assert [(each["name"], each["signed"], each["alert"]) for each in json.loads(told)] == [("tv", True, False)]
    assert run(config, "revoke", "tv") == 0
    assert run(config, "revoke", "tv") == 2
    assert run(config, "list") == 0
    assert "no tokens" in capsys.readouterr().out


def test_a_message_to_paste(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(config, "token", "tv")
    capsys.readouterr()
    said = ("--action", "openLong", "--percent", "50", "--profit", "70000", "--client-order-id", "a")
    assert run(config, "message", "tv", *said, "--delay-seconds", "5", "--token", "T") == 0
    url, text = capsys.readouterr().out.splitlines()
    assert url == "URL: https://bots.example.org/trading-signal/webhook"
    assert json.loads(text) == {
        "action": "openLong",
        "percent": "50",
        "profit": "70000",
        "clientOrderId": "a",
        "delaySeconds": 5.0,
        "connectorName": "tv",
        "connectorToken": "T",
    }


def test_an_alerts_address_has_its_token(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "token", "cross") == 0
    url = capsys.readouterr().out.splitlines()[1]
    text = url.removeprefix("URL: https://bots.example.org/tradingview/")
    found = store_of(config).find(text)
    assert found is not None
    assert found.name == "cross"
    assert run(config, "message", "cross") == 0
    told = capsys.readouterr().out
    assert "/tradingview/YOUR_TOKEN" in told
    assert "demo's command cross" in told
    assert run(config, "token", "cross", "--signed", "--replace") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("message", "crosss", "--action", "buy"), "no token for 'crosss'; did you mean 'cross'?"),
        (("message", "tv"), "--action: what is the strategy to do?"),
        (("message", "tv", "--action", "BUY"), "'BUY' is none; did you mean 'buy'?"),
        (("message", "tv", "--action", "open_long"), "'open_long' is none; did you mean 'openLong'?"),
        (("message", "tv", "--action", "cancel"), "needs --client-order-id"),
        (("token", " "), "no name for a connector"),
    ],
)
def test_what_cannot_be(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    run(config, "token", "tv")
    run(config, "token", "cross")
    assert run(config, *arguments) == 2
    assert said in capsys.readouterr().err


def test_who_was_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(config, "token", "tv")
    store_of(config).reject(Rejection(10**18, "203.0.113.7", "signal", "tv", 401, "wrong", 3))
    capsys.readouterr()
    assert run(config, "rejected") == 0
    assert capsys.readouterr().out.strip().endswith("203.0.113.7  signal tv  401 wrong (3 times)")
    assert run(config, "rejected", "--json") == 0
    assert json.loads(capsys.readouterr().out)["count"] == 3
