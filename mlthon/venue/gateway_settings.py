"""How a live gateway goes about its work, and how long it waits before it tries again."""

from typing import Final

from attrs import field, frozen
from attrs.validators import ge, gt

from mlthon.venue.asking import Trouble
from mlthon.venue.codec import Refused

PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""How long after each failure in a row something is tried again; the last from then on."""


@frozen(kw_only=True)
class GatewaySettings:
    """`audit_s`: how often the account is fetched again while all is well. `margin_s`: how much longer than its
    validity a request is believed to be able to arrive. `overlap_s`: how far back before the last complete fetch
    executions are fetched again. `grace_s`: how long executions that an order fact speaks of may lag behind it.
    `order_wait_s`: an order that the rate limits would hold back for longer is refused. `line_ready_s`: a line that has
    been open for so long without its login and subscriptions accepted is connected anew. `dead_man_s`: after how
    long without a sign of life the exchange is to cancel everything; 0: never. `orders_stay`: open orders are meant to
    outlive the gateway, so that its stop disarms the exchange's switch though there are some. `secrets`: texts that are
    never logged."""

    audit_s: float = field(default=300.0, validator=gt(0))
    margin_s: float = field(default=5.0, validator=ge(0))
    overlap_s: float = field(default=60.0, validator=ge(0))
    grace_s: float = field(default=2.0, validator=gt(0))
    order_wait_s: float = field(default=1.0, validator=ge(0))
    line_ready_s: float = field(default=10.0, validator=gt(0))
    clock_s: float = field(default=600.0, validator=gt(0))
    keep_alive_s: float = field(default=1800.0, validator=gt(0))
    dead_man_s: float = field(default=0.0, validator=ge(0))
    orders_stay: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)


def pause_s(tries: int, trouble: Trouble | None = None) -> float:
    """How long (s) to wait after so many failures before this one, or as long as the exchange says."""
    said = trouble.retry_after_s if isinstance(trouble, Refused) else None
    return max(PAUSES_S[min(tries, len(PAUSES_S) - 1)], said or 0.0)
