"""The documentation says what is true: its strategies run, its links lead somewhere, its tables list what there is."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import pytest

from mlthon.api.istrat_env import IStratEnv
from mlthon.api.istrategy import IStrategy
from mlthon.backtest.result import Result
from mlthon.basics.defs import CancelCode, GtwRejectCode
from mlthon.config import (
    RESERVED,
    AlertConfig,
    Command,
    EngineConfig,
    ErrorBudget,
    ExchangeLive,
    LinkConfig,
    LiveConfig,
    ReportConfig,
    StrategyConfig,
    VenueConfig,
    WebConfig,
)
from mlthon.data.timing import FeedTiming
from mlthon.engine.risk import RiskLimits
from mlthon.exchange.config import (
    ExchangeConfig,
    FundingConfig,
    LatencyConfig,
    MarginConfig,
    QueueConfig,
    RateLimitConfig,
)
from mlthon.order.books.level_book import LevelBook
from mlthon.order.books.order_book import OrderBook
from mlthon.order.books.price_level_book import PriceLevelBook
from mlthon.order.order_mgr import OrderMgr

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "benchmarks" / "README.md", *(ROOT / "docs").glob("*.md")])

# A complete strategy is marked so: <!-- complete file: NAME.py -->, then the fenced code.
COMPLETE = re.compile(r"<!-- complete file: (\S+\.py) -->\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
NAME = re.compile(r"`([A-Za-z_]\w*)")


def complete_strategies() -> Iterator[Any]:
    for page in PAGES:
        for name, code in COMPLETE.findall(page.read_text("utf-8")):
            yield pytest.param(name, code, id=f"{page.name}:{name}")


@pytest.mark.parametrize(("name", "code"), list(complete_strategies()))
def test_complete_strategy_runs(name: str, code: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(code, "utf-8")
    command = [sys.executable, "-m", "mlthon", name, "--duration", "1m", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["errors"] == 0, done.stderr
    assert result["fills"] > 0


def test_readme_has_a_complete_strategy_and_the_commands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert COMPLETE.search(readme)
    assert "make demo" in readme
    assert "make test" in readme


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def floors() -> list[str]:
    """The packages of the architecture page's list, from the top floor down."""
    block = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## Floors")[2].split("```")[1]
    names = [line.split()[0].removesuffix(".py").strip("/").replace("/", ".") for line in block.strip().splitlines()]
    return [name for name in names if name not in ("gateways", "benchmarks", "tests")]


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def test_folders_import_only_from_floors_below() -> None:
    order = floors()

    def floor(module: str) -> int | None:
        known = [name for name in order if module == name or module.startswith(name + ".")]
        return order.index(known[0]) if known else None

    upwards = []
    checked = 0
    for name in order:
        path = ROOT / name.replace(".", "/")
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            for module in imported(file):
                target = floor(module)
                checked += target is not None
                if target is not None and target < order.index(name):
                    upwards.append(f"{file.relative_to(ROOT)} imports {module}")
    assert checked > 300
    assert upwards == []


def test_every_package_has_a_floor() -> None:
    there = {path.name for path in (ROOT / "mlthon").iterdir() if path.is_dir() and path.name != "__pycache__"}
    there |= {path.stem for path in (ROOT / "mlthon").glob("*.py") if not path.stem.startswith("__")}
    assert there - {"TickUnit"} == {name.removeprefix("mlthon.") for name in floors() if name.startswith("mlthon.")}


