"""What can be said to the bot: its own commands, and those of strategies (hooks) in every spelling that means one."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from mlthon.errors import UserError, near
from mlthon.ops.telegram.said import first_word

BUILT_IN: Final[Mapping[str, tuple[str, str]]] = {
    "status": ("", "how the run and its strategies stand"),
    "positions": ("[NAME]", "what strategies hold"),
    "orders": ("[NAME]", "the open orders"),
    "pnl": ("[NAME]", "what strategies made"),
    "start": ("NAME [params]", "have a stopped strategy trade again"),
    "stop": ("NAME [params]", "stop a strategy"),
    "cancel_all": ("NAME", "cancel a strategy's open orders; it goes on"),
    "kill": ("", "stop everything, cancel everything (asks first)"),
    "help": ("", "this list"),
}
"""The bot's own commands: their words and what they do."""
_MENU: Final = re.compile(r"[a-z0-9_]{1,32}")
_NEVER_HOOKS: Final = ("start", "stop")
"""What `GetCommands` lists beside hooks."""


@frozen
class Hook:
    """A command of a strategy."""

    strategy: str
    name: str

    @property
    def joined(self) -> str:
        """In one word, as Telegram takes it for a command."""
        return f"{re.sub(r'[^A-Za-z0-9]+', '_', self.strategy).strip('_')}_{self.name}"


class Hooks:
    """The strategies and their hooks, as `GetCommands` tells them."""

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        self.strategies: Final = list(commands)
        self.all: Final = [
            Hook(strategy, name) for strategy, names in commands.items() for name in names if name not in _NEVER_HOOKS
        ]

    def named(self, name: str) -> list[Hook]:
        """The hooks of this name; in this very spelling if there are any."""
        found = [each for each in self.all if each.name == name]
        return found or [each for each in self.all if each.name.casefold() == name.casefold()]

    def joined(self, name: str) -> list[Hook]:
        """The hooks that `/STRATEGY_hook` means."""
        return [each for each in self.all if each.joined.casefold() == name.casefold()]

    def spelled(self, hook: Hook) -> str:
        """How a hook is said."""
        alone = len(self.named(hook.name)) == 1 and hook.name.casefold() not in BUILT_IN
        return f"/{hook.name if alone else hook.joined}"

    def menu(self) -> list[tuple[str, Hook]]:
        """The hooks whose names Telegram takes into a menu: small letters, digits and `_`."""
        named = ((self.spelled(each)[1:].lower(), each) for each in self.all)
        return [(name, each) for name, each in named if _MENU.fullmatch(name)]

    def strategy(self, word: str) -> str | None:
        """The strategy of this name, whatever its case."""
        return next((each for each in self.strategies if each.casefold() == word.casefold()), None)

    def addressed(self, rest: str, command: str) -> tuple[str, str]:
        """The strategy that `NAME rest` means, and the rest; with one strategy its name may be left out. Raises
        `UserError`."""
        word, tail = first_word(rest)
        found = self.strategy(word)
        if found is not None:
            return found, tail
        if len(self.strategies) == 1:
            return self.strategies[0], rest
        if not self.strategies:
            raise UserError("this run has no strategies")
        there = ", ".join(self.strategies)
        if not word:
            raise UserError(f"which strategy? /{command} NAME", f"There are {there}.")
        raise UserError(f"no strategy {word!r}{near(word, self.strategies)}", f"There are {there}.")


def meant(name: str, rest: str, hooks: Hooks) -> tuple[Hook, str]:
    """The hook that `/name rest` means, and its words. Raises `UserError`."""
    found = hooks.named(name)
    if len(found) > 1:
        word, tail = first_word(rest)
        strategy = hooks.strategy(word)
        of_it = [each for each in found if each.strategy == strategy]
        if len(of_it) == 1:
            return of_it[0], tail
        ways = ", ".join(f"/{each.joined}" for each in found)
        raise UserError(f"several strategies have {name!r}: whose?", f"Send /{name} NAME …, or one of {ways}.")
    if not found:
        found = hooks.joined(name)
    if not found:
        known = {*BUILT_IN, *(each.name for each in hooks.all), *(hooks.spelled(each)[1:] for each in hooks.all)}
        raise UserError(f"no command /{name}{near(name, known)}", "/help lists what there is.")
    return found[0], rest
