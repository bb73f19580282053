"""Where a request comes from, and whether it may come from there.

The address is that of the connection. Only where that is a configured proxy's, `X-Forwarded-For` is read, from the
right: each proxy appends the address it was called from, so the first one that is no trusted proxy's is the sender's,
and whatever stands left of it the sender may have made up.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from mlthon.errors import UserError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

TRADINGVIEW: Final = ("52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7")
"""Where TradingView's alerts come from: https://www.tradingview.com/support/solutions/43000529348"""
NAMED: Final = {"tradingview": TRADINGVIEW}
UNKNOWN: Final = "unknown"
"""The address of whoever has none (a Unix socket, a header that says nothing)."""
MOST_HOPS: Final = 20


def networks(names: Iterable[str], where: str) -> tuple[Network, ...]:
    """Addresses, networks (`10.0.0.0/8`) and `tradingview` as networks. Raises `UserError` naming `where`."""
    found: list[Network] = []
    for name in names:
        for each in NAMED.get(name.strip().lower(), (name,)):
            try:
                found.append(ip_network(each.strip()))
            except ValueError:
                raise UserError(
                    f"{where}: {name!r} is no address and no network",
                    'Write it like 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32; "tradingview" stands for TradingView\'s.',
                ) from None
    return tuple(found)


def parse(text: str) -> Address | None:
    """An address as text, with or without a port; IPv4 in IPv6's clothes is IPv4. None where it is none."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def within(address: Address | None, allowed: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks."""
    return address is not None and any(address in each for each in allowed)


def sender(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """Who sent a request: `peer` is the other end of the connection, `forwarded` the `X-Forwarded-For` headers in
    their order. None where that cannot be known."""
    address = parse(peer) if peer else None
    if not within(address, trusted):
        return address
    hops = [hop for header in forwarded for hop in header.split(",")]
    for hop in reversed(hops[-MOST_HOPS:]):
        address = parse(hop)
        if not within(address, trusted):
            return address
    return address


def shown(address: Address | None) -> str:
    """The address for logs and limits. Of IPv6 a subscriber has a /64: its addresses are one sender."""
    if address is None:
        return UNKNOWN
    if isinstance(address, IPv6Address) and not address.is_loopback:
        return str(ip_network((address, 64), strict=False))
    return str(address)
