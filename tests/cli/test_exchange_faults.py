"""How schedules of faults are spelled, and what is said of those that are not."""

from pathlib import Path

import pytest

from mlthon.cli.exchange_faults import read_faults
from mlthon.engine.clock import MS, SECOND
from mlthon.errors import UserError
from mlthon.exchange.served.fault_schedule import Rule

SPELLED = [
    ("disconnect=18s", Rule("disconnect", every=(18 * SECOND,) * 2)),
    ("disconnect=10s-30s", Rule("disconnect", every=(10 * SECOND, 30 * SECOND))),
    ("drop=1%@/v5/order", Rule("drop", share=0.01, path="/v5/order")),
    ("delay=5%:200ms-2s", Rule("delay", share=0.05, lasts=(200 * MS, 2 * SECOND))),
    ("push-delay=0.5%:1s", Rule("push-delay", share=0.005)),
    ("error=1%:503@/api", Rule("error", share=0.01, status=503, path="/api")),
    ("limit=5s", Rule("limit", every=(5 * SECOND,) * 2)),
    ("halt=2m:5s", Rule("halt", every=(120 * SECOND,) * 2, lasts=(5 * SECOND,) * 2)),
    ("timeout-after-accept=100%", Rule("timeout-after-accept", share=1.0)),
]


def plain(rule: Rule) -> tuple[object, ...]:
    return rule.kind, rule.share, rule.every, rule.path, rule.lasts, rule.status


@pytest.mark.parametrize(("text", "rule"), SPELLED)
def test_a_rule(text: str, rule: Rule) -> None:
    (read,) = read_faults(text).rules
    assert plain(read) == plain(rule)
    assert read.text == text


def test_several_and_none() -> None:
    assert [rule.kind for rule in read_faults("drop=1%, duplicate=2%,halt=1m").rules] == ["drop", "duplicate", "halt"]
    assert read_faults(None).rules == ()


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text('seed = 7\n[faults]\ndisconnect = "18s"\ndelay = ["5%:200ms-2s", "1%:10s@/v5/order"]\n')
    plan = read_faults(str(file))
    assert plan.seed == 7
    assert [rule.text for rule in plan.rules] == ["disconnect=18s", "delay=5%:200ms-2s", "delay=1%:10s@/v5/order"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("boom=1%", "there is no fault 'boom'"),
        ("disconect=3s", "did you mean 'disconnect'"),
        ("delay", "does not say when"),
        ("drop=x%", "'x%' is no share"),
        ("drop=nan%", "is not over 0%"),
        ("drop=0%", "is not over 0%"),
        ("drop=101%", "is not over 0% and up to 100%"),
        ("drop=often", "'often' is no duration"),
        ("delay=1%:2s-1s", "the shorter first"),
        ("delay=1%:2h", "not from 1ms to 1h"),
        ("drop=1%:5s", "drop has nothing after a colon"),
        ("error=1%:200", "no HTTP status from 400 to 599"),
        ("error=1%@v5", "does not begin with /"),
        ("disconnect=5%", "has no share"),
        ("push-drop=3s", "strikes a share"),
        ("", "there is no fault ''"),
    ],
)
def test_what_cannot_be_read(text: str, told: str) -> None:
    with pytest.raises(UserError, match="--faults") as caught:
        read_faults(text)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[faults", "Expected"),
        ("", "no [faults] table"),
        ("[fault]\ndrop='1%'", "fault: it has seed"),
        ("seed='x'\n[faults]\ndrop='1%'", "seed: 'x'"),
        ("[faults]\ndrop=1", "drop: 1 is neither text"),
        ("[faults]\ndrop=[]", "neither text nor a list"),
        ("[faults]\nboom='1%'", "no fault 'boom'"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(content)
    with pytest.raises(UserError, match=r"faults\.toml") as caught:
        read_faults(str(file))
    assert told in str(caught.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"none\.toml: .*No such file"):
        read_faults("none.toml")
