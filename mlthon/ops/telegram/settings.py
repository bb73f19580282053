"""What the operations process is told of Telegram: the `[telegram]` table, and the token.

`prepare` is called by the run, which has the environment and the secrets file.
"""

import logging
from typing import Any

from attrs import asdict
from msgspec import Struct

from mlthon.config import RunConfig, TelegramConfig
from mlthon.live.secrets import Places
from mlthon.ops.place import control_folder
from mlthon.ops.telegram.access import Access
from mlthon.ops.telegram.claim import Claim
from mlthon.ops.telegram.token import find_token

log = logging.getLogger("mlthon.telegram")


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """As the operations process gets them."""

    token: str
    config: TelegramConfig

    def __repr__(self) -> str:
        return "Settings(...)"


def prepare(config: RunConfig, places: Places) -> dict[str, Any] | None:
    """The settings as plain values, the token among them; None where Telegram is not wanted. Raises `UserError`."""
    wanted = config.telegram
    if wanted is None or not wanted.enabled:
        return None
    token = find_token(places)
    with Claim(control_folder(config.ops.state), token) as claim:
        if not claim.take(""):
            log.warning("the Telegram bot serves %s already: here its messages are only sent", claim.holder())
    if not Access(wanted).users:
        log.warning("[telegram] users is empty and no chat is private: nobody may give commands")
    return {"token": token.value, "config": asdict(wanted)}
