"""Names under which credentials are kept: what stands there is one, whatever it looks like.

A name is read as words: `apiKey`, `x-api-key`, `OPENAI_API_KEY` and `api key` end with the same two. What counts is how
it ends, so `password_policy`, `token_count` and `max_tokens` name nothing secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from otel_llm.policy.detectors.folding import Folded
from otel_llm.policy.detectors.values import is_random_value

CREDENTIAL: Final = "CREDENTIAL"

# What a value has to look like to be a credential under a name: anything, a run of characters that is no word, or as
# many digits as a PIN has.
Kind: TypeAlias = Literal["any", "random", "digits"]

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LONGEST: Final = 64
_ENDINGS: Final = frozenset(
    {"password", "passwords", "passwd", "passphrase", "passcode", "pwd", "secret", "authorization", "cookie", "cookies",
     "credential", "credentials"}
)  # fmt: skip
_KEYS: Final = frozenset(
    {"access", "account", "admin", "api", "app", "application", "auth", "decryption", "encryption", "hmac", "master",
     "private", "secret", "service", "session", "shared", "signing", "storage", "subscription", "webhook",
     "anthropic", "azure", "cohere", "gemini", "groq", "mistral", "openai"}
)  # fmt: skip
_TOKENS: Final = frozenset(
    {"access", "account", "admin", "api", "app", "auth", "bearer", "bot", "client", "csrf", "deploy", "device", "github",
     "gitlab", "hf", "huggingface", "id", "identity", "jwt", "login", "npm", "oauth", "personal", "private", "pypi",
     "refresh", "reset", "sas", "secret", "security", "service", "session", "slack", "user", "vault", "verification",
     "webhook", "xsrf"}
)  # fmt: skip
_PAIRS: Final = frozenset(
    {*((one, "key") for one in _KEYS), *((one, "token") for one in _TOKENS), ("connection", "string"),
     ("recovery", "code"), ("security", "code")}
)  # fmt: skip
# Endings of words that are written as one, as in `PGPASSWORD`, `dbpassword`, `xapikey`.
_JOINED: Final = (
    "password", "passwd", "passphrase", "clientsecret", "setcookie", "proxyauthorization", *map("".join, _PAIRS),
)  # fmt: skip
_PAGES: Final = frozenset(
    {"page", "next", "previous", "continuation", "cancellation", "sync", "cursor", "resume", "start", "stop"}
)
_DIGITS: Final = frozenset({"pin", "cvv", "cvc", "otp"})
# What may stand behind and changes nothing: `password_confirmation`, `api_key_value`.
_BEHIND: Final = frozenset(
    {"base", "confirm", "confirmation", "hash", "new", "old", "pem", "plain", "raw", "repeat", "text", "value"}
)
_SHORTEST_TOKEN: Final = 16
_FEW_DIGITS: Final = re.compile(r"\s*\d{3,12}\s*")
# A name and a value as two entries of an object, as lists of headers, variables and attributes have them.
_NAME_KEYS: Final = frozenset(
    {"attribute", "env", "field", "header", "id", "key", "label", "name", "param", "parameter", "type", "variable"}
)
_NAME: Final = re.compile(r"[\w .:/\-]{1,256}")
_VALUE_KEYS: Final = frozenset(
    {"value", "values", "stringvalue", "intvalue", "doublevalue", "bytesvalue", "arrayvalue", "kvlistvalue"}
)


@lru_cache(maxsize=8192)
def credential_kind(name: str) -> Kind | None:
    """What a value under this name has to look like to be a credential; None when the name names none."""
    words = [word.lower() for word in _WORDS.findall(Folded(name[-_LONGEST:]).text)]
    if len(words) > 1 and words[-1] in _BEHIND:
        words.pop()
    if not words:
        return None
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _ENDINGS or last.endswith(_JOINED) or (before, last) in _PAIRS:
        return "any"
    if last == "token" and before not in _PAGES:
        return "random"
    return "digits" if last in _DIGITS else None


def is_credential(name: str, text: str) -> bool:
    """Whether a text under a key of an attribute or of an object is a credential."""
    kind = credential_kind(name)
    if kind is None or kind == "any":
        return kind is not None
    return (
        bool(_FEW_DIGITS.fullmatch(text))
        if kind == "digits"
        else len(text) >= _SHORTEST_TOKEN and is_random_value(text)
    )


def is_name_key(key: str) -> bool:
    """Whether an entry of an object says what the value beside it is called."""
    return key.lower() in _NAME_KEYS


def is_value_key(key: str) -> bool:
    """Whether an entry of an object is the value of what the object, or the entry beside it, is called."""
    return key.lower() in _VALUE_KEYS


def is_paired_name(text: str) -> bool:
    """Whether a text beside a value is the name of a credential, and no document and no marker of redaction."""
    return bool(_NAME.fullmatch(text)) and credential_kind(text) is not None


def paired_name(mapping: Mapping[str, object]) -> str | None:
    """The credential that an object of a name and a value is about: `{"name": "password", "value": ...}`."""
    if not any(map(is_value_key, mapping)):
        return None
    names = (item for key, item in mapping.items() if is_name_key(key) and isinstance(item, str))
    return next(filter(is_paired_name, names), None)


@lru_cache(maxsize=4096)
def as_words(name: str) -> str:
    """A key as words that may stand before its value: `user.phone_number` is `phone number`."""
    return re.sub(r"[_\-]+|(?<=[a-z])(?=[A-Z])", " ", name[-64:].rpartition(".")[2])
