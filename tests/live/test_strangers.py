"""Orders of a live account that nobody here sent: found, cancelled, and looked for again."""

from collections.abc import Callable, Generator, Sequence
from typing import Any

import msgspec
import pytest

from gateways import bybit
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange, GtwRejectCode, OrderStatus, OrderType
from mlthon.engine.clock import SECOND, Clock
from mlthon.engine.tracker import TrackedOrder
from mlthon.link.host.desk import Others
from mlthon.live.strangers import LOOKS_NS, Strangers
from mlthon.venue.asking import Asker
from mlthon.venue.codec import Credentials
from mlthon.venue.facts import OrderFact, Reply
from mlthon.venue.throttle import Throttle
from mlthon.venue.wire import Failure, HttpAnswer, HttpMessage, Loss, Priority

PERP = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
SPOT = resolve(Exchange.Bybit, "byt:spot:btc-usdt")
START = 1000 * SECOND


def fact(exchange_id: str, wire_id: str = "", instrument: Any = PERP, status: Any = OrderStatus.New) -> OrderFact:
    return OrderFact(
        wire_id=wire_id,
        exchange_id=exchange_id,
        instrument=instrument,
        side=1,
        price=500_000,
        qty=10,
        filled=4,
        status=status,
        ts=START,
    )


class Order:
    """A tracked order of a strategy of this run."""

    def __init__(self, session: Any, client_id: str) -> None:
        self.session = session
        self.client_id = client_id
        self.instrument = PERP
        self.is_open = True
        self.is_foreign = False
        session.orders[client_id] = self


class Session:
    def __init__(self) -> None:
        self.orders: dict[str, Any] = {}


class Rig:
    """Strangers of an account whose exchange says what a test tells it to. `listed`: the open orders, by question."""

    def __init__(self, *listed: Sequence[OrderFact], replies: Sequence[Reply | Failure] = ()) -> None:
        self.clock = Clock(START)
        self.listed = list(listed)
        self.replies = list(replies)
        self.asked: list[Any] = []
        self.sent: list[HttpMessage] = []
        self.mine, self.theirs = Session(), Session()
        self.orders: dict[str, Any] = {"w-1": Order(self.mine, "1"), "w-2": Order(self.theirs, "1")}
        self.venue: Any = type("Venue", (), {"session": self.mine})()
        endpoints = bybit.environments(Exchange.Bybit)["main"]
        real = bybit.codec(Exchange.Bybit, "a", [PERP, SPOT], endpoints, Credentials("k", "s"), {})
        self.throttle = Throttle(self.clock, self, real.rules, lambda request, answer: (), lambda percent, until: None)  # type: ignore[arg-type]
        self.account = "a"
        self.sessions = [self.mine]
        self.cancel_order = real.cancel_order
        asker = Asker(self.clock, self.throttle)
        self.strangers = Strangers(self, self.clock, asker, self.throttle, self)  # type: ignore[arg-type]
        self.told: list[Any] = []

    def find(self, wire_id: str) -> Any:
        return self.orders.get(wire_id)

    def open_orders(self, instrument: Any) -> Generator[Any, Any, Sequence[OrderFact]]:
        yield from ()
        self.asked.append(instrument)
        return self.listed.pop(0)

    def reply(self, request: Any, answer: HttpAnswer) -> Reply:
        assert request.priority is Priority.CANCEL
        found = self.replies.pop(0)
        assert isinstance(found, Reply)
        return found

    def http(self, message: HttpMessage, timeout_s: float, answered: Callable[[Any], None]) -> None:
        self.sent.append(message)
        lost = self.replies.pop(0) if self.replies and isinstance(self.replies[0], Failure) else None
        self.clock.call_soon(answered, lost or HttpAnswer(200, {}, b""))

    def cancel(self) -> Others:
        """Find and cancel the strangers; `told` is what came of it, and when (ns after the start)."""
        found: list[Others] = []
        self.strangers.others(self.venue, None, found.append, self._failed)
        self.clock.run_until(START)
        (others,) = found
        self.strangers.cancel(self.venue, others.strange, self._done, self._failed)
        self.clock.run_until(START + 60 * SECOND)
        return others

    def heard(self, *facts: OrderFact) -> list[tuple[Any, ...]]:
        """What is told of a stream's facts: id, state, type, price, whole quantity, what is left, time."""
        told: list[tuple[Any, ...]] = []

        def tell(order: TrackedOrder, ts: int) -> None:
            told.append(
                (
                    order.exchange_id,
                    order.state,
                    order.order_type,
                    order.price,
                    order.qty,
                    order.leaves,
                    order.filled,
                    ts,
                )
            )

        for each in facts:
            self.strangers.hear(each, tell)
        return told

    def _done(self) -> None:
        self.told.append(self.clock.now - START)

    def _failed(self, code: GtwRejectCode, reason: str) -> None:
        self.told.append((code, reason))


