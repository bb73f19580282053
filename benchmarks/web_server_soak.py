"""The demo strategy beside a flood of webhook calls: its tick-to-order times before, during and after.

    python -m benchmarks.web_server_soak [SECONDS [CALLS_A_SECOND]]

A live run of `demo_strat` trades on a local exchange; its web server gets 100 alerts a second for 60 seconds (unless
told otherwise), each with the right token and within its limits, so that each goes through to the strategy: it calls
the strategy's command `status`, and is written to the audit log. Exchange, run, operations process and the sender are
processes. The run is watched as long before and after. Progress goes to standard error.
"""

import http.client
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from benchmarks.live_runs import Buckets, between, buckets_of, live_run, local_exchange, quantile, until_trading
from benchmarks.web_server import free_port
from mlthon.ops.web.store import FILE, WebhookStore

SECONDS: Final = 60.0
RATE: Final = 100.0
SPEED: Final = 4.0
"""Of the market: enough requests for a p99."""
SENDERS: Final = 8
SETTLE_S: Final = 5.0
TELL_S: Final = 10.0
NAME: Final = "ask"
Counts = Any


def call(port: int, token: str, rate: float, seconds: float) -> tuple[Counter[str], float]:
    """Send alerts at a rate (a second) on one connection; how they were answered and the longest wait (s)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    answers: Counter[str] = Counter()
    longest = 0.0
    began = time.monotonic()
    number = 0
    while (asked := time.monotonic()) < began + seconds:
        try:
            connection.request("POST", f"/tradingview/{token}", b"soak", {"content-type": "text/plain"})
            answer = connection.getresponse()
            answer.read()
            answers[str(answer.status)] += 1
        except (OSError, http.client.HTTPException) as error:
            answers[type(error).__name__] += 1
            connection.close()
        longest = max(longest, time.monotonic() - asked)
        number += 1
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
    return answers, longest


def send(port: int, token: str, rate: float, seconds: float, told: Counts) -> None:
    """Send alerts on several connections; tells how they were answered and the longest wait."""
    with ThreadPoolExecutor(SENDERS) as pool:
        calls = [pool.submit(call, port, token, rate / SENDERS, seconds) for _ in range(SENDERS)]
        found = [each.result() for each in calls]
    told.put((sum((answers for answers, _ in found), Counter[str]()), max(longest for _, longest in found)))


def prepare(folder: Path, port: int, rate: float) -> tuple[Path, str]:
    """The run's configuration, and the token of its alert."""
    state = folder / "state"
    (state / "run").mkdir(parents=True, mode=0o700)
    store = WebhookStore(state / "run" / FILE)
    token = store.make_token(NAME).text
    store.close()
    path = folder / "run.toml"
    path.write_text(
        f'[ops]\nstate = "{state}"\n[live]\njournal = "{folder / "run.journal"}"\n'
        f"[web]\nport = {port}\naddress_rate = {10 * rate}\nconnector_rate = {10 * rate}\n"
        f'[web.alerts.{NAME}]\nstrategy = "demo_strat"\nhook = "status"\n'
    )
    return path, token


def watch(what: str, control: Path, seconds: float) -> Buckets:
    """What was observed for so long."""
    first = buckets_of(control)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        print(f"{what}: {left:.0f} s to go", file=sys.stderr, flush=True)
        time.sleep(min(TELL_S, left))
    return between(first, buckets_of(control))


def line(what: str, buckets: Buckets) -> str:
    count = buckets[-1][1] if buckets else 0
    return f"{what:<8} p50 {quantile(buckets, 0.5):,.0f} us, p99 {quantile(buckets, 0.99):,.0f} us, {count:,} requests"


def soak(run: "subprocess.Popen[bytes]", control: Path, port: int, token: str, seconds: float, rate: float) -> int:
    until_trading(control, run)
    time.sleep(SETTLE_S)
    print(line("before", watch("before", control, seconds)), flush=True)
    context = multiprocessing.get_context("fork")
    told: Counts = context.Queue()
    sender = context.Process(target=send, args=(port, token, rate, seconds, told), daemon=True)
    sender.start()
    print(line("during", watch("during", control, seconds)), flush=True)
    answers, longest = told.get(timeout=60)
    print(line("after", watch("after", control, seconds)), flush=True)
    said = ", ".join(f"{status}: {count:,}" for status, count in sorted(answers.items()))
    print(
        f"calls    {said}; {answers.total() / seconds:.0f} a second, the slowest took {longest * 1e3:,.0f} ms",
        flush=True,
    )
    return 0 if set(answers) == {"200"} and run.poll() is None else 1


def main() -> int:
    """Gives 1 where a call was not answered 200, or the run ended."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else RATE
    port = free_port()
    with tempfile.TemporaryDirectory() as name, local_exchange(SPEED) as exchange:
        folder = Path(name)
        config, token = prepare(folder, port, rate)
        control = folder / "state" / "run" / "demo_strat.sock"
        with live_run(["demo_strat", "--config", str(config)], exchange, folder, {}) as run:
            try:
                return soak(run, control, port, token, seconds, rate)
            except RuntimeError as error:
                print(json.dumps(str(error)), (folder / "log").read_text(), file=sys.stderr)
                return 1


if __name__ == "__main__":
    sys.exit(main())
