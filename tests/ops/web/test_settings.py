"""What the server is told, refused and kept: addresses, secrets, files."""

import json
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import trio

from mlthon.config import AlertConfig, WebConfig, load_config
from mlthon.errors import UserError
from mlthon.live.secrets import Places, find_values
from mlthon.live.services import Host
from mlthon.ops.web import prepare as prepare_part
from mlthon.ops.web.addresses import networks, parse, sender, shown
from mlthon.ops.web.announce import Announcer, addresses
from mlthon.ops.web.settings import is_loopback, prepare, read

PLACES = Places({})


def test_secrets_are_made_once_and_kept_for_their_owner_alone(tmp_path: Path) -> None:
    first = prepare(WebConfig(), PLACES, tmp_path)
    second = prepare(WebConfig(), PLACES, tmp_path)
    assert first == second
    assert len(first["webhook_secret"]) >= 32
    assert first["webhook_secret"] != first["api_key"]
    kept = tmp_path / "web.keys"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    made = read(json.loads(json.dumps(first)))
    for each in (made, made.keys, made.keys.webhook_secret):
        assert isinstance(each, str) or made.webhook_secret not in repr(each)


def test_configured_secrets_win_in_their_order(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.toml"
    secrets.write_text('[web]\nwebhook_secret = "of-the-file-0123456789"\napi_key = "key-of-the-file-0123"\n')
    secrets.chmod(0o600)
    environ = {"MLTHON_WEB_WEBHOOK_SECRET": "of-the-environment-01"}
    told = prepare(WebConfig(), Places(environ, secrets), tmp_path)
    assert told["webhook_secret"] == "of-the-environment-01"
    assert told["api_key"] == "key-of-the-file-0123"
    assert told["metrics_token"] is None
    assert not (tmp_path / "web.keys").exists()


def test_values_of_a_dot_env_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("MLTHON_WEB_API_KEY=of-the-dot-env-file\nMLTHON_WEB_OTHER=x\n")
    path.chmod(0o600)
    assert find_values("web", ("api_key",), Places({}, None, path)) == {"api_key": "of-the-dot-env-file"}
    path.chmod(0o644)
    with pytest.raises(UserError, match="others may read"):
        find_values("web", ("api_key",), Places({}, None, path))


@pytest.mark.parametrize(
    "value", ["short", "with spaces in it it cannot be", "slash/slash/slash/slash", "ünïcödë-secret-000"]
)
def test_secrets_that_cannot_stand_in_an_address(tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError) as told:
        prepare(WebConfig(), Places({"MLTHON_WEB_API_KEY": value}), tmp_path)
    assert "api_key" in told.value.message
    assert value not in str(told.value)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"webhook_secret": 1}', "nonsense"])
def test_a_file_of_secrets_that_is_broken(tmp_path: Path, content: str) -> None:
    path = tmp_path / "web.keys"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(UserError, match=r"web\.keys"):
        prepare(WebConfig(), PLACES, tmp_path)


def test_a_file_of_secrets_that_others_read(tmp_path: Path) -> None:
    prepare(WebConfig(), PLACES, tmp_path)
    (tmp_path / "web.keys").chmod(0o644)
    with pytest.raises(UserError, match="others may read"):
        prepare(WebConfig(), PLACES, tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "0.0.0.0"}, "reached from other machines"),
        ({"host": "::"}, "reached from other machines"),
        ({"host": "example.org"}, "reached from other machines"),
        ({"certificate": "a.pem"}, "belong together"),
        ({"certificate": "a.pem", "private_key": "b.pem"}, "a.pem: no such file"),
        ({"allow": ["nowhere"]}, "web.allow: 'nowhere' is no address"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "web.trusted_proxies"),
    ],
)
def test_what_is_unsafe_or_cannot_be(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as told:
        prepare(WebConfig(**given), PLACES, tmp_path)
    assert said in told.value.message
    assert not (tmp_path / "web.keys").exists()


def test_beyond_this_machine_on_purpose(tmp_path: Path) -> None:
    told = read(prepare(WebConfig(host="0.0.0.0", public=True), PLACES, tmp_path))
    assert told.public


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "[::1]", "localhost"])
def test_hosts_of_this_machine(host: str) -> None:
    assert is_loopback(host)


