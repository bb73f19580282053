"""`Price`: an exact price, in the quote currency of its instrument."""

from mlthon.basics.mldecimal import MLDecimal


class Price(MLDecimal):
    """A price: exact, immutable, hashable, ordered; see `MLDecimal`."""

    __slots__ = ()
