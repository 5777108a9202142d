"""Where a receiver listens: `host:port`, and TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from otel_llm.errors import ConfigError

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port.

    Attributes:
        host: name or address, an IPv6 one without brackets; empty for all interfaces.
        port: 0 for any that is free.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_endpoint(endpoint: str, setting: str) -> Address:
    """Read `host:port`, `[ipv6]:port` or `:port`.

    Raises:
        ConfigError: it is something else; `setting` is the path the message starts with.
    """
    host, colon, port = endpoint.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or (":" in host) != bracketed or "/" in host or not port.isascii() or not port.isdecimal():
        raise ConfigError(
            [f"{setting}: expected host:port, got {endpoint!r}; write for example 127.0.0.1:4318 or [::1]:4318"]
        )
    if int(port) > _MAX_PORT:
        raise ConfigError([f"{setting}: expected a port of at most {_MAX_PORT}, got {port}"])
    return Address(host, int(port))


def cannot_listen(address: Address, setting: str, why: str) -> ConfigError:
    """The error for an address that cannot be bound."""
    hint = f"stop what uses it (to see what does: ss -ltnp 'sport = :{address.port}'), or choose another port"
    return ConfigError([f"{setting}: cannot listen on {address} ({why}); {hint}"])


Section = TypeVar("Section", bound=msgspec.Struct)


def given(section: Section | msgspec.UnsetType) -> Section | None:
    """A section that may be left out; None when it was.

    `tls:` or `auth:` with nothing in it is not left out but incomplete: a listener must not be open by mistake.
    """
    return None if isinstance(section, msgspec.UnsetType) else section


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS of a listener."""

    cert_file: str
    """PEM file with the certificate and whatever chain belongs to it."""
    key_file: str
    """PEM file with the private key, not encrypted."""
    client_ca_file: str | None = None
    """PEM file with the authorities whose clients are let in (mutual TLS). Without it, no certificate is asked for."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    """The oldest version of TLS that is spoken. OTLP/gRPC cannot be restricted and speaks 1.2 and 1.3."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The content of the files a TlsConfig names, PEM.

    Attributes:
        certificate: certificate chain.
        key: private key.
        client_authorities: None when clients need no certificate.
    """

    certificate: bytes
    key: bytes
    client_authorities: bytes | None


def read_tls_files(tls: TlsConfig, setting: str) -> TlsFiles:
    """Read the files.

    Raises:
        ConfigError: naming each file that cannot be read.
    """
    contents: dict[str, bytes] = {}
    problems = []
    for field in ("cert_file", "key_file", "client_ca_file"):
        path: str | None = getattr(tls, field)
        if path is None:
            continue
        try:
            contents[field] = Path(path).read_bytes()
        except OSError as error:
            problems.append(f"{setting}.{field}: cannot read {path} ({error.strerror}); give a PEM file")
    if problems:
        raise ConfigError(problems)
    return TlsFiles(contents["cert_file"], contents["key_file"], contents.get("client_ca_file"))


def server_context(tls: TlsConfig, setting: str) -> ssl.SSLContext:
    """The context of a server.

    Raises:
        ConfigError: a file cannot be read or does not hold what it should.
    """
    read_tls_files(tls, setting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    except (OSError, ValueError) as error:  # a file may be gone again since
        files = f"{tls.cert_file} and {tls.key_file}"
        raise ConfigError(
            [f"{setting}: {files} are not a PEM certificate and its unencrypted key ({error})"]
        ) from error
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except OSError as error:
            raise ConfigError([f"{setting}.client_ca_file: {tls.client_ca_file} holds no PEM certificate"]) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
