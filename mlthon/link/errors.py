"""What an exchange call of a bot raises."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """The exchange refused a call, or could not be asked (error type `api_error`). `envelope` is what the call would
    have returned: `src`, `venue`, `error` (`type`, `message`), `data`, `rate_limits`; `error` is its error."""

    def __init__(self, envelope: Mapping[str, Any]) -> None:
        super().__init__(envelope)
        self.envelope = dict(envelope)
        error = envelope.get("error")
        self.error: dict[str, Any] = dict(error) if isinstance(error, Mapping) else {}

    def __str__(self) -> str:
        message = self.error.get("message") or "the exchange gave no reason"
        return f"{self.envelope.get('venue')}: {message}"


class LinkClosed(Exception):
    """An exchange call while the bot is being stopped, or after its engine has gone: nobody will answer it."""
