"""What a broker, or the way to it, says is wrong, in words that name the setting it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError

_MESSAGE_CHARACTERS: Final = 200

_UNREACHABLE: Final = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001 - confluent-kafka's public constants, these and those below
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
_CREDENTIALS: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
    }
)
_ENCRYPTION: Final = frozenset({KafkaError._SSL, KafkaError.SECURITY_DISABLED})  # noqa: SLF001
NO_TOPIC: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.TOPIC_EXCEPTION,
    }
)
TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
UNRECORDABLE: Final = frozenset({KafkaError.INVALID_RECORD})


@dataclass(frozen=True, slots=True)
class Where:
    """What a problem can be about.

    Attributes:
        setting: of the component, e.g. `exporters.kafka`.
        brokers: as configured.
    """

    setting: str
    brokers: str

    def explain(self, error: KafkaError, topic: str = "", topic_setting: str = "") -> str:
        """One line: the setting first, what is wrong, and what the client says.

        Args:
            error: what the client says.
            topic: that it is about, when it is.
            topic_setting: where that name comes from, below `setting`.
        """
        code, said = error.code(), one_line(error.str())
        if code in _CREDENTIALS:
            return f"{self.setting}.auth.sasl: the brokers do not accept who we are ({said})"
        if code in _ENCRYPTION:
            return f"{self.setting}.tls: no encrypted connection to the brokers ({said})"
        if code in NO_TOPIC:
            where = f"{self.setting}.{topic_setting}: " if topic_setting else ""
            return f"{where}the brokers have no topic {topic!r} ({said}); create it, or correct the name"
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return f"{self.setting}.auth: the brokers do not let us use topic {topic!r} ({said}); allow it there"
        if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return f"{self.setting}.group_id: the brokers do not let us into the group ({said}); allow it there"
        if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            return f"{self.setting}.auth: the brokers do not let us in ({said}); allow it there"
        if code in _UNREACHABLE:
            # A broker that wants TLS just hangs up, and the client guesses so.
            hint = f"; see {self.setting}.tls" if "security.protocol" in said else ""
            return f"{self.setting}.brokers: none of {self.brokers} answers ({said}){hint}"
        return f"{self.setting}: {said}"


def is_about_access(error: KafkaError) -> bool:
    """Whether it says more than that nobody answers: kept in mind when other errors follow from it."""
    return error.code() in _CREDENTIALS | _ENCRYPTION


def one_line(message: str) -> str:
    """A message of the client, bounded and on one line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in message[: 4 * _MESSAGE_CHARACTERS]).split())
    return text if len(text) <= _MESSAGE_CHARACTERS else text[: _MESSAGE_CHARACTERS - 1] + "…"