GONE: list[OrderFact] = []
TAKEN = Reply(accepted=True)


def test_what_others_sent_is_told_apart_by_client_ids() -> None:
    listed = [fact("1", "w-1"), fact("2", "w-2"), fact("3"), fact("4", "by hand"), fact("5", "w-2", SPOT)]
    rig = Rig([*listed, fact("6", status=OrderStatus.PendingNew)], GONE, replies=[TAKEN] * 3)
    others = rig.cancel()
    assert list(others.tracked) == [rig.orders["w-2"]]
    assert [(each.order_id, each.leaves) for each in others.strange] == [("3", 6), ("4", 6), ("5", 6)]
    bodies = [message.body.decode() for message in rig.sent]
    assert '"orderId":"3"' in bodies[0], "an order sent by hand has no client id"
    assert '"orderLinkId":"by hand"' in bodies[1]
    assert rig.told == [LOOKS_NS[0]]
    assert rig.asked == [None, None]


def test_it_is_asked_until_the_orders_are_gone() -> None:
    rig = Rig([fact("3")], [fact("3")], [fact("3")], GONE, replies=[TAKEN])
    rig.cancel()
    assert rig.told == [sum(LOOKS_NS[:3])]
    assert rig.asked[1:] == [PERP, PERP, PERP], "one instrument's orders are cheaper to ask for"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(code=GtwRejectCode.InvalidRequest, reason="no"), (GtwRejectCode.InvalidRequest, "no")),
        (Reply(limited=True, reason="slow down"), (GtwRejectCode.RateLimited, "slow down")),
        (Failure(Loss.NO_ANSWER, "lost"), (GtwRejectCode.GtwNotReady, "lost")),
    ],
)
def test_an_order_that_stays_open_fails_with_what_the_exchange_said(reply: Any, expected: Any) -> None:
    rig = Rig([fact("3")], [fact("3")], replies=[reply])
    rig.cancel()
    assert rig.told == [expected]


def test_a_refusal_is_no_failure_where_the_order_is_gone() -> None:
    for reply in (Reply(code=GtwRejectCode.UnknownOrder, missing=True), Failure(Loss.NO_ANSWER, "lost")):
        rig = Rig([fact("3")], GONE, replies=[reply])
        rig.cancel()
        assert rig.told == [LOOKS_NS[0]]


def test_cancels_that_are_not_carried_out_fail_in_the_end() -> None:
    rig = Rig(*[[fact("3")]] * 6, replies=[TAKEN])
    rig.cancel()
    assert rig.told == [(GtwRejectCode.RequestPending, "the cancels were accepted, but still open are: 3")]


def test_each_change_of_a_strangers_order_is_told_once() -> None:
    rig = Rig()
    new = fact("9")
    moved = msgspec.structs.replace(new, price=500_100, ts=START + 1)
    filled = msgspec.structs.replace(moved, status=OrderStatus.Filled, filled=None, ts=0)
    rig.clock.run_until(START + 5)
    limit = OrderType.Limit
    assert rig.heard(new, new, moved, moved, filled, filled) == [
        ("9", OrderStatus.New, limit, 500_000, 10, 6, 4, START),
        ("9", OrderStatus.New, limit, 500_100, 10, 6, 4, START + 1),
        ("9", OrderStatus.Filled, limit, 500_100, 10, 0, 10, START + 5),
    ]
    ended = msgspec.structs.replace(fact("8"), status=OrderStatus.Cancelled)
    assert rig.heard(ended) == [("8", OrderStatus.Cancelled, limit, 500_000, 10, 0, 4, START)]


def test_what_is_known_of_a_strangers_fills_is_of_its_order_afterwards() -> None:
    rig = Rig()
    order: Any = Order(rig.mine, "by-hand")
    order.exchange_id, order.order_type, order.price = "by-hand", OrderType.Market, 0
    rig.orders["by-hand"] = order
    rig.heard(fact("9", "by-hand"))
    assert (order.exchange_id, order.order_type, order.price) == ("9", OrderType.Limit, 500_000)
