"""Telegram's limits, kept by whoever asks when a message may go."""

from mlthon.ops.telegram.pace import Limits, Pace


def times(pace: Pace, chats: list[int]) -> list[float]:
    """When messages to these chats go, one after the other."""
    now = 0.0
    found = []
    for chat in chats:
        now = max(now, pace.ready_at(chat))
        pace.sent(chat, now)
        found.append(now)
    return found


def test_one_a_second_to_a_chat() -> None:
    assert times(Pace(), [1, 2, 1, 2, 1]) == [0, 0, 1, 1, 2]


def test_twenty_a_minute_to_a_group() -> None:
    found = times(Pace(), [-1] * 45)
    assert found[19] == 19
    assert found[20] == 60
    assert found[40] == 120
    assert times(Pace(), [1] * 45)[-1] == 44


def test_thirty_a_second_altogether() -> None:
    found = times(Pace(), list(range(1, 70)))
    assert found[29] == 0
    assert found[30] == 1
    assert found[60] == 2


def test_a_chat_waits_as_long_as_telegram_says_and_the_others_do_not() -> None:
    pace = Pace(Limits())
    pace.pause(1, 40.0)
    pace.pause(1, 10.0)
    assert (pace.ready_at(1), pace.ready_at(2)) == (40.0, 0.0)
