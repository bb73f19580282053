"""What waits for a bot: order, conflation, bounds, and threads on both sides."""

import random
import threading
from typing import Any

import pytest

from mlthon.link.bot.mailbox import Mailbox
from mlthon.link.contract import Published
from mlthon.link.wire import WireError


def drain(mailbox: Mailbox) -> list[Any]:
    found: list[Any] = []
    while mailbox._items:
        found += [mailbox.take_quote(item) if isinstance(item, int) else item for item in mailbox.take_some()]
    return found


def test_the_newest_quote_takes_the_place_of_the_oldest_and_all_else_keeps_its_order() -> None:
    mailbox = Mailbox(2)
    news = Published("a", 1)
    mailbox.quote(0, 1.0, 1.0, 2.0, 1.0, 1)
    mailbox.trade(0, 1, 5.0, 1.0, 2)
    mailbox.quote(1, 3.0, 1.0, 4.0, 1.0, 3)
    mailbox.post(news)
    mailbox.quote(0, 1.5, 1.0, 2.0, 1.0, 4)
    mailbox.trade(0, -1, 5.5, 1.0, 5)
    assert drain(mailbox) == [
        (0, 1.5, 1.0, 2.0, 1.0, 4),
        (0, 1, 5.0, 1.0, 2),
        (1, 3.0, 1.0, 4.0, 1.0, 3),
        news,
        (0, -1, 5.5, 1.0, 5),
    ]
    mailbox.quote(0, 9.0, 1.0, 9.5, 1.0, 6)
    assert drain(mailbox) == [(0, 9.0, 1.0, 9.5, 1.0, 6)]


def test_of_trades_beyond_a_markets_bound_the_oldest_are_dropped_and_counted_and_nothing_else_is() -> None:
    mailbox = Mailbox(3, trades_kept=2)
    mailbox.trade(2, 1, 7.0, 1.0, 0)
    for n in range(8):
        mailbox.trade(n % 2, 1, float(n), 1.0, n)
        mailbox.post(Published("a", n))
    assert mailbox.posted == [4, 4, 1]
    assert mailbox.take_dropped() == {0: 2, 1: 2}
    assert mailbox.take_dropped() == {}
    found = drain(mailbox)
    assert [each[2] for each in found if isinstance(each, tuple)] == [7.0, 4.0, 5.0, 6.0, 7.0]
    assert [each.value for each in found if isinstance(each, Published)] == list(range(8))
    mailbox.trade(0, 1, 9.0, 1.0, 9)
    assert drain(mailbox) == [(0, 1, 9.0, 1.0, 9)]
    assert mailbox.take_dropped() == {}


@pytest.mark.parametrize("seed", range(5))
def test_what_waits_is_what_a_plain_list_would_hold_and_does_not_grow(seed: int) -> None:
    draw = random.Random(seed)
    mailbox, kept = Mailbox(2, trades_kept=5), 5
    plain: list[tuple[int, int, float, float, int]] = []
    dropped = [0, 0]
    for n in range(2_000):
        market = int(draw.random() < 0.1)
        mine = [each for each in plain if each[0] == market]
        if len(mine) == kept:
            plain.remove(mine[0])
            dropped[market] += 1
        plain.append((market, 1, float(n), 1.0, n))
        mailbox.trade(*plain[-1])
        assert len(mailbox._items) <= 2 * len(plain) + 1
        if draw.random() < 0.01:
            assert drain(mailbox) == plain
            plain.clear()
    assert drain(mailbox) == plain
    assert list(map(mailbox.take_dropped().get, range(2))) == dropped


@pytest.mark.parametrize("datum", [(2, 1, 5.0, 1.0, 1), (-1, 1, 5.0, 1.0, 1), (0, 1, 5.0), ("0", 1, 5.0, 1.0, 1)])
def test_what_is_no_market_datum_is_refused(datum: Any) -> None:
    with pytest.raises(WireError, match="neither a quote nor a trade"):
        Mailbox(2).put([datum])


def test_a_reader_that_waits_is_woken_by_news_and_by_the_end() -> None:
    mailbox = Mailbox(1)
    got: list[Any] = []

    def read() -> None:
        while items := mailbox.take_some():
            got.extend(mailbox.take_quote(item) if isinstance(item, int) else item for item in items)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    writers = 4
    each = 500

    def write(seed: int) -> None:
        draw = random.Random(seed)
        for n in range(each):
            if draw.random() < 0.5:
                mailbox.quote(0, float(n), 1.0, 2.0, 1.0, n)
            mailbox.trade(0, seed, float(n), 1.0, n)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while not mailbox.idle:
        pass
    mailbox.close()
    reader.join(5)
    assert not reader.is_alive()
    trades = [item for item in got if len(item) == 5]
    assert len(trades) == writers * each
    for seed in range(writers):
        assert [item[2] for item in trades if item[1] == seed] == [float(n) for n in range(each)]
