"""Where the process listens and where it sends to: no address twice, and no exporter that feeds its own receiver.

Component authors call such settings `endpoint`, or end their names with it (`traces_endpoint`): that is what is looked
at.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, get_args
from urllib.parse import urlsplit

import msgspec

from otel_llm.components import is_built_in
from otel_llm.config.settings import Component
from otel_llm.config.types import struct_member
from otel_llm.errors import ConfigError
from otel_llm.receivers.endpoint import Address, parse_endpoint

_ANY_INTERFACE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1", "ip6-localhost"})
_SCHEME_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Listener:
    """A place where this process will listen."""

    path: str
    address: Address


def check_addresses(
    receivers: Iterable[Component], exporters: Iterable[Component], admin: str | None, problems: list[str]
) -> None:
    """Report endpoints that are not host:port, that two listeners share, or that an exporter shares with a receiver.

    The same goes for files that one component reads and another writes.
    """
    receivers, exporters = tuple(receivers), tuple(exporters)
    _check_files(receivers, exporters, problems)
    listeners = list(_listeners(receivers, problems))
    admin_listener = _listener("service.admin.endpoint", admin, problems) if admin is not None else None
    everyone = [*listeners, admin_listener] if admin_listener is not None else listeners
    for index, later in enumerate(everyone):
        problems += [
            f"{later.path}: {later.address} is taken by {first.path}; choose another port for one of them"
            for first in everyone[:index]
            if _same_listener(first.address, later.address)
        ]
    for exporter in exporters:
        for path, endpoint, _ in endpoints(exporter.config, exporter.path):
            _check_loop(path, endpoint, listeners, problems)


def _check_files(receivers: Iterable[Component], exporters: Iterable[Component], problems: list[str]) -> None:
    read = {os.path.realpath(path): receiver for receiver in receivers if (path := _file(receiver)) is not None}
    for exporter in exporters:
        path = _file(exporter)
        receiver = None if path is None else read.get(os.path.realpath(path))
        if receiver is not None:
            problems.append(
                f"{exporter.path}.path: {path} is the file that {receiver.path} reads: it would go round without end; "
                f"choose another for one of them"
            )


def _file(component: Component) -> str | None:
    path: object = getattr(component.config, "path", None) if component.type.name == "file" else None
    return path if isinstance(path, str) and path != "-" else None


def _listeners(receivers: Iterable[Component], problems: list[str]) -> Iterator[_Listener]:
    for receiver in receivers:
        if not is_built_in("receiver", receiver.type.name):
            continue  # nobody knows what else an endpoint may be
        for path, endpoint, _ in endpoints(receiver.config, receiver.path):
            listener = _listener(path, endpoint, problems)
            if listener is not None:
                yield listener


def _listener(path: str, endpoint: str, problems: list[str]) -> _Listener | None:
    try:
        return _Listener(path, parse_endpoint(endpoint, path))
    except ConfigError as error:
        problems += error.problems
        return None


def endpoints(config: object, path: str) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Every setting in a struct whose name says that it is an endpoint: path, value, and the struct it stands in."""
    if not isinstance(config, msgspec.Struct):
        return
    for field in msgspec.structs.fields(config):
        value: object = getattr(config, field.name)
        below = f"{path}.{field.encode_name}"
        if isinstance(value, str) and (field.name == "endpoint" or field.name.endswith("_endpoint")):
            yield below, value, config
        else:
            yield from endpoints(_section(value, field.type), below)


def _section(value: object, wanted: object) -> object:
    """The struct that a value stands for.

    Where a key may be left out altogether (UNSET), None is the key without a value, as `grpc:` under `protocols`: the
    section with its defaults.
    """
    struct = struct_member(wanted)
    if value is None and struct is not None and msgspec.UnsetType in get_args(wanted):
        return struct()
    return value


def _check_loop(path: str, endpoint: str, listeners: Iterable[_Listener], problems: list[str]) -> None:
    target = _target(endpoint)
    if target is None:
        return
    problems += [
        f"{path}: expected another process, got {target}, which is this one's own {listener.path}: everything would "
        "come back for ever; give the address of a backend, or another port to the receiver"
        for listener in listeners
        if target.port == listener.address.port and _reaches(target.host, listener.address)
    ]


def _target(endpoint: str) -> Address | None:
    """Host and port of a URL or of host:port; None when it is neither, which is the exporter's to report."""
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        port = parts.port if parts.port is not None else _SCHEME_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return Address((parts.hostname or "").lower(), port) if port else None


def _reaches(host: str, listener: Address) -> bool:
    """Whether what is sent to a host arrives at the listener. Names are compared, never looked up."""
    own = listener.host.lower()
    if own in _ANY_INTERFACE:
        return host in _ANY_INTERFACE or is_loopback(host) or host == socket.gethostname().lower()
    if host in _ANY_INTERFACE:  # connecting to "all interfaces" connects to loopback
        return is_loopback(own)
    return _same_host(host, own)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    return host in _LOOPBACK or host.startswith("127.")


def _same_host(one: str, other: str) -> bool:
    """Whether two hosts are one. `localhost` may be either loopback address; 127.0.0.1 and 127.0.0.2 are two."""
    return one == other or ("localhost" in (one, other) and is_loopback(one) and is_loopback(other))


def _same_listener(first: Address, second: Address) -> bool:
    if not first.port or first.port != second.port:
        return False
    one, other = first.host.lower(), second.host.lower()
    return _same_host(one, other) or one in _ANY_INTERFACE or other in _ANY_INTERFACE
