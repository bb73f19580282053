"""API keys: where they are looked for, and what is refused.

For an account, in this order, the first place that has a key wins:

1. the environment: `MLTHON_BYBIT_MAIN_KEY` and `MLTHON_BYBIT_MAIN_SECRET` (exchange and account in capitals, anything
   but letters and digits as `_`), or `..._PRIVATE_KEY` with the path of a PEM file instead of the secret, and
   `..._PASSPHRASE` where the exchange or the PEM file has one;
2. a secrets file in TOML, with a table an account:

       [Bybit.main]
       key = "..."
       secret = "..."            # or: private_key = "bybit.pem", relative to this file
3. a `.env` file, with the names of the environment.

A file that others may read is refused: keys in it are known to more than their owner. What a file or a key holds
stands in no message; errors name places and what to do.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from mlthon.basics.defs import Exchange
from mlthon.errors import UserError
from mlthon.venue.codec import Credentials

FIELDS: Final = ("key", "secret", "private_key", "passphrase")
DOT_ENV: Final = ".env"
OURS: Final = "MLTHON_"
"""Environment variables that begin so are this program's own, keys among them."""
_PEM: Final = "-----BEGIN "


class NoKey(UserError):
    """No place has a key of the account."""


@frozen
class Places:
    """Where keys are looked for. `secrets_file`: None for none. `dot_env`: left out if it is not there."""

    environ: Mapping[str, str] = field(repr=False)
    secrets_file: Path | None = None
    dot_env: Path | None = None


def usual_places(secrets_file: Path | None = None) -> Places:
    """The process's environment, the secrets file if one is configured, and `.env` in the working folder."""
    return Places(os.environ, secrets_file, Path(DOT_ENV))


def without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that is to know no keys: without this program's own variables."""
    return {name: value for name, value in environ.items() if not name.startswith(OURS)}


def variable(exchange: Exchange, account: str, name: str) -> str:
    """The environment's name of a field (`key`): `MLTHON_BYBIT_MAIN_KEY`."""
    return re.sub(r"[^A-Z0-9]", "_", f"MLTHON_{exchange.name}_{account}_{name}".upper())


def find_credentials(exchange: Exchange, account: str, places: Places) -> Credentials:
    """The account's keys. Raises `UserError` when there are none, they are half there, or their file is readable by
    others."""
    given, where, folder = _given(exchange, account, places)
    if not given:
        raise NoKey(
            f"no API key for account {account!r} on {exchange.name}",
            f"Set {variable(exchange, account, 'key')} and {variable(exchange, account, 'secret')} in the environment "
            f"or in a .env file,\nor put them into a secrets file as the table [{exchange.name}.{account}].",
        )
    if not given.get("key"):
        raise UserError(f"{where}: there is a secret for {account!r} on {exchange.name}, but no key")
    if bool(given.get("secret")) == bool(given.get("private_key")):
        both = "both a secret and a private key" if given.get("secret") else "a key, but neither secret nor private key"
        raise UserError(f"{where}: {both} for {account!r} on {exchange.name}", "Give one of them.")
    passphrase = given.get("passphrase", "")
    if given.get("private_key"):
        pem, kind = _private_key(folder / given["private_key"], passphrase)
        return Credentials(given["key"], pem, kind, passphrase)
    if _PEM in given["secret"]:
        text = given["secret"].replace("\\n", "\n")
        return Credentials(given["key"], text, _kind(text, where, passphrase), passphrase)
    return Credentials(given["key"], given["secret"], "hmac", passphrase)


def find_values(table: str, names: Sequence[str], places: Places) -> dict[str, str]:
    """Secrets that belong to no exchange, each from the first place that has it: `MLTHON_TABLE_NAME` in the environment
    and in `.env`, `name` in the table `[table]` of the secrets file. Those that no place has are left out. Raises
    `UserError`."""
    variables = {name: f"MLTHON_{table}_{name}".upper() for name in names}
    found: dict[str, str] = {}
    if places.dot_env is not None and places.dot_env.exists():
        found |= _of_dot_env(places.dot_env, variables)
    if places.secrets_file is not None:
        path = places.secrets_file
        found |= _texts(_table(_tables(path), table, path), table, names, path)
    return found | {name: places.environ[at] for name, at in variables.items() if places.environ.get(at)}


