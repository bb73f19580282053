"""How Binance refuses: a code, a message and an HTTP status; the refusals that spot and USD-M have in common."""

from collections.abc import Mapping
from typing import Any, Final

from mlthon.basics.defs import GtwRejectCode

Faults = Mapping[GtwRejectCode, tuple[int, str]]


class Fault(Exception):
    """A request that is answered with an error code."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def body(self) -> dict[str, Any]:
        """What the answer says."""
        return {"code": self.code, "msg": self.message}


class ReplaceFault(Fault):
    """Cancel-replace that did not go through: the error carries what became of each half."""

    def __init__(self, code: int, message: str, data: dict[str, Any]) -> None:
        super().__init__(code, message, 409 if data.get("cancelResult") == "SUCCESS" else 400)
        self.data = data

    def body(self) -> dict[str, Any]:
        return {**super().body(), "data": self.data}


def missing(name: str) -> Fault:
    """A parameter that is needed and not there."""
    return Fault(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def malformed(name: str) -> Fault:
    """A parameter that cannot be read."""
    return Fault(-1100, f"Illegal characters found in parameter '{name}'; legal range is a decimal number.")


INVALID_SYMBOL: Final = (-1121, "Invalid symbol.")
UNKNOWN_ORDER: Final = (-2011, "Unknown order sent.")
NO_SUCH_ORDER: Final = (-2013, "Order does not exist.")

COMMON_FAULTS: Final[Faults] = {
    GtwRejectCode.OrderNotOpen: UNKNOWN_ORDER,
    GtwRejectCode.UnknownOrder: UNKNOWN_ORDER,
    GtwRejectCode.GtwNotReady: (-1008, "Server is currently overloaded with other requests. Please try again later."),
}
"""What both answer to what the embedded exchange refused: code and message."""
