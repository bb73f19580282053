"""The operations process: its parts fail alone, it is watched and started again, and it ends with its engine."""

import json
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from mlthon.live.backoff import BackoffSettings
from mlthon.ops import process as module
from mlthon.ops.keeper import OpsService
from mlthon.ops.pipe_log import PipeLog
from mlthon.ops.process import PartSpec, ProcessSpec, operate
from tests.ops.test_service import Engine, serving, until

pytestmark = pytest.mark.trio
SECRET = "123:secret-of-the-test"
SOON = BackoffSettings(first_s=0.01, most_s=0.05)


class Files:
    """Where the parts of a test write down what happens to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "run.sock"

    def spec(self, **parts: Any) -> ProcessSpec:
        return ProcessSpec(
            run="trial",
            mode="paper",
            socket=str(self.socket),
            folder=str(self.folder),
            parts={
                name: PartSpec("tests.ops.parts", {"file": str(self.folder / name), "token": SECRET, "what": what})
                for name, what in parts.items()
            },
        )

    def lines(self, part: str) -> list[str]:
        path = self.folder / part
        return path.read_text().splitlines() if path.exists() else []

    def pid(self, part: str) -> int:
        begun = [line for line in self.lines(part) if line.startswith("begin")]
        return int(begun[-1].split()[-1]) if begun else 0


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@asynccontextmanager
async def operating(spec: ProcessSpec, **limits: Any) -> AsyncIterator[Callable[[str | None], None]]:
    """The process's own work, in this process; gives what says a line to it (None: its engine is gone)."""
    send, receive = trio.open_memory_channel[str](10)
    send.send_nowait(msgspec.json.encode(spec).decode())

    async def lines() -> AsyncIterator[str]:
        async for line in receive:
            yield line

    def say(line: str | None) -> None:
        send.close() if line is None else send.send_nowait(line)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: operate(lines(), lambda: None, **limits))
        yield say
        with trio.fail_after(5):
            while nursery.child_tasks:
                await trio.sleep(0.01)


async def test_parts_ask_the_engine_and_end_in_order(files: Files) -> None:
    async with serving(Engine(), files.socket), operating(files.spec(one=None, two=None)) as say:
        await until(lambda: all(len(files.lines(part)) == 2 for part in ("one", "two")))
        say("bye")
    assert files.lines("one") == [f"begin trial {os.getpid()}", "asked GetFigures", "closes", "said the last"]


