"""Which addresses may be asked.

What belongs here: the rule for one address, and for a name with all addresses that it stands for. What does not: making
the connection (`connections`), which goes to the address that was checked here and asks the name no second time, so that
a name cannot stand for another address a moment later.

Only addresses of the public internet may be asked: whoever can put a link on a page, or a redirect, must not reach the
services of the machine, of its network, or of the cloud that it runs in. `allow_hosts` opens what a person names.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from dataflow_assets.sources.network.errors import AddressRefused

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Gives the addresses that a name, or an address in any spelling, stands for; raises OSError where it stands for none."""
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_GLOBAL = ipaddress.IPv6Network("2000::/3")
"""All that is handed out for global unicast."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""The well-known prefix of RFC 6052: the last four bytes are an IPv4 address."""
_NOT_PUBLIC = (
    ipaddress.IPv6Network("3fff::/20"),  # documentation (RFC 9637)
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4, withdrawn (RFC 7526)
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's platform, which listens on a public address
)


class AddressGuard:
    """Says which hosts and addresses may be asked.

    Args:
        allow: Hosts (`wiki.corp`), all below a domain (`*.corp`), addresses and networks that may be asked though they are
            not public.
        resolve: Finds the addresses of a name.
    """

    def __init__(self, allow: Iterable[str] = (), resolve: Resolver | None = None) -> None:
        self._resolve = resolve or resolve_name
        self._hosts: set[str] = set()
        self._domains: list[str] = []
        self._networks: list[Network] = []
        for entry in allow:
            entry = entry.strip().lower()
            try:
                self._networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                if entry.startswith("*."):
                    self._domains.append(_ascii(entry[2:]))
                else:
                    self._hosts.add(_ascii(entry))

    def addresses(self, host: str, port: int) -> list[str]:
        """Find the addresses of a host, each of which may be asked.

        Raises:
            AddressRefused: One of them may not, so none is asked.
            OSError: The name stands for no address.
        """
        found = list(dict.fromkeys(self._resolve(host, port)))
        if not found:
            raise OSError(f"the name {host} stands for no address")
        if not self._names(host):
            for address in found:
                if not self._may_ask(address):
                    raise AddressRefused(_refusal(host, address))
        return found

    def check_from_afar(self, host: str, port: int) -> None:
        """Check a host that somebody else, a proxy, will find the address of.

        A name that cannot be found here is passed on: the proxy may know it.

        Raises:
            AddressRefused: It is an address that may not be asked, or stands for one here.
        """
        try:
            self.addresses(host, port)
        except OSError:
            return

    def _names(self, host: str) -> bool:
        name = _ascii(host.strip("[]"))
        return name in self._hosts or any(name.endswith("." + domain) for domain in self._domains)

    def _may_ask(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return is_public(parsed) or any(
            each in network for each in (parsed, _inner(parsed)) if each for network in self._networks
        )


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public internet, and so does an IPv4 address that it carries."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(_last_four(address))
        if address not in _GLOBAL or (address.sixtofour is not None and not is_public(address.sixtofour)):
            return False
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved or address.is_unspecified)
        and not any(address in network for network in _NOT_PUBLIC)
    )


def resolve_name(host: str, port: int) -> list[str]:
    """Ask the machine for the addresses of a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long
        raise OSError(f"the name {host[:80]!r} is none") from error
    return [str(entry[4][0]) for entry in found]


def _inner(address: Address) -> Address | None:
    """Give the IPv4 address that an IPv6 address is another writing of."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in _NAT64:
        return _last_four(address)
    return address.ipv4_mapped


def _last_four(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


def _ascii(host: str) -> str:
    """Write a name as requests carry it."""
    name = host.rstrip(".").lower()
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _refusal(host: str, address: str) -> str:
    stands = "is" if host.strip("[]") == address else f"stands for {address},"
    return (
        f"The host {host} {stands} not an address of the public internet, and was not asked. If the library may ask it, "
        "name it in the source's allow_hosts."
    )
