"""What bots do with threads, clocks and waits; run by `prepared.py`, judged by `test_virtual_time.py`.

Ordinary code: nothing in here knows that time is virtual.
"""

import asyncio
import collections
import datetime
import logging
import os
import queue
import random
import secrets
import sqlite3
import subprocess
import threading
import time
import urllib.request
import uuid
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as LateError
from time import monotonic as early_monotonic
from time import sleep as early_sleep
from time import time as early_time
from typing import Any

import numpy as np
import pandas as pd
import requests


def sleep() -> Any:
    start, ticks = time.time(), time.monotonic()
    time.sleep(1.5)
    early_sleep(0.5)
    return time.time() - start, round(time.monotonic() - ticks, 6)


def clocks() -> Any:
    zone = datetime.UTC
    now = time.time()
    return {
        "early": early_time() - now,
        "now": datetime.datetime.now(zone).timestamp() - now,
        "utcnow": datetime.datetime.utcnow().replace(tzinfo=zone).timestamp() - now,  # noqa: DTZ003
        "pandas": pd.Timestamp.now("UTC").timestamp() - now,
        "gmtime": time.strftime("%Y", time.gmtime()),
        "ns": time.time_ns() / 1e9 - now,
        "gettime": time.clock_gettime(time.CLOCK_REALTIME) - now,
        "same": time.perf_counter() == early_monotonic() == time.clock_gettime(time.CLOCK_MONOTONIC),
        "record": logging.LogRecord("x", 20, "x", 1, "x", None, None).created - now,
    }


def bad_sleeps() -> Any:
    errors = []
    for bad in (-1, "1", float("nan"), None):
        try:
            time.sleep(bad)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            errors.append(type(error).__name__)
    return errors


def timer() -> Any:
    start = time.time()
    rung: list[float] = []
    first = threading.Timer(2, lambda: rung.append(time.time() - start))
    second = threading.Timer(1, lambda: rung.append(-1.0))
    first.start()
    second.start()
    second.cancel()
    first.join()
    return rung, first.is_alive()


def event() -> Any:
    start = time.time()
    it = threading.Event()
    threading.Timer(3, it.set).start()
    early = it.wait(1)
    later = it.wait()
    return early, later, time.time() - start


def lock() -> Any:
    held = threading.Lock()
    order = []

    def want(name: int) -> None:
        with held:
            order.append(name)
            time.sleep(0.1)

    held.acquire()
    all_ = [threading.Thread(target=want, args=(each,)) for each in range(5)]
    for each in all_:
        each.start()
    tries = held.acquire(blocking=False), held.acquire(timeout=0.5)
    held.release()
    for each in all_:
        each.join()
    errors = []
    for call in (held.release, lambda: held.acquire(False, 1), lambda: held.acquire(timeout=-2)):
        try:
            call()
        except (RuntimeError, ValueError) as error:
            errors.append(str(error))
    return order, tries, held.locked(), errors


def rlock() -> Any:
    held = threading.RLock()
    seen = []

    def other() -> None:
        seen.append(held.acquire(timeout=1))
        try:
            held.release()
        except RuntimeError as error:
            seen.append(str(error))
        with held:
            seen.append("in")

    with held, held:
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(2)
    thread.join()
    return seen


def condition() -> Any:
    ready = threading.Condition()
    items: list[int] = []
    got = []

    def consume() -> None:
        with ready:
            got.append((bool(ready.wait_for(lambda: items, timeout=10)), items.pop()))

    workers = [threading.Thread(target=consume) for _ in range(3)]
    for each in workers:
        each.start()
    for value in range(3):
        time.sleep(1)
        with ready:
            items.append(value)
            ready.notify()
    for each in workers:
        each.join()
    with ready:
        late = ready.wait(0.5)
    return got, late


