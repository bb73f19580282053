"""The Crypto Arsenal strategies of a run put together, and joined to the run's engine.

`Arsenals` gives the configuration and the strategies that a run is made with, and is attached to the engine once that
is there. `python -m mlthon webhook` is such a run too: its strategy is called `webhook` and has no file.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Final

from attrs import evolve, frozen

from mlthon.arsenal.ca import missing_member, missing_members
from mlthon.arsenal.choice import PairChoice, checked_options, choose_pairs, meant, with_options
from mlthon.arsenal.market import FetchHistory, Pair, Tap
from mlthon.arsenal.outcomes import Tell
from mlthon.arsenal.pages import Fetch
from mlthon.arsenal.source import Source, read
from mlthon.arsenal.strategy import ArsenalStrategy
from mlthon.arsenal.trader import TraderSettings
from mlthon.arsenal.webhook import WebhookTrader
from mlthon.backtest.loader import parse_spec
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.config import ExchangeSettings, RunConfig, StrategyConfig
from mlthon.data.rows import Source as Data
from mlthon.engine.candles import Candle, MinuteCandles
from mlthon.engine.engine import Engine
from mlthon.engine.state import MemoryState, State
from mlthon.errors import UserError, near

WEBHOOK: Final = "webhook"
"""What a strategy without a file is called: signals alone."""

History = Callable[[Instrument], Iterable[Candle]]
TakeSignal = Callable[[Mapping[str, Any], Tell], None]


def arsenal_files(strategies: Mapping[str, StrategyConfig]) -> dict[str, Source | None]:
    """Those of the strategies that are Crypto Arsenal's, by name; None for `webhook`."""
    found: dict[str, Source | None] = {}
    for name, each in strategies.items():
        if each.strategy == WEBHOOK:
            found[name] = None
            continue
        file = parse_spec(each.strategy).file
        source = read(file) if file is not None and file.is_file() else None
        if source is not None:
            found[name] = source
    return found


@frozen
class _Member:
    """One strategy of the run."""

    name: str
    config: StrategyConfig
    options: Mapping[str, str]
    pairs: tuple[PairChoice, ...]
    trader: ArsenalStrategy | WebhookTrader


