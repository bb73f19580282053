"""What bots use of the standard library, and of what data analysts have installed, to wait and to tell the time; run by
`prepared.py`, judged by `test_libraries.py`.

Ordinary code: nothing in here knows that time is virtual.
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import datetime
import email.utils
import logging
import logging.handlers
import multiprocessing.dummy
import queue
import sched
import select
import selectors
import socket
import sqlite3
import tempfile
import threading
import time
import timeit
import uuid
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
import pandas as pd

START = 1_735_689_600


def since() -> float:
    """Seconds since the case's first second, which is a whole one."""
    return round(time.monotonic(), 3)


def scheduler() -> Any:
    begun, seen = since(), []
    plan = sched.scheduler()
    for delay in (3, 1, 2):
        plan.enter(delay, 1, lambda d=delay: seen.append((d, since() - begun)))  # type: ignore[misc]
    dropped = plan.enter(1.5, 1, seen.append, ((0, 0),))
    plan.cancel(dropped)
    plan.run()
    return seen


def thread_pool() -> Any:
    begun = since()

    def work(length: float) -> float:
        time.sleep(length)
        return length

    with ThreadPool(3) as pool:
        mapped = pool.map(work, [3, 1, 2])
        first = since() - begun
        late = pool.apply_async(work, (5,))
        try:
            late.get(timeout=1)
        except multiprocessing.TimeoutError:
            mapped.append(-1)
        late.wait()
        unordered = list(pool.imap_unordered(work, [3, 1, 2]))
    return mapped, first, unordered, since() - begun


def dummy_pool() -> Any:
    with multiprocessing.dummy.Pool(2) as pool:
        return pool.starmap(lambda a, b: (time.sleep(1), a + b)[1], [(1, 2), (3, 4)])


def futures() -> Any:
    begun, seen = since(), []
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        mine = [pool.submit(time.sleep, each) for each in (1, 2, 30)]
        mine[0].add_done_callback(lambda _: seen.append(since() - begun))
        done, left = concurrent.futures.wait(mine, timeout=1.5)
        seen += [len(done), len(left), since() - begun]
        done, _ = concurrent.futures.wait(mine, return_when=concurrent.futures.FIRST_EXCEPTION, timeout=1)
        seen += [len(done), since() - begun]
    return seen, since() - begun


def queues_of_all_kinds() -> Any:
    begun, seen = since(), []
    for box in (queue.PriorityQueue[int](), queue.LifoQueue[int](), queue.SimpleQueue[int]()):
        threading.Timer(1, lambda at=box: [at.put(each) for each in (2, 1, 3)]).start()  # type: ignore[misc]
        got = [box.get(timeout=5) for _ in range(3)]
        try:
            box.get(timeout=0.5)
        except queue.Empty:
            got.append(-1)
        seen.append(got)
    full: queue.Queue[int] = queue.Queue(1)
    full.put(1)
    try:
        full.put(2, timeout=2)
    except queue.Full:
        seen.append("full")
    threading.Timer(3, lambda: (full.get(), full.task_done())).start()
    full.join()
    return seen, since() - begun


def tasks() -> Any:
    begun = since()

    async def all_() -> Any:
        seen: list[Any] = []

        async def late(length: float) -> None:
            await asyncio.sleep(length)
            seen.append(since() - begun)

        async with asyncio.TaskGroup() as group:
            for each in (2, 1):
                group.create_task(late(each))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                await asyncio.Event().wait()
        seen.append(since() - begun)
        gate = asyncio.Semaphore(1)

        async def one() -> None:
            async with gate:
                await asyncio.sleep(1)

        await asyncio.gather(one(), one())
        done, left = await asyncio.wait([asyncio.create_task(late(each)) for each in (1, 60)], timeout=3)
        seen += [len(done), len(left)]
        for each in left:
            each.cancel()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, time.sleep, 2)
        loop.call_later(1, seen.append, "later")
        await asyncio.sleep(1.1)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(time.sleep, 3), 1)
        seen.append(since() - begun)
        return seen

    # at its end it waits for the thread
    return asyncio.run(all_()), since() - begun


def a_loop_in_a_thread_of_its_own() -> Any:
    begun = since()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    later = asyncio.run_coroutine_threadsafe(asyncio.sleep(2, "slept"), loop)
    try:
        later.result(timeout=1)
    except concurrent.futures.TimeoutError:
        early = since() - begun
    found = later.result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    return early, found, since() - begun


