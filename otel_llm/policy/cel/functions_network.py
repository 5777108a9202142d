"""Addresses and networks: `ip(text)`, `cidr(text)`. Source: the documentation of CEL's network extension."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from otel_llm.policy.cel.errors import CelError
from otel_llm.policy.cel.overloads import Overload
from otel_llm.policy.cel.types import BOOL, INT, STRING, Type, type_of
from otel_llm.policy.cel.values import TypeValue

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Ip:
    """An address; an IPv4 address written as an IPv6 one is that IPv4 address."""

    type_name: ClassVar[str] = "net.IP"
    address: _Address


@dataclass(frozen=True, slots=True)
class Cidr:
    """An address with the length of its network's prefix."""

    type_name: ClassVar[str] = "net.CIDR"
    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface


def _check(text: str) -> None:
    if "%" in text:
        raise CelError("an address with a zone is not allowed")
    if ":" in text and "." in text:
        raise CelError("an IPv4 address within an IPv6 one is not allowed")


def parse_ip(text: str) -> Ip:
    """An address.

    Raises:
        CelError: it is none.
    """
    _check(text)
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise CelError("ip() of a string that is no address") from None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return Ip(mapped or address)


def parse_cidr(text: str) -> Cidr:
    """An address with a prefix.

    Raises:
        CelError: it is none.
    """
    _check(text)
    if not text.rpartition("/")[2].isdecimal():
        raise CelError("cidr() of a string that is no network")
    try:
        return Cidr(ipaddress.ip_interface(text))
    except ValueError:
        raise CelError("cidr() of a string that is no network") from None


def _is_ip(text: str) -> bool:
    try:
        parse_ip(text)
    except CelError:
        return False
    return True


def _is_global(ip: Ip) -> bool:
    """As Go's net package has it: private addresses too."""
    address = ip.address
    is_broadcast = address == ipaddress.IPv4Address("255.255.255.255")
    return not (
        address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local or is_broadcast
    )


def _is_link_local_multicast(ip: Ip) -> bool:
    network = ipaddress.ip_network("224.0.0.0/24" if ip.address.version == 4 else "ff02::/16")  # noqa: PLR2004 - IPv4
    return ip.address in network


def _contains_ip(cidr: Cidr, ip: Ip) -> bool:
    return ip.address in cidr.interface.network


def _contains_cidr(cidr: Cidr, other: Cidr) -> bool:
    outer, inner = cidr.interface.network, other.interface.network
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type] # of one version


def _masked(cidr: Cidr) -> Cidr:
    return Cidr(ipaddress.ip_interface(str(cidr.interface.network)))


_IP: Final = Type("net.IP")
_CIDR: Final = Type("net.CIDR")


def _overloads() -> list[Overload]:
    def function(name: str, given: Type, result: Type, implementation: Callable[..., object]) -> Overload:
        return Overload(name, (given,), result, implementation, is_linear=given == STRING)

    def method(name: str, given: tuple[Type, ...], result: Type, implementation: Callable[..., object]) -> Overload:
        return Overload(name, given, result, implementation, is_method=True, is_linear=STRING in given)

    return [
        function("ip", STRING, _IP, parse_ip),
        function("cidr", STRING, _CIDR, parse_cidr),
        function("isIP", STRING, BOOL, _is_ip),
        function("ip.isCanonical", STRING, BOOL, lambda text: str(parse_ip(text).address) == text),
        function("string", _IP, STRING, lambda ip: str(ip.address)),
        function("string", _CIDR, STRING, lambda cidr: str(cidr.interface)),
        method("family", (_IP,), INT, lambda ip: ip.address.version),
        method("isUnspecified", (_IP,), BOOL, lambda ip: ip.address.is_unspecified),
        method("isLoopback", (_IP,), BOOL, lambda ip: ip.address.is_loopback),
        method("isGlobalUnicast", (_IP,), BOOL, _is_global),
        method("isLinkLocalUnicast", (_IP,), BOOL, lambda ip: ip.address.is_link_local),
        method("isLinkLocalMulticast", (_IP,), BOOL, _is_link_local_multicast),
        method("containsIP", (_CIDR, _IP), BOOL, _contains_ip),
        method("containsIP", (_CIDR, STRING), BOOL, lambda cidr, text: _contains_ip(cidr, parse_ip(text))),
        method("containsCIDR", (_CIDR, _CIDR), BOOL, _contains_cidr),
        method("containsCIDR", (_CIDR, STRING), BOOL, lambda cidr, text: _contains_cidr(cidr, parse_cidr(text))),
        method("ip", (_CIDR,), _IP, lambda cidr: Ip(cidr.interface.ip)),
        method("masked", (_CIDR,), _CIDR, _masked),
        method("prefixLength", (_CIDR,), INT, lambda cidr: cidr.interface.network.prefixlen),
    ]


NETWORK: Final = tuple(_overloads())
NETWORK_TYPES: Final = {
    "net.IP": (type_of(_IP), TypeValue("net.IP")),
    "net.CIDR": (type_of(_CIDR), TypeValue("net.CIDR")),
}
