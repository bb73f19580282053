# ruff: noqa: N999 (the documented module name)
"""`TickUnit`: what a tick size given to `TickFormat` counts.

The documentation names the members and nothing more. This project reads them so: with `Lot` the tick size is the step
itself (0.5 means steps of 0.5, 1 whole lots); with `Cent` it counts hundredths (50 means steps of 0.50).

The members also stand in the module: `from mlthon import TickUnit; TickUnit.Lot` and
`from mlthon.TickUnit import TickUnit; TickUnit.Lot` are the same.
"""

from mlthon.basics.mlt_enum import MltEnum


class TickUnit(MltEnum):
    """What a tick size counts: `value` of them make one."""

    Lot = 1
    Cent = 100


Lot = TickUnit.Lot
Cent = TickUnit.Cent
