"""How Binance refuses: a code, a message and an HTTP status."""

from typing import Any


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
