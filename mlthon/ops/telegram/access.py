"""Who is answered: users and chats on the list, nobody else.

A command counts when its user is on the list and it was given in that user's private chat with the bot or in a chat of
the list. (A private chat has its user's id.) Members of a group are not on the list by being in it. Messages that were
forwarded, or written in the name of a group or channel, are nobody's commands. Others are logged, each once in a while,
and get no answer: a stranger is not even to learn that the bot is alive.
"""

import logging
from collections.abc import Callable
from typing import Final

from mlthon.config import TelegramConfig

log = logging.getLogger("mlthon.telegram")

QUIET_S: Final = 600.0
"""A stranger is logged once in so many seconds."""
MOST_STRANGERS: Final = 1_000


class Access:
    """See the module; `now` in s of one clock."""

    def __init__(self, config: TelegramConfig, present_id: Callable[[int], int] = int) -> None:
        """`present_id`: a chat's id as it is now; groups change theirs once."""
        given = {config.chat, *config.chats.values()}
        chats = given | {present_id(each) for each in given}
        self.users: Final = frozenset({*config.users, *(each for each in chats if each > 0)})
        self.chats: Final = frozenset(chats)
        self._strangers: dict[tuple[int, int], float] = {}

    def allowed(self, chat: int, user: int | None) -> bool:
        return user in self.users and (chat == user or chat in self.chats)

    def refuse(self, chat: int, user: int | None, now: float) -> bool:
        """Log one who is not allowed; whether it was logged."""
        key = (chat, user or 0)
        if now - self._strangers.get(key, -QUIET_S) < QUIET_S:
            return False
        if len(self._strangers) >= MOST_STRANGERS:
            self._strangers.clear()
        self._strangers[key] = now
        log.warning("ignored a message of user %s in chat %s: not on the list of [telegram]", user, chat)
        return True
