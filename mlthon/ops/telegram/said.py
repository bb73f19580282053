"""What somebody said to the bot: updates as Telegram sends them, and a message as a command with its words.

Only what is needed is read (https://core.telegram.org/bots/api#update), and leniently: Telegram adds fields.
"""

import shlex
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from attrs import frozen
from msgspec import Struct

from mlthon.errors import UserError
from mlthon.ops.audit import one_line

_STRAIGHT: Final = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "\xa0": " "})
"""What phones make of straight quotes."""
LONGEST_NAME: Final = 40


class User(Struct, frozen=True):
    """Who sent it."""

    id: int
    first_name: str = ""
    username: str | None = None

    @property
    def told(self) -> str:
        """As the audit log names it: `telegram 4711 @anna`."""
        name = f"@{self.username}" if self.username else self.first_name
        return one_line(f"telegram {self.id} {name[:LONGEST_NAME]}".rstrip())


class Chat(Struct, frozen=True):
    """Where. A private chat has its user's id, a group a negative one."""

    id: int
    type: str = ""
    title: str | None = None


class Message(Struct, frozen=True, rename={"sender": "from"}):
    """A message. `date`: s since 1970 UTC."""

    message_id: int
    date: int
    chat: Chat
    sender: User | None = None
    sender_chat: Chat | None = None
    text: str | None = None
    forward_origin: Any = None
    via_bot: Any = None

    @property
    def own_words(self) -> bool:
        """Whether its sender wrote it himself, in his own name."""
        return self.forward_origin is None and self.via_bot is None and self.sender_chat is None


class Press(Struct, frozen=True, rename={"sender": "from"}):
    """The press of a button under a message of the bot."""

    id: str
    sender: User
    data: str | None = None
    message: Message | None = None


class Update(Struct, frozen=True):
    """One thing that happened."""

    update_id: int
    message: Message | None = None
    callback_query: Press | None = None


def read_update(raw: Any) -> Update:
    """Raises ValueError for what is no update."""
    return msgspec.convert(raw, Update)


@frozen
class Command:
    """`/name rest`: the name in the spelling of its sender, the rest as typed."""

    name: str
    rest: str


def read_command(text: str, me: str) -> Command | None:
    """A message as a command; None where it is none, or one for another bot (`/status@other_bot`)."""
    if not text.startswith("/") or text[1:2].isspace():
        return None
    head, *rest = text[1:].split(maxsplit=1)[:2] or [""]
    name, _, bot = head.partition("@")
    if not name or (bot and bot.casefold() != me.casefold()):
        return None
    return Command(name, rest[0].rstrip() if rest else "")


def first_word(rest: str) -> tuple[str, str]:
    """The first word and what follows it, as typed."""
    head, _, tail = rest.partition(" ") if "\n" not in rest.partition(" ")[0] else rest.partition("\n")
    return head, tail.strip()


def words(rest: str) -> Sequence[str]:
    """Words as a shell splits them. Raises `UserError` where a quote is not closed."""
    try:
        return shlex.split(rest.translate(_STRAIGHT))
    except ValueError as error:
        what = "a quote is not closed" if "quotation" in str(error) else "a backslash stands at the end"
        raise UserError(
            f"{what}: {rest}", 'Quotes come in pairs, as in a shell; write \\\' or "…" around words with an apostrophe.'
        ) from None