def semaphore() -> Any:
    gate = threading.BoundedSemaphore(2)
    start = time.time()
    done = []

    def pass_(number: int) -> None:
        with gate:
            time.sleep(1)
        done.append((number, time.time() - start))

    all_ = [threading.Thread(target=pass_, args=(each,)) for each in range(4)]
    for each in all_:
        each.start()
    for each in all_:
        each.join()
    return done


def barrier() -> Any:
    meet = threading.Barrier(3)
    start = time.time()
    left = []

    def come(after: float) -> None:
        time.sleep(after)
        meet.wait()
        left.append(time.time() - start)

    all_ = [threading.Thread(target=come, args=(each,)) for each in (1, 2, 3)]
    for each in all_:
        each.start()
    for each in all_:
        each.join()
    try:
        meet.wait(0.5)
    except threading.BrokenBarrierError:
        left.append(-1)
    return left


def queues() -> Any:
    got: list[Any] = []
    for it in (queue.Queue(2), queue.LifoQueue(), queue.SimpleQueue()):

        def produce(it: Any = it) -> None:
            for value in range(3):
                it.put(value)
                time.sleep(0.1)

        thread = threading.Thread(target=produce)
        thread.start()
        got.append([it.get() for _ in range(3)])
        thread.join()
        try:
            it.get(timeout=1)
        except queue.Empty:
            got.append("empty")
    return got


def pool() -> Any:
    def work(length: float) -> float:
        time.sleep(length)
        return length

    start = time.time()
    with ThreadPoolExecutor(2) as workers:
        mapped = list(workers.map(work, [3, 1, 1]))
        futures: list[Future[float]] = [workers.submit(work, each) for each in (3, 1)]
        finished = [each.result() for each in as_completed(futures)]
        try:
            workers.submit(work, 10).result(timeout=2)
        except LateError:
            mapped.append(-1)
    return mapped, finished, time.time() - start


def loops() -> Any:
    async def late(length: float) -> float:
        await asyncio.sleep(length)
        return length

    async def all_() -> Any:
        start = time.monotonic()
        gathered = await asyncio.gather(late(1), late(2))
        try:
            await asyncio.wait_for(late(10), 1)
        except TimeoutError:
            gathered.append(-1)
        gathered.append(await asyncio.to_thread(lambda: (time.sleep(2), 5)[1]))
        box: asyncio.Queue[int] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        threading.Timer(1, lambda: loop.call_soon_threadsafe(box.put_nowait, 6)).start()
        gathered.append(await box.get())
        assert asyncio.get_running_loop() is loop
        return gathered, round(time.monotonic() - start, 2)

    others: list[Any] = []
    thread = threading.Thread(target=lambda: others.append(asyncio.run(all_())))
    thread.start()
    mine = asyncio.run(all_())
    thread.join()
    return mine, others


def old_loop() -> Any:
    async def later() -> str:
        await asyncio.sleep(3)
        return "done"

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(later())
    finally:
        loop.close()


def cron() -> Any:
    runs: list[Any] = []

    def every(seconds: float, name: str) -> None:
        for _ in range(3):
            runs.append((name, int(time.time()) % 100))
            time.sleep(seconds)

    start = time.time()
    time.sleep(100 - start % 100)
    all_ = [threading.Thread(target=every, args=each, daemon=True) for each in ((10, "a"), (15, "b"))]
    for each in all_:
        each.start()
    for each in all_:
        each.join()
    return runs


def hundred() -> Any:
    total = collections.Counter[str]()
    held = threading.Lock()

    def work(number: int) -> None:
        for _ in range(20):
            time.sleep(0.01 * (number % 7 + 1))
            with held:
                total["n"] += 1

    all_ = [threading.Thread(target=work, args=(each,)) for each in range(100)]
    for each in all_:
        each.start()
    alive = threading.active_count()
    for each in all_:
        each.join()
    return total["n"], alive, len({each.ident for each in all_})


def deadlock() -> Any:
    a, b = threading.Lock(), threading.Lock()

    def other() -> None:
        with b:
            time.sleep(1)
            with a:  # line A
                pass

    threading.Thread(target=other, name="other", daemon=True).start()
    with a:
        time.sleep(1)
        with b:  # line B
            pass


