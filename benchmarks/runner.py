"""Measures workloads: each run in a fresh process, contenders taking turns, medians of the repeats.

Turns matter: what else the machine does changes from minute to minute, and a ratio is only worth something between runs
that stood side by side.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.environments import FOLDER, ROOT, CannotInstall, last_line, python_of
from benchmarks.peers.table import FEEDS, Peer

RUN_TIMEOUT_S = 1_200
COUNTS = ("events", "orders", "cancels", "fills", "position")


@dataclass(frozen=True, slots=True)
class Contender:
    """Someone who can be measured: a name and the start of the command that runs a workload of this suffix."""

    name: str
    command: tuple[str, ...]
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A workload's medians over its repeats. `run_s`: the run loop alone; `process_s`: the whole process, interpreter
    start, imports and making the inputs included; `rss_mb`: the largest peak of memory."""

    workload: str
    build: str
    events: int
    run_s: float
    events_per_s: int
    process_s: float
    rss_mb: float
    orders: int
    cancels: int
    fills: int
    position: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a contender has no figure."""

    workload: str
    reason: str


class Failed(RuntimeError):
    """A run that ended without its line; the text says why."""


def ours(workload: str) -> Contender:
    module = "feeds" if workload in FEEDS else "ours"
    return Contender("mlthon", (sys.executable, "-m", f"benchmarks.{module}"))


def contender_of(peer: Peer) -> Contender:
    """Raises CannotInstall."""
    return Contender(peer.name, (str(python_of(peer)), "-m", f"benchmarks.peers.{peer.module}"), peer.suffix)


def run_once(contender: Contender, workload: str, events: int | None) -> dict[str, Any]:
    """One process: its line, with `process_s`. Raises Failed."""
    command = [*contender.command, workload + contender.suffix]
    if events is not None:
        command += ["--events", str(events)]
    FOLDER.mkdir(exist_ok=True)
    # some peers leave files in the home folder
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(FOLDER), "PYTHONHASHSEED": "0"}
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"took longer than {RUN_TIMEOUT_S} s") from None
    process_s = time.perf_counter() - start
    if done.returncode:
        raise Failed(last_line(done.stderr))
    try:
        line: dict[str, Any] = json.loads(last_line(done.stdout))
    except ValueError:
        raise Failed(f"printed no result: {last_line(done.stdout)}") from None
    return line | {"process_s": process_s}


def summary(workload: str, lines: Sequence[dict[str, Any]]) -> Measurement:
    """The medians of several runs. Raises Failed when they do not agree in what they counted."""
    first = lines[0]
    for name in COUNTS:
        seen = {line[name] for line in lines}
        if len(seen) > 1:
            raise Failed(f"{name} differ from run to run: {sorted(seen)}")
    run_s = median(line["run_s"] for line in lines)
    return Measurement(
        workload=workload,
        build=first["build"],
        events=first["events"],
        run_s=round(run_s, 4),
        events_per_s=round(first["events"] / run_s),
        process_s=round(median(line["process_s"] for line in lines), 3),
        rss_mb=max(line["rss_mb"] for line in lines),
        orders=first["orders"],
        cancels=first["cancels"],
        fills=first["fills"],
        position=first["position"],
    )


def measure(
    workload: str,
    contenders: Sequence[Contender],
    repeat: int,
    events: Callable[[Contender], int | None],
    say: Callable[[str], None],
) -> dict[str, Measurement | Failure]:
    """Measure all contenders, one run each in turn, `repeat` times. Who fails once is left out from then on."""
    lines: dict[str, list[dict[str, Any]]] = {each.name: [] for each in contenders}
    results: dict[str, Measurement | Failure] = {}
    for turn in range(repeat):
        for each in contenders:
            if each.name in results:
                continue
            say(f"{workload} {each.name} {turn + 1}/{repeat}")
            try:
                lines[each.name].append(run_once(each, workload, events(each)))
            except Failed as failed:
                results[each.name] = Failure(workload, str(failed))
    for each in contenders:
        if each.name not in results:
            try:
                results[each.name] = summary(workload, lines[each.name])
            except Failed as failed:
                results[each.name] = Failure(workload, str(failed))
    return {each.name: results[each.name] for each in contenders}


def peers_of(peers: Sequence[Peer], say: Callable[[str], None]) -> tuple[list[Contender], dict[str, str]]:
    """The peers that can be run here, and why the others cannot."""
    able: list[Contender] = []
    unable: dict[str, str] = {}
    for peer in peers:
        say(f"preparing {peer.name}")
        try:
            able.append(contender_of(peer))
        except (CannotInstall, OSError) as error:
            unable[peer.name] = f"cannot be installed here: {error}"
    return able, unable


def table(results: dict[str, Measurement | Failure], base: str) -> str:
    """A readable table of one workload; `ratio` is how many times as fast `base` is."""
    rows: list[tuple[str, ...]] = [
        ("", "M events/s", f"{base} is", "process s", "MB", "orders", "cancels", "fills", "position")
    ]
    ours_ = results[base]
    for name, result in results.items():
        if isinstance(result, Failure):
            rows.append((name, "-", "-", "-", "-", result.reason, "", "", ""))
            continue
        ratio = "-"
        if isinstance(ours_, Measurement) and name != base:
            ratio = f"{ours_.events_per_s / result.events_per_s:.2f} x"
        counts = (str(getattr(result, count)) for count in COUNTS[1:])
        speed = f"{result.events_per_s / 1e6:.3f}"
        rows.append((name, speed, ratio, f"{result.process_s:.1f}", f"{result.rss_mb:.0f}", *counts))
    widths = [max(len(row[column]) for row in rows if row[1] != "-" or column < 5) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *rest = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
