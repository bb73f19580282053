"""The command `python -m benchmarks [WORKLOAD ...] [options]`; `--help` lists the options.

Figures go to standard output, progress to standard error. With `--json` one line a workload; what the line holds is
`benchmarks.runner.Measurement`.
"""

import argparse
import cProfile
import pstats
import sys
from collections.abc import Sequence

from benchmarks.peers.table import PEERS
from benchmarks.runner import Contender, Failure, Measurement, measure, ours, peers_of, table

VARIANTS = {"W1": ("W1",), "W2": ("W2", "W2-two-callbacks")}
"""What is timed for each workload of ours; peers run the first."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the engine's speed.")
    parser.add_argument("workloads", nargs="*", default=["W1", "W2"], metavar="WORKLOAD", help="W1, W2, linearity")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of tables")
    parser.add_argument("--peers", action="store_true", help="run other engines as well, taking turns with this one")
    parser.add_argument("--only", nargs="+", metavar="PEER", help="with --peers: these alone")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, of which the median counts (default 3)")
    parser.add_argument("--events", type=int, help="fewer or more events than the workload has")
    parser.add_argument("--peer-events", type=int, help="the same for peers; their rates stay per event")
    parser.add_argument("--profile", action="store_true", help="say where the time goes instead (one run, in here)")
    asked = parser.parse_args(given)
    asked.workloads = asked.workloads or ["W1", "W2"]
    unknown = set(asked.workloads) - {*VARIANTS, "linearity"}
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are W1, W2 and linearity")
    for name in ("repeat", "events", "peer_events"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} must be 1 or more, not {value}")
    known = {peer.name for peer in PEERS}
    if strangers := set(asked.only or ()) - known:
        parser.error(f"no peer {', '.join(sorted(strangers))}; there are {', '.join(sorted(known))}")
    return asked


def profile(workload: str, events: int | None) -> None:
    """Where the time of one run goes, by function, and how the whole splits."""
    from benchmarks.ours import WORKLOADS

    profiler = cProfile.Profile()
    profiler.enable()
    outcome = WORKLOADS[workload](events)
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
    if asked.peers:
        wanted = [peer for peer in PEERS if not asked.only or peer.name in asked.only]
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
        for variant in VARIANTS[workload]:
            if asked.profile:
                profile(variant, asked.events)
                continue
            rivals = peers if variant == workload else []
            results = measure(variant, [ours(), *rivals], asked.repeat, events, say)
            if rivals:
                results |= {name: Failure(variant, reason) for name, reason in unable.items()}
            show(results, asked.json, variant)
            failed |= isinstance(results["mlthon"], Failure)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
