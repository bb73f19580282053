"""BitMEX's rows as facts. Everything here raises ValueError for what cannot be understood, and gives None for what
says nothing to this account: instruments it does not know, events that are no fills.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from mlthon.basics.catalogue import IDS_PER_EXCHANGE, define, instruments
from mlthon.basics.defs import (
    TIF,
    CancelCode,
    Exchange,
    ExecInstructions,
    GtwRejectCode,
    InstrumentType,
    Quantification,
)
from mlthon.basics.defs import OrderStatus as Status
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import DIGITS
from mlthon.engine.clock import SECOND
from mlthon.protocols import bitmex as spelling
from mlthon.protocols import bitmex_messages as wire
from mlthon.venue.facts import Candle, ExecutionFact, OrderFact, PositionFact, WalletFact

FILLS: Final[Mapping[str, str]] = {"Trade": "", "Settlement": "settlement"}
"""Events of the execution table that change a position -> the reason to give. `Funding` pays, and changes none."""
UNASKED: Final = ("liquidation", "deleverag")
"""In the text of a fill for which nobody here sent an order."""

TYPES: Final[Mapping[str, InstrumentType]] = {
    "FFWCSX": InstrumentType.Perpetual,
    "FFWCSF": InstrumentType.Perpetual,
    "FFCCSX": InstrumentType.Future,
    "IFXXXP": InstrumentType.Spot,
}
"""`typ` of an instrument (https://www.bitmex.com/api/explorer/#!/Instrument): perpetuals on crypto and on other
underlyings, futures, spot. Indices and options are left out."""
OPEN: Final = "Open"


class Rows:
    """Turns rows into facts for the instruments of one account. `coins`: the currencies it knows, which `learn`
    extends."""

    def __init__(self, known: Iterable[Instrument]) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in known}
        self.coins: dict[str, spelling.Coin] = dict(spelling.CURRENCIES)
        self._lots = {symbol: spelling.lot_size(instrument) for symbol, instrument in self.instruments.items()}

    def learn(self, assets: Iterable[wire.AssetRow]) -> None:
        """The answer to GET /wallet/assets."""
        for asset in assets:
            self.coins.setdefault(asset.currency, spelling.Coin(spelling.coin_name(asset.asset), int(asset.scale)))

    def order(self, row: wire.OrderRow) -> OrderFact | None:
        instrument = self.instruments.get(row.symbol)
        if instrument is None or row.ord_status == spelling.PENDING_NEW:
            return None
        lot = self._lots[row.symbol]
        filled = _lots(row.cum_qty, lot)
        if row.order_qty is None:
            qty = (filled or 0) + (_lots(row.leaves_qty, lot) or 0)
        else:
            qty = spelling.steps(row.order_qty, lot)
        order_type = spelling.ORDER_TYPES_READ.get(row.ord_type or "")
        tif = spelling.TIFS_READ.get(row.time_in_force or "GoodTillCancel")
        side = spelling.SIDES.get(row.side)
        if order_type is None or tif is None or side is None:
            raise ValueError(f"order {row.order_id}: {row.side} {row.ord_type} {row.time_in_force} is not understood")
        tick = instrument.price_scale.step_units
        priced = row.ord_type in spelling.PRICED_TYPES and row.price is not None
        status = _status(row, filled)
        text = row.ord_rej_reason or row.text or ""
        return OrderFact(
            wire_id=row.cl_ord_id or "",
            exchange_id=row.order_id,
            instrument=instrument,
            side=side,
            price=spelling.steps(row.price, tick) if priced and row.price is not None else 0,
            qty=qty,
            status=status,
            filled=filled,
            order_type=order_type,
            tif=tif,
            exec_instr=_instructions(row.exec_inst or ""),
            stop_price=None if row.stop_px is None else spelling.steps(row.stop_px, tick),
            cancel_code=_cancel_code(row, text) if status is Status.Cancelled else CancelCode.Unset,
            reject_code=spelling.reject_code(text) if status is Status.Rejected else GtwRejectCode.Unset,
            reason=_first_line(text) if status in (Status.Cancelled, Status.Rejected) else "",
            ts=_time(row.timestamp or row.transact_time),
        )

    def execution(self, row: wire.ExecutionRow) -> ExecutionFact | None:
        instrument = self.instruments.get(row.symbol)
        if instrument is None or row.exec_type not in FILLS:
            return None
        side = spelling.SIDES.get(row.side or "")
        if side is None or row.last_px is None or row.last_qty is None:
            raise ValueError(f"execution {row.exec_id} has no side, price or quantity")
        lot = self._lots[row.symbol]
        fee, coin = self._fee(row, instrument)
        text = row.text or ""
        unasked = any(part in text.lower() for part in UNASKED)
        return ExecutionFact(
            exec_id=row.exec_id,
            wire_id=row.cl_ord_id or "",
            exchange_id=row.order_id,
            instrument=instrument,
            side=side,
            price=spelling.steps(row.last_px, instrument.price_scale.step_units),
            qty=spelling.steps(row.last_qty, lot),
            fee=fee,
            fee_coin=coin,
            maker=row.fee_type == "Maker" or (row.last_liquidity_ind or "").startswith("Added"),
            ts=_time(row.transact_time or row.timestamp),
            cumulative=_lots(row.cum_qty, lot),
            reason=_first_line(text) if unasked else FILLS[row.exec_type],
        )

    def _fee(self, row: wire.ExecutionRow, instrument: Instrument) -> tuple[int, str]:
        """Money in 10^-18 of a coin; spot rows name no currency: there it is the settle currency's."""
        if row.settl_currency in self.coins:
            coin = self.coins[row.settl_currency]
        else:
            name = instrument.settle_currency or ""
            coin = next((coin for coin in self.coins.values() if coin.name == name), spelling.Coin(name, -1))
            if coin.scale < 0:
                raise ValueError(f"execution {row.exec_id}: the smallest unit of {name} is not known")
        return int(row.exec_comm or 0) * 10 ** (DIGITS - coin.scale), coin.name

    def position(self, row: wire.PositionRow) -> PositionFact | None:
        """None for spot, whose rows have no quantity."""
        instrument = self.instruments.get(row.symbol)
        if instrument is None or row.current_qty is None:
            return None
        return PositionFact(
            instrument=instrument,
            position=spelling.steps(row.current_qty, self._lots[row.symbol]),
            entry_price=row.avg_entry_price or 0.0,
            mark_price=row.mark_price or 0.0,
            liquidation_price=row.liquidation_price,
            ts=_time(row.timestamp),
        )

    def margin(self, row: wire.MarginRow) -> WalletFact:
        total = row.amount if row.wallet_balance is None else row.wallet_balance
        available = total if row.available_margin is None else row.available_margin
        return self._wallet(row.currency, total, available, row.timestamp)

    def wallet(self, row: wire.WalletRow) -> WalletFact:
        held = (row.pending_debit or 0) + (row.confirmed_debit or 0)
        return self._wallet(row.currency, row.amount, (row.amount or Decimal(0)) - held, row.timestamp)

    def _wallet(self, currency: str, total: wire.Number, available: wire.Number, timestamp: str | None) -> WalletFact:
        coin = self.coins.get(currency)
        if coin is None:
            raise ValueError(f"the currency {currency} is not known")
        unit = 10 ** (DIGITS - coin.scale)
        return WalletFact(
            coin=coin.name, total=int(total or 0) * unit, available=int(available or 0) * unit, ts=_time(timestamp)
        )

    def listed(self, row: wire.InstrumentRow) -> Instrument | None:
        """An instrument as the exchange lists it now; one of the catalogue's keeps its id. None for those that are not
        open or of no kind that can be traded here."""
        kind = TYPES.get(row.typ)
        if kind is None or row.state != OPEN:
            return None
        if row.tick_size is None or row.lot_size is None:
            raise ValueError(f"instrument {row.symbol} has no tick or lot")
        base, quote = spelling.coin_name(row.underlying), spelling.coin_name(row.quote_currency)
        settle, per_unit, multiplier = quote, Decimal(1), Decimal(1)
        if kind is InstrumentType.Spot:
            per_unit = row.underlying_to_position_multiplier or Decimal(1)
        else:
            coin = self.coins.get(row.settl_currency or "")
            if coin is None:
                raise ValueError(f"instrument {row.symbol}: the currency {row.settl_currency} is not known")
            settle, multiplier = coin.name, abs(row.multiplier or Decimal(1)) / 10**coin.scale
        known = _catalogue().get(row.symbol)
        suffix = f"-{row.symbol[-3:].lower()}" if kind is InstrumentType.Future else ""
        return define(
            Exchange.BitMEX,
            row.symbol,
            kind,
            f"{base.lower()}-{quote.lower()}{suffix}",
            tick=row.tick_size,
            lot=row.lot_size / per_unit,
            quantification=Quantification.Inverse if row.is_inverse else Quantification.Linear,
            max_quantity=None if row.max_order_qty is None else row.max_order_qty / per_unit,
            multiplier=multiplier,
            settle_currency=settle,
            valid_end_ts=_time(row.expiry) // 1_000_000 if kind is InstrumentType.Future and row.expiry else None,
            maker_fee=row.maker_fee or Decimal(0),
            taker_fee=row.taker_fee or Decimal(0),
            index=None if known is None else known.number % IDS_PER_EXCHANGE,
        )

    def candle(self, row: wire.BinRow, instrument: Instrument, interval_s: int) -> Candle | None:
        """None for a bin from before the first trade. Its `open` is the close of the bin before, and may lie outside
        high and low: then the nearer of the two stands for it, because at the open nothing traded."""
        if row.open is None or row.high is None or row.low is None or row.close is None:
            return None
        tick = instrument.price_scale.step_units
        high, low = spelling.steps(row.high, tick), spelling.steps(row.low, tick)
        close_ts = spelling.nanoseconds(row.timestamp)
        return Candle(
            open_ts=close_ts - interval_s * SECOND,
            close_ts=close_ts,
            open=min(max(spelling.steps(row.open, tick), low), high),
            high=high,
            low=low,
            close=spelling.steps(row.close, tick),
            volume=int(row.volume or 0) * 10**DIGITS // spelling.lot_size(instrument),
        )


def _catalogue() -> Mapping[str, Instrument]:
    return {instrument.symbol: instrument for instrument in instruments(Exchange.BitMEX)}


def _lots(number: wire.Number, lot: int) -> int | None:
    return None if number is None else spelling.steps(number, lot)


def _time(text: str | None) -> int:
    return spelling.nanoseconds(text) if text else 0


def _first_line(text: str) -> str:
    return " ".join(text.partition("\nSubmi")[0].split())


def _status(row: wire.OrderRow, filled: int | None) -> Status:
    """The exchange calls a stop that waits `New`, and tells only by `triggered` and `workingIndicator`."""
    status = spelling.STATUSES.get(row.ord_status)
    if status is None:
        raise ValueError(f"order {row.order_id}: the status {row.ord_status!r} is not known")
    if status is Status.New and filled:
        return Status.PartiallyFilled
    waits = row.ord_type in spelling.TRIGGERED_TYPES and not (row.triggered or row.working_indicator)
    if status is Status.New and waits and row.ord_status != "Triggered":
        return Status.Untriggered
    return status


def _cancel_code(row: wire.OrderRow, text: str) -> CancelCode:
    if row.ord_status in ("Expired", "DoneForDay"):
        return CancelCode.TimeInForce
    code = spelling.cancel_code(text)
    if code is CancelCode.ByExchange and spelling.TIFS_READ.get(row.time_in_force or "") in (TIF.IOC, TIF.FOK):
        return CancelCode.TimeInForce
    return code


def _instructions(text: str) -> ExecInstructions:
    parts = text.split(",")
    post_only = spelling.POST_ONLY in parts
    reduce_only = spelling.REDUCE_ONLY in parts or spelling.CLOSE in parts
    if post_only and reduce_only:
        return ExecInstructions.PostOnlyReduceOnly
    if post_only:
        return ExecInstructions.PostOnly
    return ExecInstructions.ReduceOnly if reduce_only else ExecInstructions.Unset
