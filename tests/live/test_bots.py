"""Bots in processes of their own: the outbox, and what becomes of a run when a process says, floods, dies."""

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlthon.config import load_config
from mlthon.engine.clock import SECOND
from mlthon.errors import UserError
from mlthon.link.contract import Dropped, Stop
from mlthon.link.host.assembly import LinkedRun, link_run
from mlthon.link.wire import frame, to_bot
from mlthon.live.bots import BotProcesses
from mlthon.live.checks import run_trio
from mlthon.live.outbox import Outbox
from mlthon.live.paced import go_paced

# -- the outbox --------------------------------------------------------------------------------------------------------


def taken(outbox: Outbox, most: int = 1000) -> list[Any]:
    return to_bot().feed(frame(outbox.take(most)))


def test_only_the_newest_quote_of_a_market_waits() -> None:
    outbox = Outbox(lambda: None)
    for number in range(3):
        outbox.quote(0, 1.0 + number, 1.0, 2.0, 1.0, number)
        outbox.quote(1, 1.0, 1.0, 2.0, 1.0, number)
    assert taken(outbox) == [(0, 3.0, 1.0, 2.0, 1.0, 2), (1, 1.0, 1.0, 2.0, 1.0, 2)]
    assert taken(outbox) == []


def test_trades_wait_up_to_the_bound_and_then_the_bot_is_told() -> None:
    outbox = Outbox(lambda: None, trades_kept=2)
    outbox.trade(1, 1, 9.0, 1.0, 0)
    for number in range(5):
        outbox.trade(0, 1, 1.0 + number, 1.0, number)
    outbox.tell(Stop("asked"))
    told = taken(outbox)
    assert told == [(1, 1, 9.0, 1.0, 0), (0, 1, 4.0, 1.0, 3), (0, 1, 5.0, 1.0, 4), Stop("asked"), Dropped(0, 3)]


def test_things_keep_their_order_and_wake_the_writer_once() -> None:
    woken: list[int] = []
    outbox = Outbox(lambda: woken.append(len(outbox)))
    outbox.quote(0, 1.0, 1.0, 2.0, 1.0, 0)
    outbox.trade(0, -1, 1.0, 1.0, 1)
    outbox.quote(0, 3.0, 1.0, 4.0, 1.0, 2)
    assert taken(outbox) == [(0, -1, 1.0, 1.0, 1), (0, 3.0, 1.0, 4.0, 1.0, 2)]
    assert woken == [0]


def test_what_is_taken_by_pieces_leaves_the_rest_as_it_waits() -> None:
    outbox = Outbox(lambda: None, trades_kept=2)
    outbox.quote(0, 1.0, 1.0, 2.0, 1.0, 0)
    for number in range(2):
        outbox.trade(0, 1, 1.0 + number, 1.0, number)
    outbox.quote(1, 1.0, 1.0, 2.0, 1.0, 2)
    outbox.tell(Stop("asked"))
    assert taken(outbox, 2) == [(0, 1.0, 1.0, 2.0, 1.0, 0), (0, 1, 1.0, 1.0, 0)]
    outbox.quote(0, 3.0, 1.0, 4.0, 1.0, 3)
    outbox.quote(1, 5.0, 1.0, 6.0, 1.0, 4)
    for number in range(2):
        outbox.trade(0, 1, 7.0 + number, 1.0, 5 + number)
    assert len(outbox) == 5
    assert taken(outbox, 3) == [Stop("asked"), (0, 3.0, 1.0, 4.0, 1.0, 3), (1, 5.0, 1.0, 6.0, 1.0, 4), Dropped(0, 1)]
    assert taken(outbox, 3) == [(0, 1, 7.0, 1.0, 5), (0, 1, 8.0, 1.0, 6)]
    assert len(outbox) == 0


# -- processes ---------------------------------------------------------------------------------------------------------

