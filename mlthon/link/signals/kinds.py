"""The types of signal bots as one table: what each hears, its parameters, and its plan."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from attrs import fields, frozen

from mlthon.config import PARAMS
from mlthon.errors import UserError, near
from mlthon.link.signals.intents import read_price, read_quote, read_size
from mlthon.link.signals.market import BotMarket
from mlthon.link.signals.params import GridParams, LongGridParams, MakerParams, Params, PositionParams, ShortGridParams
from mlthon.link.signals.plans import GridPlan, MakerPlan, Plan, PositionPlan
from mlthon.structure import Tree, structure


@frozen
class Kind:
    """One type. `takes`: the intent that it hears; `read`: what it makes of its value, or `BadIntent`. `lasts_s`: how
    old a signal may be after a restart unless something else is configured: a target says nothing of the price, which a
    grid's anchor and a quote are soon away from."""

    name: str
    title: str
    takes: str
    read: Callable[[Any], Any]
    params: type[Params]
    plan: Callable[[Any, BotMarket], Plan]
    lasts_s: float = 60.0

    @property
    def parameters(self) -> list[str]:
        """The names of its parameters."""
        return [each.name for each in fields(self.params)]


def _neutral(params: GridParams, market: BotMarket) -> Plan:
    return GridPlan(params, market, buys=True, sells=True, closes=True)


def _short(params: ShortGridParams, market: BotMarket) -> Plan:
    return GridPlan(params, market, buys=False, sells=True, closes=params.grid_side == "both")


def _long(params: LongGridParams, market: BotMarket) -> Plan:
    return GridPlan(params, market, buys=True, sells=False, closes=params.grid_side == "both")


KINDS: Final = {
    each.name: each
    for each in (
        Kind("position", "Position", "size", read_size, PositionParams, PositionPlan, lasts_s=3600.0),
        Kind("neutral_grid", "Neutral Grid", "mid", partial(read_price, "mid"), GridParams, _neutral),
        Kind("short_grid", "Short Grid", "ask", partial(read_price, "ask"), ShortGridParams, _short),
        Kind("long_grid", "Long Grid", "bid", partial(read_price, "bid"), LongGridParams, _long),
        Kind("market_maker", "Market Maker", "quote", read_quote, MakerParams, MakerPlan),
    )
}


def kind_of(name: str, where: str) -> Kind:
    """The type of a name, `neutral_grid` or `Neutral Grid`. Raises `UserError`, which begins with `where`."""
    plain = "_".join(name.replace("-", " ").replace("_", " ").split()).lower()
    if plain not in KINDS:
        raise UserError(
            f"{where}: {name!r} is no type of signal bot{near(plain, KINDS)}", f"There are {', '.join(KINDS)}."
        )
    return KINDS[plain]


def params_of(kind: Kind, tree: Mapping[str, Any], where: str) -> Params:
    """The parameters of a bot, checked. Raises `UserError`, which begins with `where`."""
    built: dict[str, Params] = structure(
        {PARAMS: Tree(tree)},
        dict[str, kind.params],  # type: ignore[name-defined]
        lambda fault: where,
    )
    return built[PARAMS]
