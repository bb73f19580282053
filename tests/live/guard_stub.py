"""A gateway module for tests of the guard: cancels are `POST /cancel?id=...`, signed with nothing but the key."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mlthon.basics.defs import Exchange
from mlthon.engine.clock import MS
from mlthon.venue.codec import BadMessage, Credentials, Endpoints, Question, Refused
from mlthon.venue.facts import Reply
from mlthon.venue.wire import Frame, HttpAnswer, HttpMessage, Request

EXCHANGES = (Exchange.Bybit,)


class StubCodec:
    def __init__(self, credentials: Credentials | None, options: Mapping[str, Any]) -> None:
        self.validity_s = 5.0
        self._key = "" if credentials is None else credentials.key
        self._options = options

    def cancel_order(self, order: Any) -> Request:
        def build(now_ms: int) -> HttpMessage | Frame:
            if self._options.get("websocket"):
                return Frame("trade", "{}")
            target = f"/cancel?id={order.wire_id}&symbol={order.instrument.symbol}&exchange={order.exchange_id}"
            return HttpMessage("POST", target, {"X-Key": self._key, "X-Time": str(now_ms)}, b"{}")

        return Request("cancel", build)

    def server_time(self) -> Question[int]:
        answer = yield Request("server time", lambda now_ms: HttpMessage("POST", "/time?id=time", {}, b"{}"))
        if answer.status != 200:
            raise Refused("no time")
        return int(json.loads(answer.body)["time_ms"]) * MS

    def reply(self, request: Request, answer: HttpAnswer) -> Reply:
        try:
            said = json.loads(answer.body)
        except ValueError:
            raise BadMessage("no JSON") from None
        return Reply(**said)


def codec(
    exchange: Exchange,
    account: str,
    instruments: Iterable[Any],
    endpoints: Endpoints,
    credentials: Credentials | None,
    options: Mapping[str, Any],
) -> StubCodec:
    return StubCodec(credentials, options)
