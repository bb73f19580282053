"""`python -m mlthon instruments`: the shipped instruments, as a table or as lines of JSON."""

from decimal import Decimal
from typing import Any

from mlthon.backtest.show import columns, show_exact
from mlthon.basics import catalogue
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.errors import UserError, near


def list_instruments(exchange: str | None, *, json: bool) -> int:
    chosen = catalogue.exchanges() if exchange is None else [_exchange(exchange)]
    every = [each for one in chosen for each in catalogue.instruments(one)]
    if json:
        import msgspec

        encoder = msgspec.json.Encoder(decimal_format="number")
        for each in every:
            print(encoder.encode(_as_json(each)).decode())
        return 0
    _print_table(every)
    return 0


def _exchange(name: str) -> Exchange:
    known = catalogue.exchanges()
    for each in known:
        if name.lower() in (each.name.lower(), each.exchange_code):
            return each
    names = [each.name for each in known]
    raise UserError(
        f"no exchange {name!r}{near(name, names)}",
        f"There are: {', '.join(f'{e.name} ({e.exchange_code})' for e in known)}",
    )


def _as_json(instrument: Instrument) -> dict[str, Any]:
    return {
        "id": instrument.get_instrument_id(),
        "name": instrument.name,
        "exchange": str(instrument.exchange),
        "symbol": instrument.symbol,
        "tick": Decimal(show_exact(instrument.price_scale.step_units)),
        "lot": Decimal(show_exact(instrument.qty_scale.step_units)),
        "min_qty": Decimal(show_exact(instrument.min_lots * instrument.qty_scale.step_units)),
        "settle_currency": instrument.settle_currency,
        "quantification": str(instrument.quantification),
    }


def _print_table(instruments: list[Instrument]) -> None:
    rows: list[tuple[str, ...]] = [("id", "name", "symbol", "settles in", "tick", "lot", "minimum")]
    for each in instruments:
        lot = each.qty_scale.step_units
        steps = (each.price_scale.step_units, lot, each.min_lots * lot)
        rows.append(
            (str(each.instrument_id), each.name, each.symbol, each.settle_currency or "", *map(show_exact, steps))
        )
    print("\n".join(columns(rows, left=4)))
