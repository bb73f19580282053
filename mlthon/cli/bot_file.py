"""`[bots.NAME]` tables of a configuration file: added, changed and removed, with everything else left as it is.

The text is changed by tomlkit, which keeps comments, order and blank lines, and is read back as a whole configuration
before it takes the place of the old one: a file that cannot be used is never written. It is replaced in one step, so
that a run that watches it sees the old file or the new one.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from mlthon.config import BotConfig, RunConfig, load_config
from mlthon.errors import UserError, near
from mlthon.link.host.choice import venue_choice
from mlthon.link.signals.assembly import check_symbol, checked

Change = Callable[[tomlkit.TOMLDocument], None]


class BotFile:
    """See the module. Raises `UserError` for a file that cannot be read, and for a bot that is not in it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def bots(self) -> dict[str, BotConfig]:
        """The bots by name."""
        return load_config(self.file).bots

    def bot(self, name: str) -> BotConfig:
        """One bot."""
        bots = self.bots()
        if name not in bots:
            raise UserError(
                f"{self.file} has no bot {name!r}{near(name, bots)}",
                f"It has {', '.join(bots)}." if bots else "Make one with: python -m mlthon bots create",
            )
        return bots[name]

    def add(self, name: str, table: Mapping[str, Any]) -> None:
        """Add a bot; the file is made if it is not there."""
        if self.file.exists() and name in self.bots():
            raise UserError(f"{self.file} has a bot {name!r} already", "Choose another name, or delete that one first.")

        def change(document: tomlkit.TOMLDocument) -> None:
            if "bots" not in document:
                document["bots"] = tomlkit.table(is_super_table=True)
            document["bots"][name] = _table(table)

        self._rewrite(change, name)

    def switch(self, name: str, *, on: bool) -> bool:
        """Have a bot trade or not; whether that is a change."""
        if self.bot(name).enabled is on:
            return False

        def change(document: tomlkit.TOMLDocument) -> None:
            document["bots"][name]["enabled"] = on

        # a bot with a mistake in it can still be switched off
        self._rewrite(change, name if on else None)
        return True

    def remove(self, name: str) -> None:
        """Take a bot out."""
        self.bot(name)

        def change(document: tomlkit.TOMLDocument) -> None:
            bots = document["bots"]
            del bots[name]
            if not bots:
                del document["bots"]

        self._rewrite(change)

    def _rewrite(self, change: Change, touched: str | None = None) -> None:
        try:
            before = self.file.read_text("utf-8") if self.file.exists() else ""
            document = tomlkit.parse(before)
            change(document)
            text = tomlkit.dumps(document)
        except (OSError, UnicodeDecodeError, TOMLKitError) as error:
            raise UserError(f"{self.file}: cannot be changed: {error}") from None
        _replace(self.file, text, touched)


def _table(content: Mapping[str, Any]) -> tomlkit.items.Table:
    """A table whose tables have headings of their own."""
    table = tomlkit.table()
    for key, value in content.items():
        table.add(key, _table(value) if isinstance(value, Mapping) else value)
    return table


def _replace(file: Path, text: str, touched: str | None) -> None:
    """Put the text in the file's place if it is a configuration in which the bot can be. Raises `UserError`."""
    file = file.resolve()  # what a link points to is replaced, not the link
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}-", suffix=".toml", dir=file.parent)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None
    fresh = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(fresh, file.stat().st_mode if file.exists() else 0o644)
        try:
            config = load_config(fresh)
        except UserError as error:
            raise UserError(error.message.replace(str(fresh), str(file)), error.hint) from None
        if touched is not None:
            _check(touched, config)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def _check(name: str, config: RunConfig) -> None:
    """What is known of a bot without its script. Raises `UserError`."""
    bot = config.bots[name]
    checked(name, bot)
    if bot.venue in config.venues:  # else the script is to name it
        check_symbol(name, bot, venue_choice(bot.venue, config.venues[bot.venue]))
