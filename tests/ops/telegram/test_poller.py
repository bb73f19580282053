"""New messages: each once, whatever order and however often they come, and never two programs at it."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from mlthon.live.backoff import BackoffSettings
from mlthon.ops.contract import Level
from mlthon.ops.telegram.api import Api
from mlthon.ops.telegram.claim import Claim
from mlthon.ops.telegram.poller import Poller, PollSettings
from mlthon.ops.telegram.said import Update
from mlthon.ops.telegram.store import WEEK_S, Store
from mlthon.ops.telegram.token import Token
from tests.ops.telegram.fake import TOKEN, FakeTelegram, Fault

pytestmark = pytest.mark.trio

QUICK = PollSettings(
    poll_s=1,
    idle_s=0.02,
    again_s=0.1,
    strike_s=0.6,
    back_s=0.8,
    most_back_s=1.0,
    listen_s=1,
    claim_s=0.05,
    bad_token_s=0.1,
    pauses=BackoffSettings(first_s=0.02, most_s=0.05),
)


class Listener:
    """A poller that notes what it takes and what it has the owner told."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.told: list[str] = []
        self.poller: Poller

    def take(self, update: Update) -> None:
        self.taken.append("" if update.message is None else update.message.text or "")

    def tell(self, text: str, level: Level) -> None:
        self.told.append(text)

    async def until(self, count: int) -> list[str]:
        with trio.fail_after(10):
            while len(self.taken) < count:
                await trio.sleep(0.005)
        return self.taken


@asynccontextmanager
async def polling(fake: FakeTelegram, folder: Path, run: str = "run") -> AsyncIterator[Listener]:
    """One life of a program; `folder`: of its machine."""
    listener = Listener()
    token = Token(TOKEN)
    with Claim(folder, token) as claim, closing(Store(folder / "store.db")) as store:
        async with Api(token, fake.url).open() as api, trio.open_nursery() as nursery:
            listener.poller = Poller(api, store, claim, run, listener.take, listener.tell, QUICK)
            nursery.start_soon(listener.poller.run)
            yield listener
            nursery.cancel_scope.cancel()


async def test_messages_come_once_and_in_order_over_a_restart(fake: FakeTelegram, tmp_path: Path) -> None:
    async with polling(fake, tmp_path) as one:
        fake.message("/a")
        fake.message("/b")
        await one.until(2)
    fake.message("/c")
    async with polling(fake, tmp_path) as two:
        await two.until(1)
        await trio.sleep(0.1)
    assert (one.taken, two.taken) == (["/a", "/b"], ["/c"])


async def test_duplicates_and_disorder_execute_once_also_over_a_restart(fake: FakeTelegram, tmp_path: Path) -> None:
    for text in ("/a", "/b", "/c"):
        fake.message(text)
    a, b, c = fake.updates
    fake.scripted += [[c, a], [a, b, c, b], [b]]
    async with polling(fake, tmp_path) as one:
        await one.until(3)
        with trio.fail_after(10):
            while one.poller.duplicates < 4:
                await trio.sleep(0.005)
    assert one.taken == ["/a", "/c", "/b"]
    fake.scripted += [[a, b, c]]
    async with polling(fake, tmp_path) as two:
        fake.message("/d")
        await two.until(1)
    assert two.taken == ["/d"]


async def test_what_cannot_be_read_is_passed_over(
    fake: FakeTelegram, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake.update(message={"message_id": "no number", "text": 5})
    fake.message("/a")
    fake.scripted.append([17, {"no": "id"}, *fake.updates])
    async with polling(fake, tmp_path) as one:
        await one.until(1)
    assert one.taken == ["/a"]
    assert "cannot be read" in caplog.text


async def test_outages_are_waited_out(fake: FakeTelegram, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlthon")
    fake.down = True
    async with polling(fake, tmp_path) as one:
        await trio.sleep(0.2)
        fake.down = False
        fake.faults["getUpdates"] += [
            Fault(status=500),
            Fault(retry_after=1),
            Fault(status=200, body=b"{"),
            Fault(done=True),
        ]
        fake.message("/a")
        await one.until(1)
    told = [each.message for each in caplog.records if each.name == "mlthon.telegram"]
    assert sum("cannot be reached" in each for each in told) <= 2
    assert sum("can be reached again" in each for each in told) >= 1


async def test_a_token_that_is_refused_is_tried_again(
    fake: FakeTelegram, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake.faults["getUpdates"] += [Fault(status=401, description="Unauthorized")] * 2
    async with polling(fake, tmp_path) as one:
        fake.message("/a")
        await one.until(1)
    assert "does not accept the token" in caplog.text
    assert TOKEN not in caplog.text


async def test_a_server_that_answers_nothing_at_once_is_not_asked_without_pause(
    fake: FakeTelegram, tmp_path: Path
) -> None:
    fake.scripted += [[]] * 1000
    async with polling(fake, tmp_path):
        await trio.sleep(0.5)
    assert fake.polls < 40


async def test_two_runs_of_a_machine_do_not_take_from_each_other(
    fake: FakeTelegram, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with polling(fake, tmp_path, "first") as one:
        fake.message("/a")
        await one.until(1)
        async with polling(fake, tmp_path, "second") as two:
            for text in ("/b", "/c"):
                fake.message(text)
            await one.until(3)
            assert two.taken == []
            assert "go to another run of this machine: first" in two.told[0]
            # what cancels the first is the end of its block; here its lock is let go
            one.poller._claim.__exit__()
            with trio.fail_after(5):
                while len(two.told) < 2:
                    await trio.sleep(0.01)
    assert "409" not in caplog.text


async def test_of_two_machines_the_newest_wins_and_the_other_comes_back_when_it_is_gone(
    fake: FakeTelegram, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    async with polling(fake, old, "old") as first:
        fake.message("/a")
        await first.until(1)
        async with polling(fake, new, "new") as second:
            with trio.fail_after(10):
                while not first.told:
                    await trio.sleep(0.01)
            assert "another program takes this bot's messages" in first.told[0]
            for number in range(20):
                fake.message(f"/{number}")
                await trio.sleep(0.15)
            with trio.fail_after(20):
                while len(first.taken) + len(second.taken) < 21:
                    await trio.sleep(0.01)
            # the old one has listened in between, which took nothing away
            assert fake.polls > 20
            # each command was carried out by one of them
            assert sorted(first.taken + second.taken) == sorted(["/a", *(f"/{number}" for number in range(20))])
        with trio.fail_after(10):
            while len(first.told) < 2:
                await trio.sleep(0.01)
        fake.message("/z")
        with trio.fail_after(10):
            while "/z" not in first.taken:
                await trio.sleep(0.01)
    assert "again" in first.told[1]


async def test_a_webhook_is_told_of_with_its_mend(fake: FakeTelegram, tmp_path: Path) -> None:
    fake.webhook = "https://example.org/hook"
    async with polling(fake, tmp_path) as one:
        with trio.fail_after(5):
            while not one.told:
                await trio.sleep(0.01)
        assert "webhook" in one.told[0]
        assert "--delete-webhook" in one.told[0]
        fake.webhook = ""
        fake.message("/a")
        await one.until(1)


async def test_after_a_week_without_messages_numbers_may_begin_anew(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "store.db")) as store:
        now = time.time()
        assert store.offset(now) is None
        assert store.first_time(1000, now)
        assert not store.first_time(1000, now)
        assert store.offset(now) == 1001
        assert store.offset(now + WEEK_S + 1) is None
        assert store.first_time(7, now + WEEK_S + 1)
        assert store.offset(now + WEEK_S + 2) == 8
