"""The base of every enumeration in the API.

Some documented values are one-element tuples (`MDSub.BBO` is `(3,)`). They stay as documented, and the plain number
resolves to the same member: `MDSub(3) is MDSub.BBO`.
"""

from enum import Enum


class MltEnum(Enum):
    """An enumeration whose members print as their name and resolve from value, plain number or name."""

    @classmethod
    def _missing_(cls, value: object) -> "MltEnum | None":
        for member in cls:
            if member.value == (value,) or member.name == value:
                return member
        return None

    def __str__(self) -> str:
        return self.name

    # Members are single objects and equal only to themselves. Enum's own hash is a Python call, felt wherever an
    # exchange or a side is a dictionary's key.
    __hash__ = object.__hash__
