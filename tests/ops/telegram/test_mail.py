"""Messages: in order, each until Telegram has it, none held up by one that it will never take, over restarts too."""

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from mlthon.live.backoff import BackoffSettings
from mlthon.ops.letters import SentMark, sent_path
from mlthon.ops.outbox import Outbox
from mlthon.ops.telegram.api import Api
from mlthon.ops.telegram.bag import Bag
from mlthon.ops.telegram.mail import MOST_ANSWERS, Mail, strategies_chats
from mlthon.ops.telegram.pace import Limits, Pace
from mlthon.ops.telegram.store import Store
from mlthon.ops.telegram.text import Piece
from mlthon.ops.telegram.token import Token
from tests.ops.telegram.fake import GROUP, OWNER, TOKEN, FakeTelegram, Fault

pytestmark = pytest.mark.trio

OTHER = 99
FAST = Limits(overall=1000, chat_s=0.0, group=1000)
QUICK = BackoffSettings(first_s=0.02, most_s=0.05)


class Post:
    """An outbox and a store in a folder, and the mail of one life of the process."""

    def __init__(self, folder: Path, fake: FakeTelegram) -> None:
        self.folder = folder
        self.fake = fake
        self.outbox = Outbox(folder / "run.outbox", "run")
        self.bag: Bag | None = None

    @property
    def mark(self) -> int:
        with closing(SentMark(sent_path(self.outbox.path))) as mark:
            return mark.number

    @asynccontextmanager
    async def life(self, limits: Limits = FAST, request_s: float = 0.5) -> AsyncIterator[Mail]:
        with closing(Store(self.folder / "store.db")) as store, closing(Bag(self.outbox.path, store)) as bag:
            self.bag = bag
            async with Api(Token(TOKEN), self.fake.url, request_s).open() as api, trio.open_nursery() as nursery:
                chats = strategies_chats(OWNER, [("grid", OTHER), ("group", GROUP)])
                mail = Mail(api, chats, store.move, Pace(limits), QUICK)
                await nursery.start(mail.run, bag)
                yield mail
                nursery.cancel_scope.cancel()

    async def until_idle(self, mail: Mail) -> None:
        """Until everything that was put into the outbox is done with."""
        with trio.fail_after(20):
            while not mail.idle or (self.bag is not None and mail.fetch(self.bag)):
                await trio.sleep(0.01)

    async def until_marked(self, number: int) -> None:
        with trio.fail_after(20):
            while self.mark != number:
                await trio.sleep(0.01)


@pytest.fixture
def post(tmp_path: Path, fake: FakeTelegram) -> Post:
    return Post(tmp_path, fake)


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"message {number}" for number in range(first, first + count)]


async def test_letters_go_to_the_strategys_chat_in_order(post: Post, fake: FakeTelegram) -> None:
    for text in numbered(30):
        post.outbox.put("demo", text)
        post.outbox.put("GRID", text)
    async with post.life() as mail:
        await fake.until_sent(60)
        await post.until_idle(mail)
    assert fake.texts(OWNER) == fake.texts(OTHER) == numbered(30)
    assert post.mark == 60


async def test_an_outage_429s_and_a_restart_lose_none_and_keep_the_order(post: Post, fake: FakeTelegram) -> None:
    fake.down = True
    for text in numbered(10):
        post.outbox.put("demo", text)
    async with post.life():
        await trio.sleep(0.3)
    assert fake.sent == []
    assert post.mark == 0
    fake.down = False
    fake.faults["sendMessage"] += [Fault(status=500), Fault(retry_after=1), Fault(hang=True), Fault(status=502)]
    async with post.life():
        await fake.until_sent(6)
    for text in numbered(5, 10):
        post.outbox.put("demo", text)
    async with post.life():
        await fake.until_said("message 14")
    assert list(dict.fromkeys(fake.texts())) == numbered(15)
    assert len(fake.texts()) <= 16  # the one under way at the restart may have come twice


async def test_what_is_refused_for_ever_holds_up_nobody(
    post: Post, fake: FakeTelegram, caplog: pytest.LogCaptureFixture
) -> None:
    fake.faults["sendMessage"].append(Fault(status=400, description="Bad Request: no thanks"))
    for text in ("refused", "   ", "taken"):
        post.outbox.put("demo", text)
    async with post.life() as mail:
        await fake.until_sent(1)
        await post.until_idle(mail)
    assert fake.texts() == ["taken"]
    assert post.mark == 3
    assert "set aside: No thanks" in caplog.text


