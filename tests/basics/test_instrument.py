import inspect
import pickle
from decimal import Decimal

import pytest

from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.instrument import Cfd, Future, Instrument, InstrumentUtils, Perpetual, Spot, TickRule
from mlthon.basics.money import UNIT
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty

DOCUMENTED = """
instrument_id instrument_type instrument_group_id exch_instr_id exchange mlt_symbol price_tick_rules
quantity_tick_rules multiplier min_quantity base_currency quote_currency quantification price_precision
quantity_precision valid_start_ts valid_end_ts instrument_name
""".split()  # noqa: SIM905


def btc() -> Perpetual:
    return Perpetual(
        instrument_id=30000000000,
        exchange=Exchange.Bybit,
        exch_instr_id="BTCUSD",
        mlt_symbol="btc-usd",
        price_tick_rules="0.5",
        quantity_tick_rules=1,
        min_quantity="2.5",
        max_quantity=10,
        quantification=Quantification.Inverse,
    )


def test_the_documented_fields_come_first_are_optional_and_have_getters() -> None:
    parameters = list(inspect.signature(Instrument).parameters.values())
    assert [parameter.name for parameter in parameters[:18]] == DOCUMENTED
    assert all(parameter.default is None for parameter in parameters)
    empty = Instrument()
    assert [getattr(empty, f"get_{field}")() for field in DOCUMENTED] == [None] * 18


def test_every_getter_gives_its_field() -> None:
    values = [7, InstrumentType.Spot, 1, "X", Exchange.Woo, "a-b", "0.1", "0.2", "3", "4", "A", "B",
              Quantification.Linear, 1, 2, 3, 4, "name"]  # fmt: skip
    instrument = Instrument(*values)  # type: ignore[arg-type]
    expected = list(values)
    expected[6] = (TickRule(Decimal(0), Decimal("0.1")),)
    expected[7] = (TickRule(Decimal(0), Decimal("0.2")),)
    expected[8] = Decimal(3)
    expected[9] = Qty(4)
    assert [getattr(instrument, f"get_{field}")() for field in DOCUMENTED] == expected


def test_what_is_derived() -> None:
    instrument = btc()
    assert instrument.name == instrument.get_instrument_name() == "byt:perp:btc-usd" == str(instrument)
    assert instrument.symbol == "BTCUSD"
    assert instrument.instrument_type is InstrumentType.Perpetual
    assert instrument.price_scale.steps("9226.5") == 18453
    assert instrument.price_scale is instrument.price_scale
    assert instrument.price_scale.values[3] == Price("1.5")
    assert instrument.qty_scale.steps(5) == 5
    assert (instrument.min_lots, instrument.max_lots) == (3, 10)
    assert instrument.multiplier_units == UNIT


def test_what_is_not_given() -> None:
    empty = Instrument()
    assert (empty.name, empty.symbol) == ("", "")
    with pytest.raises(ValueError, match="price_tick_rules must hold one step"):
        _ = empty.price_scale
    two = Instrument(price_tick_rules=[TickRule(Decimal(0), Decimal("0.1")), TickRule(Decimal(100), Decimal(1))])
    with pytest.raises(ValueError, match="price_tick_rules must hold one step"):
        _ = two.price_scale
    assert Instrument(quantity_tick_rules=1).max_lots is None
    assert Instrument(quantity_tick_rules=1).min_lots == 1


def test_identity_is_the_id() -> None:
    assert btc() == btc()
    assert len({btc(), btc(), Instrument(instrument_id=30000000000)}) == 1
    assert btc() != Instrument(instrument_id=5)
    assert Instrument() != Instrument()
    assert btc() != "byt:perp:btc-usd"


def test_it_is_immutable_and_pickles() -> None:
    instrument = btc()
    with pytest.raises(AttributeError, match="immutable"):
        instrument.mlt_symbol = "x"
    with pytest.raises(AttributeError, match="immutable"):
        del instrument.mlt_symbol
    _ = instrument.price_scale
    again = pickle.loads(pickle.dumps(instrument))
    assert again == instrument
    assert again.price_scale == instrument.price_scale
    assert repr(again) == repr(instrument)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"price_tick_rules": "abc"}, ValueError),
        ({"min_quantity": "nan"}, ValueError),
        ({"multiplier": 0}, ValueError),
        ({"multiplier": None, "taker_fee": []}, TypeError),
        ({"exchange": "Bybit"}, TypeError),
        ({"instrument_type": "Spot"}, TypeError),
        ({"quantification": 1}, TypeError),
        ({"min_quantity": 2, "max_quantity": 1}, ValueError),
    ],
)
def test_bad_fields(fields: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        Instrument(**fields)  # type: ignore[arg-type]


def test_types() -> None:
    classes: dict[type[Instrument], InstrumentType] = {
        Spot: InstrumentType.Spot,
        Perpetual: InstrumentType.Perpetual,
        Future: InstrumentType.Future,
        Cfd: InstrumentType.Cfd,
    }
    for of_class, instrument_type in classes.items():
        assert of_class().get_instrument_type() is instrument_type
    with pytest.raises(ValueError, match="cannot be of type"):
        Spot(instrument_type=InstrumentType.Future)


def test_names() -> None:
    make = InstrumentUtils.exch_type_sym_to_instr_name
    assert make(Exchange.Bybit, InstrumentType.Perpetual, "BTC-USD") == "byt:perp:btc-usd"
    assert make(Exchange.Oanda, InstrumentType.Cfd, "eur-usd") == "oan:cfd:eur-usd"


def test_what_is_wrong_is_told_whatever_the_name_is() -> None:
    with pytest.raises(TypeError, match="7: exchange must be of Exchange, not 'Bybit'"):
        Instrument(exchange="Bybit", instrument_name=7)  # type: ignore[arg-type]
