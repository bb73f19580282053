"""An exchange's rate limits as data; `mlthon.venue.throttle` keeps to them.

A rule allows a weight in an interval. Requests name the rules they count against and their weight in each. What the
exchange itself says in an answer (`Usage`) corrects the count.
"""

from typing import Final

from attrs import field, frozen
from attrs.validators import and_, ge, gt, lt

RESERVE: Final = 0.25
"""How much of a rule against which cancels count is kept for them: of BitMEX's 120 requests a minute 30, so that a run
that is stopped in the midst of its activity can cancel as many orders at once."""


@frozen
class RateRule:
    """So much weight in each interval. `rolling`: the interval slides (every request counts for `interval_s`); else it
    is a fixed window that starts at a multiple of the interval of the exchange's clock. `reserve`: the part of the
    limit that only cancels and questions about what became of orders may use; 0 where cancels do not count."""

    name: str
    limit: int = field(validator=gt(0))
    interval_s: float = field(validator=gt(0))
    rolling: bool = True
    reserve: float = field(default=0.0, validator=and_(ge(0), lt(1)))


@frozen
class Usage:
    """What an exchange says of a rule: how much of it is used, its limit now, when it is reset (ns); None: not said.
    `banned_until` (ns): nothing may be sent before, whichever rules it counts against."""

    rule: str
    used: int | None = None
    limit: int | None = None
    reset_ts: int | None = None
    banned_until: int | None = None
