"""How fast messages may go: Telegram's limits, kept before it has to say so.

Its FAQ (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this): no more than one message a
second to a chat, 20 a minute to a group, and about 30 a second altogether. Where Telegram says `429` all the same, the
chat waits for as long as it says.
"""

from collections import deque
from typing import Final

from attrs import frozen


@frozen
class Limits:
    """`overall` messages a second, one in `chat_s` to a chat, `group` in `group_s` to a group."""

    overall: int = 30
    chat_s: float = 1.0
    group: int = 20
    group_s: float = 60.0


class Pace:
    """When the next message to a chat may go. Times are seconds of one clock that never goes back."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits: Final = limits or Limits()
        self._all: deque[float] = deque(maxlen=self._limits.overall)
        self._chats: dict[int, deque[float]] = {}
        self._paused: dict[int, float] = {}

    def ready_at(self, chat: int) -> float:
        """The time from which a message to the chat may go."""
        limits = self._limits
        at = self._paused.get(chat, 0.0)
        if len(self._all) == limits.overall:
            at = max(at, self._all[0] + 1.0)
        sent = self._chats.get(chat)
        if sent:
            at = max(at, sent[-1] + limits.chat_s)
            if chat < 0 and len(sent) == limits.group:
                at = max(at, sent[0] + limits.group_s)
        return at

    def sent(self, chat: int, now: float) -> None:
        """A message went out, whatever came of it."""
        self._all.append(now)
        self._chats.setdefault(chat, deque(maxlen=self._limits.group)).append(now)

    def pause(self, chat: int, until: float) -> None:
        """Nothing to the chat before."""
        self._paused[chat] = max(until, self._paused.get(chat, 0.0))
