"""`@http.route`: methods of a bot as webhooks. `get_NAME(self, data)` answers GET, `post_NAME(self, data)` POST."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from mlthon.errors import UserError

Method = TypeVar("Method", bound=Callable[..., Any])

_MARK: Final = "__profitview_route__"
_VERBS: Final = ("get", "post")


class Http:
    """What `http` is in a bot."""

    def route(self, method: Method) -> Method:
        """Make a method a webhook. Raises `UserError` unless its name begins with `get_` or `post_`."""
        verb, _, name = getattr(method, "__name__", "").partition("_")
        if verb not in _VERBS or not name:
            raise UserError(
                f"@http.route on {getattr(method, '__name__', method)!r}: it answers neither GET nor POST",
                "A webhook's name begins with get_ or post_: def get_balances(self, data):",
            )
        setattr(method, _MARK, (verb, name))
        return method


http: Final = Http()


def routes_of(cls: type) -> dict[tuple[str, str], str]:
    """The webhooks of a class: (`get` or `post`, name in the address) → name of the method."""
    return {getattr(getattr(cls, each), _MARK): each for each in dir(cls) if hasattr(getattr(cls, each), _MARK)}
