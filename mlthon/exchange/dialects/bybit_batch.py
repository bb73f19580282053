"""Bybit's batches: several creations, amendments or cancels in one request, over REST or the trade websocket.

The request itself succeeds; what became of each part stands in `retExtInfo`, in the order of the parts. A part that is
refused disturbs no other.
https://bybit-exchange.github.io/docs/v5/order/batch-place, .../batch-amend, .../batch-cancel
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mlthon.engine.clock import MS
from mlthon.exchange.dialects.bybit_orders import OPERATIONS, Answer, BybitError, Reply, category_of
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors

MOST: Final = 20
MOST_SPOT: Final = 10
"""How many parts a batch may have, and on spot."""

Body = dict[str, Any]


def parts_of(body: Body) -> list[Body]:
    """The parts of a batch, each with the batch's category. Raises `BybitError`."""
    category = category_of(body)
    most = MOST_SPOT if category == tables.SPOT else MOST
    parts = body.get("request")
    if not isinstance(parts, list) or not 0 < len(parts) <= most:
        raise BybitError(errors.PARAMETER, f"params error: request must hold 1 to {most} orders")
    if not all(isinstance(part, dict) for part in parts):
        raise BybitError(errors.PARAMETER, "params error: an order of request is no object")
    return [{**part, "category": category} for part in parts]


def carry_out(path: str, served: ServedExchange, account: ServedAccount, body: Body, answer: Answer) -> None:
    """Carry out each part as the request that `path` names; answered when all are. Raises `BybitError`."""
    parts = parts_of(body)
    replies: list[Reply | None] = [None] * len(parts)

    def taker(place: int) -> Answer:
        def take(reply: Reply) -> None:
            replies[place] = reply
            answered = [each for each in replies if each is not None]
            if len(answered) == len(parts):
                answer(_whole(path, parts, answered, served.clock.now // MS))

        return take

    for place, part in enumerate(parts):
        take = taker(place)
        try:
            OPERATIONS[path](served, account, part, take)
        except BybitError as error:
            take(Reply(error.code, error.message, {}))


def _whole(path: str, parts: list[Body], replies: list[Reply], now_ms: int) -> Reply:
    rows = []
    for part, reply in zip(parts, replies, strict=True):
        row = {
            "category": part["category"],
            "symbol": part.get("symbol", ""),
            "orderId": reply.result.get("orderId", ""),
            "orderLinkId": reply.result.get("orderLinkId") or part.get("orderLinkId", ""),
        }
        if path == tables.CREATE:
            row["createAt"] = str(now_ms) if reply.code == 0 else ""
        rows.append(row)
    codes = [{"code": reply.code, "msg": reply.message} for reply in replies]
    return Reply(0, "OK", {"list": rows}, {"list": codes})


BATCHES: Final[dict[str, Callable[[ServedExchange, ServedAccount, Body, Answer], None]]] = {
    tables.CREATE_BATCH: partial(carry_out, tables.CREATE),
    tables.AMEND_BATCH: partial(carry_out, tables.AMEND),
    tables.CANCEL_BATCH: partial(carry_out, tables.CANCEL),
}
"""REST path -> what carries it out."""