async def test_a_chat_that_does_not_exist_harms_no_other_and_the_refused_is_kept(
    post: Post, fake: FakeTelegram
) -> None:
    fake.chats = {OWNER}
    post.outbox.put("grid", "for nobody")
    post.outbox.put("demo", "for the owner")
    async with post.life() as mail:
        await fake.until_sent(1)
        await post.until_idle(mail)
    assert post.mark == 2
    with closing(Store(post.folder / "store.db")) as store:
        rows = store._base.execute("SELECT strategy, text, why FROM aside").fetchall()
    assert rows == [("grid", "for nobody", "Chat not found")]


async def test_a_429_of_one_chat_does_not_stop_another_and_nothing_comes_twice_after_a_restart(
    post: Post, fake: FakeTelegram
) -> None:
    fake.faults["sendMessage"].append(Fault(retry_after=30))
    post.outbox.put("demo", "held up")
    async with post.life():
        with trio.fail_after(5):
            while ("sendMessage" not in [name for name, _ in fake.calls]) or fake.faults["sendMessage"]:
                await trio.sleep(0.01)
        for text in numbered(5):
            post.outbox.put("grid", text)
        await fake.until_sent(5)
        await trio.sleep(0.5)
    assert fake.texts(OTHER) == numbered(5)
    assert post.mark == 0
    async with post.life():
        await post.until_marked(6)
        await trio.sleep(0.5)
    assert fake.texts(OWNER) == ["held up"]
    assert fake.texts(OTHER) == numbered(5)
    assert post.mark == 6


async def test_a_message_whose_answer_is_lost_comes_again(post: Post, fake: FakeTelegram) -> None:
    fake.faults["sendMessage"].append(Fault(done=True))
    post.outbox.put("demo", "one")
    post.outbox.put("demo", "two")
    async with post.life():
        await fake.until_sent(3)
    assert fake.texts() == ["one", "one", "two"]


async def test_a_long_message_is_split_and_its_block_stays_one(post: Post, fake: FakeTelegram) -> None:
    lines = "\n".join(f"{number:05} {'=' * 40}" for number in range(300))
    post.outbox.put("demo", f"rows:\n```\n{lines}\n```")
    async with post.life():
        await fake.until_sent(4)
    assert all("<pre>" in each.html for each in fake.sent)
    assert "\n".join(fake.texts()) == f"rows:\n{lines}"


async def test_a_group_that_becomes_a_supergroup_is_followed(post: Post, fake: FakeTelegram) -> None:
    fake.faults["sendMessage"].append(Fault(migrate_to=-100777))
    post.outbox.put("group", "hello")
    async with post.life():
        await fake.until_sent(1)
    assert fake.sent[0].chat == -100777
    with closing(Store(post.folder / "store.db")) as store:
        assert store.present_id(GROUP) == -100777


async def test_answers_go_before_letters_and_both_keep_the_pace(post: Post, fake: FakeTelegram) -> None:
    for text in numbered(6):
        post.outbox.put("demo", text)
    async with post.life(Limits(chat_s=0.2)) as mail:
        await fake.until_sent(2)
        mail.answer(OWNER, (Piece("the answer"),), [("Yes", "y")])
        await fake.until_sent(7)
    assert fake.texts().index("the answer") <= 3
    # As a whole, for one that was held up on its way comes nearer to the next.
    assert fake.sent[-1].at - fake.sent[0].at > 0.15 * (len(fake.sent) - 1)


async def test_answers_are_bounded_while_telegram_is_away(
    post: Post, fake: FakeTelegram, caplog: pytest.LogCaptureFixture
) -> None:
    fake.down = True
    caplog.set_level(logging.WARNING, "mlthon")
    async with post.life() as mail:
        for text in numbered(MOST_ANSWERS + 20):
            mail.answer(OWNER, (Piece(text),))
        fake.down = False
        await post.until_idle(mail)
    assert fake.texts() == numbered(MOST_ANSWERS, 20)
    assert "was dropped" in caplog.text


async def test_alerts_do_not_hold_up_answers(post: Post, fake: FakeTelegram) -> None:
    """The question whether a kill is meant comes at once, although an exchange comes and goes all the time."""
    async with post.life(Limits(chat_s=0.1)) as mail:
        for number in range(MOST_ANSWERS + 20):
            mail.alert(OWNER, (Piece(f"alert {number}"),))
        mail.answer(OWNER, (Piece("sure?"),), [("Yes", "y")])
        await fake.until_sent(2)
    assert fake.texts() == ["sure?", "\n".join(f"alert {number}" for number in range(20, MOST_ANSWERS + 20))]