CHILD = """
import os, socket, sys, time
from mlthon.link import wire
from mlthon.link.contract import *

line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
decoder = wire.to_bot()

def say(*messages):
    line.sendall(wire.frame([wire.encode(each) for each in messages]))

def hear():
    while True:
        found = decoder.feed(line.recv(65536))
        if found:
            return found

hello = next(each for each in hear() if isinstance(each, Hello))
print("hello", hello.name, flush=True)
say(Loaded("Trading", ("order_update",)), Started())

def until(kind):
    while True:
        for each in hear():
            if isinstance(each, kind):
                return each

def order():
    say(Call(1, "create_limit_order", {"venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": 100, "price": 100.0}))
    return until(Answer)

"""
STOPS = "until(Stop); say(Stopped())\n"


def ready(tmp_path: Path, settings: Sequence[str] = (), seconds: float = 3.0) -> LinkedRun:
    file = tmp_path / "bot.py"
    file.write_text("from profitview import Link\nclass Trading(Link): pass\n", "utf-8")
    config = load_config(None, list(settings))
    return link_run(config, [file], None, None, mode="paper", duration=round(seconds * SECOND))


def played(linked: LinkedRun, child: Path | None) -> None:
    command = [sys.executable, str(child)] if child is not None else ()
    services = [BotProcesses(linked.bots.hosts, linked.bots.config.link, command)]
    run_trio(lambda: go_paced(linked.run, 1.0, None, lambda: linked.bots.over, None, services))


