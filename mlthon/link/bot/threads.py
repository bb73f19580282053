"""The threads of a bot, and those that the platform runs beside it. All are daemons: no bot outlives its end."""

import threading
from collections.abc import Callable
from typing import Any

from mlthon.link.bot.guard import Guard


class Threads:
    """Starts threads, and tells the bot's from the platform's."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._own: set[int] = set()

    def start(self, target: Callable[..., Any], args: Any, kwargs: Any) -> threading.Thread:
        """See `Link.create_thread`."""
        name = _name(target)
        thread = threading.Thread(target=self._guarded(name, target, args, kwargs), name=name, daemon=True)
        thread.start()
        return thread

    def delay(self, interval: float, target: Callable[..., Any], args: Any, kwargs: Any) -> threading.Timer:
        """See `Link.delay_thread`."""
        name = _name(target)
        timer = threading.Timer(interval, self._guarded(name, target, args, kwargs))
        timer.name, timer.daemon = name, True
        timer.start()
        return timer

    def start_own(self, target: Callable[[], Any], name: str) -> None:
        """Run `target` in a thread of the platform's."""

        def run() -> None:
            self._own.add(threading.get_ident())
            try:
                target()
            finally:
                self._own.discard(threading.get_ident())

        threading.Thread(target=run, name=name, daemon=True).start()

    def background(self) -> dict[int, str]:
        """See `Link.background_threads`."""
        main = threading.main_thread()
        return {
            each.ident: each.name
            for each in threading.enumerate()
            if each is not main and each.ident is not None and each.ident not in self._own
        }

    def _guarded(self, name: str, target: Callable[..., Any], args: Any, kwargs: Any) -> Callable[[], None]:
        return lambda: self._guard.call(f"thread {name}", target, *args, **kwargs)


def _name(target: Callable[..., Any]) -> str:
    return str(getattr(target, "__name__", type(target).__name__))
