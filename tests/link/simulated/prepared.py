"""A prepared process that runs cases: each is the main thread of a bot for a while of virtual time.

`python -S prepared.py PATHS FILE NAME ...` runs the functions of FILE so named, each as a bot's main thread under an
engine's clock that goes on for `SPAN` seconds, and prints one line of JSON for each: what it returned or raised.
"""

import json
import sys
from typing import Any

PATHS, FILE, *NAMES = json.loads(sys.argv[1])
sys.path[:0] = PATHS

from mlthon.link.simulated.prepare import first, second  # noqa: E402

first([])

import importlib.util  # noqa: E402
import logging  # noqa: E402

from mlthon.engine.clock import SECOND, Clock  # noqa: E402
from mlthon.link.simulated.alarm import Alarm  # noqa: E402
from mlthon.link.simulated.deadlock import Deadlocks  # noqa: E402
from mlthon.link.simulated.threads import threads  # noqa: E402

START = 1_735_689_600
SPAN = 1_000
told: list[str] = []


class Keep(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        told.append(record.getMessage())


def run(case: Any, clock: Clock, alarm: Alarm) -> dict[str, Any]:
    answer: dict[str, Any] = {}

    def main() -> None:
        try:
            answer["value"] = case()
        except BaseException as error:  # noqa: BLE001
            answer["error"] = f"{type(error).__name__}: {error}"

    began = clock.now
    thread = threads.spawn(main, "main", main=True)
    clock.call_soon(threads.start, thread)
    clock.run_until(began + SPAN * SECOND)
    answer["told"] = list(told)
    answer["stuck"] = alarm.stuck
    alarm.stuck = None
    told.clear()
    return answer


def main() -> None:
    logging.getLogger("mlthon").addHandler(Keep())
    logging.getLogger("mlthon").setLevel(logging.INFO)
    clock = Clock(START * SECOND)
    second(clock, 7, network=False)
    alarm = Alarm(patience_s=1.5)
    alarm.install()
    Deadlocks().install()
    spec = importlib.util.spec_from_file_location("cases", FILE)
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    for name in NAMES:
        print(json.dumps({name: run(getattr(cases, name), clock, alarm)}), flush=True)
    alarm.uninstall()


main()