class Arsenals:
    """See the module. `told`: what a user is shown at the start."""

    def __init__(
        self,
        config: RunConfig,
        strategies: Mapping[str, StrategyConfig],
        sources: Mapping[str, Source | None],
        *,
        pairs: Sequence[str] = (),
        data: Sequence[Data] | None = None,
        mode: str = "backtest",
        states: Callable[[str], State] | None = None,
    ) -> None:
        """`sources`: as of `arsenal_files`. `pairs`: as on the command line. `data`: None without. `states`: gives the
        file of a strategy's state, by its name; None: memory. Raises `UserError`."""
        self.config = config
        self.told: list[str] = []
        self._mode = mode
        self._states = states or (lambda name: MemoryState())
        given, where = (list(pairs), "--pair") if pairs else (config.arsenal.pairs or [], "arsenal.pairs")
        self._instruments = None if data is None else [each for source in data for each in source.instruments]
        self.members = []
        for name, source in sources.items():
            options = checked_options(strategies[name].params, {} if source is None else source.options)
            chosen, told = choose_pairs(given, where, source, self._instruments)
            params = strategies[name].params
            trader = WebhookTrader(name) if source is None else ArsenalStrategy(name, source, options, params)
            if isinstance(trader, ArsenalStrategy):
                trader.rules = config.arsenal.signals == "rules"
                trader.backtest = mode == "backtest"
            self.members.append(_Member(name, strategies[name], options, tuple(chosen), trader))
            names = ", ".join(f"{each.exchange.name} {each.key}" for each in chosen)
            self.told.append(f"{name}: trades {names}" + (f" ({told})" if told else ""))
            missing = missing_members(() if source is None else source.members)
            self.told += [f"{name}: {missing_member(each)}" for each in missing]

    # -- what a run is made with -------------------------------------------------------------------------------------

    @property
    def exchanges(self) -> list[Exchange]:
        """The exchanges that are traded on."""
        return list(dict.fromkeys(pair.exchange for each in self.members for pair in each.pairs))

    @property
    def strategies(self) -> dict[str, tuple[Any, StrategyConfig]]:
        """The strategies, for an engine."""
        return {
            each.name: (
                partial(_same, each.trader),
                evolve(each.config, exchanges=list(dict.fromkeys(pair.exchange.name for pair in each.pairs))),
            )
            for each in self.members
        }

    def configured(self, *, data: bool) -> RunConfig:
        """The run's configuration: with fee, spread and leverage of the options, and without `data` with the pairs
        among its instruments. Raises `UserError` where two strategies want different ones of one exchange."""
        exchanges = dict(self.config.exchanges)
        seen: dict[Exchange, tuple[str, ExchangeSettings]] = {}
        for member in self.members:
            for exchange in dict.fromkeys(each.exchange for each in member.pairs):
                mine = [each for each in member.pairs if each.exchange is exchange]
                settings = self.config.exchanges.get(exchange.name, ExchangeSettings())
                traded = [each for each in (meant(pair, self._instruments) for pair in mine) if each is not None]
                settings = with_options(settings, member.config.params, member.options, traded)
                other = seen.setdefault(exchange, (member.name, settings))
                if _terms(other[1]) != _terms(settings):
                    raise UserError(
                        f"{other[0]} and {member.name} want different fees or leverages of {exchange.name}",
                        f"Set them in [exchanges.{exchange.name}], or run them one by one.",
                    )
                exchanges[exchange.name] = settings
        if not data:
            for exchange in self.exchanges:
                settings = exchanges[exchange.name]
                keys = [pair.key for each in self.members for pair in each.pairs if pair.exchange is exchange]
                wanted = list(dict.fromkeys([*(settings.instruments or ()), *keys]))
                exchanges[exchange.name] = evolve(settings, instruments=wanted)
        return evolve(self.config, exchanges=exchanges)

    # -- joining -----------------------------------------------------------------------------------------------------

    def allow_requests(self, fetch: Fetch) -> None:
        """Have the strategies' requests to addresses outside carried out."""
        for member in self.members:
            if isinstance(member.trader, ArsenalStrategy):
                member.trader.fetch_page = fetch

    def attach(self, engine: Engine, history: History | None = None, fetch: FetchHistory | None = None) -> None:
        """Join the strategies to their sessions in a run's engine. `history`: minutes from before the run; `fetch`:
        candles are fetched from an exchange instead. Raises `UserError` for a pair that the run has not."""
        as_text = self.config.arsenal.candle_values == "text"
        open_percent = self.config.arsenal.open_percent
        for member in self.members:
            pairs = []
            for choice in member.pairs:
                instrument = self._found(engine, member, choice)
                past = () if history is None else history(instrument)
                pair = Pair(choice.shown, instrument, past, engine.clock.now, as_text=as_text)
                engine.feed(instrument).add_tap(Tap(pair))
                pairs.append(pair)
            options = member.options
            settings = TraderSettings(
                leverage=Fraction(options["leverage"]),
                fee=Fraction(options["exchange_fee"]) + Fraction(options["spread"]) / 2,
                of_margin=None if open_percent is None else open_percent == "margin",
            )
            member.trader.attach(engine.sessions[member.name], pairs, self._states(member.name), settings)
            if isinstance(member.trader, ArsenalStrategy):
                member.trader.fetch = fetch

    def _found(self, engine: Engine, member: _Member, choice: PairChoice) -> Instrument:
        found = engine.universe.find(choice.exchange, choice.key)
        if found is None:
            known = [str(each.get_mlt_symbol()).upper() for each in engine.universe.of(choice.exchange)]
            raise UserError(
                f"{member.name}: this run has no {choice.exchange.name} {choice.key}{near(choice.key, known)}",
                f"It has {', '.join(known) or 'nothing'} of {choice.exchange.name}; choose with --pair EXCHANGE:PAIR.",
            )
        coins = (None, found.base_currency, found.quote_currency)
        if found.settle_currency not in coins:
            raise UserError(
                f"{member.name}: {found.name} is settled in {found.settle_currency}, neither of its two currencies",
                "The platform has no such contracts: choose another with --pair EXCHANGE:PAIR.",
            )
        return found

    def minutes(self, instrument: Instrument) -> MinuteCandles:
        """What was heard of an instrument's trades."""
        return next(
            pair.minutes for each in self.members for pair in each.trader.pairs if pair.instrument == instrument
        )

    @property
    def signals(self) -> dict[str, TakeSignal]:
        """Who takes signals, by connector: for `Control.signals`."""
        named = self.config.arsenal.connector
        if named is not None and len(self.members) == 1:
            return {named: self.members[0].trader.take}
        return {each.name: each.trader.take for each in self.members}

    def or_failed(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """`stop`, or a strategy has turned out to be none that can be run."""
        return lambda: stop() or bool(self.failures)

    @property
    def failures(self) -> list[UserError]:
        """Why strategies could not be run."""
        traders = [each.trader for each in self.members if isinstance(each.trader, ArsenalStrategy)]
        return [each.failure for each in traders if each.failure is not None]


def _terms(settings: ExchangeSettings) -> tuple[object, ...]:
    return settings.maker_fee, settings.taker_fee, settings.margin


def _same(trader: Any) -> Any:
    return trader
