"""`Qty`: an exact quantity (contracts or coins, as the instrument counts), position or balance."""

from mlthon.basics.mldecimal import MLDecimal


class Qty(MLDecimal):
    """A quantity: exact, immutable, hashable, ordered; see `MLDecimal`."""

    __slots__ = ()
