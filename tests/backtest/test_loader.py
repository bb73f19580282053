"""Finding a strategy by what the command line calls it."""

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from mlthon.api.istrategy import IStrategy
from mlthon.backtest.loader import construct, default_config, load_strategy, parse_spec
from mlthon.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
HEAD = "from mlthon.api.istrategy import IStrategy\n"
ONE = HEAD + "class Mine(IStrategy):\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
    importlib.invalidate_caches()


def put(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text))


def told(spec: str) -> str:
    with pytest.raises(UserError) as caught:
        load_strategy(spec)
    return str(caught.value)


@pytest.mark.parametrize("spec", ["my_one.py", "my_one.py:Mine", "./my_one.py", "my_one", "my_one:Mine"])
def test_one_strategy_by_file_or_module(folder: Path, spec: str) -> None:
    put(folder, "my_one.py", ONE)
    cls = load_strategy(spec)
    assert cls.__name__ == "Mine"
    assert issubclass(cls, IStrategy)


def test_a_package_that_exports_its_strategy(folder: Path) -> None:
    put(folder, "pack/__init__.py", "from pack.inner import Mine")
    put(folder, "pack/inner.py", ONE)
    put(folder, "pack/pack.toml", "")
    assert load_strategy("pack").__name__ == "Mine"
    assert load_strategy("pack.inner:Mine") is load_strategy("pack")
    assert load_strategy("pack/") is load_strategy("pack")
    assert default_config("pack") == folder / "pack" / "pack.toml"


def test_a_file_elsewhere_finds_what_lies_beside_it(folder: Path) -> None:
    put(folder, "deep/down/beside.py", "QTY = 3")
    put(folder, "deep/down/strat_a.py", HEAD + "from beside import QTY\nclass Mine(IStrategy):\n    qty = QTY\n")
    put(folder, "deep/down/strat_a.toml", "")
    assert vars(load_strategy("deep/down/strat_a.py"))["qty"] == 3
    assert default_config("deep/down/strat_a.py") == Path("deep/down/strat_a.toml")
    assert default_config("deep/down/beside.py") is None


def test_a_file_named_like_a_standard_module_is_still_that_file(folder: Path) -> None:
    put(folder, "random.py", ONE)
    assert load_strategy("random.py").__name__ == "Mine"
    assert sys.modules["random"].__file__ != str(folder / "random.py")


