"""The web server's own secrets: that of bots' webhooks, the key of the stream, and the token of the metrics.

Looked for where API keys are (`mlthon.live.secrets`): `MLTHON_WEB_WEBHOOK_SECRET`, `MLTHON_WEB_API_KEY` and
`MLTHON_WEB_METRICS_TOKEN` in the environment or `.env`, or in the secrets file:

    [web]
    webhook_secret = "..."
    api_key = "..."
    metrics_token = "..."

A webhook secret and a key that are configured nowhere are made once and kept in a file that only its owner may read.
"""

import json
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from mlthon.errors import UserError
from mlthon.live.secrets import Places, find_values, refuse_readable

FILE: Final = "web.keys"
TABLE: Final = "web"
NAMES: Final = ("webhook_secret", "api_key", "metrics_token")
MADE: Final = ("webhook_secret", "api_key")
"""Those that are made where they are not configured."""
SHORTEST: Final = 16
_URL_SAFE: Final = re.compile(rf"[A-Za-z0-9_.~-]{{{SHORTEST},200}}")


@frozen
class WebKeys:
    """See the module. `metrics_token`: None for none; the API key opens the metrics too."""

    webhook_secret: str = field(repr=False)
    api_key: str = field(repr=False)
    metrics_token: str | None = field(default=None, repr=False)

    @property
    def all(self) -> tuple[str, ...]:
        """Every secret, for taking them out of logs."""
        return tuple(each for each in (self.webhook_secret, self.api_key, self.metrics_token) if each)


def find_keys(places: Places, folder: Path) -> WebKeys:
    """The configured secrets, and those made before or now of the file in `folder`. Raises `UserError`."""
    found = find_values(TABLE, NAMES, places)
    for name, value in found.items():
        if not _URL_SAFE.fullmatch(value):
            raise UserError(
                f"the web server's {name} cannot be used: it stands in addresses",
                f"{SHORTEST} to 200 letters, digits, '-', '_', '.' or '~'; such as python -c "
                "'import secrets; print(secrets.token_urlsafe(24))' prints.",
            )
    missing = [name for name in MADE if name not in found]
    if missing:
        kept = _kept(folder / FILE)
        found |= {name: kept[name] for name in missing}
    return WebKeys(**found)


def _kept(path: Path) -> Mapping[str, str]:
    """The secrets of the file; it is made, whole, where it is not there."""
    if path.exists():
        return _read(path)
    made = {name: secrets.token_urlsafe(24) for name in MADE}
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=FILE)
        with os.fdopen(descriptor, "w") as file:
            json.dump(made, file)
        try:
            os.link(name, path)
        finally:
            Path(name).unlink()
    except FileExistsError:  # another run was quicker
        return _read(path)
    except OSError as error:
        raise UserError(f"{path}: no place for the web server's secrets: {error.strerror}") from None
    return made


def _read(path: Path) -> Mapping[str, str]:
    mend = "Remove it to have new secrets made; addresses that hold the old ones are void then."
    try:
        refuse_readable(path)
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{path}: cannot be read", mend) from None
    if not isinstance(kept, dict) or not all(_URL_SAFE.fullmatch(str(kept.get(name, ""))) for name in MADE):
        raise UserError(f"{path}: does not hold the secrets that it should", mend)
    return kept
