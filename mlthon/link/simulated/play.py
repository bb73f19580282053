"""The child's work, once its threads are greenlets: options to a run, and the run to its result."""

import json
import logging
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from attrs import evolve

from mlthon.backtest.loader import default_config
from mlthon.backtest.report import Report
from mlthon.backtest.result import Progress, Result
from mlthon.backtest.tables import make_folder, summary_text, write_report
from mlthon.config import RunConfig, load_config, refuse_strays
from mlthon.data.sources import NoData, open_sources
from mlthon.engine.clock import TimeStuck
from mlthon.errors import UserError
from mlthon.link.host.assembly import LinkedRun, link_run
from mlthon.link.simulated.alarm import Alarm
from mlthon.link.simulated.deadlock import Deadlocks
from mlthon.link.simulated.face import SimulatedBot
from mlthon.link.simulated.lines import STOP, Job, encode_progress
from mlthon.link.simulated.threads import threads

log = logging.getLogger("mlthon.link")

FAULT: Final = 1
SPIN_HINT: Final = "Let it wait with time.sleep, an Event or a Queue: then the market goes on meanwhile."

Prepare = Callable[[Any, int, bool], None]


class Parent:
    """Whoever started this process, at the other end of a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = open(pipe, "w", encoding="utf-8", buffering=1)  # noqa: SIM115  (open as long as the process)

    def tell(self, **line: Any) -> None:
        self._pipe.write(json.dumps(line) + "\n")
        self._pipe.flush()

    def progress(self, progress: Progress) -> None:
        self.tell(progress=encode_progress(progress))


class Asked:
    """Whether the run is to end early, and why."""

    def __init__(self) -> None:
        self.by_user = False
        self.by_bot = False

    def listen(self) -> None:
        signal.signal(signal.Signals[STOP], self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.by_user = True


def play(pipe: int, job: str, prepare: Prepare) -> int:
    """Play a job to its end, tell the parent, and return the process's exit status."""
    parent = Parent(pipe)
    try:
        parent.tell(done=_play(Job.decode(job), parent, prepare))
    except UserError as error:
        parent.tell(error={"message": error.message, "hint": error.hint})
    except BrokenPipeError:
        return FAULT  # nobody is there any more to be told
    except BaseException:  # noqa: BLE001  (the last stop of a process that ends here: told, with its traceback)
        traceback.print_exc()
        return FAULT
    return 0


def _play(job: Job, parent: Parent, prepare: Prepare) -> dict[str, Any]:
    asked = Asked()
    asked.listen()
    threads.on_interrupt = lambda: setattr(asked, "by_bot", True)
    config = _config(job)
    report = Report()
    linked = _build(job, config, report)
    run, bots = linked.run, linked.bots
    if job.report_folder is not None:
        make_folder(job.report_folder)
    alarm = Alarm(job.patience_s)
    prepare(run.assembly.clock, config.seed if job.seed is None else job.seed, job.network)
    alarm.install()
    Deadlocks().install()
    parent.tell(title=run.name, told=bots.told)

    def stop() -> bool:
        return asked.by_user or asked.by_bot or alarm.stuck is not None or bots.over

    result = _go(linked, alarm, parent, stop)
    if asked.by_user:
        result = evolve(result, ended="stopped by Ctrl-C")
    elif bots.over and result.ended != run.plan.ending:
        result = evolve(result, ended="the bot ended")
    report.close(result)
    if job.report_folder is not None:
        write_report(report, job.report_folder)
    summary = summary_text(report.closed, job.report_folder)
    return {"json": result.to_json(), "summary": summary, "interrupted": asked.by_user}


def _config(job: Job) -> RunConfig:
    file = Path(job.config) if job.config is not None else default_config(job.files[0])
    config = load_config(file, job.settings)
    refuse_strays(config)
    return config


def _build(job: Job, config: RunConfig, report: Report) -> LinkedRun:
    paths = job.data or config.data or ()
    sources = None
    if paths:
        try:
            sources, problems = open_sources(paths)
        except (NoData, OSError) as error:
            raise UserError(str(error), "See docs/data-formats.md for what can be read.") from None
        for problem in problems:
            log.warning("left out: %s", problem)
    return link_run(
        config,
        [Path(file) for file in job.files],
        sources,
        lambda host: SimulatedBot(host, config.link.backlog),
        venues=job.venues,
        subscribe=job.subscribe,
        taps=[report.books],
        samplers=[report.sample],
        seed=job.seed,
        start=job.start,
        end=job.end,
        duration=job.duration,
    )


def _go(linked: LinkedRun, alarm: Alarm, parent: Parent, stop: Callable[[], bool]) -> Result:
    """Play the run. Raises `UserError` where a bot could not be loaded, or never came to rest."""
    try:
        result = linked.run.go(parent.progress, stop)
    except TimeStuck as error:
        raise UserError(str(error), "Set entry_latency or response_latency of the exchange above 0.") from None
    if alarm.stuck is not None:
        raise UserError(alarm.stuck, SPIN_HINT)
    for failure in linked.bots.failures:
        raise failure
    return result
