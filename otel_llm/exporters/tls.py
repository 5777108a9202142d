"""TLS of a client: whom to trust, and who we are.

Files are read again when they change, so that a client certificate that is renewed every day needs no restart. New
connections get what is new; those that are open go on. Files that cannot be used, such as a certificate whose key has
not been written yet, leave those before in force.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from otel_llm.credentials import FileWatch
from otel_llm.errors import ConfigError
from otel_llm.telemetry import LogLimiter

_LOGGER: Final = logging.getLogger(__name__)


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS towards a destination."""

    ca_file: str | None = None
    """PEM file with the authorities to trust. Those of the system without it."""

    cert_file: str | None = None
    """PEM file with our own certificate, for destinations that ask for one (mutual TLS). Needs key_file."""

    key_file: str | None = None
    """PEM file with the private key of cert_file."""

    insecure: bool = False
    """gRPC only: no TLS at all. For HTTP the endpoint's scheme says that."""

    insecure_skip_verify: bool = False
    """HTTP only: encrypt, but believe anybody. Whoever is between us and the destination can read everything."""

    server_name_override: str | None = None
    """The name the destination's certificate is checked against, when it is not the endpoint's host."""


class ClientTls:
    """The TLS of a client, up to date; thread-safe.

    Args:
        config: what the user set.
        setting: its path in the configuration, for messages.
        monotonic: the clock.

    Raises:
        ConfigError: a file cannot be read or holds something else.
    """

    __slots__ = ("_config", "_context", "_log", "_setting", "_watch")

    def __init__(self, config: TlsConfig, setting: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._setting = setting
        files = (config.ca_file, config.cert_file, config.key_file)
        self._watch = FileWatch([file for file in files if file is not None], monotonic)
        self._log = LogLimiter(_LOGGER, monotonic)
        self._context = client_context(config, setting)

    def context(self) -> ssl.SSLContext:
        """The context for a new connection."""
        self.has_changed()
        return self._context

    def has_changed(self) -> bool:
        """Whether there are other files since this was last asked, and they can be used."""
        if not self._watch.has_changed():
            return False
        try:
            self._context = client_context(self._config, self._setting)
        except ConfigError as error:
            text = "; ".join(error.problems)
            self._log.warning(self._setting, "TLS files were not read again, those before stay in use: %s", text)
            return False
        _LOGGER.info("%s: TLS files were read again", self._setting)
        return True


def client_context(tls: TlsConfig, setting: str) -> ssl.SSLContext:
    """The context for connections; TLS 1.2 or newer.

    Raises:
        ConfigError: a file cannot be read or holds something else; `setting` is the path the message starts with.
    """
    check_pair(tls, setting)
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(f"{setting}.ca_file", tls.ca_file, "PEM certificates", error) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert_file is not None and tls.key_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            files = f"{tls.cert_file} and {tls.key_file}"
            raise _unusable(f"{setting}.cert_file", files, "a PEM certificate and its key", error) from None
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def check_pair(tls: TlsConfig, setting: str) -> None:
    """Certificate and key belong together.

    Raises:
        ConfigError: only one of them is set.
    """
    if (tls.cert_file is None) != (tls.key_file is None):
        missing = "key_file" if tls.key_file is None else "cert_file"
        raise ConfigError([f"{setting}.{missing}: expected a file beside the other of the pair; set both or none"])


def read_pem(path: str | None, setting: str) -> bytes | None:
    """A PEM file's content, None without a path.

    Raises:
        ConfigError: it cannot be read.
    """
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unusable(setting, path, "a readable PEM file", error) from None


def _unusable(setting: str, value: str | None, expected: str, error: OSError) -> ConfigError:
    reason = error.strerror or type(error).__name__
    return ConfigError([f"{setting}: expected {expected}, got {value} ({reason}); check path, permissions and format"])
