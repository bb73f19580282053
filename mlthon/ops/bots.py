"""Bots seen from outside: their webhooks are called by `WebCall`s, what they publish goes out as `News`.

A bot answers a webhook when it likes; one that has not after `answer_s` is given up, so nobody waits for ever and
nothing piles up here.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from mlthon.engine.clock import SECOND, Clock
from mlthon.errors import UserError, near
from mlthon.link.contract import Publish, WebAnswer, WebRequest
from mlthon.link.host.host import BotHost
from mlthon.ops.contract import WebCall, WebReply

ANSWER_S: Final = 60.0


class BotDoors:
    """The webhooks of a run's bots. `webs` is what `Control.webs` takes: by the bot's name."""

    def __init__(
        self,
        hosts: Iterable[BotHost],
        clock: Clock,
        publish: Callable[[str, str, Any], None],
        answer_s: float = ANSWER_S,
    ) -> None:
        """`publish`: of the control service. `answer_s`: how long a bot may take to answer."""
        self._hosts = list(hosts)
        self._answer_s = answer_s
        self.webs = {host.name: partial(self.call, host) for host in self._hosts}
        self._clock = clock
        self._publish = publish
        self._waiting: dict[tuple[str, int], Callable[[WebReply], None]] = {}
        self._number = 0
        self._count = 0
        """Messages published so far: by their numbers whoever passes them on sees that some were lost."""
        for host in self._hosts:
            host.on_publish = self._published
            host.on_web_answer = self._answered

    def routes(self) -> dict[str, Sequence[tuple[str, str]]]:
        """The webhooks of the bots that are loaded (`Control.routes`)."""
        return {host.name: host.routes for host in self._hosts if host.routes}

    @property
    def loaded(self) -> bool:
        """Whether every bot that will be loaded is."""
        return all(host.over or host.wants("quote_update") for host in self._hosts)

    def call(self, host: BotHost, asked: WebCall, reply: Callable[[WebReply], None]) -> None:
        """Have a bot run a webhook. Raises `UserError` where it has none of this name, or does not run."""
        if (asked.method, asked.route) not in {tuple(each) for each in host.routes}:
            known = [f"{method} {name}" for method, name in host.routes]
            wanted = f"{asked.method} {asked.route}"
            raise UserError(
                f"{host.name} has no webhook {wanted}{near(wanted, known)}",
                f"It has {', '.join(known) or 'none'}.",
            )
        self._number += 1
        key = (host.name, self._number)
        self._waiting[key] = reply
        if not host.request(WebRequest(self._number, asked.method, asked.route, asked.data)):
            del self._waiting[key]
            raise UserError(f"{host.name} does not run at the moment")
        self._clock.call_at(self._clock.now + round(self._answer_s * SECOND), self._give_up, key)

    def _answered(self, host: BotHost, answer: WebAnswer) -> None:
        reply = self._waiting.pop((host.name, answer.request), None)
        if reply is not None:
            reply(WebReply(answer.status, answer.value))

    def _give_up(self, key: tuple[str, int]) -> None:
        reply = self._waiting.pop(key, None)
        if reply is not None:
            reply(WebReply(504, {"error": f"the bot has not answered within {self._answer_s:g} s"}))

    def _published(self, host: BotHost, message: Publish) -> None:
        self._count += 1
        self._publish("stream", host.name, {"type": message.topic, "data": message.data, "number": self._count})
