"""How Binance's requests are signed: spot and USD-M, REST and websocket API, for both sides of the wire.

What is signed over REST is the text of the parameters exactly as sent: the query string and, if there is a form body,
that after it without anything between (https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security).
The signature is the last parameter. Over the websocket API the parameters are sorted by name and joined as in a query,
unescaped. An HMAC key signs with SHA-256 in hex; Ed25519 and RSA (PKCS#1 v1.5, SHA-256) keys in base64, which has to be
escaped in a query.
"""

import base64
import hmac
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlencode

KEY_HEADER: Final = "X-MBX-APIKEY"
SIGNATURE: Final = "signature"
TIMESTAMP: Final = "timestamp"
RECV_WINDOW: Final = "recvWindow"

DEFAULT_RECV_WINDOW_MS: Final = 5_000
"""How long after its timestamp a request is accepted when it does not say."""
MAX_RECV_WINDOW_MS: Final = 60_000
MAX_AHEAD_MS: Final = 1_000
"""A timestamp further ahead of the exchange's clock than this is refused (-1021)."""

Params = Iterable[tuple[str, str]]


class Signer:
    """An account's signature. Raises ValueError for a kind of key that Binance has not, or a key that cannot be read;
    the message holds nothing of the key."""

    def __init__(self, key: str, secret: str, kind: str = "hmac", passphrase: str = "") -> None:
        self.key = key
        self.kind = kind
        self._sign = _signature(secret, kind, passphrase)

    def sign(self, text: str) -> str:
        """The signature of this text, not escaped."""
        return self._sign(text.encode())

    def query(self, params: Params) -> str:
        """The parameters as a query string that ends with its signature."""
        text = urlencode(list(params))
        return f"{text}&{SIGNATURE}={quote(self.sign(text), safe='')}"

    def websocket_params(self, params: Mapping[str, str | int]) -> dict[str, str | int]:
        """The parameters of a websocket API request, key and signature among them, sorted by name."""
        ordered = dict(sorted({**params, "apiKey": self.key}.items()))
        return {**ordered, SIGNATURE: self.sign(websocket_text(ordered))}

    def __repr__(self) -> str:
        return f"<{self.kind} signer>"


def websocket_text(params: Mapping[str, str | int]) -> str:
    """What is signed of a websocket API request: all parameters but the signature, sorted by name."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != SIGNATURE)


def hmac_signature(secret: str, text: str) -> str:
    """The signature of an HMAC key (the only kind that the other side can make too)."""
    return hmac.new(secret.encode(), text.encode(), sha256).hexdigest()


def _signature(secret: str, kind: str, passphrase: str) -> Callable[[bytes], str]:
    if kind == "hmac":
        return lambda text: hmac_signature(secret, text.decode())
    if kind in ("ed25519", "rsa"):
        return _private_key_signature(secret, kind, passphrase)
    raise ValueError(f"Binance has no keys of kind {kind!r}; it has hmac, ed25519 and rsa")


def _private_key_signature(secret: str, kind: str, passphrase: str) -> Callable[[bytes], str]:
    # Imported here: it takes as long as everything else, and most keys are HMAC keys.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(secret.encode(), passphrase.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is left out: a parser's message may quote what it read.
        raise ValueError(f"the secret of the {kind} key is no private key in PEM, or its passphrase is wrong") from None
    if kind == "ed25519" and isinstance(key, Ed25519PrivateKey):
        return lambda text: base64.b64encode(key.sign(text)).decode()
    if kind == "rsa" and isinstance(key, RSAPrivateKey):
        return lambda text: base64.b64encode(key.sign(text, PKCS1v15(), SHA256())).decode()
    raise ValueError(f"the private key is not of kind {kind}")
