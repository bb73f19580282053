"""The Bot API on trio, over a real socket: each kind of trouble, and the token in none of them."""

import logging
import time

import pytest
import trio

from mlthon.ops.telegram.api import Api, BadToken, Contested, Down, Moved, Refused, TooMany, Trouble
from mlthon.ops.telegram.token import Token
from tests.ops.telegram.fake import OWNER, TOKEN, FakeTelegram, Fault

pytestmark = pytest.mark.trio


async def test_it_says_who_it_is_and_sends(fake: FakeTelegram) -> None:
    async with Api(Token(TOKEN), fake.url).open() as api:
        assert (await api.me()).username == "trader_bot"
        assert await api.send(OWNER, "<pre>a</pre>", [("Yes", "y:1")]) == 1
    assert [(each.chat, each.html, each.buttons) for each in fake.sent] == [(OWNER, "<pre>a</pre>", [("Yes", "y:1")])]


@pytest.mark.parametrize(
    ("fault", "trouble", "told"),
    [
        (Fault(status=400, description="Bad Request: chat not found"), Refused, "Chat not found"),
        (Fault(status=403, description="Forbidden: bot was blocked by the user"), Refused, "blocked"),
        (Fault(status=413, description="Request Entity Too Large"), Refused, "Too Large"),
        (Fault(status=401, description="Unauthorized"), BadToken, "Unauthorized"),
        (Fault(status=404, description="Not Found"), BadToken, "Not Found"),
        (Fault(status=409, description="Conflict: terminated by other getUpdates request"), Contested, "terminated"),
        (Fault(retry_after=7), TooMany, "7 s"),
        (Fault(migrate_to=-100999), Moved, "-100999"),
        (Fault(status=500, description="Internal Server Error"), Down, "Internal"),
        (Fault(status=502, body=b"<html>bad gateway</html>"), Down, ""),
        (Fault(status=200, body=b"<html>captive portal</html>"), Down, ""),
        (Fault(status=200, body=b'{"ok":true,"result":[1,2]}'), Down, "cannot be read"),
        (Fault(done=True), Down, ""),
        (Fault(hang=True), Down, "no answer within 0.3 s"),
        (Fault(drip_s=0.05), Down, "no answer within 0.3 s"),
    ],
)
async def test_each_kind_of_trouble(
    fake: FakeTelegram, fault: Fault, trouble: type[Trouble], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.faults["sendMessage"].append(fault)
    caplog.set_level(logging.DEBUG, "mlthon")
    async with Api(Token(TOKEN), fake.url, request_s=0.3).open() as api:
        began = time.monotonic()
        with pytest.raises(trouble) as caught:
            await api.send(OWNER, "hello")
        assert told in str(caught.value)
        assert time.monotonic() - began < 1
        assert TOKEN.partition(":")[2] not in _everything(caught.value)
        # and then it works again
        assert await api.send(OWNER, "again") >= 1


def _everything(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error)) + repr(error)


async def test_nobody_there(fake: FakeTelegram) -> None:
    async with Api(Token(TOKEN), "http://127.0.0.1:1").open() as api:
        with pytest.raises(Down) as caught:
            await api.me()
    assert TOKEN not in str(caught.value)


async def test_an_answer_that_is_no_list_of_updates(fake: FakeTelegram) -> None:
    fake.faults["getUpdates"].append(Fault(status=200, body=b'{"ok":true,"result":{"a":1}}'))
    async with Api(Token(TOKEN), fake.url).open() as api:
        with pytest.raises(Down, match="no list"):
            await api.updates(None, 0)


async def test_a_question_that_is_given_up_leaves_the_connection_usable(fake: FakeTelegram) -> None:
    async with Api(Token(TOKEN), fake.url).open() as api:
        for _ in range(12):
            with trio.move_on_after(0.03):
                await api.updates(None, 20)
        fake.message("/status")
        found = await api.updates(None, 5)
    assert found[0]["message"]["text"] == "/status"


async def test_a_second_program_ends_the_question_of_the_first(fake: FakeTelegram) -> None:
    seen: list[str] = []

    async def first(api: Api) -> None:
        try:
            await api.updates(None, 20)
        except Contested as error:
            seen.append(str(error))

    async with (
        Api(Token(TOKEN), fake.url).open() as one,
        Api(Token(TOKEN), fake.url).open() as two,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(first, one)
        await trio.sleep(0.1)
        assert await two.updates(None, 0) == []
    assert "terminated by other getUpdates" in seen[0]
