"""The child process of a bot's backtest: it prepares itself, makes the run, plays it and tells how it went.

Started by `mlthon.cli.bot_run` as `python -S -c BOOT`, where `BOOT` calls `main` before anything else is imported; so
`main` imports what it needs only when its threads are greenlets, and this module nothing above that.
"""

import sys
from typing import TYPE_CHECKING, Any, Final

from mlthon.link.simulated.prepare import first, second

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlthon.arsenal.assembly import Arsenals
    from mlthon.backtest.result import Progress, Result
    from mlthon.cli.run import Options
    from mlthon.link.host.assembly import LinkedRun
    from mlthon.link.simulated.alarm import Alarm

FAULT: Final = 1
SPIN_HINT: Final = "Let it wait with time.sleep, an Event or a Queue: then the market goes on meanwhile."


def main(pipe: int, paths: list[str]) -> None:
    """Run the job on standard input and tell the parent by the file descriptor `pipe`; never returns. `paths` are those
    of the parent's interpreter."""
    first(paths)
    import faulthandler
    import os
    import signal

    from mlthon.backtest.loader import keep_ours
    from mlthon.cli.bot_lines import WHERE, decode_options
    from mlthon.cli.logs import set_up

    faulthandler.register(signal.Signals[WHERE], all_threads=False)
    options = decode_options(sys.stdin.read())
    keep_ours()
    set_up(options.verbosity)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    status = play(Parent(pipe), options)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the bot still hang in the middle of what they did. They are left there, as when a machine is switched
    # off, instead of being unwound by Python's own end.
    os._exit(status)


class Parent:
    """Whoever started this process, at the other end of a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def tell(self, **line: Any) -> None:
        import json
        import os

        left = json.dumps(line).encode() + b"\n"
        while left:
            left = left[os.write(self._pipe, left) :]

    def alive(self) -> None:
        """Called in the middle of what the bot does, which is not to see an error of ours: without a parent there is
        nothing left to do."""
        import os

        try:
            self.tell(alive=True)
        except BrokenPipeError:
            os._exit(FAULT)

    def progress(self, progress: "Progress") -> None:
        from mlthon.cli.bot_lines import encode_progress

        self.tell(progress=encode_progress(progress))


class Asked:
    """Whether the run is to end early, and by whom."""

    def __init__(self) -> None:
        self.by_user = False
        self.by_bot = False

    def listen(self) -> None:
        import signal

        from mlthon.cli.bot_lines import STOP
        from mlthon.link.simulated.threads import threads

        signal.signal(signal.Signals[STOP], lambda number, frame: setattr(self, "by_user", True))
        threads.on_interrupt = lambda: setattr(self, "by_bot", True)


def play(parent: Parent, options: "Options") -> int:
    """Play a run to its end, tell the parent, and return the process's exit status."""
    import traceback

    from mlthon.errors import UserError

    try:
        parent.tell(done=_play(parent, options))
    except UserError as error:
        parent.tell(error={"message": error.message, "hint": error.hint})
    except BrokenPipeError:
        return FAULT  # nobody is there any more to be told
    except BaseException:  # noqa: BLE001  (the last stop of a process that ends here: told with its traceback)
        traceback.print_exc()
        return FAULT
    return 0


def _play(parent: Parent, options: "Options") -> dict[str, Any]:
    from attrs import evolve

    from mlthon.backtest.report import Report
    from mlthon.backtest.tables import make_folder, summary_text, write_report
    from mlthon.cli.arsenal_run import raise_failures
    from mlthon.cli.run import configuration, open_data, warn_of, warn_of_signals
    from mlthon.link.simulated.alarm import Alarm
    from mlthon.link.simulated.deadlock import Deadlocks

    asked = Asked()
    asked.listen()
    config, strategies = configuration(options)
    sources = open_data(options.paths(config))
    report = Report()
    linked, arsenals = _make(options, config, strategies, sources, report)
    if options.report is not None:
        make_folder(options.report)
    alarm = Alarm(config.link.patience_s, parent.alive)
    second(linked.run.assembly.clock, config.seed if options.seed is None else options.seed, options.allow_network)
    alarm.install()
    Deadlocks().install()
    told = [*linked.bots.told, *([] if arsenals is None else arsenals.told)]
    parent.tell(title=linked.run.name, told=told)

    def stop() -> bool:
        return asked.by_user or asked.by_bot or alarm.stuck is not None or linked.bots.over

    result = _go(linked, alarm, parent, stop if arsenals is None else arsenals.or_failed(stop))
    raise_failures(arsenals)
    if asked.by_user:
        result = evolve(result, ended="stopped by Ctrl-C")
    elif linked.bots.over and result.ended != linked.run.plan.ending:
        result = evolve(result, ended="the bot ended")
    report.close(result)
    warn_of(sources or ())
    warn_of_signals(linked.bots)
    if options.report is not None:
        write_report(report, options.report)
    summary = summary_text(report.closed, options.report)
    return {"json": result.to_json(), "summary": summary, "interrupted": asked.by_user}


def _make(
    options: "Options", config: Any, strategies: Any, sources: Any, report: Any
) -> "tuple[LinkedRun, Arsenals | None]":
    """The run with its bots, and the Crypto Arsenal strategies that trade in it too."""
    import logging

    from mlthon.cli.arsenal_run import arsenals_of
    from mlthon.cli.run import make_run
    from mlthon.link.host.assembly import LinkedRun
    from mlthon.link.simulated.face import SimulatedBot

    arsenals = arsenals_of(options, config, strategies, sources)
    run, bots = make_run(options, config, strategies, sources, report, None, arsenals)
    if bots is None:
        raise RuntimeError("a bot's process was started for a run without a bot")
    bots.join(SimulatedBot)
    if options.verbosity >= 0:
        logging.getLogger("mlthon.bot").setLevel(logging.INFO)
        logging.getLogger("mlthon.arsenal").setLevel(logging.INFO)
    return LinkedRun(run, bots), arsenals


def _go(linked: "LinkedRun", alarm: "Alarm", parent: Parent, stop: "Callable[[], bool]") -> "Result":
    """Play the run. Raises `UserError` where a bot could not be loaded, or never came to rest."""
    from mlthon.engine.clock import TimeStuck
    from mlthon.errors import UserError

    try:
        result = linked.run.go(parent.progress, stop)
    except TimeStuck as error:
        raise UserError(str(error), "Set entry_latency or response_latency of the exchange above 0.") from None
    if alarm.stuck is not None:
        raise UserError(alarm.stuck, SPIN_HINT)
    for failure in linked.bots.failures:
        raise failure
    return result