def child(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "child.py"
    file.write_text(CHILD + text, "utf-8")
    return file


def test_a_process_trades_and_stops_with_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    linked = ready(tmp_path)
    with caplog.at_level(logging.INFO, "mlthon"):
        played(linked, child(tmp_path, "print(order().envelope['data']['order_size'])\n" + STOPS))
    printed = [each.getMessage() for each in caplog.records if each.name == "mlthon.bot"]
    assert printed == ["bot: hello bot", "bot: 100.0"]
    (host,) = linked.bots.hosts
    assert host.over
    assert not any(session.open for session in linked.run.assembly.engine.sessions.values())


@pytest.mark.parametrize("cancel", [True, False])
def test_a_bot_that_dies_is_told_and_its_orders_are_as_configured(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, cancel: bool
) -> None:
    linked = ready(tmp_path, [f"link.cancel_on_exit={str(cancel).lower()}"])
    open_then: list[int] = []
    host = linked.bots.hosts[0]
    gone = host.gone

    def note(reason: str, *, again: bool = False) -> None:
        gone(reason, again=again)
        session = linked.run.assembly.engine.sessions["bot.BitMEX"]
        clock = linked.run.assembly.clock
        clock.run_until(clock.now + SECOND // 10)
        open_then.append(len(session.open))

    host.gone = note  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING, "mlthon"):
        played(linked, child(tmp_path, "order(); os._exit(3)\n"))
    (died,) = [each for each in caplog.records if each.getMessage() == "bot: its process ended with status 3"]
    assert died.levelno == logging.ERROR
    assert open_then == [0 if cancel else 1]


def test_a_bot_that_dies_is_started_again_if_configured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    linked = ready(tmp_path, ["link.restart=true", "link.restart_s=0.05"], seconds=6)
    mark = tmp_path / "lived"
    text = f"first = not os.path.exists({str(mark)!r}); open({str(mark)!r}, 'w').close()\n"
    with caplog.at_level(logging.WARNING, "mlthon"):
        played(linked, child(tmp_path, text + "os._exit(4) if first else say(StopTrading('enough'))\n" + STOPS))
    (died,) = [each for each in caplog.records if each.getMessage() == "bot: its process ended with status 4"]
    assert died.levelno == logging.WARNING, "it goes on"
    assert "bot: started again in 0.05 s" in caplog.text
    assert "bot stops trading: enough" in caplog.text
    assert linked.bots.over


def test_what_cannot_be_read_ends_the_bot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    linked = ready(tmp_path)
    with caplog.at_level(logging.WARNING, "mlthon"):
        played(linked, child(tmp_path, "line.sendall(b'\\xff' * 8); time.sleep(60)\n"))
    assert "bot: what it says cannot be read" in caplog.text


def test_a_process_that_never_connects_keeps_the_run_from_starting(tmp_path: Path) -> None:
    linked = ready(tmp_path)
    file = tmp_path / "nothing.py"
    file.write_text("raise SystemExit(1)\n", "utf-8")
    with pytest.raises(UserError, match="bot: its process ended before it connected"):
        played(linked, file)


def test_a_process_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    linked = ready(tmp_path)
    services = [BotProcesses(linked.bots.hosts, linked.bots.config.link, [str(tmp_path / "nothing")])]
    with pytest.raises(UserError, match="bot: its process cannot be started"):
        run_trio(lambda: go_paced(linked.run, 1.0, None, None, None, services))


def test_a_process_that_cannot_be_started_again_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    linked = ready(tmp_path, ["link.restart=true", "link.restart_s=0.05"], seconds=8)
    program = tmp_path / "program"
    away = tmp_path / "away"
    # the first life takes its own program away, and the third try finds it again
    text = f"if not os.path.exists({str(away)!r}): os.rename({str(program)!r}, {str(away)!r}); os._exit(4)\n"
    program.write_text(f"#!{sys.executable}\n{CHILD}{text}say(StopTrading('enough'))\n{STOPS}", "utf-8")
    program.chmod(0o700)
    failures: list[str] = []
    gone = linked.bots.hosts[0].gone

    def note(reason: str, *, again: bool = False) -> None:
        gone(reason, again=again)
        failures.append(reason)
        if len(failures) == 3:
            program.hardlink_to(away)

    linked.bots.hosts[0].gone = note  # type: ignore[method-assign]
    services = [BotProcesses(linked.bots.hosts, linked.bots.config.link, [str(program)])]
    run_trio(lambda: go_paced(linked.run, 1.0, None, lambda: linked.bots.over, None, services))
    assert failures[0] == "its process ended with status 4"
    assert "cannot be started" in failures[1]
    assert "cannot be started" in failures[2]
    assert "bot stops trading: enough" in caplog.text


def test_a_bot_that_cannot_be_loaded_ends_the_run_with_the_reason(tmp_path: Path) -> None:
    linked = ready(tmp_path, seconds=20)
    played(linked, child(tmp_path, "say(Failed('bot.py:3: no class', 'Write one.')); until(Stop)\n"))
    assert [each.message for each in linked.bots.failures] == ["bot: bot.py:3: no class"]


def test_the_engines_own_variables_and_ctrl_c_are_kept_from_bots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLTHON_BITMEX_MAIN_SECRET", "hidden")
    linked = ready(tmp_path)
    text = "print(sorted(k for k in os.environ if k.startswith('MLTHON_')), os.getpgrp() == os.getpid())\n"
    with caplog.at_level(logging.INFO, "mlthon.bot"):
        played(linked, child(tmp_path, text + "say(StopTrading('')); " + STOPS))
    assert "bot: [] True" in caplog.text


def test_the_socket_is_for_this_user_alone_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    linked = ready(tmp_path)
    text = "print(oct(os.stat(os.path.dirname(sys.argv[1])).st_mode & 0o777)); say(StopTrading('')); "
    with caplog.at_level(logging.INFO, "mlthon.bot"):
        played(linked, child(tmp_path, text + STOPS))
    assert "bot: 0o700" in caplog.text
    assert os.listdir(tmp_path / "t") == []


def test_a_real_bot_runs_in_its_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    linked = ready(tmp_path, seconds=20)
    (tmp_path / "bot.py").write_text(BOT, "utf-8")
    with caplog.at_level(logging.INFO, "mlthon"):
        played(linked, None)
    assert "bot: bought 100.0 [('XBTUSD', 'Buy', 100.0)]" in caplog.text
    assert "bot: farewell" in caplog.text
    assert linked.bots.failures == []


BOT = """
from profitview import Link, logger

class Trading(Link):
    def __init__(self):
        super().__init__()
        bought = self.create_market_order('BitMEX', sym='XBTUSD', side='Buy', size=100)['data']
        held = self.fetch_positions('BitMEX')['data']
        logger.info(f"bought {bought['order_size']} {[(each['sym'], each['side'], each['pos_size']) for each in held]}")

    def quote_update(self, src, sym, data):
        self.stop_trading('seen enough')

    def on_stop(self):
        logger.info('farewell')
"""


def test_a_bot_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlthon.live.bots.KEEPER_S", 0.2)
    linked = ready(tmp_path, ["engine.stop_ack_timeout_s=0.3"], seconds=1)
    mark = tmp_path / "pid"
    text = f"open({str(mark)!r}, 'w').write(str(os.getpid()))\nimport signal\nsignal.signal(15, signal.SIG_IGN)\n"
    played(linked, child(tmp_path, text + "time.sleep(60)\n"))
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_the_last_words_of_a_process_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    linked = ready(tmp_path)
    with caplog.at_level(logging.INFO, "mlthon.bot"):
        played(linked, child(tmp_path, "print('x' * 200000 + 'the end', file=sys.stderr); os._exit(5)\n"))
    assert "the end" in caplog.text


def test_of_a_bot_that_prints_without_end_some_lines_and_the_last_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    linked = ready(tmp_path, seconds=20)
    text = "for number in range(30000): print(number)\nprint('the end'); say(StopTrading('')); "
    with caplog.at_level(logging.INFO, "mlthon"):
        played(linked, child(tmp_path, text + STOPS))
    logged = [each.getMessage() for each in caplog.records if each.name == "mlthon.bot"]
    assert logged[1:101] == [f"bot: {number}" for number in range(100)]
    assert logged[-1] == "bot: the end"
    assert len(logged) < 5000
    assert "lines are left out" in caplog.text


def test_who_stops_twice_does_not_wait_for_a_bot_that_hangs(tmp_path: Path) -> None:
    linked = ready(tmp_path, seconds=60)
    mark = tmp_path / "pid"
    command = [
        sys.executable,
        str(child(tmp_path, f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)")),
    ]
    services = [BotProcesses(linked.bots.hosts, linked.bots.config.link, command)]
    asked: list[float] = []

    def stop() -> bool:
        if mark.exists():
            asked.append(time.monotonic())
        if len(asked) > 3:
            raise KeyboardInterrupt
        return bool(asked)

    with pytest.raises(KeyboardInterrupt):
        run_trio(lambda: go_paced(linked.run, 1.0, None, stop, None, services))
    assert asked[-1] - asked[0] < 2.5
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


@pytest.mark.slow
def test_a_process_that_hangs_when_it_is_started_again_is_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlthon.live.bots.CONNECT_S", 2.0)
    mark = tmp_path / "mark"
    hangs = f"import os, time\nif os.path.exists({str(mark)!r}): time.sleep(60)\nopen({str(mark)!r}, 'w').close()\n"
    file = tmp_path / "child.py"
    file.write_text(hangs + CHILD + "os._exit(3)\n", "utf-8")
    played(ready(tmp_path, ["link.restart=true", "link.restart_s=0.1"], seconds=6), file)
    assert "bot: its process did not connect within 2 s" in caplog.text


def test_a_bot_that_hangs_when_it_stops_trading_does_not_hold_up_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    linked = ready(tmp_path, seconds=40)
    began = time.monotonic()
    played(linked, child(tmp_path, 'say(StopTrading("enough"))\ntime.sleep(60)\n'))
    assert time.monotonic() - began < 20
    assert "its on_stop must return" in caplog.text


@pytest.mark.slow
def test_the_process_of_a_bot_that_is_over_is_ended_though_the_run_goes_on(tmp_path: Path) -> None:
    linked = ready(tmp_path, seconds=7)
    host = linked.bots.hosts[0]
    ended: list[str] = []
    gone = tmp_path / "gone"
    file = child(
        tmp_path,
        f"import signal\ndef end(*_): open({str(gone)!r}, 'w').close(); os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nsay(Stopped())\ntime.sleep(60)\n",
    )
    services = [BotProcesses(linked.bots.hosts, linked.bots.config.link, [sys.executable, str(file)])]

    def over() -> bool:
        if gone.exists() and not ended:
            ended.append("while the run goes on")
        return False

    run_trio(lambda: go_paced(linked.run, 1.0, None, over, None, services))
    assert host.over
    assert ended == ["while the run goes on"]
