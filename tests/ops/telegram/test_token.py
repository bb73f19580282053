"""The token: found where keys are, and shown nowhere."""

import copy
import io
import logging
import pickle
import traceback
from pathlib import Path

import msgspec
import pytest

from mlthon.config import RunConfig, load_config
from mlthon.errors import UserError
from mlthon.live.secrets import Places
from mlthon.ops.process import PartSpec
from mlthon.ops.telegram import prepare
from mlthon.ops.telegram.api import Api
from mlthon.ops.telegram.settings import Settings
from mlthon.ops.telegram.token import VARIABLE, Token, find_token, hush
from tests.ops.telegram.fake import TOKEN

SECRET = TOKEN.partition(":")[2]


def test_it_shows_itself_nowhere() -> None:
    token = Token(TOKEN)
    shown = f"{token} {token!r} {[token]} {Api(token)!r} {token.digest}"
    assert "123456789" in shown
    assert SECRET not in shown
    with pytest.raises(TypeError):
        pickle.dumps(token)
    with pytest.raises(TypeError):
        copy.deepcopy(token)
    assert token.hide(f"https://x/bot{TOKEN}/getMe and 123456789%3A{SECRET}") == (
        "https://x/bot123456789:***/getMe and 123456789%3A***"
    )


@pytest.mark.parametrize("value", ["", "hunter2", "123:short", f"x{TOKEN}", f"{TOKEN} extra", "ключ:" + "x" * 35])
def test_what_is_no_token_is_not_repeated(value: str) -> None:
    with pytest.raises(UserError, match="no Telegram token") as caught:
        Token(value)
    assert not value or value not in str(caught.value)


def test_where_it_is_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "secrets.toml"
    file.write_text(f'[telegram]\ntoken = "{TOKEN}"\n')
    file.chmod(0o600)
    other = TOKEN.replace("AAbb", "ZZbb")
    assert find_token(Places({VARIABLE: other}, file)).value == other
    assert find_token(Places({}, file)).value == TOKEN
    env = tmp_path / ".env"
    env.write_text(f"{VARIABLE}={TOKEN}\n")
    env.chmod(0o600)
    assert find_token(Places({}, None, env)).value == TOKEN
    with pytest.raises(UserError, match="no Telegram token"):
        find_token(Places({}))
    file.chmod(0o644)
    with pytest.raises(UserError, match="others may read"):
        find_token(Places({}, file))


def test_logs_write_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logger = logging.getLogger("tests.telegram.hush")
    monkeypatch.setattr(logger, "handlers", [handler])
    logger.setLevel(logging.DEBUG)
    for name in ("httpx", "httpcore", "telegram"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    hush(Token(TOKEN), [handler])
    logger.info("POST %s", f"https://api.telegram.org/bot{TOKEN}/getMe")
    try:
        raise ValueError(TOKEN)
    except ValueError:
        logger.exception("it failed with %s", TOKEN)
    assert "it failed" in written.getvalue()
    assert "ValueError" in written.getvalue()
    assert SECRET not in written.getvalue()
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    assert not logging.getLogger("telegram.Bot").isEnabledFor(logging.ERROR)


def config(tmp_path: Path, table: str) -> RunConfig:
    path = tmp_path / "run.toml"
    path.write_text(f'[ops]\nstate = "state"\n{table}')
    return load_config(path)


def test_what_the_operations_process_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = Places({VARIABLE: TOKEN})
    assert prepare(config(tmp_path, ""), places) is None
    assert prepare(config(tmp_path, "[telegram]\nenabled = false\nchat = 5\n"), places) is None
    found = prepare(config(tmp_path, "[telegram]\nchat = -5\nchats = {grid = -6}\n"), places)
    assert found is not None
    assert found["token"] == TOKEN
    assert "nobody may give commands" in caplog.text
    spec = PartSpec("mlthon.ops.telegram", found)
    assert SECRET not in f"{spec!r} {msgspec.convert(found, Settings)!r}"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("[telegram]\n", "lacks the key 'chat'"),
        ('[telegram]\nchat = "me"\n', "needs a whole number"),
        ('[telegram]\nchat = 5\ntoken = "x"\n', "has no key 'token'"),
        ("[telegram]\nchat = 5\npoll_s = 90\n", "poll_s"),
        ('[telegram]\nchat = 5\nbase_url = "api"\n', "no base URL"),
    ],
)
def test_a_table_that_is_wrong(tmp_path: Path, table: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        config(tmp_path, table)


def test_an_error_shows_no_token_in_its_traceback() -> None:
    with pytest.raises(UserError) as caught:
        Token(f"{TOKEN}!")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
