"""How brokers are reached, and as whom: the settings that exporter and receiver share, as librdkafka takes them.

The shape is that of the Collector's `kafka` components.
Source: opentelemetry-collector-contrib v0.165.1, pkg/kafka/configkafka; librdkafka 2.16, CONFIGURATION.md.
"""

from __future__ import annotations

import ssl
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from otel_llm.credentials import Secret, read_secret_file
from otel_llm.errors import ConfigError
from otel_llm.signals import Signal

# librdkafka's properties.
Properties: TypeAlias = dict[str, object]

# Where signals are when nobody says otherwise, as in the Collector.
TOPICS: Final[dict[Signal, str]] = {"traces": "otlp_spans", "metrics": "otlp_metrics", "logs": "otlp_logs"}

_LARGEST_PORT: Final = 65535


class BrokerTlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS towards the brokers; a `tls` section without anything in it trusts the authorities of the system."""

    insecure: bool = False
    """No TLS after all, for a section that stays while it is tried without."""

    ca_file: str | None = None
    """PEM file with the authorities to trust. Those of the system without it."""

    cert_file: str | None = None
    """PEM file with our own certificate, for brokers that ask for one (mutual TLS). Needs key_file."""

    key_file: str | None = None
    """PEM file with the private key of cert_file."""

    insecure_skip_verify: bool = False
    """Encrypt, but believe anybody. Whoever is between us and the brokers can read everything."""


class SaslConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are, by a user name and a password."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    """How the password is shown. PLAIN sends it as it is: only with `tls`."""

    username: str
    """The user name."""

    password: Secret | None = None
    """The password, as `${env:NAME}`."""

    password_file: str | None = None
    """File with the password, in place of `password`; read at the start."""


class BrokerAuthConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are to the brokers."""

    sasl: SaslConfig | None = None
    """By user name and password. Without it, by the certificate in `tls`, or nobody."""


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How brokers are reached."""

    brokers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("localhost:9092",)
    """Brokers to begin with, host:port each; the others are found through them."""

    client_id: str = "otel-llm"
    """What we call ourselves, in the brokers' logs and quotas."""

    tls: BrokerTlsConfig | msgspec.UnsetType | None = msgspec.UNSET
    """Encrypt; without this section nothing is."""

    auth: BrokerAuthConfig = BrokerAuthConfig()
    """Who we are."""


def client_properties(config: ClientConfig, setting: str) -> Properties:
    """Librdkafka's properties for reaching the brokers.

    Args:
        config: what the user set.
        setting: where that stands, for messages.

    Raises:
        ConfigError: with every problem: an address that is none, a file that cannot be used, a password too many.
    """
    problems = [
        f"{setting}.brokers[{number}]: expected host:port, got {broker!r}"
        for number, broker in enumerate(config.brokers)
        if not _is_address(broker)
    ]
    properties: Properties = {
        "bootstrap.servers": ",".join(config.brokers),
        "client.id": config.client_id,
        # Its own log would go to standard error as it likes; what matters comes through callbacks.
        "log_level": 0,
        "log.connection.close": False,
        # A connection that hangs is given up after this, and another broker asked.
        "socket.connection.setup.timeout.ms": 10_000,
        "reconnect.backoff.max.ms": 5_000,
    }
    tls = BrokerTlsConfig() if config.tls is None else config.tls
    is_encrypted = isinstance(tls, BrokerTlsConfig) and not tls.insecure
    try:
        if isinstance(tls, BrokerTlsConfig) and is_encrypted:
            properties |= _tls_properties(tls, f"{setting}.tls")
    except ConfigError as error:
        problems += error.problems
    try:
        if config.auth.sasl is not None:
            properties |= _sasl_properties(config.auth.sasl, f"{setting}.auth.sasl")
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    protocol = "SASL_" if config.auth.sasl is not None else ""
    properties["security.protocol"] = protocol + ("SSL" if is_encrypted else "PLAINTEXT")
    return properties


def _is_address(broker: str) -> bool:
    host, colon, port = broker.rpartition(":")
    return (
        bool(host and colon)
        and "://" not in broker
        and not any(character in ", \t\n" for character in broker)
        and port.isascii()
        and port.isdigit()
        and 0 < int(port) <= _LARGEST_PORT
    )


def _tls_properties(tls: BrokerTlsConfig, setting: str) -> Properties:
    if (tls.cert_file is None) != (tls.key_file is None):
        missing = "key_file" if tls.key_file is None else "cert_file"
        raise ConfigError([f"{setting}.{missing}: expected a file beside the other of the pair; set both or none"])
    properties: Properties = {"enable.ssl.certificate.verification": not tls.insecure_skip_verify}
    # librdkafka would say that a file is wrong too, when it first connects, and not where it is set.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca_file is not None:
        try:
            context.load_verify_locations(tls.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(f"{setting}.ca_file", tls.ca_file, "PEM certificates", error) from None
        properties["ssl.ca.location"] = tls.ca_file
    if tls.cert_file is not None and tls.key_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            files = f"{tls.cert_file} and {tls.key_file}"
            raise _unusable(f"{setting}.cert_file", files, "a PEM certificate and its key", error) from None
        properties |= {"ssl.certificate.location": tls.cert_file, "ssl.key.location": tls.key_file}
    return properties


def _unusable(setting: str, value: str, expected: str, error: OSError) -> ConfigError:
    reason = error.strerror or type(error).__name__
    return ConfigError([f"{setting}: expected {expected}, got {value} ({reason}); check path, permissions and format"])


def _sasl_properties(sasl: SaslConfig, setting: str) -> Properties:
    if (sasl.password is None) == (sasl.password_file is None):
        raise ConfigError([f"{setting}.password: expected it, or password_file, and not both"])
    if sasl.password_file is None:
        password = sasl.password or ""
    else:
        password = read_secret_file(sasl.password_file, f"{setting}.password_file")
    if not password or not sasl.username:
        which = "username" if password else "password"
        raise ConfigError([f"{setting}.{which}: expected something, got nothing"])
    return {"sasl.mechanism": sasl.mechanism, "sasl.username": sasl.username, "sasl.password": password}
