"""Runs from the command line, commanded and heard by Telegram: the run, its operations process, and the Bot API server
are processes of their own, joined by real sockets."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.ops.telegram.fake import OWNER, TOKEN, FakeTelegram, Fault

pytestmark = pytest.mark.trio

ROOT = Path(__file__).parents[3]
STRATEGY = Path(__file__).parent / "strategies" / "talker.py"
COMMAND = [sys.executable, "-m", "mlthon"]
BTC = "byt:perp:btc-usdt"


class Run:
    """One run in a folder; `log`: what it said."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self.process = process

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def end(self, sig: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(sig)
        await self.ended()

    async def ended(self) -> None:
        with trio.fail_after(30):
            while self.process.poll() is None:
                await trio.sleep(0.05)


@asynccontextmanager
async def running(folder: Path, fake: FakeTelegram, *arguments: str, config: str = "") -> AsyncIterator[Run]:
    path = folder / "run.toml"
    path.write_text(
        f'[ops]\nstate = "state"\n[telegram]\nchat = {OWNER}\nbase_url = "{fake.url}"\npoll_s = 2\n'
        f'[strategies.talker]\nstrategy = "{STRATEGY}"\n{config}'
    )
    environment = {**os.environ, "MLTHON_TELEGRAM_TOKEN": TOKEN}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [*COMMAND, "--config", str(path), "-v", *arguments], cwd=folder, stdout=log, stderr=log, env=environment
        )
        run = Run(folder, process)
        try:
            yield run
        except Exception:
            print(run.log, fake.texts())
            raise
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(end_for_sure, process)
    assert TOKEN.partition(":")[2] not in run.log


def end_for_sure(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def paper(folder: Path, fake: FakeTelegram) -> Any:
    return running(folder, fake, "--mode", "paper", "--duration", "120s", config="[exchanges.Bybit]\n")


async def said(fake: FakeTelegram, text: str, answer: str, within_s: float = 20) -> str:
    """Say something until it is answered so: an engine that just starts may not answer yet."""
    with trio.fail_after(within_s):
        while True:
            fake.message(text)
            with trio.move_on_after(8):
                return (await fake.until_said(answer, within_s)).text


async def test_a_run_on_paper_is_asked_commanded_and_heard(fake: FakeTelegram, tmp_path: Path) -> None:
    async with paper(tmp_path, fake) as run:
        assert "talker" in await said(fake, "/status", ": paper, for", 30)
        assert "/say /sleep" in await said(fake, "/help", "/kill")
        await said(fake, "/say 'a b' “c d” ```x```", "talker did say")
        for text in ("a b", "c d", "x"):
            await fake.until_said(text)
        # the answer to the command, and alerts of a busy machine, may stand between them
        assert [each for each in fake.texts() if each in ("a b", "c d", "x")] == ["a b", "c d", "x"]
        assert "20,000" in await said(fake, "/orders", "btc-usdt")
        await said(fake, "/stop talker enough", "talker is stopping")
        await fake.until_said("stopping: enough")
        await said(fake, "/start", "talker started")
        await run.end()
        fake.message("/status")
    assert [each for each in run.log.splitlines() if "Traceback" in each] == []


@pytest.mark.slow
async def test_what_a_strategy_says_survives_an_outage_and_a_restart_in_order(
    fake: FakeTelegram, tmp_path: Path
) -> None:
    texts = [f"number {each}" for each in range(1, 13)]
    spoken = " ".join(f"'{each}'" for each in texts)
    async with paper(tmp_path, fake) as run:
        await said(fake, "/status", ": paper, for", 30)
        fake.faults["sendMessage"] += [Fault(status=500), Fault(retry_after=1), Fault(done=True)]
        fake.message(f"/say {spoken}")
        await fake.until_said("number 2")
        fake.down = True
        await run.end()
    before = len(fake.sent)
    fake.down = False
    async with paper(tmp_path, fake) as run:
        await fake.until_said("number 12", 40)
        await run.end()
    assert 0 < before < len(fake.sent)
    heard = [each for each in fake.texts() if each.startswith("number")]
    assert list(dict.fromkeys(heard)) == texts
    assert len(heard) <= len(texts) + 2


async def test_the_token_is_in_no_arguments_environment_or_file(fake: FakeTelegram, tmp_path: Path) -> None:
    secret = TOKEN.partition(":")[2].encode()
    async with paper(tmp_path, fake) as run:
        await said(fake, "/status", ": paper, for", 30)
        children = _below(run.process.pid)
        assert children
        for pid in children:
            assert secret not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert secret not in Path(f"/proc/{pid}/environ").read_bytes()
        fake.faults["getUpdates"] += [Fault(status=500), Fault(status=200, body=b"{" + TOKEN.encode())]
        fake.down = True
        await trio.sleep(1)
        fake.down = False
        await run.end()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes(), path
    modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "state" / "run").glob("telegram-*")}
    assert len(modes) >= 2
    assert not any(modes.values())


def _below(pid: int) -> list[int]:
    """The processes that a process started."""
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = each.read_text().rpartition(")")[2].split()
        except OSError:  # gone in between
            continue
        if int(fields[1]) == pid:
            found.append(int(each.parent.name))
    return found


@asynccontextmanager
async def exchange(folder: Path) -> AsyncIterator[str]:
    """The address of a local Bybit."""
    command = [*COMMAND, "exchange", "bybit", "--port", "0", "--instruments", BTC]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as server:
        assert server.stdout is not None
        first = (await trio.to_thread.run_sync(server.stdout.readline)).decode()
        found = re.search(r"http://\S+", first)
        assert found, first
        try:
            yield found[0]
        finally:
            server.terminate()


@pytest.mark.slow
async def test_a_kill_while_a_strategy_sleeps_has_the_guard_cancel(fake: FakeTelegram, tmp_path: Path) -> None:
    async with exchange(tmp_path) as url:
        live = ("--mode", "live", "--exchange", "bybit", "--url", url)
        journal = f'[live]\njournal = "{tmp_path / "run.journal"}"\nheartbeat_s = 60\n'
        async with running(tmp_path, fake, *live, config=journal) as run:
            assert "talker: live" in await said(fake, "/status", "talker: live", 40)
            with trio.fail_after(20):
                while "20,000" not in "".join(fake.texts()):
                    fake.message("/orders")
                    await trio.sleep(1.5)
            fake.message("/sleep 12")
            await trio.sleep(0.5)
            began = time.monotonic()
            fake.message("/kill")
            question = await fake.until_said("Stop every strategy of talker")
            fake.press(question.buttons[0][1])
            answer = await fake.until_said("So the guard (process", 8)
            took = time.monotonic() - began
            assert "the engine has not answered within 2 s" in answer.text
            assert took < 6
            with trio.fail_after(3):
                while "cancelled" not in run.log:
                    await trio.sleep(0.05)
            # all of this while the strategy was asleep; when it is awake again, the kill is done here too
            assert time.monotonic() - began < 11
            await fake.until_said("stopping: killed", 20)
            await fake.until_said("the engine is back", 20)
            await run.end()
            assert "GUARD" in run.log or "guard" in run.log
