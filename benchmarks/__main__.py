"""The command `python -m benchmarks [WORKLOAD ...] [options]`; `--help` lists the options.

Figures go to standard output, progress to standard error. With `--json` one line a workload; what the line holds is
`benchmarks.runner.Measurement`.
"""

import argparse
import cProfile
import os
import pstats
import sys
from collections.abc import Sequence

from benchmarks import messages
from benchmarks.outcome import CLOCK
from benchmarks.peers.table import FEEDS, PEERS, Peer
from benchmarks.runner import Contender, Failure, Measurement, measure, ours, peers_of, table

VARIANTS = {"W1": ("W1",), "W2": ("W2", "W2-two-callbacks"), "W3": ("W3",), "W4": ("W4",), "W5": ("W5",)}
"""What is timed for each workload of ours; peers run the first."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the engine's speed.")
    parser.add_argument("workloads", nargs="*", default=["W1", "W2"], metavar="WORKLOAD", help="W1 to W5, linearity")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of tables")
    parser.add_argument("--peers", action="store_true", help="run other engines as well, taking turns with this one")
    parser.add_argument("--floors", action="store_true", help="run bare loops as well: what can be reached here")
    parser.add_argument("--cpu", action="store_true", help="W3 to W5: take the processor's time")
    parser.add_argument("--only", nargs="+", metavar="PEER", help="with --peers: these alone")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, of which the median counts (default 3)")
    parser.add_argument("--events", type=int, help="fewer or more events than the workload has")
    parser.add_argument("--peer-events", type=int, help="the same for peers; their rates stay per event")
    parser.add_argument("--profile", action="store_true", help="say where the time goes instead (one run, in here)")
    asked = parser.parse_args(given)
    asked.workloads = asked.workloads or ["W1", "W2"]
    unknown = set(asked.workloads) - {*VARIANTS, "linearity"}
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are W1 to W5 and linearity")
    for name in ("repeat", "events", "peer_events"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} must be 1 or more, not {value}")
    if asked.cpu and (asked.peers or not FEEDS.issuperset(asked.workloads)):
        parser.error("--cpu is for W3 to W5 without --peers: the others take the clock's time")
    known = {peer.name for peer in PEERS}
    if strangers := set(asked.only or ()) - known:
        parser.error(f"no peer {', '.join(sorted(strangers))}; there are {', '.join(sorted(known))}")
    return asked


def _takes_part(peer: Peer, asked: argparse.Namespace) -> bool:
    asked_for: bool = (peer.name in asked.only) if asked.only else asked.peers or peer.floor
    return asked_for and not peer.workloads.isdisjoint(asked.workloads)


def profile(workload: str, events: int | None) -> None:
    """Where the time of one run goes, by function, and how the whole splits."""
    from benchmarks import feeds, ours

    run = (ours.WORKLOADS | feeds.WORKLOADS)[workload]
    profiler = cProfile.Profile()
    profiler.enable()
    outcome = run(events)
    profiler.disable()
    print(f"{workload}: {outcome.events} events, run {outcome.run_s:.2f} s under the profiler")
    pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(25)


def show(results: dict[str, Measurement | Failure], as_json: bool, workload: str) -> None:
    if as_json:
        for result in results.values():
            if isinstance(result, Measurement):
                print(result.to_json(), flush=True)
    else:
        print(f"{workload}\n{table(results, 'mlthon')}\n", flush=True)
    for name, result in results.items():
        if isinstance(result, Failure):
            say(f"{workload} {name}: {result.reason}")


def main(given: Sequence[str] | None = None) -> int:
    """The command; returns 1 when this engine itself could not be measured."""
    asked = arguments(given)
    peers: list[Contender] = []
    unable: dict[str, str] = {}
    if asked.cpu:
        os.environ[CLOCK] = "cpu"
    if asked.peers or asked.floors:
        wanted = [peer for peer in PEERS if _takes_part(peer, asked)]
        peers, unable = peers_of(wanted, say)

    def events(contender: Contender) -> int | None:
        number: int | None = asked.events if contender.name == "mlthon" else asked.peer_events or asked.events
        return number

    failed = False
    for workload in asked.workloads:
        if workload == "linearity":
            from benchmarks import linearity

            failed |= not linearity.report(asked.json, asked.events, say)
            continue
        if workload in FEEDS:
            for size in {asked.events, asked.peer_events or asked.events if peers else asked.events}:
                messages.make(workload, size)
        for variant in VARIANTS[workload]:
            if asked.profile:
                profile(variant, asked.events)
                continue
            taking_part = {peer.name for peer in PEERS if variant in peer.workloads}
            rivals = [each for each in peers if each.name in taking_part]
            results = measure(variant, [ours(variant), *rivals], asked.repeat, events, say)
            results |= {name: Failure(variant, reason) for name, reason in unable.items() if name in taking_part}
            show(results, asked.json, variant)
            failed |= isinstance(results["mlthon"], Failure)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
