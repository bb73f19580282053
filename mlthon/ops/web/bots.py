"""Webhooks of ProfitView bots: `/trading/bot/SECRET/NAME`, and `/trading/bot/SECRET/BOT/NAME` where several bots of a
run have one of the name.

GET calls the bot's `get_NAME` with the query, POST its `post_NAME` with the form or JSON object (and what the query has
beside it). The answer is what the method returned, as JSON; a method that raises is answered 500 with what it said.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio
from starlette.responses import Response

from mlthon.errors import near
from mlthon.ops.audit import one_line
from mlthon.ops.client import AskFailed, NoAnswer
from mlthon.ops.contract import GetWebhooks, WebCall, WebReply
from mlthon.ops.web.bodies import Refused, read_data, read_form
from mlthon.ops.web.edge import Edge, Visit, answer, read_body
from mlthon.ops.web.engine import Engine, unanswered

AT_ONCE: Final = 16
"""Calls of bots under way at once: they must leave room for others who ask the engine."""
GRACE_S: Final = 2.0
KNOWN_S: Final = 1.0
"""For so long the bots' webhooks are taken to be the same."""
METHODS: Final = ("GET", "POST")

Routes = Mapping[str, Sequence[tuple[str, str]]]


def same(given: str, secret: str) -> bool:
    """Whether a secret is the right one, in a time that does not tell how much of it is."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def owner_of(routes: Routes, method: str, name: str) -> str:
    """The bot that a webhook without a bot's name belongs to. Raises `Refused`."""
    having = [bot for bot, own in routes.items() if (method, name) in [(verb, route) for verb, route in own]]
    if len(having) == 1:
        return having[0]
    if having:
        raise Refused(
            409,
            f"the bots {' and '.join(having)} both have a webhook {method.upper()} {name[:80]}",
            f"Say which one: /trading/bot/SECRET/{having[0]}/{name[:80]}",
        )
    known = [route for own in routes.values() for verb, route in own if verb == method]
    raise Refused(404, f"no bot has a webhook {method.upper()} {name[:80]}{near(name[:80], known)}")


class BotWebhooks:
    """The endpoint. `timeout_s`: how long a bot may take."""

    def __init__(self, engine: Engine, edge: Edge, secret: str, timeout_s: float) -> None:
        self._engine = engine
        self._edge = edge
        self._secret = secret
        self._timeout_s = timeout_s
        self._room = trio.Semaphore(AT_ONCE)
        self._routes: Routes = {}
        self._known_until = 0.0

    async def serve(self, visit: Visit) -> Response:
        request = visit.request
        parts = request.path_params
        if not same(parts["secret"], self._secret):
            raise self._edge.wrong_secret(visit, "the webhook secret is wrong")
        if request.method not in METHODS:
            raise Refused(405, "a webhook is called by GET or POST", headers={"allow": "GET, POST"})
        method, name = request.method.lower(), parts["name"]
        visit.who = one_line(f"{parts.get('bot', '')} {name}".strip())
        data = await self._data(visit, method)
        try:
            self._room.acquire_nowait()
        except trio.WouldBlock:
            raise Refused(503, "too many webhooks are under way", headers={"retry-after": "1"}) from None
        try:
            bot = parts.get("bot") or owner_of(await self._all(visit.now), method, name)
            return await self._call(WebCall(bot, method, name, data), visit)
        finally:
            self._room.release()

    async def _data(self, visit: Visit, method: str) -> dict[str, Any]:
        request = visit.request
        query = read_form(request.scope["query_string"], "query")
        if method == "get":
            return query
        body = await read_body(visit)
        return {**query, **read_data(body, request.headers.get("content-type", ""))}

    async def _all(self, now: float) -> Routes:
        """The webhooks of all bots."""
        if now >= self._known_until:
            try:
                self._routes = await self._engine.ask(GetWebhooks(), "web")
            except AskFailed as error:
                raise unanswered(error, self._engine) from None
            self._known_until = now + KNOWN_S
        return self._routes

    async def _call(self, call: WebCall, visit: Visit) -> Response:
        try:
            # the engine itself gives a bot up after `timeout_s`, and says so
            reply: WebReply = await self._engine.ask(call, f"webhook from {visit.sender}", self._timeout_s + GRACE_S)
        except NoAnswer as error:
            raise unanswered(error, self._engine) from None
        except AskFailed as error:
            raise Refused(404 if "webhook" in error.message else 502, error.message, error.hint) from None
        status = reply.status if 200 <= reply.status <= 599 else 502
        return answer(reply.value, status)
