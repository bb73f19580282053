"""`WebhookTrader`: signals traded by the documented rules, without a strategy file."""

from collections.abc import Mapping
from typing import Any

from mlthon.arsenal.outcomes import Tell, to_nobody
from mlthon.arsenal.signals import SignalDesk, typed
from mlthon.arsenal.trader import Trader


class WebhookTrader(Trader):
    """See the module. The command `signal` takes one as JSON or as words, beside those that `take` is given."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.desk = SignalDesk(self)

    def take(self, payload: Mapping[str, Any], tell: Tell = to_nobody) -> None:
        """A signal whose sender is known to be allowed; `tell` is told what came of it, once. Raises `UserError`."""
        self.desk.take(payload, tell)

    def on_framework_connected(self, env: Any) -> None:
        env.add_cmd_hook("signal", lambda words: self.take(typed(str(words))))
        super().on_framework_connected(env)

    def began(self) -> None:
        self.desk.resume()

    def stopped(self) -> None:
        self.desk.suspend()

    @property
    def takes_signals(self) -> bool:
        return True
