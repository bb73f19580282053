"""Whole runs: whatever strategies send, money is conserved, every order is explained, and the same inputs give the same
digest."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlthon.basics.instrument import Instrument
from mlthon.config import RunConfig, StrategyConfig
from mlthon.data.replay import Replay
from mlthon.data.rows import MemorySource
from mlthon.data.sources import open_sources
from mlthon.engine.clock import SECOND
from mlthon.exchange.config import FundingConfig, MarginConfig
from tests.backtest.chaos import MARKETS, Chaos, changed, walk
from tests.backtest.play import Played, configured, play

SEEDS = st.integers(0, 1 << 30)
WHOLE = (Phase.explicit, Phase.generate)
"""A seed is no simpler for being smaller: there is nothing to shrink."""
ACCOUNTS = {"alone": ("a", "b", "c"), "shared": ("main", "main", "main"), "pairs": ("a", "a", "b")}


def chaos(seed: int, *accounts: str) -> dict[str, Any]:
    return {
        f"s{number}": (Chaos, StrategyConfig(strategy="chaos", account=account, params={"seed": seed + number}))
        for number, account in enumerate(accounts)
    }


def strategies_of(played: Played) -> dict[str, Any]:
    return {name: session.strategy for name, session in played.run.assembly.engine.sessions.items()}


def check_conserved(played: Played) -> None:
    """Nothing came or went: all cash, position value and fees are what was deposited, to the last unit."""
    for exchange in played.run.assembly.exchanges.values():
        deposited: dict[str, int] = {}
        for gateway in exchange.accounts.values():
            for coin, amount in gateway.ledger.deposits.items():
                deposited[coin] = deposited.get(coin, 0) + amount
        total = exchange.total()
        assert {coin: total.get(coin, 0) for coin in deposited} == deposited


def held_by_accounts(played: Played) -> dict[tuple[str, int], int]:
    """(account, instrument id) -> lots, by the exchange."""
    return {
        (name, instrument.number): stake.position.lots
        for exchange in played.run.assembly.exchanges.values()
        for name, gateway in exchange.accounts.items()
        for instrument, stake in gateway.ledger.stakes.items()
        if stake.position.lots
    }


def held_by_strategies(played: Played, instruments: tuple[Instrument, ...]) -> dict[tuple[str, int], int]:
    """The same by what strategies were told."""
    scales = {each.number: each.qty_scale for each in instruments}
    held: dict[tuple[str, int], int] = {}
    for session in played.run.assembly.engine.sessions.values():
        account = next(iter(session.ports.values())).account
        for number, qty in session.strategy.held.items():
            key = (account, number)
            held[key] = held.get(key, 0) + scales[number].steps(qty)
    return {key: lots for key, lots in held.items() if lots}


@pytest.mark.parametrize("sharing", ACCOUNTS)
@hypothesis_settings(max_examples=4, deadline=None, phases=WHOLE)
@given(seed=SEEDS, latency_ms=st.sampled_from([0.0, 1.0, 70.0]))
def test_money_is_conserved_and_every_order_is_explained(sharing: str, latency_ms: float, seed: int) -> None:
    config = configured(
        latency_ms,
        {"funding": FundingConfig(rate=0.001, interval_hours=1 / 60), "margin": MarginConfig(leverage=20)},
        stop_ack_timeout_s=0.5,
    )
    played = play(chaos(seed, *ACCOUNTS[sharing]), walk(seed, 200), config)
    check_conserved(played)
    assert played.result.errors == 0
    for name, strategy in strategies_of(played).items():
        assert strategy.faults == [], name
        never_sent = strategy.unfinished()
        assert not any(never_sent.values()), name
        assert len(never_sent) == strategy.refused, name
    assert held_by_strategies(played, MARKETS) == held_by_accounts(played)


def test_the_chaos_reaches_what_it_is_to_prove() -> None:
    """Else the test above would prove little."""
    played = play(chaos(1, "main", "main", "b"), walk(1, 1_000), configured())
    events = " ".join(event for s in strategies_of(played).values() for o in s.orders.values() for event in o.events)
    for needed in ("ack", "reject", "fill", "modify ack", "modify reject", "cancel ack", "cancel reject"):
        assert needed in events
    assert {each.instrument for each in played.result.holdings} == {each.name for each in MARKETS}


# -- determinism -----------------------------------------------------------------------------------------------------

DEMO = StrategyConfig(strategy="demo_strat", params={"entry_qty": "0.1", "quote_qty": "0.01"})


def demo(**params: Any) -> dict[str, StrategyConfig]:
    return {"demo": evolve(DEMO, params={**DEMO.params, **params})}


def synthetic_digest(**more: Any) -> str | None:
    strategies = demo(**more.pop("params", {}))
    return play(strategies, None, configured(), duration=20 * SECOND, **more).result.digest


def made_digest(source: Any = None, seed: int = 5, **more: Any) -> str | None:
    return play(chaos(seed, "a", "b"), source or walk(3, 150), configured(), **more).result.digest


def test_the_same_inputs_give_the_same_digest_and_others_another() -> None:
    digest = synthetic_digest()
    assert digest == synthetic_digest()
    assert digest != synthetic_digest(seed=2)
    assert digest != synthetic_digest(params={"quote_qty": "0.02"})
    assert synthetic_digest(digest=False) is None


def test_one_changed_row_or_one_changed_request_changes_the_digest() -> None:
    digest = made_digest()
    assert digest == made_digest()
    assert digest != made_digest(changed(walk(3, 150)))
    assert digest != made_digest(seed=6)


@pytest.mark.parametrize("rows", [1, 7, 100_000])
def test_how_data_is_cut_into_chunks_and_batches_changes_nothing(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = made_digest()
    whole = walk(3, 150)
    cut = MemorySource({stream: next(whole.chunks(stream)) for stream in whole.streams()}, rows)
    assert made_digest(cut) == digest

    def in_batches(*args: Any) -> Replay:
        return Replay(*args, rows=rows)

    monkeypatch.setattr("mlthon.backtest.prepare.Replay", in_batches)
    assert made_digest() == digest


def digest_in_a_process(hash_seed: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mlthon", "demo_strat", "--set", "entry_qty=0.1", "--json", *args],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        timeout=100,
    )
    found = json.loads(done.stdout)
    assert found["fills"] > 0
    return str(found["digest"])


def test_the_hash_seed_of_the_process_changes_nothing_on_the_synthetic_market() -> None:
    digests = {digest_in_a_process(seed, "--duration", "30s") for seed in ("0", "1")}
    assert len(digests) == 1


def test_the_hash_seed_of_the_process_changes_nothing_on_a_recording(shared: Path) -> None:
    file = shared / "exchange-data/binance-usdm/hftbacktest/btcusdt_20230404.dat.gz"
    digests = {digest_in_a_process(seed, "--data", str(file), "--duration", "60s") for seed in ("0", "1")}
    assert len(digests) == 1


def test_recordings_give_the_same_digest_twice(shared: Path) -> None:
    file = shared / "exchange-data/binance-usdm/hftbacktest/btcusdt_20240718.gz"

    def digest(**params: Any) -> str | None:
        sources, problems = open_sources([file])
        assert not problems
        return play(demo(**params), list(sources), RunConfig(), duration=60 * SECOND).result.digest

    assert digest() == digest()
    assert digest() != digest(quote_qty="0.02")
