"""`POST /tradingview/TOKEN`: an alert that calls a command of a strategy (`add_cmd_hook`).

The token (`python -m mlthon webhook token NAME`) says which `[web.alerts.NAME]` it is, and that says the strategy and
its hook. The hook's parameters are the words of a text, cut at white space; JSON is one parameter, the whole of it.
TradingView sends `application/json` where the message is valid JSON, and `text/plain` otherwise.

An alert that says what makes it the same as another, by a `clientOrderId` in its JSON or by `X-Nonce`, is carried out
once (`mlthon.ops.web.once`); one that does not is carried out as often as it comes.
"""

from collections.abc import Mapping
from sqlite3 import Error as SqliteError
from typing import Any, Final

import msgspec
from attrs import frozen
from starlette.responses import Response

from mlthon.ops.contract import RunCommand
from mlthon.ops.web.addresses import Network
from mlthon.ops.web.bodies import JSON, Refused, media_type, read_json, read_text
from mlthon.ops.web.edge import BURST_S, Edge, Visit, read_body, too_often
from mlthon.ops.web.engine import Engine
from mlthon.ops.web.limits import Rates
from mlthon.ops.web.once import Once, keys_of, nonce_of
from mlthon.ops.web.signals import allowed
from mlthon.ops.web.store import KnownToken, WebhookStore

MOST_WORDS: Final = 200


@frozen
class AlertTarget:
    """The hook that an alert calls, and from where it may come."""

    strategy: str
    hook: str
    networks: tuple[Network, ...] = ()


def words_of(body: bytes, kind: str) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """The parameters for the hook, and the JSON object that they are, if they are one. Raises `Refused`."""
    text = read_text(body).strip()
    if media_type(kind) == JSON or text[:1] in ("{", "["):
        content = read_json(body)
        return (msgspec.json.encode(content).decode(),), content if isinstance(content, dict) else {}
    words = tuple(text.split())
    if len(words) > MOST_WORDS:
        raise Refused(400, f"the alert has more than {MOST_WORDS} words")
    return words, {}


class Alerts:
    """The endpoint. `rate`: alerts a second of one name. `run`: the run's name."""

    def __init__(
        self,
        engine: Engine,
        edge: Edge,
        store: WebhookStore,
        targets: Mapping[str, AlertTarget],
        rate: float,
        run: str = "",
    ) -> None:
        self._once = Once(engine, edge, store, "alert")
        self._run = run
        self._edge = edge
        self._store = store
        self._targets = targets
        self._rates = Rates(rate, rate * BURST_S)

    async def serve(self, visit: Visit) -> Response:
        request = visit.request
        known = self._known(visit, request.path_params["token"])
        visit.who = known.name
        target = self._targets.get(known.name)
        if target is None:
            raise Refused(
                404, "this token belongs to no alert of this run", "The configuration needs [web.alerts.NAME]."
            )
        allowed(visit, target.networks)
        if wait := self._rates.take(known.name, visit.now):
            raise too_often(wait, "alerts of this name")
        words, content = words_of(await read_body(visit), request.headers.get("content-type", ""))
        command = RunCommand(target.strategy, target.hook, words)
        keys = keys_of(content, nonce_of(visit), self._run)
        return await self._once.carry_out(visit, known.name, command, f"alert {known.name} from {visit.sender}", keys)

    def _known(self, visit: Visit, token: str) -> KnownToken:
        try:
            known = self._store.find(token)
        except SqliteError:
            raise Refused(503, "tokens cannot be checked now; nothing was done") from None
        if known is None:
            raise self._edge.wrong_secret(visit, "the alert's token is wrong")
        if known.signed:
            raise Refused(401, "this token is for signed signals, and no alert")
        return known
