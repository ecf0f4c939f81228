from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.sources.network.addresses import AddressGuard, is_public
from dataflow_assets.sources.network.errors import AddressRefused

PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1
192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1
255.255.255.255 168.63.129.16 :: ::1 ::7f00:1 fe80::1 fe80::1%eth0 fec0::1 fc00::1 fd00:ec2::254 ff02::1 ff0e::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2002:7f00:1:: 2002:a00:1:: 2001::1
2001:db8::1 3fff::1 100::1 5f00::1
""".split()
PUBLIC = "8.8.8.8 93.184.216.34 172.32.0.1 2606:4700::1111 2a00:1450:4001::1 ::ffff:8.8.8.8 64:ff9b::808:808".split()


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_other_writings_of_an_address_are_judged_like_it(address: ipaddress.IPv4Address) -> None:
    for other in (
        f"::ffff:{address}",
        str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + int(address))),
    ):
        assert is_public(ipaddress.ip_address(other)) == is_public(address)


@given(st.ip_addresses())
def test_nothing_is_public_that_python_calls_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert not is_public(address) or getattr(address, "ipv4_mapped", None) is not None


def asked(allow: tuple[str, ...], host: str, *addresses: str) -> bool:
    try:
        found = AddressGuard(allow, lambda name, port: addresses or (name.strip("[]"),)).addresses(host, 80)
    except AddressRefused:
        return False
    assert found == list(dict.fromkeys(addresses or (host.strip("[]"),)))
    return True


@pytest.mark.parametrize(
    ("allow", "host", "addresses", "expected"),
    [
        ((), "docs.example", "93.184.216.34", True),
        ((), "docs.example", "10.0.0.1", False),
        ((), "docs.example", "93.184.216.34 10.0.0.1", False),
        ((), "docs.example", "no address", False),
        (("wiki.corp",), "wiki.corp", "10.0.0.1", True),
        (("WIKI.corp.",), "wiki.CORP", "10.0.0.1", True),
        (("wiki.corp",), "other.wiki.corp", "10.0.0.1", False),
        (("wiki.corp",), "evilwiki.corp", "10.0.0.1", False),
        (("*.corp",), "a.b.corp", "10.0.0.1", True),
        (("*.corp",), "corp", "10.0.0.1", False),
        (("*.corp",), "evilcorp", "10.0.0.1", False),
        (("bücher.corp",), "xn--bcher-kva.corp", "10.0.0.1", True),
        (("10.0.0.0/8",), "wiki.corp", "10.1.2.3", True),
        (("10.0.0.1/8",), "wiki.corp", "10.1.2.3", True),
        (("10.0.0.0/8",), "wiki.corp", "10.1.2.3 192.168.0.1", False),
        (("10.0.0.0/8",), "wiki.corp", "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "wiki.corp", "64:ff9b::a01:203", True),
        (("127.0.0.1",), "127.0.0.1", "", True),
        (("127.0.0.1",), "127.0.0.2", "", False),
        (("[::1]",), "[::1]", "", True),
        (("fd00::/8",), "wiki.corp", "fd12::1", True),
    ],
)
def test_what_may_be_asked(allow: tuple[str, ...], host: str, addresses: str, expected: bool) -> None:
    assert asked(allow, host, *([addresses] if "no " in addresses else addresses.split())) == expected


def test_a_name_that_stands_for_nothing_is_an_error_here_and_none_from_afar() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError("unknown")

    with pytest.raises(OSError, match="unknown"):
        AddressGuard((), unknown).addresses("docs.example", 80)
    AddressGuard((), unknown).check_from_afar("docs.example", 80)
    with pytest.raises(AddressRefused):
        AddressGuard((), lambda host, port: ["10.0.0.1"]).check_from_afar("docs.example", 80)
    with pytest.raises(OSError, match="no address"):
        AddressGuard((), lambda host, port: []).addresses("docs.example", 80)


@pytest.mark.parametrize("host", ["a" * 70, "a..b", "x" * 300])
def test_a_name_that_is_none_stands_for_nothing(host: str) -> None:
    with pytest.raises(OSError, match=r"."):
        AddressGuard().addresses(host, 80)
