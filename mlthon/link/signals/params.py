"""The parameters of signal bots, one frozen class a type, read from `[bots.NAME.params]` by `mlthon.structure`.

Percentages are percent (2 is 2 %), sizes are in the exchange's own unit of quantity, delays in seconds, times of day
UTC. docs/signal-bots.md says what each of them does to the orders.
"""

from collections.abc import Callable
from typing import Any, Final

from attrs import Attribute, field, frozen
from attrs.validators import ge, gt, in_, lt, optional

from mlthon.link.signals.hours import TradingHours, parse_time

DEFAULT_REFRESH_S: Final = 1.0


def _positive(most: float | None = None) -> Any:
    """A field that may be left out, and else is over 0 (and below `most`)."""
    checks: list[Callable[..., None]] = [gt(0)] if most is None else [gt(0), lt(most)]
    return field(default=None, validator=optional(checks))


def _from_zero(default: float = 0.0) -> Any:
    return field(default=default, validator=ge(0))


def _a_time(_: object, attribute: "Attribute[str | None]", text: str | None) -> None:
    if text is not None:
        try:
            parse_time(text)
        except ValueError as error:
            raise ValueError(f"{attribute.name}: {error}") from None


@frozen
class Exits:
    """When a position is closed although no signal says so, in percent; None: never. `trail_entry`: the gain at which
    the trailing stop begins."""

    stop_loss: float | None = None
    take_profit: float | None = None
    trail: float | None = None
    trail_entry: float = 0.0

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return not (self.stop_loss is None and self.take_profit is None and self.trail is None)


@frozen(kw_only=True)
class Params:
    """What every type has, as the bot reads it."""

    @property
    def exits(self) -> Exits:
        """When the position is closed by the bot itself."""
        return Exits()

    @property
    def closes(self) -> bool:
        """Whether the position is closed when the bot stops."""
        return False

    @property
    def hours(self) -> TradingHours | None:
        """When it trades; None: always."""
        return None


@frozen(kw_only=True)
class PositionParams(Params):
    """Position."""

    max_position_size: float = field(validator=gt(0))
    stop_loss_pct: float | None = _positive(100)
    take_profit_pct: float | None = _positive()
    close_on_stop: bool = False
    trading_start_time: str | None = field(default=None, validator=_a_time)
    trading_stop_time: str | None = field(default=None, validator=_a_time)
    order_fill_delay: float = _from_zero()
    order_min_pct_change: float = field(default=0.0, validator=[ge(0), lt(100)])
    limit_post_only: bool = False

    def __attrs_post_init__(self) -> None:
        _ = self.hours

    @property
    def exits(self) -> Exits:
        return Exits(self.stop_loss_pct, self.take_profit_pct)

    @property
    def closes(self) -> bool:
        return self.close_on_stop

    @property
    def hours(self) -> TradingHours | None:
        if self.trading_start_time is None and self.trading_stop_time is None:
            return None
        return TradingHours.between(self.trading_start_time, self.trading_stop_time)


@frozen(kw_only=True)
class GridParams(Params):
    """Neutral Grid, and what Short and Long Grid have in common with it."""

    grid_count: int = field(validator=[ge(1), lt(501)])
    grid_spread: float = field(validator=[gt(0), lt(100)])
    min_spread: float = field(default=0.0, validator=[ge(0), lt(200)])
    max_order_size: float | None = _positive()
    order_refresh_delay: float = _from_zero(DEFAULT_REFRESH_S)
    take_profit_pct: float | None = _positive()
    stop_loss_pct: float | None = _positive(100)
    trail_stop_loss_pct: float | None = _positive(100)
    trail_stop_loss_entry_pct: float | None = field(default=None, validator=optional(ge(0)))
    limit_post_only: bool = False

    def __attrs_post_init__(self) -> None:
        if self.trail_stop_loss_entry_pct is not None and self.trail_stop_loss_pct is None:
            raise ValueError("trail_stop_loss_entry_pct: only with trail_stop_loss_pct, whose beginning it is")

    @property
    def exits(self) -> Exits:
        return Exits(
            self.stop_loss_pct, self.take_profit_pct, self.trail_stop_loss_pct, self.trail_stop_loss_entry_pct or 0.0
        )


@frozen(kw_only=True)
class ShortGridParams(GridParams):
    """Short Grid."""

    grid_side: str = field(validator=in_(("sell", "both")))


@frozen(kw_only=True)
class LongGridParams(GridParams):
    """Long Grid."""

    grid_side: str = field(validator=in_(("buy", "both")))


@frozen(kw_only=True)
class MakerParams(Params):
    """Market Maker."""

    max_position_size: float = field(validator=gt(0))
    min_spread: float = field(default=0.0, validator=[ge(0), lt(200)])
    limit_post_only: bool = False
    order_refresh_delay: float = _from_zero(DEFAULT_REFRESH_S)
    order_min_pct_change: float = field(default=0.0, validator=[ge(0), lt(100)])