@pytest.mark.parametrize("name", ["feedhandlers", "gateways"])
def test_a_folder_beside_a_strategy_does_not_hide_a_package_of_ours(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for each in [each for each in sys.modules if each.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, each)
    put(folder, f"{name}/__init__.py", "raise ValueError('the wrong one')")
    put(folder, f"{name}/mine.py", "")
    put(folder, "mlthon/__init__.py", "raise ValueError('the wrong one')")
    put(folder, "beside.py", ONE)
    put(folder, "theirs.py", f"import {name}.mine\n" + ONE)
    load_strategy("beside.py")
    assert sys.modules[name].__file__ == str(ROOT / name / "__init__.py")
    assert importlib.import_module("mlthon").__file__ == str(ROOT / "mlthon" / "__init__.py")
    assert f"mlthon has a package {name} of its own" in told("theirs.py")


def test_the_same_file_is_loaded_once(folder: Path) -> None:
    put(folder, "twice.py", HEAD + "class A(IStrategy): pass\nclass B(IStrategy): pass\n")
    assert load_strategy("twice.py:A").__module__ == load_strategy("twice:B").__module__ == "twice"


def test_the_most_derived_class_is_meant(folder: Path) -> None:
    put(folder, "layers.py", HEAD + "class Base(IStrategy): pass\nclass Mine(Base): pass\n")
    assert load_strategy("layers").__name__ == "Mine"


def test_an_imported_strategy_counts_only_where_there_is_no_own(folder: Path) -> None:
    put(folder, "base_one.py", ONE)
    put(folder, "derived.py", "from base_one import Mine\nclass Better(Mine): pass\n")
    put(folder, "renamed.py", "from base_one import Mine\n")
    assert load_strategy("derived").__name__ == "Better"
    assert load_strategy("renamed").__name__ == "Mine"


WRONG = [
    ("", "names no strategy"),
    ("my_one:", "names no strategy"),
    ("my one", "neither a module nor a .py file"),
    ("--data", "neither a module nor a .py file"),
    ("my_one.py:", "names no strategy"),
    ("my_won", "no such strategy: there is no module my_won; did you mean 'my_one'?"),
    ("my_won.py", "no such strategy: there is no file my_won.py; did you mean 'my_one.py'?"),
    ("my_one.sub", "no such strategy: there is no module my_one.sub"),
    ("nowhere/my_one.py", "no such strategy: there is no file nowhere/my_one.py"),
    ("my_one:Mein", "my_one has no class 'Mein'; did you mean 'Mine'?"),
    ("my_one:Mein", "Its strategies: Mine."),
    ("two.py", "two.py holds 2 strategies\nName one of them: two.py:Left, two.py:Right."),
    ("duck.py", "duck.py holds no strategy"),
    ("duck.py", "write class Duck(IStrategy):"),
    ("duck.py:Duck", "duck.py:Duck is no strategy: the class does not derive from IStrategy"),
    ("duck.py:LIMIT", "duck.py:LIMIT is no class, but of type int"),
    ("syntax.py", "syntax.py:3: syntax error: "),
    ("syntax.py", "  def on_start(self, x\n"),
    ("indirect_syntax", "syntax.py:3: syntax error: "),
    ("missing.py", "missing.py:2: loading missing.py raised ModuleNotFoundError: No module named 'nmpy_not_there'"),
    ("missing", "Install what provides 'nmpy_not_there', or put nmpy_not_there.py beside the strategy."),
    ("raises.py", "raises.py:3: loading raises.py raised ZeroDivisionError: division by zero"),
    ("deep_raise", "raises.py:3: loading deep_raise raised ZeroDivisionError: division by zero"),
    ("exits.py", "exits.py:2: loading exits.py raised SystemExit: 3"),
    ("nul.py", "nul.py"),
    ("coroutine.py", "coroutine.py:4: Mine.on_start is an async def\nWrite def: "),
]


@pytest.mark.parametrize(("spec", "message"), WRONG)
def test_whatever_is_wrong_is_told(folder: Path, spec: str, message: str) -> None:
    put(folder, "my_one.py", ONE)
    put(folder, "two.py", HEAD + "class Left(IStrategy): pass\nclass Right(IStrategy): pass\n")
    put(folder, "duck.py", "LIMIT = 1\nclass Duck:\n    def on_start(self, params): pass\n")
    put(folder, "syntax.py", "class A:\n\n    def on_start(self, x\n        pass\n")
    put(folder, "indirect_syntax.py", "import syntax\n")
    put(folder, "missing.py", "import os\nimport nmpy_not_there\n")
    put(folder, "raises.py", "a = 1\n\nb = a / 0\n")
    put(folder, "deep_raise.py", "import raises\n")
    put(folder, "exits.py", "import sys\nsys.exit(3)\n")
    put(
        folder,
        "coroutine.py",
        HEAD + "class Mine(IStrategy):\n    qty = 1\n    async def on_start(self, params): pass\n",
    )
    (folder / "nul.py").write_bytes(b"a = 1\n\x00\n")
    assert message in told(spec)


def test_a_name_that_is_nearly_a_callbacks_is_pointed_at(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ("on_best_bid_update", "on_start", "on_status", "on_best_levels_update", "on_position_details")
    put(
        folder,
        "nearly.py",
        HEAD + "class Mine(IStrategy):\n" + "".join(f"    def {each}(self): pass\n" for each in names),
    )
    load_strategy("nearly.py")
    assert [each.getMessage() for each in caplog.records] == [
        "Mine.on_best_bid_update is no callback: did you mean on_best_bid_level_update?"
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(folder: Path) -> None:
    put(folder, "locked.py", ONE)
    (folder / "locked.py").chmod(0)
    assert "locked.py" in told("locked.py")


@pytest.mark.parametrize(
    ("spec", "name"),
    [("demo_strat", "demo_strat"), ("a.b", "b"), ("a.b:C", "C"), ("x/my.py", "my"), ("x/my.py:C", "C")],
)
def test_what_a_strategy_is_called(spec: str, name: str) -> None:
    assert parse_spec(spec).name == name


class Takes(IStrategy):
    def __init__(self, cfg: dict[str, object]) -> None:
        self.cfg = cfg


class MayTake(IStrategy):
    def __init__(self, cfg: dict[str, object] | None = None) -> None:
        self.cfg = cfg


class TakesAll(IStrategy):
    def __init__(self, *args: object) -> None:
        self.cfg = args[0]


class TakesNone(IStrategy):
    def __init__(self) -> None:
        self.cfg = "none"


class TakesTwo(IStrategy):
    def __init__(self, cfg: object, more: object) -> None: ...


class Raises(IStrategy):
    def __init__(self, cfg: dict[str, object]) -> None:
        self.qty = cfg["qty"]


@pytest.mark.parametrize(
    ("cls", "cfg"), [(Takes, {"a": 1}), (MayTake, {"a": 1}), (TakesAll, {"a": 1}), (TakesNone, "none")]
)
def test_the_constructor_gets_the_parameters_where_it_takes_an_argument(cls: type[IStrategy], cfg: object) -> None:
    assert vars(construct(cls, {"a": 1}))["cfg"] == cfg


def test_the_constructor_gets_a_copy() -> None:
    params = {"a": 1}
    vars(construct(Takes, params))["cfg"]["a"] = 2
    assert params == {"a": 1}


def test_a_class_without_a_constructor() -> None:
    assert isinstance(construct(IStrategy, {"a": 1}), IStrategy)


def test_a_constructor_that_wants_too_much() -> None:
    with pytest.raises(UserError, match=r"TakesTwo wants 2 arguments \(cfg, more\)"):
        construct(TakesTwo, {})


def test_a_constructor_that_raises_is_told_with_its_place() -> None:
    with pytest.raises(UserError) as caught:
        construct(Raises, {"a": 1})
    assert "test_loader.py:" in caught.value.message
    assert "the constructor of Raises raised KeyError: 'qty'" in caught.value.message
    assert caught.value.hint == "It was called with the parameters {'a': 1}."