async def test_a_part_that_fails_is_started_again_and_others_go_on(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    parts = module.Parts
    monkeypatch.setattr(module, "Parts", lambda spec: parts(spec, SOON))
    async with serving(Engine(), files.socket), operating(files.spec(bad="fail", good=None)) as say:
        await until(lambda: len(files.lines("bad")) >= 3)
        await until(lambda: len(files.lines("good")) == 2)
        say("bye")
    assert "bad failed; it is started again" in caplog.text
    assert "this part fails" in caplog.text
    assert SECRET not in caplog.text


async def test_what_a_user_can_mend_is_told_in_a_sentence(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Engine(), files.socket), operating(files.spec(bad="refuse")) as say:
        await until(lambda: "bad" in caplog.text)
        say("bye")
    assert "bad: the port is taken; it is tried again in" in caplog.text
    assert "Set another." in caplog.text
    assert "Traceback" not in caplog.text


async def test_an_engine_that_is_gone_is_told_of_before_the_end(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlthon.ops.client.GONE_S", 0.05)
    async with operating(files.spec(one=None), farewell_s=0.8, last_s=1.0) as say:
        async with serving(Engine(), files.socket):
            await until(lambda: len(files.lines("one")) == 2)
            await trio.sleep(0.1)
        say(None)
    # nothing is taken from outside any more as soon as it is gone: the next run may be there already
    assert sorted(files.lines("one")[2:4]) == ["alert engine the engine is gone", "closes"]
    assert files.lines("one")[4:] == ["said the last"]


@pytest.mark.parametrize("line", ["", "{", '{"run": 1}', json.dumps({"run": "x", "token": SECRET})])
async def test_a_job_that_cannot_be_understood_shows_nothing_of_it(line: str, caplog: pytest.LogCaptureFixture) -> None:
    async def lines() -> AsyncIterator[str]:
        yield line

    assert await operate(lines(), lambda: None) == module.BAD_SPEC
    assert "cannot be understood" in caplog.text
    assert SECRET not in caplog.text


async def test_settings_are_in_no_repr(files: Files) -> None:
    assert SECRET not in repr(files.spec(one=None))


# -- in a process of its own -------------------------------------------------------------------------------------------


@asynccontextmanager
async def kept(spec: ProcessSpec, **more: Any) -> AsyncIterator[OpsService]:
    service = OpsService(spec, backoff=SOON, **more)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.serve, Engine().host)
        yield service
        nursery.cancel_scope.cancel()


def gone(pid: int) -> bool:
    """Whether it has ended; nobody may have asked yet how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_the_process_is_started_again_when_it_dies_and_ends_with_the_run(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Engine(), files.socket):
        async with kept(files.spec(one=None)) as service:
            await until(lambda: len(files.lines("one")) == 2, 20)
            first = files.pid("one")
            assert (
                SECRET
                not in subprocess.run(
                    ["ps", "-ww", "-p", str(first), "e"], capture_output=True, text=True, check=False
                ).stdout
            )
            os.kill(first, signal.SIGKILL)
            await until(lambda: files.pid("one") not in (0, first) and len(files.lines("one")) == 4, 20)
            second = files.pid("one")
            assert service.restarts == 1
        await until(lambda: gone(second), 10)
    assert files.lines("one")[-1] == "said the last"
    assert "trading goes on" in caplog.text
    assert SECRET not in caplog.text


async def test_a_process_that_hangs_is_killed_and_started_again(files: Files) -> None:
    async with serving(Engine(), files.socket), kept(files.spec(one="hang"), silent_s=1.5) as service:
        await until(lambda: service.restarts >= 1, 20)


async def test_a_program_that_cannot_be_started_does_not_end_the_run(files: Files) -> None:
    async with kept(files.spec(one=None), command=["/nowhere/at-all"]) as service:
        await until(lambda: service.restarts >= 2, 10)


async def test_an_engine_that_is_killed_takes_its_operations_process_with_it(files: Files) -> None:
    program = (
        "import sys, trio, msgspec, mlthon.ops.keeper as k; from mlthon.live.services import Host\n"
        "spec = msgspec.json.decode(sys.argv[1], type=k.ProcessSpec)\n"
        "trio.run(k.OpsService(spec).serve, Host(lambda *_: True, lambda: 0))"
    )
    async with serving(Engine(), files.socket):
        engine = subprocess.Popen([sys.executable, "-c", program, msgspec.json.encode(files.spec(one=None)).decode()])
        await until(lambda: len(files.lines("one")) == 2, 20)
        engine.kill()
        engine.wait()
    pid = files.pid("one")
    await until(lambda: any("gone" in line for line in files.lines("one")), 10)
    # it would end by itself after `FAREWELL_S`
    os.kill(pid, signal.SIGTERM)
    await until(lambda: gone(pid), 5)


async def test_an_engine_that_reads_nothing_holds_nobody_up(files: Files) -> None:
    """It hangs: what the process logs finds no room in the pipe, and /kill must work all the same."""
    command = [sys.executable, "-P", "-m", "mlthon.ops.process", str(logging.INFO)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        os.set_blocking(process.stdin.fileno(), True)
        process.stdin.write(msgspec.json.encode(files.spec(one="talk")) + b"\n")
        process.stdin.flush()
        await until(lambda: "has talked" in files.lines("one"), 20)
    finally:
        process.kill()
    lines = process.stderr.read().decode().splitlines()
    assert 0 < len(lines) < 4_000
    assert all(len(line) > 100 for line in lines[1:-1]), "a line was cut"
    process.communicate()


async def test_what_was_lost_is_said_when_there_is_room_again() -> None:
    reading, writing = os.pipe()
    handler = PipeLog(writing)
    record = logging.makeLogRecord({"msg": "x" * 5_000})
    for _ in range(20):
        handler.emit(record)
    lost = handler.lost
    assert lost > 0
    filled = os.read(reading, 1 << 17)
    assert {len(each) for each in filled.splitlines(keepends=True)} == {select.PIPE_BUF}
    handler.emit(logging.makeLogRecord({"msg": "two\nlines"}))
    assert os.read(reading, 1 << 17).decode().splitlines() == [
        f"WARNING mlthon.ops: {lost} messages of the operations process found no room and are lost",
        "two",
        " lines",
    ]
    os.close(reading)
    handler.emit(record)
    assert handler.lost == 1
    os.close(writing)