def own_deadlock() -> Any:
    a = threading.Lock()
    a.acquire()
    a.acquire()  # line C


def no_deadlock() -> Any:
    """Waiting for what another thread will do is none, although each waits for the other in turn."""
    there, back = threading.Event(), threading.Event()

    def other() -> None:
        there.wait()
        time.sleep(1)
        back.set()

    threading.Thread(target=other).start()
    there.set()
    back.wait()
    return "through"


def reads_the_clock() -> Any:
    start = time.time()
    while time.time() - start < 60:
        pass  # line D
    return round(time.time() - start)


def reads_the_clock_slowly() -> Any:
    start = time.time()
    while time.time() - start < 30:
        time.sleep(0)
    return round(time.time() - start)


class Flag:
    up = False


def spins() -> Any:
    flag = Flag()
    threading.Timer(5, lambda: setattr(flag, "up", True)).start()
    start = time.time()
    while not flag.up:  # line E
        pass
    return 5 <= time.time() - start < 20


def works_for_ever() -> Any:
    count = 0
    while True:
        count += 1  # line F


def works_for_a_while() -> Any:
    start, count = time.time(), 0
    for count in range(8_000_000):  # noqa: B007
        pass
    return count, time.time() - start


def random_numbers() -> Any:
    return [
        random.random(),
        random.Random().random(),
        random.SystemRandom().random(),
        float(np.random.random()),
        float(np.random.default_rng().random()),
        uuid.uuid4().hex,
        uuid.uuid1().hex,
        secrets.token_hex(4),
        os.urandom(4).hex(),
    ]


def outside() -> Any:
    refused = []
    for call in (
        lambda: urllib.request.urlopen("http://192.0.2.1/"),
        lambda: subprocess.run(["curl", "http://example.com/?key=secret"], check=True),
        lambda: os.system("curl example.com"),
        lambda: requests.get("http://example.com"),
    ):
        try:
            call()
        except OSError as error:
            refused.append((type(error).__name__, str(error)))
    return refused


def local() -> Any:
    class Counted(threading.local):
        def __init__(self, first: int) -> None:
            self.value = first

    mine, counted = threading.local(), Counted(10)
    mine.x = 1
    counted.value += 1
    seen = []

    def other() -> None:
        seen.append((hasattr(mine, "x"), counted.value))
        mine.x = 2
        time.sleep(1)
        seen.append(mine.x)
        del mine.x

    thread = threading.Thread(target=other)
    thread.start()
    time.sleep(0.5)
    seen.append((mine.x, counted.value))
    thread.join()
    return seen, mine.__dict__


def database() -> Any:
    base = sqlite3.connect(":memory:", check_same_thread=False)
    base.execute("create table t (at real, who text)")

    def write(who: str) -> None:
        for _ in range(3):
            with base:
                base.execute("insert into t values (?, ?)", (time.time(), who))
            time.sleep(1)

    all_ = [threading.Thread(target=write, args=(each,)) for each in "ab"]
    for each in all_:
        each.start()
    for each in all_:
        each.join()
    rows = base.execute("select at, who from t").fetchall()
    return [(at - rows[0][0], who) for at, who in rows]


def raises_in_thread() -> Any:
    seen = []
    before = threading.excepthook
    threading.excepthook = lambda args: seen.append(args.exc_type.__name__)
    try:
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    finally:
        threading.excepthook = before
    return seen


def day_of_sleeps() -> Any:
    """As many as `SPAN` allows."""
    start = time.time()
    for _ in range(400):
        time.sleep(2)
    return time.time() - start


def identities() -> Any:
    main = threading.main_thread() is threading.current_thread()
    thread = threading.Thread(target=lambda: None, name="x")
    thread.start()
    thread.join()
    return main, threading.current_thread().name, thread.ident != threading.get_ident()
