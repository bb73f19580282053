"""`POST /trading-signal/webhook`: Crypto Arsenal's trading signals (docs/arsenal.md tells what they do).

A signal is JSON with `connectorName` and `connectorToken`, which choose and authorise the strategy. It is answered `ok`
as soon as the exchange has its order, or after a second; the header `X-Outcome` says which (`accepted`, `taken`). One
whose order was refused by then is answered by the reason. The same signal is carried out once (`mlthon.ops.web.once`).

A token made with `--signed` has a signing key, and its requests need three headers: `X-Timestamp` (seconds since 1970),
`X-Nonce`, and `X-Signature`, the HMAC-SHA256 in hex of timestamp, nonce and body joined by dots.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from sqlite3 import Error as SqliteError
from typing import Any, Final

from starlette.responses import Response

from mlthon.ops.contract import Signal
from mlthon.ops.web.addresses import Network, within
from mlthon.ops.web.bodies import Refused, read_json
from mlthon.ops.web.edge import BURST_S, Edge, Visit, read_body, too_often
from mlthon.ops.web.engine import Engine
from mlthon.ops.web.limits import Rates
from mlthon.ops.web.once import ACTION, LONGEST, Once, keys_of, nonce_of
from mlthon.ops.web.store import KnownToken, WebhookStore

NAME: Final = "connectorName"
TOKEN: Final = "connectorToken"
SECOND: Final = 10**9
_HEX: Final = re.compile(r"(?:sha256=)?([0-9a-fA-F]{64})")


def signature(key: str, timestamp: str, nonce: str, body: bytes) -> str:
    """What `X-Signature` must say."""
    return hmac.new(key.encode(), f"{timestamp}.{nonce}.".encode() + body, hashlib.sha256).hexdigest()


def allowed(visit: Visit, networks: tuple[Network, ...]) -> None:
    """Raise `Refused` where alerts may not come from there; without networks they may come from anywhere."""
    if networks and not within(visit.address, networks):
        raise Refused(403, "alerts are not taken from this address", "The server's web.allow says from which.")


class Signals:
    """The endpoint. `rate`: signals a second of one connector. `window_s`: how old a signed one may be. `wall`: ns.
    `run`: the run's name."""

    def __init__(
        self,
        engine: Engine,
        edge: Edge,
        store: WebhookStore,
        *,
        rate: float,
        window_s: float,
        wall: Callable[[], int],
        networks: tuple[Network, ...] = (),
        run: str = "",
    ) -> None:
        self._run = run
        self._once = Once(engine, edge, store, "signal", tells=True)
        self._edge = edge
        self._store = store
        self._window_s = window_s
        self._wall = wall
        self._networks = networks
        self._rates = Rates(rate, rate * BURST_S)

    async def serve(self, visit: Visit) -> Response:
        allowed(visit, self._networks)
        body = await read_body(visit)
        payload = read_json(body)
        if not isinstance(payload, dict):
            raise Refused(400, "a signal is a JSON object", f'With "{NAME}", "{TOKEN}" and "{ACTION}".')
        name, token = _text(payload, NAME), _text(payload, TOKEN)
        known = self._known(visit, name, token)
        visit.who = known.name
        nonce = self._authentic(visit, known, body)
        if wait := self._rates.take(known.name, visit.now):
            raise too_often(wait, "signals of this connector")
        signal = Signal(known.name, {key: value for key, value in payload.items() if key != TOKEN})
        who = f"webhook {known.name} from {visit.sender}"
        return await self._once.carry_out(visit, known.name, signal, who, keys_of(payload, nonce, self._run))

    def _known(self, visit: Visit, name: str, token: str) -> KnownToken:
        try:
            known = self._store.verify(name, token)
        except SqliteError:
            raise Refused(503, "tokens cannot be checked now; nothing was done") from None
        if known is None:
            raise self._edge.wrong_secret(visit, f"{NAME} or {TOKEN} is wrong")
        return known

    # -- signatures --------------------------------------------------------------------------------------------------

    def _authentic(self, visit: Visit, known: KnownToken, body: bytes) -> str:
        """The request's nonce, empty without one. Raises `Refused` where it is not signed and has to be, or too old."""
        headers = visit.request.headers
        nonce = nonce_of(visit)
        timestamp, signed = headers.get("x-timestamp", ""), headers.get("x-signature", "")
        if known.signing_key is not None:
            self._signed(visit, known.signing_key, timestamp, nonce, signed, body)
        elif signed:
            raise Refused(401, "this connector has no signing key", "Make its token with --signed, or do not sign.")
        if timestamp:
            self._fresh(timestamp)
        return nonce

    def _signed(self, visit: Visit, key: str, timestamp: str, nonce: str, signed: str, body: bytes) -> None:
        missing = [
            name for name, value in (("Timestamp", timestamp), ("Nonce", nonce), ("Signature", signed)) if not value
        ]
        if missing:
            raise Refused(401, f"this connector's signals are signed, and X-{missing[0]} is missing")
        found = _HEX.fullmatch(signed)
        right = signature(key, timestamp, nonce, body)
        if found is None or not hmac.compare_digest(found[1].lower(), right):
            raise self._edge.wrong_secret(visit, "X-Signature is wrong")

    def _fresh(self, timestamp: str) -> None:
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise Refused(400, "X-Timestamp must be whole seconds since 1970")
        if abs(self._wall() / SECOND - int(timestamp)) > self._window_s:
            raise Refused(401, f"X-Timestamp is more than {self._window_s:g} s away from this machine's time")


def _text(payload: Mapping[str, Any], name: str) -> str:
    """A mandatory text. Raises `Refused`."""
    value = payload.get(name)
    if not isinstance(value, str) or not value or len(value) > LONGEST:
        what = "is missing" if value in (None, "") else f"must be a text of up to {LONGEST} characters"
        raise Refused(400, f"{name} {what}")
    return value
