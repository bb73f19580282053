"""`Instrument`: what can be traded, and the rules its orders must keep.

The eighteen documented fields come first, in the documented order, all optional, each with its `get_<field>()`. What
the documentation leaves open this project reads so:

- `price_tick_rules` and `quantity_tick_rules` are tuples of `TickRule`; a plain number stands for one rule.
- `exch_instr_id` is the exchange's own symbol, `mlt_symbol` the exchange-independent one (`btc-usdt`).
- `multiplier` is what one unit of quantity counts; see `Quantification`. A linear contract's value q*m*p is in
  `settle_currency`, which is nearly always the quote currency (not so for quanto contracts such as BitMEX ETHUSD).
- `price_precision` and `quantity_precision` are digits after the decimal point.
- `valid_start_ts` and `valid_end_ts` are milliseconds since 1970 UTC, as all times of the API.

Two instruments are the same when their ids are.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property
from typing import ClassVar, Final, NamedTuple, TypeVar

from mlthon.basics import money
from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.instrument_utils import InstrumentUtils as InstrumentUtils
from mlthon.basics.mldecimal import MLDecimal, Number
from mlthon.basics.mlt_enum import MltEnum
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.basics.scale import Scale

T = TypeVar("T")


class TickRule(NamedTuple):
    """From the price or quantity `above` on, values are multiples of `step`."""

    above: Decimal
    step: Decimal


Rules = Number | MLDecimal | Sequence[TickRule]
"""Tick rules as they may be given: a number is the one step of all values."""


class Instrument:
    """An instrument, immutable. Raises ValueError or TypeError for fields that contradict one another or are no
    numbers."""

    TYPE: ClassVar[InstrumentType | None] = None

    instrument_id: int | None
    instrument_type: InstrumentType | None
    instrument_group_id: int | None
    exch_instr_id: str | None
    exchange: Exchange | None
    mlt_symbol: str | None
    price_tick_rules: tuple[TickRule, ...] | None
    quantity_tick_rules: tuple[TickRule, ...] | None
    multiplier: Decimal | None
    min_quantity: Qty | None
    base_currency: str | None
    quote_currency: str | None
    quantification: Quantification | None
    price_precision: int | None
    quantity_precision: int | None
    valid_start_ts: int | None
    valid_end_ts: int | None
    instrument_name: str | None
    max_quantity: Qty | None
    min_notional: Decimal | None
    """The least value of an order, in the quote currency."""
    settle_currency: str | None
    maker_fee: Decimal | None
    """Part of the traded value that a maker pays; negative for a rebate."""
    taker_fee: Decimal | None

    # Written by hand and not by attrs, whose import alone takes longer than everything else in basics.
    def __init__(
        self,
        instrument_id: int | None = None,
        instrument_type: InstrumentType | None = None,
        instrument_group_id: int | None = None,
        exch_instr_id: str | None = None,
        exchange: Exchange | None = None,
        mlt_symbol: str | None = None,
        price_tick_rules: Rules | None = None,
        quantity_tick_rules: Rules | None = None,
        multiplier: Number | None = None,
        min_quantity: Number | MLDecimal | None = None,
        base_currency: str | None = None,
        quote_currency: str | None = None,
        quantification: Quantification | None = None,
        price_precision: int | None = None,
        quantity_precision: int | None = None,
        valid_start_ts: int | None = None,
        valid_end_ts: int | None = None,
        instrument_name: str | None = None,
        *,
        max_quantity: Number | MLDecimal | None = None,
        min_notional: Number | None = None,
        settle_currency: str | None = None,
        maker_fee: Number | None = None,
        taker_fee: Number | None = None,
    ) -> None:
        instrument_type = instrument_type or self.TYPE
        if instrument_name is None and exchange and instrument_type and mlt_symbol:
            instrument_name = InstrumentUtils.exch_type_sym_to_instr_name(exchange, instrument_type, mlt_symbol)
        self.__dict__.update(
            instrument_id=instrument_id,
            instrument_type=instrument_type,
            instrument_group_id=instrument_group_id,
            exch_instr_id=exch_instr_id,
            exchange=exchange,
            mlt_symbol=mlt_symbol,
            price_tick_rules=_rules(price_tick_rules),
            quantity_tick_rules=_rules(quantity_tick_rules),
            multiplier=_optional_decimal(multiplier),
            min_quantity=_optional_qty(min_quantity),
            base_currency=base_currency,
            quote_currency=quote_currency,
            quantification=quantification,
            price_precision=price_precision,
            quantity_precision=quantity_precision,
            valid_start_ts=valid_start_ts,
            valid_end_ts=valid_end_ts,
            instrument_name=instrument_name,
            max_quantity=_optional_qty(max_quantity),
            min_notional=_optional_decimal(min_notional),
            settle_currency=settle_currency,
            maker_fee=_optional_decimal(maker_fee),
            taker_fee=_optional_decimal(taker_fee),
        )
        self._check()

    def _check(self) -> None:
        for field, kind in _ENUMS.items():
            value = getattr(self, field)
            if value is not None and not isinstance(value, kind):
                raise TypeError(f"{self}: {field} must be of {kind.__name__}, not {value!r}")
        if self.TYPE is not None and self.instrument_type is not self.TYPE:
            raise ValueError(f"{self}: a {type(self).__name__} cannot be of type {self.instrument_type}")
        if self.multiplier is not None and self.multiplier <= 0:
            raise ValueError(f"{self}: the multiplier must be more than 0, not {self.multiplier}")
        if self.min_quantity and self.max_quantity and self.max_quantity < self.min_quantity:
            raise ValueError(f"{self}: max_quantity {self.max_quantity} is less than min_quantity {self.min_quantity}")

    # Derived; what an instrument that trades must have is never None here

    @cached_property
    def number(self) -> int:
        """The instrument id. Raises ValueError when there is none."""
        return self._required(self.instrument_id, "instrument_id")

    @cached_property
    def venue(self) -> Exchange:
        """The exchange. Raises ValueError when there is none."""
        return self._required(self.exchange, "exchange")

    def _required(self, value: T | None, field: str) -> T:
        if value is None:
            raise ValueError(f"{self} cannot be traded: it has no {field}")
        return value

    @cached_property
    def symbol(self) -> str:
        """The exchange's own symbol ('' when there is none)."""
        return self.exch_instr_id or ""

    @cached_property
    def name(self) -> str:
        """As in `byt:perp:btc-usd` ('' when there is none)."""
        return self.instrument_name or ""

    @cached_property
    def price_scale(self) -> Scale[Price]:
        """Ticks and prices. Raises ValueError when the instrument has no single tick."""
        return Scale(Price, self._single_step(self.price_tick_rules, "price_tick_rules"))

    @cached_property
    def qty_scale(self) -> Scale[Qty]:
        """Lots and quantities. Raises ValueError when the instrument has no single lot."""
        return Scale(Qty, self._single_step(self.quantity_tick_rules, "quantity_tick_rules"))

    @cached_property
    def min_lots(self) -> int:
        """The smallest order, in lots (at least 1; a minimum between two lots counts as the upper one)."""
        minimum = self.min_quantity.units if self.min_quantity is not None else 0
        return max(1, -(-minimum // self.qty_scale.step_units))

    @cached_property
    def max_lots(self) -> int | None:
        """The largest order, in lots, or None when there is no limit."""
        return None if self.max_quantity is None else self.max_quantity.units // self.qty_scale.step_units

    @cached_property
    def multiplier_units(self) -> int:
        """The multiplier in 10^-18; one when none is given."""
        return money.UNIT if self.multiplier is None else money.parse(self.multiplier)

    def _single_step(self, rules: tuple[TickRule, ...] | None, field: str) -> int:
        if rules is None or len(rules) != 1:
            raise ValueError(f"instrument {self.name or self.instrument_id}: {field} must hold one step, not {rules}")
        return money.parse(rules[0].step)

    # The documented getters

    def get_instrument_id(self) -> int | None:
        return self.instrument_id

    def get_instrument_type(self) -> InstrumentType | None:
        return self.instrument_type

    def get_instrument_group_id(self) -> int | None:
        return self.instrument_group_id

    def get_exch_instr_id(self) -> str | None:
        return self.exch_instr_id

    def get_exchange(self) -> Exchange | None:
        return self.exchange

    def get_mlt_symbol(self) -> str | None:
        return self.mlt_symbol

    def get_price_tick_rules(self) -> tuple[TickRule, ...] | None:
        return self.price_tick_rules

    def get_quantity_tick_rules(self) -> tuple[TickRule, ...] | None:
        return self.quantity_tick_rules

    def get_multiplier(self) -> Decimal | None:
        return self.multiplier

    def get_min_quantity(self) -> Qty | None:
        return self.min_quantity

    def get_base_currency(self) -> str | None:
        return self.base_currency

    def get_quote_currency(self) -> str | None:
        return self.quote_currency

    def get_quantification(self) -> Quantification | None:
        return self.quantification

    def get_price_precision(self) -> int | None:
        return self.price_precision

    def get_quantity_precision(self) -> int | None:
        return self.quantity_precision

    def get_valid_start_ts(self) -> int | None:
        return self.valid_start_ts

    def get_valid_end_ts(self) -> int | None:
        return self.valid_end_ts

    def get_instrument_name(self) -> str | None:
        return self.instrument_name

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Instrument):
            return NotImplemented
        return self is other or (self.instrument_id is not None and self.instrument_id == other.instrument_id)

    def __hash__(self) -> int:
        return hash(self.instrument_id)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self} is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self} is immutable: {name} cannot be deleted")

    def __str__(self) -> str:
        return str(self.name or f"{type(self).__name__} {self.instrument_id}")

    def __repr__(self) -> str:
        fields = [f"{field}={value!r}" for field in _FIELDS if (value := getattr(self, field)) is not None]
        return f"{type(self).__name__}({', '.join(fields)})"


class Spot(Instrument):
    """Coins against coins: what is bought is owned."""

    TYPE = InstrumentType.Spot


class Perpetual(Instrument):
    """A contract without expiry, held near the spot price by funding."""

    TYPE = InstrumentType.Perpetual


class Future(Instrument):
    """A contract that expires at `valid_end_ts`."""

    TYPE = InstrumentType.Future


class Cfd(Instrument):
    """A contract for difference with a broker (OANDA's currencies and metals)."""

    TYPE = InstrumentType.Cfd


_FIELDS: Final = tuple(field for field in Instrument.__annotations__ if field != "TYPE")
_ENUMS: Final[dict[str, type[MltEnum]]] = {
    "instrument_type": InstrumentType,
    "exchange": Exchange,
    "quantification": Quantification,
}


def _rules(value: Rules | None) -> tuple[TickRule, ...] | None:
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return (TickRule(Decimal(0), _decimal(value)),)


def _decimal(value: Number | MLDecimal) -> Decimal:
    return MLDecimal(value).to_decimal()


def _optional_decimal(value: Number | None) -> Decimal | None:
    return None if value is None else _decimal(value)


def _optional_qty(value: Number | MLDecimal | None) -> Qty | None:
    return None if value is None else Qty(value)
