"""What the web server keeps: hashed tokens, what must not be carried out twice, and who was refused.

One SQLite file (WAL) in the folder of control files, for all runs and for the command line. A token is 256 random bits
that are shown once; the file holds its keyed BLAKE2b digest. A slow hash is for passwords that people choose: of such a
token nothing can be guessed, and a hash that takes 50 ms would let a flood keep the server busy. A signing key is kept
as it is, because HMAC needs it.

Whatever is to happen once is claimed before the engine hears of it, so nothing is done twice even where a process dies
in between; a claim is given back only where the engine certainly did nothing.
"""

import hmac
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from enum import Enum
from hashlib import blake2b
from pathlib import Path
from typing import Final

from attrs import field, frozen

from mlthon.errors import UserError, near
from mlthon.ops.private import make_private

FILE: Final = "webhook.db"
TOKEN_BYTES: Final = 32
MOST_REJECTIONS: Final = 10_000
LONGEST: Final = 300
"""Characters of a reason that are kept."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    name TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, signing_key TEXT, created INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seen (
    connector TEXT NOT NULL, key TEXT NOT NULL, done INTEGER NOT NULL, ts INTEGER NOT NULL,
    PRIMARY KEY (connector, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_by_time ON seen (ts);
CREATE TABLE IF NOT EXISTS rejections (
    number INTEGER PRIMARY KEY, ts INTEGER NOT NULL, address TEXT NOT NULL, what TEXT NOT NULL, who TEXT NOT NULL,
    status INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL);
"""


class Claim(Enum):
    """What became of a claim: it is yours; the same is under way, or its end is not known; the same was done."""

    MINE = "mine"
    UNDER_WAY = "under way"
    DONE = "done"


@frozen
class Token:
    """A token as it is shown once, and its signing key if it has one."""

    name: str
    text: str = field(repr=False)
    signing_key: str | None = field(default=None, repr=False)


@frozen
class KnownToken:
    """A token as the store knows it. `created`: ns."""

    name: str
    created: int
    signing_key: str | None = field(default=None, repr=False)

    @property
    def signed(self) -> bool:
        """Whether its requests must be signed."""
        return self.signing_key is not None


@frozen
class Rejection:
    """Requests that were refused, `count` alike until `ts` (ns). `who`: the connector or alert that they named."""

    ts: int
    address: str
    what: str
    who: str
    status: int
    reason: str
    count: int = 1


def _made() -> str:
    """A new secret. It begins with no hyphen: in a command such as `--token TEXT` that would be another option."""
    while (text := secrets.token_urlsafe(TOKEN_BYTES)).startswith("-"):
        pass
    return text


