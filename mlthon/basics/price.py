"""`Price`: an exact price, in the quote currency of its instrument."""

from mlthon.basics.mldecimal import MLDecimal, QuickReadout


class Price(MLDecimal):
    """A price: exact, immutable, hashable, ordered; see `MLDecimal`."""

    __slots__ = ()

    # strategies read every price they see, and the same few prices come again and again
    kept_readout = QuickReadout
