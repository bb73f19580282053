"""What is found out and settled before a run goes live: where the exchange is, what it trades, whose account it is.

Nothing here places an order. What does not fit (an account in a mode that the gateway cannot trade, an instrument that
the exchange has not, a host where orders cost money and nobody said so) is a `UserError`.
"""

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import trio
from attrs import evolve, frozen

from mlthon.basics.catalogue import InstrumentIndex, UnknownInstrument
from mlthon.basics.catalogue import instruments as catalogue_of
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, SECOND
from mlthon.errors import UserError, near
from mlthon.venue.codec import BadMessage, Codec, Endpoints, NoAnswer, Question, Refused
from mlthon.venue.facts import AccountFact
from mlthon.venue.wire import Answer, Edge, Failure, Frame, HttpMessage

log = logging.getLogger("mlthon.live")

T = TypeVar("T")

LOCAL: Final = "local"
LOCAL_URL: Final = "http://127.0.0.1:8080"
"""Where `python -m mlthon exchange NAME` listens unless it is told otherwise."""
MAIN: Final = "main"
WORST_OFFSET: Final = 60 * SECOND
"""A clock that differs more (ns) from the exchange's is told."""
RATE_LIMIT_S: Final = 120.0
"""How long a start waits for an exchange's rate limit."""
LEAST_PAUSE_S: Final = 0.25


def run_trio(main: Callable[[], Awaitable[T]]) -> T:
    """`trio.run`, with the one `UserError`, `KeyboardInterrupt` or other error out of nested nurseries as itself."""
    try:
        return trio.run(main)
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


# -- where -------------------------------------------------------------------------------------------------------------


def endpoints_at(exchange: Exchange, environments: Mapping[str, Endpoints], wanted: str) -> Endpoints:
    """The environment called `wanted`, or its `main` moved to the host `wanted`. Raises `UserError`."""
    if wanted in environments:
        return environments[wanted]
    base = LOCAL_URL if wanted == LOCAL else wanted
    if "://" not in base:
        known = ", ".join([*environments, LOCAL])
        raise UserError(
            f"{exchange.name} has no environment {wanted!r}{near(wanted, [*environments, LOCAL])}",
            f"It has {known}; or give the address of a host, like {LOCAL_URL}.",
        )
    try:
        moved = environments[MAIN].at(base)
    except ValueError as error:
        raise UserError(f"--url: {error}") from None
    return evolve(moved, real_money=_may_cost(base, environments))


def _may_cost(url: str, environments: Mapping[str, Endpoints]) -> bool:
    """Whether orders at this address may cost money: not on this machine or its network, nor where an exchange has its
    test environment. Who knows better than that has to say so."""
    host = urlsplit(url).hostname or ""
    known = {
        urlsplit(each).hostname: where.real_money for where in environments.values() for each in where.urls.values()
    }
    if host in known:
        return known[host]
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." in host  # a plain name is one of this network
    return not (address.is_loopback or address.is_private)


def refuse_real_money(exchange: Exchange, endpoints: Endpoints, allowed: bool) -> None:
    """Raise `UserError` for a place where orders cost money unless that was allowed in so many words."""
    if endpoints.real_money and not allowed:
        hosts = ", ".join(sorted({urlsplit(each).netloc for each in endpoints.urls.values()}))
        raise UserError(
            f"orders on {exchange.name} {endpoints.environment} ({hosts}) cost real money",
            "If that is what you want, say so: --yes-trade-real-money, or yes_trade_real_money = true in [live].",
        )


# -- questions ---------------------------------------------------------------------------------------------------------


async def ask(edge: Edge, question: Question[T], now_ms: Callable[[], int], limit_s: float = 30.0) -> T:
    """The answer to a codec's question, before there is a gateway to ask it. `now_ms`: the exchange's time. Raises
    Refused, and NoAnswer also when it takes longer than `limit_s` in all."""
    with trio.move_on_after(limit_s):
        try:
            request = next(question)
            while True:
                message = request.build(now_ms())
                if isinstance(message, Frame):
                    raise TypeError(f"{request.name}: a question before the start must go over HTTP")
                answer = await _answer(edge, message, request.timeout_s)
                if isinstance(answer, Failure):
                    request = question.throw(NoAnswer(answer.reason))
                else:
                    request = question.send(answer)
        except StopIteration as over:
            result: T = over.value
            return result
    raise NoAnswer(f"no answer within {limit_s:g} s")


async def _answer(edge: Edge, message: HttpMessage, timeout_s: float) -> Answer:
    done = trio.Event()
    got: list[Answer] = []

    def answered(answer: Answer) -> None:
        got.append(answer)
        done.set()

    edge.http(message, timeout_s, answered)
    await done.wait()
    return got[0]