async def test_a_flood_of_one_strategy_holds_up_no_other(post: Post, fake: FakeTelegram) -> None:
    for text in numbered(3_000):
        post.outbox.put("flood", text)
    for text in ("one", "two"):
        post.outbox.put("quiet", text)
        post.outbox.put("grid", text)
    async with post.life(Limits(chat_s=0.02)):
        await fake.until_said("message 4")
    assert fake.texts(OWNER)[:6] == ["message 0", "one", "message 1", "two", "message 2", "message 3"]
    assert fake.texts(OTHER) == ["one", "two"]


async def test_a_flood_of_alerts_does_not_hold_up_letters(post: Post, fake: FakeTelegram) -> None:
    for text in numbered(3):
        post.outbox.put("demo", text)
    async with post.life(Limits(chat_s=0.02)) as mail, trio.open_nursery() as nursery:

        async def flapping() -> None:
            for number in range(1_000):
                mail.alert(OWNER, (Piece(f"alert {number}"),))
                await trio.sleep(0.005)

        nursery.start_soon(flapping)
        await fake.until_said("message 2")
        nursery.cancel_scope.cancel()
    kinds = [each.split()[0] for each in fake.texts()]
    assert [each for each in fake.texts() if each.startswith("message")] == numbered(3)
    assert kinds.index("message") <= 1
    assert len(kinds) <= 8


async def test_an_answer_goes_between_the_parts_of_a_long_text(post: Post, fake: FakeTelegram) -> None:
    post.outbox.put("demo", "\n".join("x" * 4_000 for _ in range(8)))
    async with post.life(Limits(chat_s=0.1)) as mail:
        await fake.until_sent(2)
        mail.answer(OWNER, (Piece("sure?"),))
        await fake.until_sent(9)
        await post.until_idle(mail)
    assert fake.texts().index("sure?") in (2, 3)
    assert [len(each) for each in fake.texts() if each != "sure?"] == [4_000] * 8
    assert post.mark == 1


async def test_an_answer_does_not_wait_for_a_letter_that_telegram_does_not_take(post: Post, fake: FakeTelegram) -> None:
    fake.faults["sendMessage"] += [Fault(status=500)] * 3
    post.outbox.put("demo", "a letter")
    async with post.life() as mail:
        with trio.fail_after(10):
            while len(fake.faults["sendMessage"]) == 3:
                await trio.sleep(0.001)
        mail.answer(OWNER, (Piece("sure?"),))
        await fake.until_said("a letter")
    assert fake.texts() == ["sure?", "a letter"]


async def test_a_full_disk_neither_repeats_messages_nor_keeps_answers_back(
    post: Post, fake: FakeTelegram, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    fake.faults["sendMessage"].append(Fault(status=400, description="Bad Request: no thanks"))
    for text in ("refused", "one", "two"):
        post.outbox.put("demo", text)
    async with post.life() as mail:
        with monkeypatch.context() as patched:
            patched.setattr(SentMark, "keep", full)
            patched.setattr(Store, "set_aside", full)
            await fake.until_sent(2)
            mail.answer(OWNER, (Piece("the answer"),))
            await fake.until_sent(3)
        assert post.mark == 0
        post.outbox.put("demo", "three")
        await fake.until_sent(4)
        await post.until_idle(mail)
    assert fake.texts() == ["one", "two", "the answer", "three"]
    assert post.mark == 4
    assert caplog.text.count("a restart may send messages again") == 1


async def test_two_processes_do_not_send_the_same_letters(post: Post) -> None:
    """What is left of a run that was killed, and the next run of the name."""
    for text in ("one", "two"):
        post.outbox.put("demo", text)
    with closing(Store(post.folder / "store.db")) as store, closing(Bag(post.outbox.path, store)) as second:
        with closing(Bag(post.outbox.path, store)) as first:
            assert [each.text for each in first.more(10)] == ["one", "two"]
            assert second.more(10) == ()
            first.taken(1)
        assert [each.text for each in second.more(10)] == ["two"]
    lock = post.outbox.path.with_name("run.outbox.lock")
    assert lock.stat().st_mode & 0o077 == 0
