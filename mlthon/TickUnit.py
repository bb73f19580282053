# ruff: noqa: N999 (the documented module name)
"""`TickUnit`: what a tick size given to `TickFormat` is a size of.

The documentation names the members and nothing more. Strategies in use write `tick_size=0.001, tick_unit=TickUnit.Lot`
for quantities in steps of 0.001 and `tick_size=0.01, tick_unit=TickUnit.Cent` for prices in steps of 0.01, so this
project reads the size as the step itself in both cases, in whole units of the coin or of the currency. The unit is
checked and otherwise changes nothing.

The members also stand in the module: `from mlthon import TickUnit; TickUnit.Lot` and
`from mlthon.TickUnit import TickUnit; TickUnit.Lot` are the same.
"""

from mlthon.basics.mlt_enum import MltEnum


class TickUnit(MltEnum):
    """`Lot`: the size is one of quantities; `Cent`: of prices."""

    Lot = 1
    Cent = 2


Lot = TickUnit.Lot
Cent = TickUnit.Cent
