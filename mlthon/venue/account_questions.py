"""What strategies ask of an account: each question is put to the exchange and answered under its number."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from mlthon.basics.defs import GtwRejectCode
from mlthon.engine.clock import Clock
from mlthon.order.state import TERMINAL
from mlthon.venue.account_book import AccountBook
from mlthon.venue.account_sync import AccountSync
from mlthon.venue.asking import Asker, Trouble, told
from mlthon.venue.codec import Codec, Question, Refused, Unsupported
from mlthon.venue.facts import AccountFact, FundingFact, OrderFact, PositionFact, WalletFact

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.faces import OrderEvents
    from mlthon.engine.tracker import TrackedOrder

T = TypeVar("T")


class AccountQuestions:
    """Those of one account. `count_bad` hears of answers that could not be understood; `account_fact` is what the
    exchange last said of the account."""

    def __init__(
        self,
        codec: Codec,
        clock: Clock,
        asker: Asker,
        book: AccountBook,
        sync: AccountSync,
        events: "OrderEvents",
        count_bad: Callable[[str, Trouble], None],
    ) -> None:
        self.account_fact: AccountFact | None = None
        self._codec = codec
        self._clock = clock
        self._asker = asker
        self._book = book
        self._sync = sync
        self._events = events
        self._count_bad = count_bad

    def _ask(self, request_id: int, name: str, make: Callable[[], Question[T]], done: Callable[[T], None]) -> None:
        def failed(trouble: Trouble) -> None:
            code = GtwRejectCode.InvalidRequest
            if isinstance(trouble, Unsupported):
                self._events.unsupported(name)
            elif isinstance(trouble, Refused):
                code = GtwRejectCode.RateLimited if trouble.retry_after_s is not None else code
            else:
                code = GtwRejectCode.GtwNotReady
                self._count_bad(name, trouble)
            self._events.request_reject(request_id, code, told(trouble), name)

        self._asker.ask(make, done, failed)

    def order_status(self, request_id: int, order: "TrackedOrder") -> None:
        asked = self._clock.now

        def done(fact: OrderFact | None) -> None:
            if fact is None:
                detail = "the exchange does not know the order"
                self._events.request_reject(request_id, GtwRejectCode.UnknownOrder, detail, "OrderStatus")
                return
            self._book.order(fact, asked)
            filled = fact.filled or 0
            leaves = 0 if fact.status in TERMINAL else max(0, fact.qty - filled)
            self._events.order_status(request_id, order.wire_id, fact.status, fact.price, leaves)

        self._ask(request_id, "OrderStatus", lambda: self._codec.order_status(order), done)

    def orders_info(self, request_id: int, instrument: "Instrument | None") -> None:
        asked = self._clock.now

        def done(facts: Sequence[OrderFact]) -> None:
            booked = [self._book.order(fact, asked) for fact in facts]
            self._events.orders_info(request_id, [each.wire_id for each in booked if each is not None])

        self._ask(request_id, "OrdersInfo", lambda: self._codec.open_orders(instrument), done)

    def position_info(self, request_id: int, instrument: "Instrument") -> None:
        def done(facts: Sequence[PositionFact]) -> None:
            mine = [fact for fact in facts if fact.instrument == instrument]
            fact = mine[0] if mine else PositionFact(instrument=instrument, position=0)
            self._sync.positions[instrument] = fact
            self._events.position_info(
                request_id, instrument, fact.position, fact.entry_price, fact.mark_price, fact.liquidation_price
            )

        self._ask(request_id, "PositionInfo", lambda: self._codec.positions(instrument), done)

    def wallet_info(self, request_id: int, coin: str) -> None:
        def done(facts: Sequence[WalletFact]) -> None:
            self._sync.wallets.update((fact.coin, fact) for fact in facts)
            fact = next((fact for fact in facts if fact.coin == coin), WalletFact(coin=coin, total=0, available=0))
            self._events.wallet_info(request_id, coin, fact.total, fact.available)

        self._ask(request_id, "WalletInfo", self._codec.wallet, done)

    def funding_info(self, request_id: int, instrument: "Instrument") -> None:
        def done(fact: FundingFact) -> None:
            self._events.funding_info(request_id, instrument, fact.rate, fact.next_ts)

        self._ask(request_id, "FundingInfo", lambda: self._codec.funding(instrument), done)

    def account_info(self, request_id: int) -> None:
        def done(fact: AccountFact) -> None:
            self.account_fact = fact
            self._events.account_info(request_id, fact.user_id)

        self._ask(request_id, "AccountInfo", self._codec.account_info, done)