def contexts() -> Any:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")
    seen = []

    def work(mine: str) -> None:
        name.set(mine)
        time.sleep(1)
        seen.append((mine, name.get()))

    name.set("main")
    all_ = [threading.Thread(target=work, args=(each,)) for each in "ab"]
    for each in all_:
        each.start()
    for each in all_:
        each.join()
    return seen, name.get()


def local_values() -> Any:
    mine = threading.local()
    mine.value = "main"
    seen = []

    def work(value: str) -> None:
        mine.value = value
        time.sleep(1)
        seen.append(mine.value == value)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "abcd"))
    return seen, mine.value


def log_queue() -> Any:
    box: queue.Queue[Any] = queue.Queue()
    seen: list[Any] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.getMessage(), record.created - START, record.threadName))

    listener = logging.handlers.QueueListener(box, Keep())
    listener.start()
    log = logging.getLogger("case")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.addHandler(logging.handlers.QueueHandler(box))
    begun = time.time() - START
    log.info("first")
    time.sleep(2)
    log.info("second")
    listener.stop()
    return [(text, round(at - begun, 3), thread) for text, at, thread in seen]


def calendars() -> Any:
    """How far each is from `time.time`."""
    now = time.time()
    local = datetime.datetime.fromtimestamp(now).astimezone()
    return {
        "today": datetime.date.today() == local.date(),  # noqa: DTZ011
        "datetime.today": datetime.datetime.today().timestamp() - now,  # noqa: DTZ002
        "pandas": pd.Timestamp.now("UTC").timestamp() - now,
        "pandas utcnow": pd.to_datetime("now", utc=True).timestamp() - now,
        "ctime": time.ctime() == time.ctime(now) == time.asctime() == time.asctime(time.localtime(now)),
        "strftime": time.strftime("%F %T") == datetime.datetime.fromtimestamp(now).astimezone().strftime("%F %T"),
        "localtime": time.mktime(time.localtime()) - int(now),
        "email": email.utils.localtime().timestamp() - now,
        "uuid1": round((uuid.uuid1().time - 0x01B21DD213814000) / 1e7 - now, 3),
        "timeit": timeit.timeit("pass", number=10),
        "get_clock_info": time.get_clock_info("monotonic").monotonic,
    }


def sockets_of_its_own() -> Any:
    begun = since()
    here, there = socket.socketpair()
    threading.Timer(2, there.send, (b"x",)).start()
    with selectors.DefaultSelector() as chosen:
        chosen.register(here, selectors.EVENT_READ)
        early = len(chosen.select(timeout=1))
        late = len(chosen.select(timeout=5))
    found = [early, late, since() - begun, select.select([here], [], [], 0)[0] == [here]]
    here.close()
    there.close()
    return found


def databases() -> Any:
    """A file that several threads write, each by a connection of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/base"
        with contextlib.closing(sqlite3.connect(file)) as base:
            base.execute("create table t (who text, at real)")
            base.commit()

        def write(who: str) -> None:
            with contextlib.closing(sqlite3.connect(file, timeout=5)) as mine:
                for _ in range(3):
                    with mine:
                        mine.execute("insert into t values (?, ?)", (who, time.time()))
                    time.sleep(1)

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(write, "abc"))
        with contextlib.closing(sqlite3.connect(file)) as base:
            return base.execute("select who, count(*), max(at) - min(at) from t group by who").fetchall()


def leaks() -> Any:
    """What the documentation says shows the wall clock: seconds from the virtual one."""
    now = time.time()
    base = sqlite3.connect(":memory:")
    ((lite, stamp),) = base.execute("select strftime('%s', 'now'), current_timestamp")
    shown = np.datetime64("now", "s").astype(np.int64)
    stamped = datetime.datetime.fromisoformat(stamp).replace(tzinfo=datetime.UTC).timestamp()
    return [abs(int(each) - now) > 1_000_000 for each in (shown, lite, stamped)]


def daemons_and_events() -> Any:
    """A thread that is waited for too briefly, one that waits for itself, and one that is started twice."""
    begun, told = since(), []
    slow = threading.Thread(target=time.sleep, args=(5,), daemon=True)
    slow.start()
    slow.join(timeout=1)
    told.append((slow.is_alive(), since() - begun))
    for wrong in (threading.current_thread().join, slow.start, threading.Thread().join):
        try:
            wrong()
        except RuntimeError as error:
            told.append(str(error))
    slow.join()
    return told, slow.is_alive(), since() - begun
