"""Posts JSON to the REST interface of a backend; answers become results and errors as for any exporter."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from otel_llm import __version__
from otel_llm.errors import ConfigError, CredentialsError, PermanentError, RetryableError, TooLargeError
from otel_llm.exporters.http_client import Answer, HttpClient
from otel_llm.exporters.quote import one_line
from otel_llm.exporters.tls import ClientTls, TlsConfig

_PORTS: Final = {"http": 80, "https": 443}
# Beside OTLP's own: a backend that is starting, or behind a proxy that gave up on it.
_RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_TOO_LARGE: Final = 413
_UNAUTHORIZED: Final = frozenset({401, 403})


class JsonApi:
    """One backend.

    Args:
        endpoint: its address, e.g. https://cloud.example.com; a path in it stands before all others.
        headers: header fields of every request, e.g. authorization. Never logged.
        tls: whom to trust.
        setting: the path that messages about the configuration start with.

    Raises:
        ConfigError: the endpoint, a header field or a TLS file cannot be used.
    """

    def __init__(self, endpoint: str, headers: Mapping[str, str], tls: TlsConfig, setting: str) -> None:
        shown = endpoint.partition("?")[0].rpartition("@")[2]
        problem = ConfigError([f"{setting}.endpoint: expected http://host:port or https://host, got {shown!r}"])
        try:
            address = urlsplit(endpoint)
            port = address.port or _PORTS[address.scheme]
        except (ValueError, KeyError):
            raise problem from None
        if not address.hostname or address.username is not None or address.query or not endpoint.isascii():
            raise problem
        wrong = [name for name, value in headers.items() if not f"{name}{value}".isprintable() or not value.isascii()]
        if wrong:
            raise ConfigError([f"{setting}.headers.{name}: expected printable ASCII characters" for name in wrong])
        encrypted = ClientTls(tls, f"{setting}.tls") if address.scheme == "https" else None
        self._client = HttpClient(address.hostname, port, encrypted, tls.server_name_override)
        self._path = address.path.rstrip("/")
        self._label = f"{address.scheme}://{address.netloc}"
        lines = {"host": address.netloc, "user-agent": f"otel-llm/{__version__}", "content-type": "application/json"}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **headers}.items())

    def post(self, path: str, body: bytes, timeout_seconds: float) -> Answer:
        """Post a body; the answer, when it is a success.

        Raises:
            RetryableError: no answer, or one that may be another later.
            CredentialsError: 401 and 403.
            TooLargeError: 413.
            PermanentError: any other refusal.
        """
        place = f"{self._label}{self._path}{path.partition('?')[0]}"
        head = f"POST {self._path}{path} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n\r\n".encode()
        try:
            answer = self._client.post(head, (body,), timeout_seconds)
        except ssl.SSLCertVerificationError as error:
            raise RetryableError(f"{place}: its certificate is not trusted: {error.verify_message}") from error
        except TimeoutError as error:
            raise RetryableError(f"{place}: no answer within {timeout_seconds:.3g} s") from error
        except OSError as error:
            raise RetryableError(f"{place}: {error.strerror or one_line(str(error))}") from error
        if 200 <= answer.status < 300:  # noqa: PLR2004 - success, RFC 9110
            return answer
        # The body is not shown: such interfaces repeat what they were sent.
        problem = f"{place} answered {answer.status}"
        if answer.status in _RETRYABLE:
            raise RetryableError(problem, _seconds(answer.headers.get("retry-after")))
        if answer.status == _TOO_LARGE:
            raise TooLargeError(problem)
        if answer.status in _UNAUTHORIZED:
            raise CredentialsError(f"{problem}; it does not accept our credentials: check headers and tls")
        raise PermanentError(problem)

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self._client.close()


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isascii() and value.isdecimal() else None