async def asked(
    exchange: Exchange, what: str, edge: Edge, make: Callable[[], Question[T]], now_ms: Callable[[], int]
) -> T:
    """Like `ask`, for what a run cannot start without: what goes wrong is a `UserError`. A rate limit is waited for: a
    run that is started again and again must not fail for that."""
    until = trio.current_time() + RATE_LIMIT_S
    while True:
        try:
            return await ask(edge, make(), now_ms)
        except NoAnswer as error:
            raise UserError(
                f"{exchange.name}: no answer when asked for {what}: {error}",
                "Look at --url, and whether the exchange can be reached from here.",
            ) from None
        except BadMessage as error:
            raise UserError(
                f"{exchange.name}: the answer about {what} makes no sense: {error}",
                "Look at --url: something else may be there (a proxy, a page that asks for a login).",
            ) from None
        except Refused as error:
            pause = error.retry_after_s
            if error.final or pause is None or trio.current_time() + pause > until:
                hint = "Look at the API key, its permissions and the account." if error.final else "Try again later."
                raise UserError(f"{exchange.name} refused to tell {what}: {error.reason}", hint) from None
            log.warning("%s refuses to tell %s: %s; asked again", exchange.name, what, error.reason)
            await trio.sleep(max(pause, LEAST_PAUSE_S))


async def clock_offset(edge: Edge, codec: Codec, now: Callable[[], int]) -> int:
    """The exchange's clock minus ours (ns), from one question; the way there and back count half each."""
    sent = 0

    def question() -> Question[int]:
        nonlocal sent
        sent = now()
        return codec.server_time()

    theirs = await asked(codec.exchange, "its time", edge, question, lambda: now() // MS)
    return theirs - (sent + now()) // 2


# -- instruments -------------------------------------------------------------------------------------------------------


def matched(exchange: Exchange, told: Iterable[Instrument], wanted: Sequence[str] | None) -> list[Instrument]:
    """The instruments of a run: those `wanted` (any of their names), or without a wish those of the catalogue that the
    exchange trades. Ids and names are the catalogue's, ticks, lots and limits the exchange's. Raises `UserError`."""
    known = {(each.symbol, each.instrument_type): each for each in catalogue_of(exchange)}
    exact = []
    listed = []
    for each in told:
        ours = known.get((each.symbol, each.instrument_type))
        found = each if ours is None else _renamed(each, ours)
        exact.append(found)
        if ours is not None:
            listed.append(found)
    if wanted is None:
        if not listed:
            raise UserError(
                f"{exchange.name} trades none of the instruments that come with mlthon",
                f"Name some in [exchanges.{exchange.name}] instruments; it trades {_some(exact)}.",
            )
        return listed
    index = InstrumentIndex(exchange, exact)
    try:
        return list(dict.fromkeys(index.resolve(key) for key in wanted))
    except UnknownInstrument as error:
        raise UserError(f"{error}", f"It trades {_some(exact)}.") from None


def _renamed(told: Instrument, ours: Instrument) -> Instrument:
    """The exchange's instrument under the catalogue's id and names; fees are the catalogue's where it tells none."""
    fields: dict[str, Any] = {name: getattr(told, name) for name in Instrument.__annotations__ if name != "TYPE"}
    same = ("instrument_id", "instrument_group_id", "mlt_symbol", "instrument_name")
    fields |= {name: getattr(ours, name) for name in same}
    for fee in ("maker_fee", "taker_fee"):
        if not fields[fee]:
            fields[fee] = getattr(ours, fee)
    return type(ours)(**fields)


def _some(instruments: Sequence[Instrument]) -> str:
    names = sorted(each.name for each in instruments)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"


# -- the account -------------------------------------------------------------------------------------------------------


@frozen
class AccountCheck:
    """What is shown of an account before it trades: `lines` for people, `warnings` for those who should act."""

    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def check_account(exchange: Exchange, account: str, fact: AccountFact, offset: int) -> AccountCheck:
    """Judge an account. Raises `UserError` for one that cannot be traded. `offset`: the exchange's clock minus ours."""
    who = f"{exchange.name} account {account}"
    if fact.refusal:
        raise UserError(f"{who} cannot be traded: {fact.refusal}", "Change the account's settings at the exchange.")
    if fact.may_trade is False:
        raise UserError(f"{who}: the API key may not trade", "Give the key the permission to trade.")
    warnings = []
    if fact.may_withdraw:
        warnings.append(f"{who}: the API key may WITHDRAW money: use one that may only trade")
    if abs(offset) > WORST_OFFSET:
        warnings.append(f"{who}: this machine's clock is {Decimal(-offset) / SECOND:+.1f} s off the exchange's: set it")
    may = {True: "yes", False: "no", None: "not said"}
    told = {
        "user": fact.user_id,
        "position mode": fact.position_mode,
        "margin mode": fact.margin_mode,
        "fees": fact.fees,
        "key may trade": may[fact.may_trade],
        "key may withdraw": may[fact.may_withdraw],
        "clock offset": f"{offset / MS:+.1f} ms",
    }
    lines = [f"{name}: {value}" for name, value in told.items() if value]
    return AccountCheck((*lines, *fact.notes), tuple(warnings))