class WebhookStore:
    """See the module. Raises `UserError` where the file cannot be opened; its methods raise `sqlite3.Error`."""

    def __init__(self, path: Path, now: Callable[[], int] = time.time_ns) -> None:
        self.path = path
        self._now = now
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            make_private(path)
            self._base = sqlite3.connect(path, isolation_level=None)
            for setting in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=1000"):
                self._base.execute(f"PRAGMA {setting}")
            self._base.executescript(_SCHEMA)
            self._base.execute("INSERT OR IGNORE INTO meta VALUES ('key', ?)", (secrets.token_bytes(32),))
            self._key: bytes = self._base.execute("SELECT value FROM meta WHERE key = 'key'").fetchone()[0]
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{path}: the store of tokens cannot be opened: {error}", "Look at its folder.") from None

    def close(self) -> None:
        self._base.close()

    # -- tokens ------------------------------------------------------------------------------------------------------

    def _digest(self, token: str) -> bytes:
        return blake2b(token.encode("utf-8", "replace"), key=self._key, digest_size=32).digest()

    def make_token(self, name: str, *, signed: bool = False, replace: bool = False) -> Token:
        """A new token for a connector or alert. Raises `UserError` where it has one and `replace` is not set."""
        if not name.strip() or len(name) > 100 or not name.isprintable():
            raise UserError(f"{name!r} is no name for a connector", "Up to 100 printable characters.")
        if not replace and name in {each.name for each in self.tokens()}:
            raise UserError(
                f"there is a token for {name!r} already; it cannot be shown again",
                "Make a new one in its place with --replace: the old one is void then.",
            )
        made = Token(name, _made(), _made() if signed else None)
        self._base.execute(
            "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)",
            (name, self._digest(made.text), made.signing_key, self._now()),
        )
        return made

    def tokens(self) -> list[KnownToken]:
        """All tokens by name."""
        rows = self._base.execute("SELECT name, created, signing_key FROM tokens ORDER BY name")
        return [KnownToken(*row) for row in rows]

    def revoke(self, name: str) -> None:
        """Make a token void at once. Raises `UserError` where there is none of the name."""
        if not self._base.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount:
            raise UserError(f"there is no token for {name!r}{near(name, [each.name for each in self.tokens()])}")

    def verify(self, name: str, token: str) -> KnownToken | None:
        """The token if it is this name's. Takes the same time whether the name or the token is wrong."""
        row = self._base.execute(
            "SELECT name, created, signing_key, digest FROM tokens WHERE name = ?", (name,)
        ).fetchone()
        same = hmac.compare_digest(row[3] if row else bytes(32), self._digest(token))
        return KnownToken(*row[:3]) if row and same else None

    def find(self, token: str) -> KnownToken | None:
        """Whose token this is. It is looked up by its keyed digest, of which nobody outside knows a single bit."""
        row = self._base.execute(
            "SELECT name, created, signing_key FROM tokens WHERE digest = ?", (self._digest(token),)
        ).fetchone()
        return KnownToken(*row) if row else None

    # -- once --------------------------------------------------------------------------------------------------------

    def claim(self, connector: str, keys: Sequence[str]) -> Claim:
        """Claim all keys, or none where one was claimed before."""
        with self._transaction():
            for key in keys:
                row = self._base.execute(
                    "SELECT done FROM seen WHERE connector = ? AND key = ?", (connector, key)
                ).fetchone()
                if row is not None:
                    return Claim.DONE if row[0] else Claim.UNDER_WAY
            now = self._now()
            self._base.executemany("INSERT INTO seen VALUES (?, ?, 0, ?)", [(connector, key, now) for key in keys])
        return Claim.MINE

    def settle(self, connector: str, keys: Sequence[str], *, done: bool) -> None:
        """What was claimed is done; or, with `done` false, was certainly not done and may be claimed again."""
        with self._transaction():
            for key in keys:
                if done:
                    self._base.execute("UPDATE seen SET done = 1 WHERE connector = ? AND key = ?", (connector, key))
                else:
                    self._base.execute("DELETE FROM seen WHERE connector = ? AND key = ?", (connector, key))

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._base)

    # -- who was refused ---------------------------------------------------------------------------------------------

    def reject(self, rejection: Rejection) -> None:
        """Write down who was refused."""
        each = rejection
        self._base.execute(
            "INSERT INTO rejections (ts, address, what, who, status, reason, count) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (each.ts, each.address, each.what, each.who[:LONGEST], each.status, each.reason[:LONGEST], each.count),
        )

    def rejections(self, most: int) -> list[Rejection]:
        """The newest, newest first."""
        rows = self._base.execute(
            "SELECT ts, address, what, who, status, reason, count FROM rejections ORDER BY number DESC LIMIT ?", (most,)
        )
        return [Rejection(*row) for row in rows]

    def prune(self, before: int) -> None:
        """Forget what was done before a time (ns), and all but the newest rejections."""
        self._base.execute("DELETE FROM seen WHERE ts < ?", (before,))
        self._base.execute(
            "DELETE FROM rejections WHERE number <= (SELECT max(number) FROM rejections) - ?", (MOST_REJECTIONS,)
        )


class _Transaction:
    """What stands inside happens as a whole, before or after what other processes do."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base

    def __enter__(self) -> None:
        self._base.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._base.execute("COMMIT" if kind is None else "ROLLBACK")
