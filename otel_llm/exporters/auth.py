"""Who we are to a destination: an Authorization field whose secret comes from the environment or a file.

A file is read again when it changes, so that a token that is rotated every hour needs no restart. One that cannot be
read leaves the secret before in force.
Source: RFC 6750 (Bearer), RFC 7617 (Basic).
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from typing import Final

import msgspec

from otel_llm.credentials import FileWatch, Secret, read_secret_file
from otel_llm.errors import ConfigError
from otel_llm.telemetry import LogLimiter

_LOGGER: Final = logging.getLogger(__name__)


class AuthConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are: a token, or a user name with a password."""

    token: Secret | None = None
    """For `Authorization: Bearer`, as `${env:NAME}`."""

    token_file: str | None = None
    """File with the token, read again when it changes."""

    username: str | None = None
    """For `Authorization: Basic`."""

    password: Secret | None = None
    """Its password, as `${env:NAME}`."""

    password_file: str | None = None
    """File with the password, read again when it changes."""


class Authorization:
    """The value of the field, up to date; thread-safe.

    Args:
        config: what the user set.
        setting: its path in the configuration, for messages.
        monotonic: the clock.

    Raises:
        ConfigError: there is not exactly one secret, or it cannot be read.
    """

    __slots__ = ("_config", "_log", "_setting", "_value", "_watch")

    def __init__(self, config: AuthConfig, setting: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._setting = setting
        file = config.token_file if config.username is None else config.password_file
        self._watch = FileWatch([] if file is None else [file], monotonic)
        self._value = _value(config, setting)
        self._log = LogLimiter(_LOGGER, monotonic)

    def value(self) -> str:
        """Such as `Bearer …`."""
        if self._watch.has_changed():
            try:
                self._value = _value(self._config, self._setting)
            except ConfigError as error:
                self._log.warning(self._setting, "%s; the one before stays in use", "; ".join(error.problems))
        return self._value


def _value(config: AuthConfig, setting: str) -> str:
    if config.username is not None:
        password = _secret(config.password, config.password_file, f"{setting}.password")
        return "Basic " + base64.b64encode(f"{config.username}:{password}".encode()).decode()
    token = _secret(config.token, config.token_file, f"{setting}.token")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError([f"{setting}.token: expected printable ASCII without blanks"])
    return f"Bearer {token}"


def _secret(value: str | None, file: str | None, setting: str) -> str:
    if (value is None) == (file is None):
        raise ConfigError([f"{setting}: expected it, or {setting.rpartition('.')[2]}_file, and not both"])
    secret = value if file is None else read_secret_file(file, f"{setting}_file")
    if not secret:
        raise ConfigError([f"{setting}: expected a secret, got an empty one"])
    return secret
