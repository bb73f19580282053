"""API keys are found where they are said to be, and are shown nowhere."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mlthon.basics.defs import Exchange
from mlthon.errors import UserError
from mlthon.live.secrets import Places, find_credentials, usual_places, variable

KEY, SECRET = "the-key-itself", "the-secret-itself"
ENVIRONMENT = {"MLTHON_BYBIT_MAIN_KEY": KEY, "MLTHON_BYBIT_MAIN_SECRET": SECRET}


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def pem(key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_from_the_environment() -> None:
    found = find_credentials(Exchange.Bybit, "main", Places(ENVIRONMENT))
    assert (found.key, found.secret, found.kind) == (KEY, SECRET, "hmac")


def test_names_of_variables() -> None:
    assert variable(Exchange.BinanceUsdm, "second one", "key") == "MLTHON_BINANCEUSDM_SECOND_ONE_KEY"


def test_from_a_secrets_file_and_the_environment_beats_it(tmp_path: Path) -> None:
    file = written(tmp_path / "keys.toml", "[bybit.main]\nkey = 'k2'\nsecret = 's2'\npassphrase = 'p2'\n")
    found = find_credentials(Exchange.Bybit, "main", Places({}, file))
    assert (found.key, found.secret, found.passphrase) == ("k2", "s2", "p2")
    assert find_credentials(Exchange.Bybit, "main", Places(ENVIRONMENT, file)).key == KEY


def test_from_a_dot_env_file(tmp_path: Path) -> None:
    file = written(tmp_path / ".env", f"MLTHON_BYBIT_MAIN_KEY={KEY}\nMLTHON_BYBIT_MAIN_SECRET='a$b{{c}}'\n")
    found = find_credentials(Exchange.Bybit, "main", Places({}, None, file))
    assert (found.key, found.secret) == (KEY, "a$b{c}")


def test_usual_places_leave_out_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert find_credentials(Exchange.Bybit, "main", usual_places()).key == KEY
    with pytest.raises(UserError, match="no API key for account 'other' on Bybit"):
        find_credentials(Exchange.Bybit, "other", usual_places())


@pytest.mark.parametrize("name", ["keys.toml", ".env", "key.pem"])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, name: str) -> None:
    key = pem(Ed25519PrivateKey.generate())
    texts = {
        "keys.toml": f"[Bybit.main]\nkey = '{KEY}'\nsecret = '{SECRET}'\n",
        ".env": f"MLTHON_BYBIT_MAIN_KEY={KEY}\nMLTHON_BYBIT_MAIN_SECRET={SECRET}\n",
        "key.pem": key,
    }
    file = written(tmp_path / name, texts[name], 0o640)
    places = {
        "keys.toml": Places({}, file),
        ".env": Places({}, None, file),
        "key.pem": Places({"MLTHON_BYBIT_MAIN_KEY": KEY, "MLTHON_BYBIT_MAIN_PRIVATE_KEY": str(file)}),
    }
    with pytest.raises(UserError, match="others may read") as caught:
        find_credentials(Exchange.Bybit, "main", places[name])
    assert f"chmod 600 {file}" in caught.value.hint
    file.chmod(0o600)
    assert find_credentials(Exchange.Bybit, "main", places[name]).key == KEY


def test_a_dot_env_file_without_keys_may_be_read_by_others(tmp_path: Path) -> None:
    file = written(tmp_path / ".env", "EDITOR=vi\n", 0o644)
    with pytest.raises(UserError, match="no API key"):
        find_credentials(Exchange.Bybit, "main", Places({}, None, file))


def test_a_private_key_beside_the_secrets_file(tmp_path: Path) -> None:
    text = pem(Ed25519PrivateKey.generate())
    written(tmp_path / "bybit.pem", text)
    file = written(tmp_path / "keys.toml", f"[Bybit.main]\nkey = '{KEY}'\nprivate_key = 'bybit.pem'\n")
    found = find_credentials(Exchange.Bybit, "main", Places({}, file))
    assert (found.secret, found.kind) == (text, "ed25519")


def test_a_private_key_in_one_line_of_the_environment() -> None:
    text = pem(Ed25519PrivateKey.generate())
    places = Places({"MLTHON_BYBIT_MAIN_KEY": KEY, "MLTHON_BYBIT_MAIN_SECRET": text.replace("\n", "\\n")})
    found = find_credentials(Exchange.Bybit, "main", places)
    assert (found.secret, found.kind) == (text, "ed25519")


BAD = [
    ("[Bybit.main]\nkey = 'the-key-itself'\n", "a key, but neither secret nor private key"),
    ("[Bybit.main]\nsecret = 'the-secret-itself'\n", "there is a secret for 'main' on Bybit, but no key"),
    ("[Bybit.main]\nkey = 'k'\nsecret = 'the-secret-itself'\nprivate_key = 'x.pem'\n", "both a secret and a private"),
    ("[Bybit.main]\nkey = 'k'\nprivate_key = 'x.pem'\n", "x.pem: no such private key file"),
    ("[Bybit.main]\nkey = 'k'\nsecret = the-secret-itself\n", r"not valid TOML \(line 3\)"),
    ("[Bybit.main]\nkey = 'k'\nsecret = 17\n", "Bybit.main.secret must be a text"),
    ("[Bybit.main]\nkey = 'k'\nsecrt = 'the-secret-itself'\n", r"has no key 'secrt'"),
    ("Bybit = 'the-secret-itself'\n", "Bybit must be a table"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_files_are_told_without_what_they_hold(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path / "keys.toml", text)
    with pytest.raises(UserError, match=message) as caught:
        find_credentials(Exchange.Bybit, "main", Places({}, file))
    assert "the-secret-itself" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "key.pem", pem(generate_private_key(SECP256R1())))
    places = Places({"MLTHON_BYBIT_MAIN_KEY": KEY, "MLTHON_BYBIT_MAIN_PRIVATE_KEY": str(file)})
    with pytest.raises(UserError, match="of a kind that no exchange takes"):
        find_credentials(Exchange.Bybit, "main", places)
    written(file, "-----BEGIN PRIVATE KEY-----\nnonsense\n")
    with pytest.raises(UserError, match="no private key in PEM"):
        find_credentials(Exchange.Bybit, "main", places)


def test_a_missing_secrets_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such secrets file"):
        find_credentials(Exchange.Bybit, "main", Places({}, tmp_path / "keys.toml"))


def test_keys_are_in_no_repr() -> None:
    places = Places(ENVIRONMENT)
    shown = repr(find_credentials(Exchange.Bybit, "main", places)) + repr(places)
    assert KEY not in shown
    assert SECRET not in shown
