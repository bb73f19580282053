"""`POST /trading-signal/webhook`: Crypto Arsenal's trading signals (docs/arsenal.md tells what they do).

A signal is JSON with `connectorName` and `connectorToken`, which choose and authorise the strategy. It is answered `ok`
once its strategy has it. The same signal is carried out once: signals are the same that have one `clientOrderId`
(cancels apart from orders; and of this run, because all runs share the store) or one `X-Nonce`. It is claimed before
the engine hears of it; where the engine does not answer the claim stays, because nobody knows whether the order was
placed.

A token made with `--signed` has a signing key, and its requests need three headers: `X-Timestamp` (seconds since 1970),
`X-Nonce`, and `X-Signature`, the HMAC-SHA256 in hex of timestamp, nonce and body joined by dots.
"""

import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Mapping
from sqlite3 import Error as SqliteError
from typing import Any, Final

from starlette.responses import Response

from mlthon.ops.client import AskFailed, NoAnswer
from mlthon.ops.contract import Signal
from mlthon.ops.web.addresses import Network, within
from mlthon.ops.web.bodies import Refused, read_json
from mlthon.ops.web.edge import BURST_S, Edge, Visit, plain, read_body, too_often
from mlthon.ops.web.engine import Engine, away, unanswered
from mlthon.ops.web.limits import Rates
from mlthon.ops.web.store import Claim, KnownToken, WebhookStore

log = logging.getLogger("mlthon.ops.web")

TIMEOUT_S: Final = 2.5
"""TradingView gives a request up after 3 s."""
NAME: Final = "connectorName"
TOKEN: Final = "connectorToken"
CLIENT_ID: Final = "clientOrderId"
ACTION: Final = "action"
LONGEST: Final = 200
SECOND: Final = 10**9
CANCELS: Final = "cancel"
_NONCE: Final = re.compile(r"[\x21-\x7e]{1,128}")
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
        self._engine = engine
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
        keys = _keys(payload, nonce, self._run)
        signal = Signal(known.name, {key: value for key, value in payload.items() if key != TOKEN})
        return await self._once(visit, signal, keys)

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
        timestamp, nonce, signed = (headers.get(f"x-{each}", "") for each in ("timestamp", "nonce", "signature"))
        if nonce and not _NONCE.fullmatch(nonce):
            raise Refused(400, "X-Nonce must be 1 to 128 characters of ASCII without spaces")
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

    # -- once --------------------------------------------------------------------------------------------------------

    async def _once(self, visit: Visit, signal: Signal, keys: tuple[str, ...]) -> Response:
        if (refused := away(self._engine)) is not None:
            raise refused
        claim = self._claimed(signal.connector, keys)
        if claim is Claim.DONE:
            self._edge.rejections.note(visit.now, visit.sender, "signal", visit.who, 200, "a duplicate: not done again")
            return plain("ok", x_duplicate="true")
        if claim is Claim.UNDER_WAY:
            raise Refused(409, "the same signal is under way, or came before and nobody knows what became of it")
        try:
            await self._engine.ask(signal, f"webhook {signal.connector} from {visit.sender}", TIMEOUT_S)
        except NoAnswer as error:
            refused = unanswered(error, self._engine)
            hint = "The signal may have been carried out: look at the orders before sending another."
            raise Refused(refused.status, refused.message, hint) from None
        except AskFailed as error:
            self._settle(signal.connector, keys, done=False)
            raise unanswered(error, self._engine) from None
        self._settle(signal.connector, keys, done=True)
        return plain("ok")

    def _settle(self, connector: str, keys: tuple[str, ...], *, done: bool) -> None:
        """Write down what became of a claim; one that cannot be stays, so that nothing is done twice."""
        try:
            self._store.settle(connector, keys, done=done)
        except SqliteError as error:
            log.error("what became of a signal of %s cannot be written down: %s", connector, error)

    def _claimed(self, connector: str, keys: tuple[str, ...]) -> Claim:
        if not keys:
            return Claim.MINE
        try:
            return self._store.claim(connector, keys)
        except SqliteError:
            raise Refused(503, "it cannot be written down that this is done once; nothing was done") from None


def _text(payload: Mapping[str, Any], name: str) -> str:
    """A mandatory text. Raises `Refused`."""
    value = payload.get(name)
    if not isinstance(value, str) or not value or len(value) > LONGEST:
        what = "is missing" if value in (None, "") else f"must be a text of up to {LONGEST} characters"
        raise Refused(400, f"{name} {what}")
    return value


def _keys(payload: Mapping[str, Any], nonce: str, run: str) -> tuple[str, ...]:
    """What makes two signals the same. Raises `Refused`."""
    found = [f"nonce {nonce}"] if nonce else []
    client_id = payload.get(CLIENT_ID)
    if client_id not in (None, ""):
        if isinstance(client_id, bool) or not isinstance(client_id, str | int) or len(str(client_id)) > LONGEST:
            raise Refused(400, f"{CLIENT_ID} must be a text of up to {LONGEST} characters")
        cancels = str(payload.get(ACTION, "")).strip().lower().startswith(CANCELS)
        found.append(f"{run} {'cancel' if cancels else 'order'} {client_id}")
    return tuple(found)
