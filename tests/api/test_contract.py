"""The contract with strategies, compared with the documentation's text."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlthon.api.istrat_env import IStratEnv, MDSub
from mlthon.api.istrategy import IStrategy

BEYOND = {"subscribe_to_market_data", "unsubscribe_from_market_data", "request_execution_connection"}
SIGNATURE = re.compile(r"^(?:abstract )?(\w+)\((.*)\)\[source\]$", re.MULTILINE)
MEMBER = re.compile(r"^(\w+) = (\(\d+,\)|\d+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def documentation(shared: Path) -> str:
    return (shared / "docs" / "mlthon-api.txt").read_text(encoding="utf-8")


def documented(text: str, name: str, until: str) -> dict[str, list[str]]:
    """Method -> arguments, as they stand between two class headings."""
    part = text.split(f"class {name}[source]", 1)[1].split(until, 1)[0]
    return {
        method: [a.strip() for a in arguments.split(",") if a.strip()] for method, arguments in SIGNATURE.findall(part)
    }


def methods(of_class: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in vars(of_class).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


def test_every_callback_is_as_documented(documentation: str) -> None:
    expected = documented(documentation, "IStrategy", "\x00")
    ours = {name: [*signature.parameters][1:] for name, signature in methods(IStrategy).items()}
    assert len(expected) == 36
    assert ours == expected


def test_every_request_is_as_documented(documentation: str) -> None:
    expected = documented(documentation, "IStratEnv", "class MDSub")
    ours = methods(IStratEnv)
    assert len(expected) == 16
    assert set(ours) == set(expected) | BEYOND
    for name, arguments in expected.items():
        parameters = list(ours[name].parameters.values())[1:]
        positional = [p for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        assert [p.name for p in positional] == [argument.split("=")[0] for argument in arguments], name
        for parameter, argument in zip(positional, arguments, strict=True):
            if "=" in argument:
                assert parameter.default is None, name
        # What is beyond the documentation is optional and by keyword only.
        others = [p for p in parameters if p not in positional]
        assert all(p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is None for p in others), name


def test_subscription_kinds_are_as_documented(documentation: str) -> None:
    part = documentation.split("class MDSub(value)[source]", 1)[1].split("mlthon.api.istrategy module", 1)[0]
    members = dict(MEMBER.findall(part))
    assert {member.name: repr(member.value) for member in MDSub} == members
    assert len(members) == 5


def test_plain_numbers_and_names_resolve_too() -> None:
    assert [MDSub(number) for number in range(5)] == [
        MDSub.OrderBook,
        MDSub.LevelBook,
        MDSub.PriceLevelBook,
        MDSub.BBO,
        MDSub.PublicTrades,
    ]
    assert MDSub((3,)) is MDSub.BBO
    assert MDSub("BBO") is MDSub.BBO
    with pytest.raises(ValueError, match="9 is not a valid MDSub"):
        MDSub(9)


@pytest.mark.parametrize("name", methods(IStrategy))
def test_every_callback_does_nothing_by_default(name: str) -> None:
    callback = getattr(IStrategy(), name)
    arguments = [object() for _ in inspect.signature(callback).parameters]
    assert callback(*arguments) is None


def test_nothing_is_abstract_and_no_constructor_is_asked_for() -> None:
    class Old(IStrategy):
        def __init__(self, cfg: dict[str, object]) -> None:
            self.cfg = cfg  # without super().__init__()

        def on_public_trade(self, exchange, symbol, side, price, qty, exec_ts, recv_ts):  # type: ignore[no-untyped-def]
            self.cfg["seen"] = price

    strategy = Old({})
    strategy.on_public_trade(None, "BTC-USD", None, 5, 6, 7, 8)
    assert strategy.cfg == {"seen": 5}
    assert not inspect.isabstract(IStrategy)


def test_the_extension_is_there_only_where_a_strategy_defines_it() -> None:
    assert not hasattr(IStrategy, "on_best_levels_update")
    assert "on_best_levels_update" in (IStrategy.__doc__ or "")


def test_an_environment_made_for_a_test_is_one() -> None:
    class Env(IStratEnv):
        def __init__(self) -> None:
            self.name = ""

        def login(self, strat_name: str) -> None:
            self.name = strat_name

    env: IStratEnv = Env()  # type: ignore[abstract]
    env.login("me")
    assert env.name == "me"  # type: ignore[attr-defined]


def test_the_api_imports_quickly() -> None:
    probe = (
        "import sys, mlthon.api.istrategy; print(*sorted(name for name in sys.modules if name.startswith('mlthon')))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mlthon", "mlthon.api", "mlthon.api.istrategy"]
    probe = "import sys, mlthon.api.istrat_env; print(*{'numpy', 'attr', 'inspect', 'trio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
