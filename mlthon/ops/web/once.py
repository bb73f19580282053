"""What comes from outside and must be carried out once: signals, and alerts that say what makes them the same.

Two requests are the same that have one `X-Nonce`, or one `clientOrderId` (cancels apart from orders; and of this run,
because all runs share the store). A request is claimed before the engine hears of it. The claim is given back where the
engine certainly did nothing; where it does not answer the claim stays, because nobody knows what it did.
"""

import logging
import re
from collections.abc import Mapping
from sqlite3 import Error as SqliteError
from typing import Any, Final

from starlette.responses import Response

from mlthon.ops.client import AskFailed, NoAnswer
from mlthon.ops.contract import Action
from mlthon.ops.web.bodies import Refused
from mlthon.ops.web.edge import Edge, Visit, plain
from mlthon.ops.web.engine import Engine, away, unanswered
from mlthon.ops.web.store import Claim, WebhookStore

log = logging.getLogger("mlthon.ops.web")

TIMEOUT_S: Final = 2.5
"""TradingView gives a request up after 3 s."""
CLIENT_ID: Final = "clientOrderId"
ACTION: Final = "action"
LONGEST: Final = 200
CANCELS: Final = "cancel"
_NONCE: Final = re.compile(r"[\x21-\x7e]{1,128}")


def nonce_of(visit: Visit) -> str:
    """The request's nonce, empty without one. Raises `Refused`."""
    nonce = visit.request.headers.get("x-nonce", "")
    if nonce and not _NONCE.fullmatch(nonce):
        raise Refused(400, "X-Nonce must be 1 to 128 characters of ASCII without spaces")
    return nonce


def keys_of(payload: Mapping[str, Any], nonce: str, run: str) -> tuple[str, ...]:
    """What makes two requests to a run the same; nothing where they say nothing of it. Raises `Refused`."""
    found = [f"nonce {nonce}"] if nonce else []
    client_id = payload.get(CLIENT_ID)
    if client_id not in (None, ""):
        if isinstance(client_id, bool) or not isinstance(client_id, str | int) or len(str(client_id)) > LONGEST:
            raise Refused(400, f"{CLIENT_ID} must be a text of up to {LONGEST} characters")
        cancels = str(payload.get(ACTION, "")).strip().lower().startswith(CANCELS)
        found.append(f"{run} {'cancel' if cancels else 'order'} {client_id}")
    return tuple(found)


class Once:
    """Carries requests out. `kind`: what they are called (`signal`); `tells`: a header, `X-Outcome`, says what the
    engine answered."""

    def __init__(self, engine: Engine, edge: Edge, store: WebhookStore, kind: str, *, tells: bool = False) -> None:
        self._engine = engine
        self._edge = edge
        self._store = store
        self._kind = kind
        self._tells = tells

    async def carry_out(self, visit: Visit, name: str, action: Action, who: str, keys: tuple[str, ...]) -> Response:
        """Ask the engine for `action`, unless the same was done before; `name` is the token's. Raises `Refused`."""
        if (refused := away(self._engine)) is not None:
            raise refused
        claim = self._claimed(name, keys)
        if claim is Claim.DONE:
            self._edge.rejections.note(
                visit.now, visit.sender, self._kind, visit.who, 200, "a duplicate: not done again"
            )
            return plain("ok", x_duplicate="true")
        if claim is Claim.UNDER_WAY:
            raise Refused(409, f"the same {self._kind} is under way, or came before and nobody knows what became of it")
        try:
            done = await self._engine.ask(action, who, TIMEOUT_S)
        except NoAnswer as error:
            refused = unanswered(error, self._engine)
            hint = f"The {self._kind} may have been carried out: look at the orders before sending another."
            raise Refused(refused.status, refused.message, hint) from None
        except AskFailed as error:
            self._settle(name, keys, done=False)
            raise unanswered(error, self._engine) from None
        self._settle(name, keys, done=True)
        return plain("ok", x_outcome=str(done)) if self._tells else plain("ok")

    def _settle(self, name: str, keys: tuple[str, ...], *, done: bool) -> None:
        """Write down what became of a claim; one that cannot be stays, so that nothing is done twice."""
        try:
            self._store.settle(name, keys, done=done)
        except SqliteError as error:
            log.error("what became of a %s of %s cannot be written down: %s", self._kind, name, error)

    def _claimed(self, name: str, keys: tuple[str, ...]) -> Claim:
        if not keys:
            return Claim.MINE
        try:
            return self._store.claim(name, keys)
        except SqliteError:
            raise Refused(503, "it cannot be written down that this is done once; nothing was done") from None
