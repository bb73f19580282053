"""Which venues and markets a bot gets: as configured, as said on the command line, and else as its text suggests.

A bot's text names its venues (`fetch_positions('BitMEX')`), exchanges (`'bitmex'`) and symbols (`'XBTUSD'`) as string
literals. What neither configuration nor command line says is taken from there; a market that is subscribed without a
venue on its exchange gets the venue that the platform's users have there. What was found is told, so that nobody has to
guess what a bot trades on.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from mlthon.basics.catalogue import instruments as catalogue_of
from mlthon.basics.defs import Exchange
from mlthon.config import RunConfig, VenueConfig
from mlthon.errors import UserError, near
from mlthon.link.bot.source import read
from mlthon.link.host.sources import EXCHANGES, by_symbol, exchange_of, src_of, usual_symbol, venue_name

_LITERAL: Final = re.compile(r"""(["'])([^"'\\\n]{1,40})\1""")
_VENUE: Final = re.compile(
    r"""(?:(?:fetch_candles|fetch_balances|fetch_open_orders|fetch_positions|create_limit_order|create_market_order"""
    r"""|amend_order|cancel_order|call_endpoint)\s*\(\s*|venue\w*\s*={1,2}\s*)["']([^"'\\\n]{1,40})["']""",
    re.IGNORECASE,
)
_TABLE: Final = re.compile(r"venues\w*\s*=\s*(?=[{\[(])", re.IGNORECASE)
_PIECE: Final = re.compile(
    r"""#[^\n]*|(?P<open>[{\[(])|(?P<close>[}\])])|(["'])(?P<text>[^"'\\\n]{0,40})\3(?P<key>\s*:)?"""
)
"""What a table of venues is read by: comments, brackets, and strings, which may be keys."""

_POSITION: Final = re.compile(r"""["']pos_size["']""")
_SIDE: Final = re.compile(r"""["']side["']\s*[\])]""")
_DEF: Final = re.compile(r"\s*(?:async\s+)?def\s+(\w+)")
_AROUND: Final = 4
"""Lines around the size of a position in which its side is looked for."""


@frozen(kw_only=True)
class VenueChoice:
    """A venue of a bot: `exchange` is the one that is traded on, `symbols` what stands there for the bot's symbols
    where that is not the exchange of `src`."""

    name: str
    src: str
    exchange: Exchange
    account: str
    elsewhere: bool = False
    symbols: Mapping[str, str] = {}
    signed_positions: bool = False


@frozen(kw_only=True)
class BotChoice:
    """A bot with its venues and the markets that it hears, (src, sym). `besides`: others that its text names, in which
    it may trade without hearing of them. `found`: what of all this was taken from its text."""

    name: str
    file: Path
    venues: tuple[VenueChoice, ...]
    markets: tuple[tuple[str, str], ...]
    besides: tuple[tuple[str, str], ...] = ()
    found: tuple[str, ...] = ()
    guessed: bool = False
    """Whether the markets were: a run that lacks some of them goes without."""


@frozen
class Hints:
    """What a bot's text names."""

    venues: tuple[str, ...]
    srcs: tuple[str, ...]
    words: tuple[str, ...]
    signed: bool
    """It reads the sizes of positions and their sides nowhere: it takes the sign from the size. Of bots in public half
    do, ProfitView's own among them, and without a sign those add to a short position where they mean to close it."""


def hints_of(text: str) -> Hints:
    """What a bot's text names, each once, in its order."""
    words = tuple(dict.fromkeys(match.group(2).strip() for match in _LITERAL.finditer(text)))
    named = [match.group(1).strip() for match in _VENUE.finditer(text)]
    for table in _TABLE.finditer(text):
        named += _in_table(text, table.end())
    venues = tuple(dict.fromkeys(each for each in named if each))
    return Hints(
        # An exchange's name is a venue's only where the text names no other.
        tuple(each for each in venues if each not in EXCHANGES) or venues,
        tuple(each for each in words if each in EXCHANGES),
        words,
        _reads_signs(text),
    )


def _reads_signs(text: str) -> bool:
    lines = [line.partition("#")[0] for line in text.splitlines()]
    sizes = []
    method = ""
    for number, line in enumerate(lines):
        if found := _DEF.match(line):
            method = found[1]
        # what `position_update` is given has its sign in any case
        if method != "position_update" and _POSITION.search(line):
            sizes.append(number)
    around = (line for number in sizes for line in lines[max(number - _AROUND, 0) : number + _AROUND + 1])
    return bool(sizes) and not any(_SIDE.search(line) for line in around)


def _in_table(text: str, begin: int) -> Iterator[str]:
    """The keys of the dict, or the strings of the list, that opens at `begin`: bots for several accounts keep a table
    of them (`VENUES = {'account1': {...}, 'account2': {...}}`)."""
    depth = 0
    for piece in _PIECE.finditer(text, begin):
        depth += bool(piece["open"]) - bool(piece["close"])
        if not depth:
            return
        if depth == 1 and piece["text"] and (piece["key"] or text[begin] != "{"):
            yield piece["text"].strip()


def choose_bots(
    config: RunConfig,
    files: Sequence[Path] | Mapping[str, Path],
    venues: Sequence[str] = (),
    subscribe: Sequence[str] = (),
) -> list[BotChoice]:
    """The bots of a run, by name or named after their files. `venues` and `subscribe` as on the command line
    (`BitMEX=bitmex`, `bitmex:XBTUSD`). Raises `UserError`."""
    configured = dict(config.venues) | parse_venues(venues, config.venues)
    wanted = parse_markets(subscribe, "--subscribe") if subscribe else None
    if wanted is None and config.link.subscribe is not None:
        wanted = parse_markets(config.link.subscribe, "link.subscribe")
    named = files if isinstance(files, Mapping) else _named(files)
    more = {name: tuple(each.instruments or ()) for name, each in config.exchanges.items()}
    return [_choose(name, file, configured, wanted, more) for name, file in named.items()]


def _named(files: Sequence[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in files:
        name, number = file.stem, 2
        while name in named:
            name, number = f"{file.stem}{number}", number + 1
        named[name] = file
    return named


def _choose(
    name: str,
    file: Path,
    configured: Mapping[str, VenueConfig],
    wanted: Sequence[tuple[str, str]] | None,
    more: Mapping[str, Sequence[str]],
) -> BotChoice:
    """`more`: instruments by exchange that the configuration names."""
    hints = hints_of(read(file))
    found: list[str] = []
    venues = dict(configured)
    if not venues:
        venues = _venues_named(hints, [src for src, _ in wanted or ()])
        found += [f"venue {each} on {venue.src}" for each, venue in venues.items()]
    for each, venue in venues.items():
        # BitMEX is bitmex
        venues[each] = evolve(venue, src=src_of(exchange_of(venue.src, f"venues.{each}.src")))
    if hints.signed and any(each.signed_positions is None for each in venues.values()):
        found.append("positions with signs")
    markets = list(wanted) if wanted is not None else _markets_named(hints, venues)
    if wanted is None:
        found += [f"market {src}:{sym}" for src, sym in markets]
    for src in dict.fromkeys(src for src, _ in markets):
        if src not in {each.src for each in venues.values()}:
            venues[venue_name(src)] = VenueConfig(src=src)
            found.append(f"venue {venue_name(src)} on {src}")
    besides = [each for each in _words_of(hints, venues) if each not in markets]
    found += [f"{src}:{sym} without market data" for src, sym in besides]
    chosen = tuple(venue_choice(each, venue, signed=hints.signed) for each, venue in venues.items())
    return BotChoice(
        name=name,
        file=file,
        venues=chosen,
        markets=tuple(_checked(each, chosen, more) for each in markets),
        besides=tuple(besides),
        found=tuple(found),
        guessed=wanted is None,
    )


def venue_choice(name: str, venue: VenueConfig, *, signed: bool = False) -> VenueChoice:
    """A venue as configured; `signed`: its positions, where that is not. Raises `UserError`."""
    where = f"venues.{name}"
    home = exchange_of(venue.src, f"{where}.src")
    there = home if venue.trade_on is None else exchange_of(venue.trade_on, f"{where}.trade_on")
    if venue.symbols and there is home:
        raise UserError(f"{where}.symbols: only with trade_on", "The exchange's own symbols need no table.")
    if there is not home and not venue.symbols:
        raise UserError(
            f"{where}: trade_on needs symbols",
            f'For example: symbols = {{{usual_symbol(venue.src)} = "{usual_symbol(venue.trade_on or "")}"}}',
        )
    return VenueChoice(
        name=name,
        src=src_of(home),
        exchange=there,
        account=venue.account or name,
        elsewhere=there is not home,
        symbols=venue.symbols,
        signed_positions=signed if venue.signed_positions is None else venue.signed_positions,
    )


def _checked(
    market: tuple[str, str], venues: Iterable[VenueChoice], more: Mapping[str, Sequence[str]]
) -> tuple[str, str]:
    """A market that there is. Raises `UserError`."""
    src, sym = market
    venue = next(each for each in venues if each.src == src)
    if venue.elsewhere:
        known: Iterable[str] = venue.symbols
    else:
        known = [*by_symbol(catalogue_of(venue.exchange)), *more.get(venue.exchange.name, ())]
    known = list(known)
    if known and sym not in known:
        hint = f"There are {', '.join(sorted(known))}"
        if not venue.elsewhere:
            hint += f"; name others that a live exchange has in [exchanges.{venue.exchange.name}] instruments"
        raise UserError(f"subscribe: {src} has no symbol {sym!r}{near(sym, known)}", f"{hint}.")
    return src, sym


def parse_venues(texts: Sequence[str], configured: Mapping[str, VenueConfig]) -> dict[str, VenueConfig]:
    """`--venue NAME=SRC`. Raises `UserError`."""
    found = {}
    for text in texts:
        name, _, src = (part.strip() for part in text.partition("="))
        if not name or not src:
            raise UserError(f"--venue {text}: not NAME=SRC", "For example: --venue BitMEX=bitmex")
        exchange_of(src, f"--venue {text}")
        found[name] = evolve(configured[name], src=src.lower()) if name in configured else VenueConfig(src=src.lower())
    return found


def parse_markets(texts: Sequence[str], where: str) -> list[tuple[str, str]]:
    """`SRC:SYMBOL`. Raises `UserError`."""
    found = []
    for text in texts:
        src, _, sym = (part.strip() for part in text.partition(":"))
        if not src or not sym:
            raise UserError(f"{where}: {text!r} is not SRC:SYMBOL", "For example: bitmex:XBTUSD")
        exchange_of(src, where)
        found.append((src.lower(), sym))
    return list(dict.fromkeys(found))


def _venues_named(hints: Hints, subscribed: Sequence[str]) -> dict[str, VenueConfig]:
    """The venues that a text names, on the exchanges that it names or that are subscribed."""
    alike = {
        name: src for name in hints.venues for src in reversed(EXCHANGES) if src in re.sub(r"\W", "", name).lower()
    }
    srcs = list(dict.fromkeys([*subscribed, *hints.srcs])) or list(dict.fromkeys(alike.values())) or ["bitmex"]
    venues = {name: VenueConfig(src=alike.get(name, srcs[0])) for name in hints.venues}
    for src in srcs:
        if src not in {each.src for each in venues.values()}:
            venues[venue_name(src)] = VenueConfig(src=src)
    return venues


def _markets_named(hints: Hints, venues: Mapping[str, VenueConfig]) -> list[tuple[str, str]]:
    """The symbols that a text names, by exchange; a main market where it names none of it."""
    named = _words_of(hints, venues)
    found: list[tuple[str, str]] = []
    for src in _srcs(venues):
        usual = next(iter(_elsewhere(src, venues)), None) or usual_symbol(src)
        found += [each for each in named if each[0] == src] or ([(src, usual)] if usual else [])
    return found


def _words_of(hints: Hints, venues: Mapping[str, VenueConfig]) -> list[tuple[str, str]]:
    """The symbols that a text names, by exchange."""
    found: list[tuple[str, str]] = []
    for src in _srcs(venues):
        symbols = _elsewhere(src, venues) or by_symbol(catalogue_of(exchange_of(src, "src")))
        found += [(src, word) for word in hints.words if word in symbols]
    return found


def _srcs(venues: Mapping[str, VenueConfig]) -> Iterable[str]:
    return dict.fromkeys(each.src for each in venues.values())


def _elsewhere(src: str, venues: Mapping[str, VenueConfig]) -> Mapping[str, str]:
    """The symbols of a src that another exchange's stand for."""
    return {sym: there for each in venues.values() if each.src == src for sym, there in each.symbols.items()}
