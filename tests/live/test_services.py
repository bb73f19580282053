"""Services: started before what they stand beside, cancelled after it, and their failures."""

import logging
from typing import Any

import pytest
import trio

from mlthon.live.services import Host, serving


class Recording:
    """A service that writes down what happens to it."""

    def __init__(self, told: list[str], name: str = "recording", fail: str = "") -> None:
        self.told = told
        self.name = name
        self.fail = fail

    async def serve(self, host: Host, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        if self.fail == "early":
            raise ValueError("no such port")
        self.told.append(f"{self.name} up")
        task_status.started()
        try:
            if self.fail == "late":
                raise ValueError("lost it")
            await trio.sleep_forever()
        finally:
            self.told.append(f"{self.name} down")


def beside(*services: Recording, told: list[str]) -> None:
    async def go() -> None:
        async with serving(services, Host(lambda call, *args: bool(call(*args)) or True, lambda: 7)):
            await trio.sleep(0.01)
            told.append("the run")

    trio.run(go)


def test_services_start_before_the_run_and_end_after_it() -> None:
    told: list[str] = []
    beside(Recording(told, "a"), Recording(told, "b"), told=told)
    assert told[:3] == ["a up", "b up", "the run"]
    assert sorted(told[3:]) == ["a down", "b down"]


def test_a_service_that_fails_later_leaves_the_run_alone(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    with caplog.at_level(logging.ERROR, "mlthon.live"):
        beside(Recording(told, "a", fail="late"), told=told)
    assert told == ["a up", "a down", "the run"]
    assert "a failed; the run goes on without it" in caplog.text


def test_a_service_that_cannot_start_ends_the_run_before_it_begins() -> None:
    told: list[str] = []
    with pytest.raises(ExceptionGroup) as raised:
        beside(Recording(told, "a", fail="early"), told=told)
    assert raised.group_contains(ValueError, match="no such port")
    assert told == []
