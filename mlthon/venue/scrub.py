"""Messages made fit for a log: what may be a secret is taken out, the rest stays as it came."""

import re
from collections.abc import Iterable
from typing import Final

MOST: Final = 2_000
"""How many characters of a message are shown."""

_NAMES: Final = (
    r"[\w-]*(?:listen_?key|listen_?token|api_?key|api-key|signature|api_?sign|secret|passphrase|password|token"
    r"|authorization|cookie)[\w-]*"
)
_JSON: Final = re.compile(rf'("(?:{_NAMES}|sign)"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^\s,}}\]]+)', re.IGNORECASE)
_QUERY: Final = re.compile(rf"\b((?:{_NAMES}|sign)=)[^&\s\"']+", re.IGNORECASE)
_LOGIN: Final = re.compile(r'("(?:auth|authKeyExpires|login)"\s*,\s*"args"\s*:\s*)\[[^\]]*\]?', re.IGNORECASE)
"""A login as a list of arguments: the key and the signature are among them."""


def scrub(data: bytes | str, secrets: Iterable[str] = ()) -> str:
    """`data` as text for a log: values of fields that hold keys, signatures and tokens, and every text of `secrets`,
    are replaced by ***; bytes that are no UTF-8 are shown as escapes; what is long is cut."""
    text = data if isinstance(data, str) else data.decode("utf-8", "backslashreplace")
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _LOGIN.sub(r"\1***", _QUERY.sub(r"\1***", _JSON.sub(r'\1"***"', text)))
    if len(text) > MOST:
        return f"{text[:MOST]}... ({len(text)} characters)"
    return text