def test_the_part_is_there_where_its_table_is(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[ops]\nstate = "state"\n[web]\nport = 0\n')
    assert (prepare_part(load_config(path), PLACES) or {})["port"] == 0
    assert prepare_part(load_config(path, ["web.enabled=false"]), PLACES) is None
    path.write_text("")
    assert prepare_part(load_config(path), PLACES) is None


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7:4711 ", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[2001:db8::1]:80", "2001:db8::/64"),
        ('"[2001:db8::1]"', "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("", "unknown"),
        ("unknown", "unknown"),
        ("203.0.113.300", "unknown"),
    ],
)
def test_addresses_as_they_are_written(text: str, address: str) -> None:
    assert shown(parse(text)) == address


def test_headers_are_believed_from_the_right_as_far_as_proxies_are_trusted() -> None:
    trusted = networks(["10.0.0.0/8", "::1"], "here")
    assert shown(sender("10.0.0.1", ["1.1.1.1, 203.0.113.7", "10.0.0.2"], trusted)) == "203.0.113.7"
    assert shown(sender("::1", [", ".join(["10.0.0.9"] * 1000)], trusted)) == "10.0.0.9"
    assert shown(sender("203.0.113.7", ["1.1.1.1"], trusted)) == "203.0.113.7"
    assert sender(None, ["1.1.1.1"], trusted) is None


# -- what is shown -----------------------------------------------------------------------------------------------------

ROUTES = {"one": [("get", "status"), ("post", "order")], "two": [("get", "status")]}


def test_the_addresses_have_their_secrets_on_a_terminal_alone(tmp_path: Path) -> None:
    alerts = {"cross": AlertConfig(strategy="grid", hook="cross")}
    settings = read(prepare(WebConfig(url="https://bots.example.org", alerts=alerts), PLACES, tmp_path))
    shown_on_terminal = list(addresses(settings, ROUTES, None))
    assert f"one: POST https://bots.example.org/trading/bot/{settings.webhook_secret}/order" in shown_on_terminal
    assert f"stream: wss://bots.example.org/stream?token={settings.api_key}" in shown_on_terminal
    kept = "\n".join(addresses(settings, ROUTES, tmp_path / "web.keys"))
    assert settings.webhook_secret not in kept
    assert settings.api_key not in kept
    assert "/trading/bot/WEBHOOK_SECRET/one/status" in kept
    assert "alerts of cross: https://bots.example.org/tradingview/TOKEN (its token: " in kept


@pytest.mark.trio
async def test_the_addresses_are_shown_when_all_bots_are_loaded(
    tmp_path: Path, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    out = StringIO()
    loaded: list[bool] = []
    announcer = Announcer(
        prepare(WebConfig(), PLACES, tmp_path), lambda: ROUTES, lambda: bool(loaded), tmp_path / "web.keys", out
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(announcer.serve, Host(lambda call, *args: True, lambda: 0))
        await trio.sleep(1)
        assert out.getvalue() == ""
        loaded.append(True)
        await trio.sleep(1)
    assert out.getvalue().count("http://127.0.0.1:8800/trading/bot/WEBHOOK_SECRET/") == 3
    assert "the bots one and two both have a webhook GET status" in caplog.text


def test_what_was_carried_out_is_known_for_as_long_as_it_could_come_again(tmp_path: Path) -> None:
    def remembered(**config: Any) -> float:
        return read(prepare(WebConfig(**config), PLACES, tmp_path)).remember_s

    assert remembered() == 7 * 86_400
    assert remembered(remember_days=0.001, window_s=300.0) == 600.0
