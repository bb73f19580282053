"""`python -m mlthon exchange NAME --view`: the exchange at a glance in the terminal, twice a second."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import trio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from mlthon.live.exchange_page import as_text

EVERY_S: Final = 0.5


async def keep_showing(view: Callable[[Mapping[str, str]], dict[str, Any]], console: Console | None = None) -> None:
    """Show what `view` gives until cancelled. What is printed meanwhile goes above."""
    shown = console or Console()

    def screen() -> Text:
        # as many lines as there is room for: a display that is too high for its terminal cannot be drawn over
        lines = as_text(view({})).splitlines()[: max(5, shown.height - 1)]
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")

    with Live(screen(), console=shown, auto_refresh=False, transient=True) as live:
        while True:
            await trio.sleep(EVERY_S)
            live.update(screen(), refresh=True)
