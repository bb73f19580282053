"""What stages between a port and its gateway have in common: they hand on what they have nothing to say to.

A stage that looks at requests inherits `RequestsPassed`, one that looks at events `AnswersPassed`; each has methods of
its own for what it acts on.
"""

from collections.abc import Sequence

from mlthon.basics.defs import GtwRejectCode, OrderStatus
from mlthon.basics.instrument import Instrument
from mlthon.engine.faces import Gateway, OrderEvents
from mlthon.engine.tracker import TrackedOrder


class RequestsPassed:
    """Questions go on to the next `gateway`."""

    gateway: Gateway

    def fetch_order_status(self, request_id: int, order: TrackedOrder) -> None:
        self.gateway.fetch_order_status(request_id, order)

    def fetch_orders_info(self, request_id: int, instrument: Instrument | None) -> None:
        self.gateway.fetch_orders_info(request_id, instrument)

    def fetch_position_info(self, request_id: int, instrument: Instrument) -> None:
        self.gateway.fetch_position_info(request_id, instrument)

    def fetch_wallet_info(self, request_id: int, coin: str) -> None:
        self.gateway.fetch_wallet_info(request_id, coin)

    def fetch_funding_info(self, request_id: int, instrument: Instrument) -> None:
        self.gateway.fetch_funding_info(request_id, instrument)

    def fetch_account_info(self, request_id: int) -> None:
        self.gateway.fetch_account_info(request_id)


class AnswersPassed:
    """Answers to questions, and what concerns no order, go on to the port."""

    _port: OrderEvents

    def order_status(self, request_id: int, wire_id: str, status: OrderStatus, price: int, leaves: int) -> None:
        self._port.order_status(request_id, wire_id, status, price, leaves)

    def orders_info(self, request_id: int, wire_ids: Sequence[str]) -> None:
        self._port.orders_info(request_id, wire_ids)

    def position_info(
        self,
        request_id: int,
        instrument: Instrument,
        position: int,
        entry_price: float,
        mark_price: float,
        liquidation_price: float | None,
    ) -> None:
        self._port.position_info(request_id, instrument, position, entry_price, mark_price, liquidation_price)

    def wallet_info(self, request_id: int, coin: str, total: int, available: int) -> None:
        self._port.wallet_info(request_id, coin, total, available)

    def funding_info(self, request_id: int, instrument: Instrument, rate: float, next_ts: int) -> None:
        self._port.funding_info(request_id, instrument, rate, next_ts)

    def account_info(self, request_id: int, user_id: str) -> None:
        self._port.account_info(request_id, user_id)

    def rate_limit_info(self, used_percent: int, reset_ts: int) -> None:
        self._port.rate_limit_info(used_percent, reset_ts)

    def unsupported(self, request_type: str) -> None:
        self._port.unsupported(request_type)

    def request_reject(self, request_id: int, code: GtwRejectCode, detail: str, request_type: str) -> None:
        self._port.request_reject(request_id, code, detail, request_type)
