"""Binance spot: one account's codec.

User data come over the websocket API, the only way since 2026-02-20. An order's price cannot be changed in place: the
exchange offers cancel-and-replace, which makes another order with another id, and may cancel without replacing; what
is one order here would be two there, and a fill of the first could not be told from a fill of the second. So it is
unsupported, and a strategy cancels and sends anew itself. A quantity can be reduced, which keeps the order's place.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from gateways import _binance_events as events
from gateways import _binance_facts as facts
from gateways._binance_base import CANCEL_ALL, DAY_MS, MAX_AGE_S, MODIFY, NEW, BinanceCodec, Params, understood
from mlthon.basics.defs import OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import binance_account as wire
from mlthon.protocols import binance_user_data as user_data
from mlthon.protocols.binance_rules import PRIVATE, SAPI, SUBSCRIBE_USER_DATA, Spot
from mlthon.protocols.binance_signing import DEFAULT_RECV_WINDOW_MS, RECV_WINDOW, TIMESTAMP
from mlthon.venue.codec import BadMessage, Question, Unsupported
from mlthon.venue.facts import AccountFact, Fact, FundingFact, PositionFact, Reply, WalletFact, spot_position
from mlthon.venue.wire import HttpAnswer, Line, Priority, Request

SUBSCRIPTION: Final = "user-data"
"""The id of the request that subscribes to user data."""


class SpotCodec(BinanceCodec):
    """One spot account."""

    CALLS = Spot
    IGNORED = frozenset({"balanceUpdate", "listStatus", "externalLockUpdate"})
    """After each of them comes what it changed."""
    trade_window_ms = DAY_MS

    # -- lines -------------------------------------------------------------------------------------------------------

    def lines(self) -> Question[Sequence[Line]]:
        self._signing()
        url = self.endpoints.urls[PRIVATE]
        yield from ()
        return (Line(PRIVATE, lambda now_ms: url, max_age_s=MAX_AGE_S),)

    def line_opened(self, name: str, now_ms: int) -> Iterable[str]:
        params: dict[str, str | int] = {TIMESTAMP: now_ms}
        if self._recv_window_ms != DEFAULT_RECV_WINDOW_MS:
            params[RECV_WINDOW] = self._recv_window_ms
        message = {
            "id": SUBSCRIPTION,
            "method": SUBSCRIBE_USER_DATA,
            "params": self._signing().websocket_params(params),
        }
        return (msgspec.json.encode(message).decode(),)

    def _subscribed(self, message: user_data.UserMessage) -> bool:
        return message.status == 200

    def _told(self, kind: str, event: msgspec.Raw) -> Sequence[Fact]:
        if kind == "executionReport":
            report = wire.decode(event, user_data.ExecutionReport)
            known = self._known(report.symbol)
            return () if known is None else events.execution_report(report, known)
        if kind == "outboundAccountPosition":
            wallets = facts.spot_wallets(wire.decode(event, user_data.AccountPosition))
            held = {each.coin: each for each in wallets}
            based = [each for each in self._by_symbol.values() if each.base_currency in held]
            return [*wallets, *(spot_position(each, held[each.base_currency or ""]) for each in based)]
        raise BadMessage(f"event {kind!r} is unknown")

    def keep_alive(self) -> Question[None] | None:
        return None

    # -- requests about orders ---------------------------------------------------------------------------------------

    def new_order(self, order: TrackedOrder) -> Request:
        instrument = order.instrument
        post_only = order.exec_instr.post_only
        if order.exec_instr.reduce_only or order.close_position:
            raise Unsupported("Binance spot has no reduce-only orders: there are no positions, only coins")
        if order.tif not in wire.TIFS:
            raise Unsupported(f"Binance spot has no time in force {order.tif.name}; it has GTC, IOC and FOK")
        if post_only and (order.order_type is not OrderType.Limit or wire.TIFS[order.tif] != "GTC"):
            raise Unsupported("Binance spot has post-only for limit orders that are good till cancelled only")
        kind = wire.LIMIT_MAKER if post_only else wire.SPOT_TYPES.get(order.order_type)
        if kind is None:
            raise Unsupported(f"Binance spot has no {order.order_type.name} orders")
        limit = order.order_type not in facts.MARKETS
        params: Params = [("symbol", instrument.symbol), ("side", wire.SIDES[order.side]), ("type", kind)]
        if limit and not post_only:
            params.append(("timeInForce", wire.TIFS[order.tif]))
        params.append(("quantity", facts.qty_text(instrument, order.qty)))
        if limit:
            params.append(("price", facts.price_text(instrument, order.price)))
        params.append(("newClientOrderId", order.wire_id))
        if order.order_type in facts.STOPS:
            if order.stop_price is None:
                raise Unsupported(f"a {order.order_type.name} order needs a stop price")
            params.append(("stopPrice", facts.price_text(instrument, order.stop_price)))
        return self._request(NEW, Spot.NEW_ORDER, params, Priority.ORDER)

    def modify_order(self, order: TrackedOrder, price: int | None, qty: int | None) -> Request:
        if price is not None and price != order.price:
            raise Unsupported(
                "Binance spot cannot change an order's price: its cancel-and-replace makes another order; "
                "cancel the order and send a new one"
            )
        if qty is None or qty >= order.qty:
            raise Unsupported("Binance spot can only reduce an order's quantity; cancel the order and send a new one")
        params = [
            ("symbol", order.instrument.symbol),
            ("newQty", facts.qty_text(order.instrument, qty)),
            facts.identity(order),
            # Else the exchange would give the order a new id at random.
            ("newClientOrderId", order.wire_id),
        ]
        return self._request(MODIFY, Spot.AMEND, params, Priority.ORDER)

    def cancel_all(self, instrument: Instrument) -> Sequence[Request]:
        return [self._request(CANCEL_ALL, Spot.CANCEL_ALL, self._symbol_params(instrument), Priority.CANCEL)]

    def arm_dead_man(self, timeout_s: float, instruments: Sequence[Instrument]) -> Sequence[Request]:
        raise Unsupported("Binance spot has no dead man's switch")

    def _accepted(self, name: str, answer: HttpAnswer) -> Reply:
        if name == MODIFY:
            amendment = wire.decode(answer.body, wire.Amendment)
            known = self._known(amendment.amended_order.symbol)
            told = () if known is None else (facts.amended_fact(amendment, known),)
            return Reply(accepted=True, exchange_id=str(amendment.amended_order.order_id), facts=told)
        if name == CANCEL_ALL:
            gone = wire.decode(answer.body, list[msgspec.Raw])
            return Reply(accepted=True, facts=tuple(fact for each in gone for fact in self._cancelled(each)))
        return super()._accepted(name, answer)

    def _cancelled(self, item: msgspec.Raw) -> Iterable[Fact]:
        """An order, or an order list, that was cancelled with all others."""
        orders = wire.decode(item, wire.OrderList).order_reports or [wire.decode(item, wire.Order)]
        for order in orders:
            yield from facts.order_facts(order, self._known(order.symbol))

    # -- questions ---------------------------------------------------------------------------------------------------

    def account_info(self) -> Question[AccountFact]:
        account = yield from self._ask("account", Spot.ACCOUNT, (), wire.SpotAccount)
        key = wire.ApiRestrictions()
        if SAPI in self.endpoints.urls:
            key = yield from self._key_rights(Spot.API_RESTRICTIONS)
        rates = account.commission_rates
        trades = key.enable_spot_and_margin_trading
        notes = [f"account type {account.account_type}"] if account.account_type else []
        if key.enable_withdrawals is None:
            notes.append("the exchange did not say what the key may do")
        return AccountFact(
            user_id="" if account.uid is None else str(account.uid),
            fees="" if rates is None else f"maker {rates.maker}, taker {rates.taker}",
            may_trade=account.can_trade and trades is not False,
            may_withdraw=key.enable_withdrawals,
            notes=tuple(notes),
        )

    def positions(self, instrument: Instrument | None) -> Question[Sequence[PositionFact]]:
        """Of spot: how much of the base coin the account holds, in whole lots."""
        account = yield from self._ask("positions", Spot.ACCOUNT, (), wire.SpotAccount)
        held = {
            each.asset: understood(facts.spot_wallet, each.asset, each.free, each.locked) for each in account.balances
        }
        wanted = self._by_symbol.values() if instrument is None else (instrument,)
        return [spot_position(each, held.get(each.base_currency or "")) for each in wanted]

    def wallet(self) -> Question[Sequence[WalletFact]]:
        account = yield from self._ask("wallet", Spot.ACCOUNT, (), wire.SpotAccount)
        coins = [understood(facts.spot_wallet, each.asset, each.free, each.locked) for each in account.balances]
        return [each for each in coins if each.total]

    def funding(self, instrument: Instrument) -> Question[FundingFact]:
        raise Unsupported("Binance spot has no funding")
