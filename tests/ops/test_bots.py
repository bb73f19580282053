"""Bots seen from outside: their webhooks are called and answered, and what they publish is news."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.errors import UserError
from mlthon.link.contract import Loaded, Publish, WebAnswer, WebRequest
from mlthon.ops.bots import BotDoors
from mlthon.ops.contract import WebCall, WebReply
from tests.link.host.scripted import Linked, ScriptedBot, linked


class Doors:
    """The doors of a run of one scripted bot that has a webhook."""

    def __init__(self, tmp_path: Path) -> None:
        self.run: Linked = linked(tmp_path, seconds=120)
        self.bot = self.run.bot
        self.news: list[tuple[str, str, Any]] = []
        self.replies: list[WebReply] = []
        engine = self.run.linked.run.assembly.engine
        self.doors = BotDoors([self.bot.host], engine.clock, lambda *news: self.news.append(news))

    def call(self, method: str = "get", route: str = "balances") -> None:
        web = self.doors.webs[self.bot.host.name]
        web(WebCall(self.bot.host.name, method, route, {"venue": "BitMEX"}), self.replies.append)

    def asked(self) -> list[WebRequest]:
        return [each for each in self.bot.told if isinstance(each, WebRequest)]


@pytest.fixture
def doors(tmp_path: Path) -> Doors:
    return Doors(tmp_path)


def with_route(bot: ScriptedBot) -> None:
    bot.host.tell(Loaded("Trading", bot.callbacks, [("get", "balances")]))


def test_a_webhook_is_run_by_its_bot_and_answered_once(doors: Doors) -> None:
    def answer(bot: ScriptedBot) -> None:
        doors.call()
        [request] = doors.asked()
        assert (request.method, request.name, request.data) == ("get", "balances", {"venue": "BitMEX"})
        bot.host.tell(WebAnswer(request.request, 200, [1, 2]))
        bot.host.tell(WebAnswer(request.request, 500, "again"))
        bot.host.tell(WebAnswer(999, 200, "to nobody"))

    doors.run.go(with_route, answer)
    assert doors.replies == [WebReply(200, [1, 2])]


def test_a_bot_that_does_not_answer_is_given_up(doors: Doors) -> None:
    doors.run.go(with_route, lambda bot: doors.call())
    [reply] = doors.replies
    assert (reply.status, "not answered" in reply.value["error"]) == (504, True)


def test_a_webhook_that_there_is_not_says_which_there_are(doors: Doors) -> None:
    def miss(bot: ScriptedBot) -> None:
        with pytest.raises(UserError, match="no webhook get balance; did you mean 'get balances'") as raised:
            doors.call(route="balance")
        assert "It has get balances." in raised.value.hint
        with pytest.raises(UserError, match="no webhook post balances"):
            doors.call(method="post")

    doors.run.go(with_route, miss)
    assert doors.asked() == []


def test_a_bot_that_has_ended_says_so(doors: Doors) -> None:
    doors.run.go(with_route)
    with pytest.raises(UserError):
        doors.call()
    assert doors.replies == []


def test_what_a_bot_publishes_is_news(doors: Doors) -> None:
    doors.run.go(lambda bot: bot.host.tell(Publish("chart", {"x": 1})))
    assert doors.news == [("stream", doors.bot.host.name, {"type": "chart", "data": {"x": 1}, "number": 1})]
