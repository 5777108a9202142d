"""What a receiver does with senders before it looks at what they send: who are they, and have they had their share.

HTTP and gRPC ask the same questions in different places; this is the one place that answers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from otel_llm.codecs.stamp import stamp_resources
from otel_llm.errors import OtelLlmError, RefusedError
from otel_llm.http.message import HttpError
from otel_llm.receivers.auth import AuthConfig, Authenticator
from otel_llm.receivers.quota import Quota, Room


class UnauthorizedError(OtelLlmError):
    """A sender has no key that is known."""


class Gatekeeper:
    """Lets senders in; thread-safe.

    Args:
        config: None lets everybody in, without a tenant.
        setting: path of the configuration, for messages.
        monotonic: the clock.

    Raises:
        ConfigError: a key or a file with keys cannot be used.
    """

    __slots__ = ("_attribute", "_authenticator", "_quota", "_room")

    def __init__(
        self, config: AuthConfig | None, setting: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._authenticator = None if config is None else Authenticator(config, setting, monotonic)
        self._quota = Quota(None if config is None else config.max_tenant_bytes_per_second, monotonic)
        self._room = None if config is None else Room(config.max_tenant_in_flight_size)
        self._attribute = "" if config is None else config.tenant_attribute

    @property
    def challenge(self) -> str:
        """What `WWW-Authenticate` says."""
        return "" if self._authenticator is None else self._authenticator.challenge

    def admit(self, authorization: str | None) -> str:
        """The tenant of a sender, empty when there is none.

        Args:
            authorization: the field of that name.

        Raises:
            UnauthorizedError: it holds no known key.
            RefusedError: the tenant has had its share.
        """
        if self._authenticator is None:
            return ""
        sender = self._authenticator.find(authorization)
        if sender is None:
            raise UnauthorizedError("the authorization field holds no key that is known here")
        tenant = sender.tenant or ""
        self._quota.check(tenant)
        return tenant

    def holding(self, tenant: str, size_bytes: int) -> AbstractContextManager[None]:
        """While a message is held; for servers that do not count themselves.

        Raises:
            RefusedError: the tenant has too many of them in flight.
        """
        return nullcontext() if self._room is None or not tenant else self._room.holding(tenant, size_bytes)

    def take(self, tenant: str, body: bytes, sent_bytes: int) -> bytes:
        """A request that was let in, charged, and with its tenant on every resource.

        Raises:
            MalformedError: it is not OTLP.
        """
        if not tenant:
            return body
        self._quota.charge(tenant, sent_bytes)
        return stamp_resources(body, self._attribute, tenant)


def http_admission(gatekeeper: Gatekeeper) -> Callable[[Mapping[str, str]], str]:
    """`Route.admit` for a server's routes: refuses a sender before its body is read, and gives its tenant."""

    def admit(headers: Mapping[str, str]) -> str:
        try:
            return gatekeeper.admit(headers.get("authorization"))
        except UnauthorizedError as error:
            challenge = (("www-authenticate", gatekeeper.challenge),)
            raise HttpError(401, "unauthorized", str(error), challenge) from None
        except RefusedError as error:
            raise refused(error) from None

    return admit


def refused(error: RefusedError) -> HttpError:
    """The answer 429, with the time to come back."""
    seconds = max(1, math.ceil(error.retry_after_seconds))
    return HttpError(429, error.reason, str(error), (("retry-after", str(seconds)),))
