"""The report of a run on live market data, against a local exchange."""

import json
from pathlib import Path
from typing import Any

from mlthon.backtest.result import Holding, Result
from mlthon.cli.live import by_account
from tests.live.test_live_runs import done, exchange, live

__all__ = ["exchange"]


def test_a_live_run_writes_its_report(exchange: str, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    told = done(live(tmp_path, exchange, "--duration", "5s", "--report", str(folder)))
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["mode"], summary["orders"], summary["fills"]) == ("live", told["orders"], told["fills"])
    assert summary["samples"] > 2
    assert summary["orders"] > 0
    fills = (folder / "fills.csv").read_text().splitlines()
    assert len(fills) == 1 + told["fills"]
    assert {path.suffix for path in folder.iterdir()} == {".csv", ".parquet", ".html", ".json", ".txt"}


def test_holdings_of_strategies_that_share_an_account_are_added_up() -> None:
    def holding(instrument: str, position: int, realised: int, fees: int) -> Holding:
        return Holding(
            instrument=instrument,
            account="main",
            coin="USDT",
            position=position,
            entry=5,
            mark=None,
            realised=realised,
            unrealised=0,
            fees=fees,
        )

    counts: dict[str, Any] = dict.fromkeys(("events", "orders", "acks", "rejects", "cancels", "fills", "errors"), 0)
    amounts: dict[str, Any] = {name: {} for name in ("volume", "fees", "pnl", "position")}
    holdings = (holding("x", 3, 7, 1), holding("y", 1, 1, 1), holding("x", -1, 2, 2))
    told = Result(strategy="s", mode="live", elapsed_s=1.0, digest=None, **counts, **amounts, holdings=holdings)
    x, y = by_account(told).holdings
    assert (x.instrument, x.position, x.realised, x.fees, x.entry) == ("x", 2, 9, 3, None)
    assert y == holding("y", 1, 1, 1)
