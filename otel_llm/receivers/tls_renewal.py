"""Certificates that are renewed while the receiver runs: a listener's TLS files, read again when they change.

New connections get the new certificate, and are checked against the new client authorities; those that are open go on.
Files that cannot be used, such as a certificate whose key has not been written yet, leave those before in force, are
told about once a minute, and are tried again with the next change.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from typing import Final

from otel_llm.credentials import FileWatch
from otel_llm.errors import ConfigError
from otel_llm.receivers.endpoint import TlsConfig, TlsFiles, read_tls_files, server_context
from otel_llm.telemetry import LogLimiter

_LOGGER: Final = logging.getLogger(__name__)


class TlsRenewal:
    """Watches the files of a TlsConfig; thread-safe.

    Args:
        tls: the files.
        setting: path of the configuration, for messages.
        monotonic: the clock.
    """

    __slots__ = ("_log", "_setting", "_tls", "_watch")

    def __init__(self, tls: TlsConfig, setting: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tls = tls
        self._setting = setting
        files = (tls.cert_file, tls.key_file, tls.client_ca_file)
        self._watch = FileWatch([file for file in files if file is not None], monotonic)
        self._log = LogLimiter(_LOGGER, monotonic)

    def context(self) -> ssl.SSLContext | None:
        """A context of the new files, None when they are the old ones or cannot be used."""
        if not self._watch.has_changed():
            return None
        try:
            context = server_context(self._tls, self._setting)
        except ConfigError as error:
            self._refuse(error)
            return None
        _LOGGER.info("%s: certificates were read again", self._setting)
        return context

    def files(self) -> TlsFiles | None:
        """The new files, None as for `context`; they are checked to fit each other."""
        if self.context() is None:
            return None
        try:
            return read_tls_files(self._tls, self._setting)
        except ConfigError as error:  # gone again since
            self._refuse(error)
            return None

    def _refuse(self, error: ConfigError) -> None:
        text = "; ".join(error.problems)
        self._log.warning(self._setting, "certificates were not read again, those before stay in force: %s", text)