def table(page: str, marker: str) -> list[list[str]]:
    """The cells of the table that follows `<!-- marker -->`, without its heading."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    start = f"<!-- {marker} -->\n"
    assert text.count(start) == 1, f"{page} must have {start.strip()} once"
    rows = []
    for line in text.partition(start)[2].splitlines():
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


def as_written(default: Any) -> str:
    """A default as the tables write it."""
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    if default is attrs.NOTHING:
        return "required"
    if default is None:
        return "none"
    if attrs.has(type(default)):
        return "table"
    if isinstance(default, Enum):
        default = default.value
    if isinstance(default, tuple):
        default = list(default)
    return f"`{json.dumps(default)}`"


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        *(
            ("embedded-exchange.md", kind)
            for kind in (ExchangeConfig, LatencyConfig, QueueConfig, MarginConfig, FundingConfig, RateLimitConfig)
        ),
        *(
            ("command-line.md", kind)
            for kind in (EngineConfig, ErrorBudget, FeedTiming, ReportConfig, StrategyConfig, Command)
        ),
        *(("live-trading.md", kind) for kind in (LiveConfig, ExchangeLive, RiskLimits)),
        *(("profitview-bots.md", kind) for kind in (VenueConfig, LinkConfig)),
        *(("webhooks.md", kind) for kind in (WebConfig, AlertConfig)),
    ],
)
def test_configuration_keys_and_defaults(page: str, kind: Any) -> None:
    told = [(row[0].strip("`"), row[1]) for row in table(page, f"keys: {kind.__name__}")]
    assert told == [(field.name, as_written(field.default)) for field in attrs.fields(kind)]


def test_tables_of_a_configuration_file() -> None:
    told = [row[0].strip("`") for row in table("command-line.md", "names: tables")]
    assert sorted(told) == sorted(RESERVED)


def test_every_table_of_the_exchange_is_described() -> None:
    nested = {type(field.default) for field in attrs.fields(ExchangeConfig) if attrs.has(type(field.default))}
    assert nested == {LatencyConfig, QueueConfig, MarginConfig, FundingConfig, RateLimitConfig}


@pytest.mark.parametrize("kind", [GtwRejectCode, CancelCode])
def test_codes(kind: Any) -> None:
    told = [(row[0], int(row[1])) for row in table("embedded-exchange.md", f"members: {kind.__name__}")]
    assert told == [(member.name, member.value) for member in kind]


def arguments(function: Any) -> list[str]:
    return list(function.__code__.co_varnames[1 : function.__code__.co_argcount])


@pytest.mark.parametrize("kind", [IStrategy, IStratEnv])
def test_callbacks_and_methods_with_their_arguments(kind: Any) -> None:
    told = {}
    for row in table("writing-a-strategy.md", f"names: {kind.__name__}"):
        name, _, rest = row[0].strip("`").partition("(")
        told[name] = [each.partition("=")[0].strip() for each in rest.rstrip(")").split(",") if each]
    there = {name: arguments(value) for name, value in vars(kind).items() if not name.startswith("_")}
    assert told == there


CALL = re.compile(r"`(\w+)\(([^)]*)\)`")


def calls(text: str) -> dict[str, list[str]]:
    """The calls in a text and the names of their arguments."""
    return {
        name: [each.partition("=")[0].strip() for each in rest.split(",") if each] for name, rest in CALL.findall(text)
    }


def methods(kind: Any) -> dict[str, list[str]]:
    return {name: arguments(each) for name, each in vars(kind).items() if not name.startswith("_") and callable(each)}


def test_methods_of_the_order_manager() -> None:
    told = calls(" ".join(row[0] for row in table("writing-a-strategy.md", "names: OrderMgr")))
    assert told == methods(OrderMgr)


def test_methods_of_the_books() -> None:
    common = {"get_best_bid_lvl", "get_best_ask_lvl", "get_bid_lvls", "get_ask_lvls", "clear"}
    told = {
        row[0].strip("`").partition(".")[2]: calls(row[1]) for row in table("writing-a-strategy.md", "names: books")
    }
    there = {kind.__name__: methods(kind) for kind in (PriceLevelBook, LevelBook, OrderBook)}
    assert all(common <= set(each) for each in there.values())
    assert told == {kind: {k: v for k, v in each.items() if k not in common} for kind, each in there.items()}


def test_fields_of_the_json_line() -> None:
    empty: dict[str, Any] = {field.name: 0 for field in attrs.fields(Result) if field.default is attrs.NOTHING}
    empty |= {name: {} for name in ("volume", "fees", "pnl", "position")}
    told = [name for row in table("command-line.md", "names: json") for name in NAME.findall(row[0])]
    assert sorted(told) == sorted(json.loads(Result(**empty).to_json()))


def test_options() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlthon", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    there = set(re.findall(r"(?<![\w-])--[a-z]+", done.stdout))
    section = (ROOT / "docs" / "command-line.md").read_text("utf-8").partition("| option |")[2].partition("\n\n")[0]
    told = {name for line in section.splitlines() for name in re.findall(r"--[a-z]+", line.partition(" | ")[0])}
    assert told == there