def _given(exchange: Exchange, account: str, places: Places) -> tuple[dict[str, str], str, Path]:
    """What the first place that has anything of the account says, what it is called, and where its paths begin."""
    names = {name: variable(exchange, account, name) for name in FIELDS}
    found = {name: places.environ[at] for name, at in names.items() if places.environ.get(at)}
    if found:
        return found, "the environment", Path()
    if places.secrets_file is not None:
        found = _of_secrets_file(places.secrets_file, exchange, account)
        if found:
            return found, str(places.secrets_file), places.secrets_file.parent
    if places.dot_env is not None and places.dot_env.exists():
        found = _of_dot_env(places.dot_env, names)
        return found, str(places.dot_env), places.dot_env.parent
    return {}, "", Path()


def _of_dot_env(path: Path, names: Mapping[str, str]) -> dict[str, str]:
    from dotenv import dotenv_values

    text = path.read_text("utf-8", errors="replace")
    if any(name in text for name in names.values()):
        refuse_readable(path)
    values = dotenv_values(path, interpolate=False)
    return {name: value for name, at in names.items() if (value := values.get(at))}


def _of_secrets_file(path: Path, exchange: Exchange, account: str) -> dict[str, str]:
    table = _table(_tables(path), exchange.name, path)
    return _texts(_table(table, account, path), f"{exchange.name}.{account}", FIELDS, path)


def _tables(path: Path) -> dict[str, Any]:
    """What a secrets file holds."""
    try:
        refuse_readable(path)
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such secrets file", "Look at live.secrets_file of the configuration.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # the error's own text may quote the line, and the line may be the secret
        line = re.search(r"line \d+", str(error))
        raise UserError(f"{path}: not valid TOML{f' ({line[0]})' if line else ''}") from None


def _texts(given: Mapping[str, Any], table: str, names: Sequence[str], path: Path) -> dict[str, str]:
    """The texts of a table, which has no keys but these names."""
    strange = [name for name in given if name not in names]
    if strange:
        raise UserError(f"{path}: [{table}] has no key {strange[0]!r}", f"Its keys: {', '.join(names)}")
    for name, value in given.items():
        if not isinstance(value, str):
            raise UserError(f"{path}: {table}.{name} must be a text in quotes")
    return {name: value for name, value in given.items() if value}


def _table(tables: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """The table of this name, whatever its case; empty if there is none."""
    for key, value in tables.items():
        if key.casefold() == name.casefold():
            if not isinstance(value, dict):
                raise UserError(f"{path}: {key} must be a table", "Write [Bybit.main] and the keys below it.")
            return value
    return {}


def _private_key(path: Path, passphrase: str) -> tuple[str, str]:
    """The text of a PEM file and the kind of its key."""
    try:
        refuse_readable(path)
        text = path.read_text("ascii")
    except FileNotFoundError:
        raise UserError(f"{path}: no such private key file") from None
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path}: cannot be read as a PEM file") from None
    return text, _kind(text, str(path), passphrase)


def _kind(pem: str, where: str, passphrase: str) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), passphrase.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError(f"{where}: no private key in PEM that can be read", "Is its passphrase right?") from None
    if isinstance(key, Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, RSAPrivateKey):
        return "rsa"
    raise UserError(f"{where}: a private key of a kind that no exchange takes", "It must be Ed25519 or RSA.")


def refuse_readable(path: Path) -> None:
    """Raise `UserError` when anyone but the owner may read or write the file. Raises OSError when it is not there."""
    mode = path.stat().st_mode
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise UserError(
            f"{path}: others may read this file ({stat.filemode(mode)}), and it holds API keys", f"chmod 600 {path}"
        )
