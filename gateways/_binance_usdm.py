"""Binance USD-M futures: one account's codec, in one-way mode.

Orders that wait for a trigger price are algo orders: sent to another endpoint (the ordinary one refuses them with
-4120 since 2025-12-09), with ids of their own, told of in `ALGO_UPDATE`. When triggered, an ordinary order with an id
of its own takes over; `ALGO_UPDATE` names it (`ai`) and its own events follow.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateways import _binance_events as events
from gateways import _binance_facts as facts
from gateways._binance_base import (
    CANCEL_ALL,
    CANCEL_ALL_STOPS,
    CANCEL_STOP,
    DAY_MS,
    DEAD_MAN,
    MAX_AGE_S,
    MODIFY,
    NEW,
    NEW_STOP,
    BinanceCodec,
    Params,
    understood,
)
from mlthon.basics.defs import Exchange, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import binance_account as wire
from mlthon.protocols import binance_user_data as user_data
from mlthon.protocols.binance_rules import PRIVATE, SAPI, Usdm
from mlthon.venue.codec import BadMessage, Credentials, Endpoints, Question, Unsupported
from mlthon.venue.facts import AccountFact, Fact, FundingFact, OrderFact, PositionFact, Reply, WalletFact
from mlthon.venue.wire import HttpAnswer, Line, Priority, Request

SUBSCRIPTION: Final = 1
ONE_WAY: Final = "BOTH"


class UsdmCodec(BinanceCodec):
    """One USD-M account."""

    CALLS = Usdm
    IGNORED = frozenset(
        {
            "TRADE_LITE",
            "ACCOUNT_CONFIG_UPDATE",
            "MARGIN_CALL",
            "STRATEGY_UPDATE",
            "GRID_UPDATE",
            "CONDITIONAL_ORDER_TRIGGER_REJECT",
        }
    )
    """TRADE_LITE: a fill without fee, early; the whole of it follows."""
    has_dead_man = True
    trade_window_ms = 7 * DAY_MS

    def __init__(
        self,
        exchange: Exchange,
        account: str,
        instruments: Iterable[Instrument],
        endpoints: Endpoints,
        credentials: Credentials | None,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(exchange, account, instruments, endpoints, credentials, options)
        self._listen_key = ""

    # -- lines -------------------------------------------------------------------------------------------------------

    def lines(self) -> Question[Sequence[Line]]:
        said = yield from self._ask("listen key", Usdm.LISTEN_KEY, (), wire.ListenKey)
        self._listen_key = said.listen_key
        url = f"{self.endpoints.urls[PRIVATE]}/stream"
        return (Line(PRIVATE, lambda now_ms: url, max_age_s=MAX_AGE_S),)

    def line_opened(self, name: str, now_ms: int) -> Iterable[str]:
        message = {"method": "SUBSCRIBE", "params": [self._listen_key], "id": SUBSCRIPTION}
        return (msgspec.json.encode(message).decode(),)

    def _subscribed(self, message: user_data.UserMessage) -> bool:
        return message.id == SUBSCRIPTION

    def _told(self, kind: str, event: msgspec.Raw) -> Sequence[Fact]:
        if kind == "ORDER_TRADE_UPDATE":
            order = wire.decode(event, user_data.OrderTradeUpdate).order
            known = self._known(order.symbol)
            return () if known is None else events.futures_order(order, known)
        if kind == "ALGO_UPDATE":
            update = wire.decode(event, user_data.AlgoUpdate)
            known = self._known(update.order.symbol)
            return () if known is None else (events.algo_update(update, known),)
        if kind == "ACCOUNT_UPDATE":
            return self._account_update(wire.decode(event, user_data.AccountUpdate))
        raise BadMessage(f"event {kind!r} is unknown")

    def _account_update(self, update: user_data.AccountUpdate) -> Sequence[Fact]:
        ts = update.time * MS
        told: list[Fact] = [facts.wallet_change(each, ts) for each in update.change.wallets]
        for each in update.change.positions:
            known = self._known(each.symbol)
            if known is not None and each.side == ONE_WAY:
                told.append(
                    PositionFact(
                        instrument=known,
                        position=facts.lots(known, each.amount),
                        entry_price=float(each.entry_price),
                        ts=ts,
                    )
                )
        return told

    def keep_alive(self) -> Question[None] | None:
        return self._keep_listen_key()

    def _keep_listen_key(self) -> Question[None]:
        """A listen key lasts an hour. Refused when it is gone (-1125): the lines have to be asked for anew."""
        yield from self._ask("keep listen key", Usdm.KEEP_LISTEN_KEY, (), object)

    # -- requests about orders ---------------------------------------------------------------------------------------

    def new_order(self, order: TrackedOrder) -> Request:
        if order.order_type not in wire.USDM_TYPES:
            raise Unsupported(f"Binance USD-M has no {order.order_type.name} orders")
        post_only = order.exec_instr.post_only
        if order.tif not in wire.TIFS:
            raise Unsupported(f"Binance USD-M has no time in force {order.tif.name} here; it has GTC, IOC and FOK")
        if post_only and (order.order_type in facts.MARKETS or wire.TIFS[order.tif] != "GTC"):
            raise Unsupported("Binance USD-M has post-only for limit orders that are good till cancelled only")
        if order.order_type in facts.STOPS:
            return self._request(NEW_STOP, Usdm.NEW_ALGO, self._stop_params(order), Priority.ORDER)
        if order.close_position:
            raise Unsupported("Binance USD-M closes a whole position with stop orders only; use reduce-only")
        instrument = order.instrument
        params: Params = [
            ("symbol", instrument.symbol),
            ("side", wire.SIDES[order.side]),
            ("type", wire.USDM_TYPES[order.order_type]),
        ]
        if order.order_type is OrderType.Limit:
            params.append(("timeInForce", wire.POST_ONLY_TIF if post_only else wire.TIFS[order.tif]))
        if order.exec_instr.reduce_only:
            params.append(("reduceOnly", "true"))
        params.append(("quantity", facts.qty_text(instrument, order.qty)))
        if order.order_type is OrderType.Limit:
            params.append(("price", facts.price_text(instrument, order.price)))
        params.append(("newClientOrderId", order.wire_id))
        return self._request(NEW, Usdm.NEW_ORDER, params, Priority.ORDER)

    def _stop_params(self, order: TrackedOrder) -> Params:
        instrument = order.instrument
        if order.stop_price is None:
            raise Unsupported(f"a {order.order_type.name} order needs a stop price")
        if order.close_position and order.order_type not in facts.MARKETS:
            raise Unsupported("Binance USD-M closes a whole position with stop-market and take-profit orders only")
        params: Params = [
            ("algoType", "CONDITIONAL"),
            ("symbol", instrument.symbol),
            ("side", wire.SIDES[order.side]),
            ("type", wire.USDM_TYPES[order.order_type]),
        ]
        if order.order_type is OrderType.StopLimit:
            tif = wire.POST_ONLY_TIF if order.exec_instr.post_only else wire.TIFS[order.tif]
            params.append(("timeInForce", tif))
        if order.close_position:
            params.append(("closePosition", "true"))
        else:
            params.append(("quantity", facts.qty_text(instrument, order.qty)))
        if order.order_type is OrderType.StopLimit:
            params.append(("price", facts.price_text(instrument, order.price)))
        params.append(("triggerPrice", facts.price_text(instrument, order.stop_price)))
        if order.exec_instr.reduce_only and not order.close_position:
            params.append(("reduceOnly", "true"))
        params.append(("clientAlgoId", order.wire_id))
        return params

    def modify_order(self, order: TrackedOrder, price: int | None, qty: int | None) -> Request:
        if order.order_type is not OrderType.Limit:
            raise Unsupported("Binance USD-M can modify limit orders only; cancel the order and send a new one")
        instrument = order.instrument
        params = [
            ("symbol", instrument.symbol),
            ("side", wire.SIDES[order.side]),
            ("quantity", facts.qty_text(instrument, order.qty if qty is None else qty)),
            ("price", facts.price_text(instrument, order.price if price is None else price)),
            facts.identity(order),
        ]
        return self._request(MODIFY, Usdm.AMEND, params, Priority.ORDER)

    def cancel_order(self, order: TrackedOrder) -> Request:
        if _is_algo(order):
            params = [("clientAlgoId", order.wire_id)]
            return self._request(CANCEL_STOP, Usdm.CANCEL_ALGO, params, Priority.CANCEL)
        return super().cancel_order(order)

    def cancel_all(self, instrument: Instrument) -> Sequence[Request]:
        """The exchange has one call for ordinary orders and another for stops that were not triggered."""
        params = self._symbol_params(instrument)
        return [
            self._request(CANCEL_ALL, Usdm.CANCEL_ALL, params, Priority.CANCEL),
            self._request(CANCEL_ALL_STOPS, Usdm.CANCEL_ALL_ALGO, params, Priority.CANCEL),
        ]

    def arm_dead_man(self, timeout_s: float, instruments: Sequence[Instrument]) -> Sequence[Request]:
        """POST /fapi/v1/countdownCancelAll, in milliseconds: each symbol has a countdown of its own."""
        countdown = ("countdownTime", str(round(timeout_s * 1000)))
        return [
            self._request(DEAD_MAN, Usdm.COUNTDOWN, [*self._symbol_params(each), countdown], Priority.CANCEL)
            for each in instruments
        ]

    def _accepted(self, name: str, answer: HttpAnswer) -> Reply:
        if name == NEW_STOP:
            stop = wire.decode(answer.body, wire.AlgoOrder)
            known = self._known(stop.symbol)
            told = () if known is None else (facts.algo_fact(stop, known),)
            return Reply(accepted=True, exchange_id=f"{facts.ALGO}{stop.algo_id}", facts=told)
        return super()._accepted(name, answer)

    # -- questions ---------------------------------------------------------------------------------------------------

    def account_info(self) -> Question[AccountFact]:
        mode = yield from self._ask("position mode", Usdm.POSITION_MODE, (), wire.PositionMode)
        config = (yield from self._optional(Usdm.ACCOUNT_CONFIG, (), wire.AccountConfig)) or wire.AccountConfig()
        rights = wire.ApiRestrictions()
        if SAPI in self.endpoints.urls:
            rights = yield from self._key_rights(Usdm.API_RESTRICTIONS)
        notes, modes, fees = [], [], []
        for each in self._by_symbol.values():
            params = self._symbol_params(each)
            for symbol in (yield from self._optional(Usdm.SYMBOL_CONFIG, params, list[wire.SymbolConfig])) or ():
                notes.append(f"{symbol.symbol}: leverage {symbol.leverage}, margin {symbol.margin_type.lower()}")
                modes.append(symbol.margin_type.lower())
            rate = yield from self._optional(Usdm.COMMISSION, params, wire.CommissionRate)
            if rate is not None:
                fees.append(f"{rate.symbol}: maker {rate.maker_commission_rate}, taker {rate.taker_commission_rate}")
        if config.multi_assets_margin:
            notes.append("multi-assets margin: all coins of the account are margin")
        tier = [f"tier {config.fee_tier}"] if config.fee_tier is not None else []
        may_trade = [right for right in (config.can_trade, rights.enable_futures) if right is not None]
        return AccountFact(
            user_id="",
            position_mode="hedge" if mode.dual_side_position else "one-way",
            margin_mode=", ".join(dict.fromkeys(modes)),
            fees="; ".join(tier + fees),
            may_trade=all(may_trade) if may_trade else None,
            may_withdraw=rights.enable_withdrawals,
            refusal=_HEDGE if mode.dual_side_position else "",
            notes=tuple(notes),
        )

    def open_orders(self, instrument: Instrument | None) -> Question[Sequence[OrderFact]]:
        """The exchange has one call for ordinary orders and another for stops that were not triggered."""
        orders = yield from super().open_orders(instrument)
        call = Usdm.ALL_OPEN_ALGOS if instrument is None else Usdm.OPEN_ALGOS
        stops = yield from self._ask("open stop orders", call, self._symbol_params(instrument), list[wire.AlgoOrder])
        return [*orders, *self._read(stops, facts.algo_fact)]

    def order_status(self, order: TrackedOrder) -> Question[OrderFact | None]:
        if order.order_type not in facts.STOPS:
            return (yield from super().order_status(order))
        params = [("clientAlgoId", order.wire_id)]
        stop = yield from self._find("stop order status", Usdm.ALGO, params, wire.AlgoOrder)
        if stop is None:
            return None
        if not stop.actual_order_id:
            return understood(facts.algo_fact, stop, order.instrument)
        params = [("symbol", order.instrument.symbol), ("orderId", stop.actual_order_id)]
        became = yield from self._find("order status", Usdm.ORDER, params, wire.Order)
        if became is None:
            return understood(facts.algo_fact, stop, order.instrument)
        return understood(facts.order_fact, became, order.instrument, order.wire_id)

    def positions(self, instrument: Instrument | None) -> Question[Sequence[PositionFact]]:
        params = self._symbol_params(instrument)
        listed = yield from self._ask("positions", Usdm.POSITIONS, params, list[wire.PositionRisk])
        told = {
            each.symbol: understood(facts.position_fact, each, known)
            for each in listed
            if each.position_side == ONE_WAY and (known := self._known(each.symbol)) is not None
        }
        # The exchange leaves out what is flat.
        wanted = self._by_symbol.values() if instrument is None else (instrument,)
        return [told.get(each.symbol) or PositionFact(instrument=each, position=0) for each in wanted]

    def wallet(self) -> Question[Sequence[WalletFact]]:
        coins = yield from self._ask("wallet", Usdm.BALANCE, (), list[wire.FuturesBalance])
        return [understood(facts.futures_wallet, each) for each in coins]

    def funding(self, instrument: Instrument) -> Question[FundingFact]:
        said = yield from self._ask("funding", Usdm.PREMIUM_INDEX, self._symbol_params(instrument), wire.PremiumIndex)
        rate = understood(float, said.last_funding_rate or "0")
        return FundingFact(instrument=instrument, rate=rate, next_ts=said.next_funding_time * MS)


_HEDGE: Final = (
    "the account is in hedge mode (long and short positions side by side); switch it to one-way mode, with no position "
    "or order open"
)


def _is_algo(order: TrackedOrder) -> bool:
    """Whether the order is still an algo order, as far as is known."""
    if order.order_type not in facts.STOPS:
        return False
    if order.exchange_id:
        return order.exchange_id.startswith(facts.ALGO)
    return order.state not in (OrderStatus.New, OrderStatus.PartiallyFilled)
