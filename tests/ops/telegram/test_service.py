"""Telegram as a part of the operations process: the engine's alerts, its end, and what is sent at the last moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from mlthon.live.services import Host
from mlthon.ops.client import EngineClient
from mlthon.ops.contract import GetCommands, Level
from mlthon.ops.outbox import Outbox
from mlthon.ops.process import PartJob
from mlthon.ops.service import ControlService
from mlthon.ops.telegram import serve
from mlthon.ops.telegram.claim import Claim
from mlthon.ops.telegram.token import Token
from tests.ops.telegram.fake import OWNER, TOKEN, FakeTelegram
from tests.ops.test_service import Engine

pytestmark = pytest.mark.trio


class Stage:
    """An engine that answers, its control socket, its outbox, and the part beside them."""

    def __init__(self, folder: Path, fake: FakeTelegram) -> None:
        self.folder = folder
        self.engine = Engine()
        self.engine.replies[GetCommands] = {"demo": ["start", "stop"]}
        self.service = ControlService(folder / "run.sock", self.engine.answer)
        self.outbox = Outbox(folder / "run.outbox", "run")
        settings = {"token": TOKEN, "config": {"chat": OWNER, "base_url": fake.url, "poll_s": 1}}
        self.job = PartJob("telegram", settings, "run", "paper", folder, self.outbox.path, None)
        self.socket = trio.CancelScope()

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve_socket, self.engine.host)
            client = await nursery.start(EngineClient(self.service.path).run)
            await client.connected()
            async with trio.open_nursery() as part:
                await part.start(serve, client, self.job)
                await trio.sleep(0.2)
                yield
                part.cancel_scope.cancel()
            nursery.cancel_scope.cancel()

    async def _serve_socket(self, host: Host) -> None:
        with self.socket:
            await self.service.serve(host)


@pytest.fixture
def stage(tmp_path: Path, fake: FakeTelegram) -> Stage:
    return Stage(tmp_path, fake)


async def test_alerts_reach_the_owner_and_letters_go_beside_them(stage: Stage, fake: FakeTelegram) -> None:
    async with stage.playing():
        stage.service.publish("alert", "demo", "stopped by its error budget", Level.ERROR)
        stage.outbox.put("demo", "a letter")
        await fake.until_said("⛔ demo: stopped by its error budget")
        stage.service.publish("alert", "demo", "demo is running")
        assert (await fake.until_said("is running")).text == "ℹ demo is running", "its name is said once"
        await fake.until_said("a letter")


async def test_an_engine_that_goes_without_a_goodbye_is_told_of(stage: Stage, fake: FakeTelegram) -> None:
    async with stage.playing():
        stage.socket.cancel()
        await fake.until_said("⛔ engine: the engine is gone")


async def test_at_the_end_of_a_run_what_is_left_is_sent_and_no_alarm_is_given(stage: Stage, fake: FakeTelegram) -> None:
    async with stage.playing():
        stage.outbox.put("demo", "last words")
        stage.socket.cancel()
        await trio.sleep(0.1)
        stage.job.ending.set()
        await fake.until_said("last words")
        await fake.until_said("run: the run has ended")
    assert not any("gone" in each for each in fake.texts())


async def test_once_the_engine_is_gone_the_next_run_has_the_bot_at_once(stage: Stage, fake: FakeTelegram) -> None:
    with Claim(stage.folder, Token(TOKEN)) as other:
        async with stage.playing():
            while not other.holder().startswith("run "):
                await trio.sleep(0.01)
            assert not other.take("the next run")
            stage.job.closing.set()
            while not other.take("the next run"):
                await trio.sleep(0.01)
            stage.outbox.put("demo", "still on its way")
            await fake.until_said("still on its way")


async def test_a_part_that_is_started_again_goes_on(stage: Stage, fake: FakeTelegram) -> None:
    for text in ("one", "two"):
        stage.socket = trio.CancelScope()
        stage.outbox.put("demo", text)
        async with stage.playing():
            await fake.until_said(text)
            await trio.sleep(0.3)
    assert [each for each in fake.texts() if "⛔" not in each] == ["one", "two"]
