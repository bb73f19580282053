"""The runner: one process a run, turns, medians, and a reason for whoever has no figure."""

import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import environments, outcome, runner
from benchmarks.peers.table import PEERS, Peer
from benchmarks.runner import Contender, Failed, Failure, Measurement

LINE = {"workload": "W1", "build": "x 1", "events": 1000, "run_s": 0.5, "orders": 1, "cancels": 2, "fills": 3}
LINE |= {"position": -4, "rss_mb": 10.0, "process_s": 1.0}


def quiet(_: str) -> None:
    """Says nothing."""


def script(tmp_path: Path, name: str, text: str) -> Contender:
    path = tmp_path / f"{name}.py"
    path.write_text(text)
    return Contender(name, (sys.executable, str(path)))


def talking(tmp_path: Path, name: str, log: Path) -> Contender:
    line = {key: value for key, value in LINE.items() if key != "process_s"}
    return script(
        tmp_path,
        name,
        f"import sys, json\nopen({str(log)!r}, 'a').write({name!r} + ' ' + ' '.join(sys.argv[1:]) + chr(10))\n"
        f"print('chatter')\nprint(json.dumps({line!r}))\n",
    )


def test_contenders_take_turns_with_their_own_number_of_events(tmp_path: Path) -> None:
    log = tmp_path / "log"
    both = [talking(tmp_path, "a", log), talking(tmp_path, "b", log)]
    results = runner.measure("W1", both, 2, lambda each: 7 if each.name == "b" else None, quiet)
    assert log.read_text().splitlines() == ["a W1", "b W1 --events 7"] * 2
    assert [type(result) for result in results.values()] == [Measurement, Measurement]


def test_who_fails_is_named_with_the_reason_and_not_run_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    bad = script(tmp_path, "bad", f"open({str(log)!r}, 'a').write('ran ')\nraise ValueError('no such tick')\n")
    results = runner.measure("W2", [bad], 3, lambda _: None, quiet)
    assert results == {"bad": Failure("W2", "ValueError: no such tick")}
    assert log.read_text() == "ran "


@pytest.mark.parametrize(("text", "reason"), [("", "no message"), ("print('hello')", "hello")])
def test_a_run_without_a_result_is_a_failure(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        runner.run_once(script(tmp_path, "silent", text), "W1", None)


def test_medians_and_the_highest_peak() -> None:
    lines = [LINE | {"run_s": run_s, "rss_mb": rss} for run_s, rss in ((0.4, 10.0), (0.5, 30.0), (9.0, 20.0))]
    result = runner.summary("W1", lines)
    assert (result.run_s, result.events_per_s, result.rss_mb) == (0.5, 2000, 30.0)


def test_runs_that_count_differently_are_no_measurement() -> None:
    with pytest.raises(Failed, match=r"fills differ from run to run: \[3, 4\]"):
        runner.summary("W1", [LINE, LINE | {"fills": 4}])


def test_the_line_has_the_documented_fields() -> None:
    line = json.loads(runner.summary("W1", [LINE]).to_json())
    assert list(line) == [
        *("workload", "build", "events", "run_s", "events_per_s", "process_s", "rss_mb"),
        *("orders", "cancels", "fills", "position"),
    ]


def test_the_table_says_how_many_times_as_fast_and_why_not() -> None:
    fast = runner.summary("W1", [LINE])
    slow = runner.summary("W1", [LINE | {"run_s": 2.0}])
    text = runner.table({"mlthon": fast, "slow": slow, "gone": Failure("W1", "cannot be installed here")}, "mlthon")
    _, ours, peer, gone = text.splitlines()
    assert "4.00 x" in peer
    assert " x " not in ours
    assert "cannot be installed here" in gone


def test_quotes_of_a_number_of_events() -> None:
    assert outcome.quotes_of(None, 1_000_000) == 1_000_000
    assert outcome.quotes_of(120_000, 1_000_000) == 100_000


def test_a_run_prints_its_outcome_last(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def workload(events: int | None) -> outcome.Outcome:
        asked.append(events)
        return outcome.Outcome(5, 0.1, 1, 2, 3, 4)

    monkeypatch.setattr(sys, "argv", ["script", "W1", "--events", "5"])
    outcome.main("build", {"W1": workload})
    line = json.loads(capsys.readouterr().out)
    assert asked == [5]
    assert line["rss_mb"] > 0
    assert {**line, "rss_mb": 0} == {
        "workload": "W1",
        "build": "build",
        "events": 5,
        "run_s": 0.1,
        "orders": 1,
        "cancels": 2,
        "fills": 3,
        "position": 4,
        "rss_mb": 0,
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["W9"], "no workload W9"),
        (["--repeat", "0"], "--repeat must be 1 or more"),
        (["--peer-events", "-1"], "--peer-events must be 1 or more"),
        (["--peers", "--only", "zipline"], "no peer zipline"),
    ],
)
def test_bad_arguments(given: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(given)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_prints_a_line_a_workload(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_once(contender: Contender, workload: str, events: int | None) -> dict[str, object]:
        return LINE | {"events": events}

    monkeypatch.setattr(runner, "run_once", run_once)
    assert command.main(["W1", "W2", "--json", "--events", "10"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["workload"] for line in lines] == ["W1", "W2", "W2-two-callbacks"]


def test_the_command_fails_with_this_engine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_once(contender: Contender, workload: str, events: int | None) -> dict[str, object]:
        raise Failed("it broke")

    monkeypatch.setattr(runner, "run_once", run_once)
    assert command.main(["W1", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "W1 mlthon: it broke" in captured.err


def test_a_peer_that_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setattr(venv, "create", lambda *_, **__: None)

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "Collecting x\nERROR: No matching distribution\n\n")

    monkeypatch.setattr(subprocess, "run", run)
    able, unable = runner.peers_of([Peer("odd", "odd", ("odd==1",))], quiet)
    assert able == []
    assert unable == {"odd": "cannot be installed here: ERROR: No matching distribution"}


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.setattr(environments, "FOLDER", tmp_path)

    def create(folder: Path, **_: object) -> None:
        made.append(folder)
        folder.mkdir(exist_ok=True)

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(venv, "create", create)
    monkeypatch.setattr(subprocess, "run", run)
    for version in ("1", "1", "2"):
        python = environments.python_of(Peer("odd", "odd", (f"odd=={version}",)))
        assert python == tmp_path / "odd" / "bin" / "python"
    assert made == [tmp_path / "odd"] * 2  # anew when the versions change


def test_every_peer_has_its_script_and_pinned_versions() -> None:
    folder = Path(runner.__file__).parent / "peers"
    for peer in PEERS:
        assert (folder / f"{peer.module}.py").exists()
        assert all("==" in requirement for requirement in peer.requirements)


def test_the_profile_names_the_run_loop(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["W1", "--profile", "--events", "700"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("W1: 700 events")
    assert "play_rows" in text or "on_public_trade" in text
