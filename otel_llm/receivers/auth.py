"""Who may send to a receiver, and for whom: bearer tokens and user names, each with the tenant it belongs to.

The laws of this module: without a valid key nothing of a body is read; no key is kept in the clear longer than it
takes to hash it, none is ever logged or compared byte by byte; a keys file that cannot be used leaves the keys before
in force.
Source: RFC 6750 section 2.1 (Bearer), RFC 7617 (Basic), RFC 9110 section 11.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.credentials import FileWatch, Secret, read_secret_file
from otel_llm.errors import ConfigError

_LOGGER: Final = logging.getLogger(__name__)
_KEY_LINE: Final = re.compile(r"sha256:([0-9a-f]{64})(?:\s+(\S.*))?")
_SHORTEST_TOKEN: Final = 16


class KeyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key: a token, or a user name with a password."""

    token: Secret | None = None
    """For `Authorization: Bearer`, as `${env:NAME}`; at least 16 characters."""
    token_file: str | None = None
    """File with the token, read again when it changes."""
    username: str | None = None
    """For `Authorization: Basic`."""
    password: Secret | None = None
    """Its password, as `${env:NAME}`."""
    password_file: str | None = None
    """File with the password, read again when it changes."""
    tenant: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    """Whose key it is. What is sent with it gets this tenant, whatever the sender says."""


class AuthConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may send."""

    keys: tuple[KeyConfig, ...] = ()
    """Keys that are let in."""
    keys_file: str | None = None
    """File with more of them, for many tenants: lines of `sha256:HEX TENANT`, where HEX is the SHA-256 of a bearer
    token, so that the file holds no secret. `#` begins a comment. Read again when it changes."""
    tenant_attribute: str = names.OTEL_LLM_TENANT_ID
    """Resource attribute that gets a key's tenant, in place of whatever the sender has put there."""
    max_tenant_in_flight_size: Annotated[int, msgspec.Meta(ge=1024)] = 64 * 1024 * 1024
    """Bytes of one tenant that were received and not yet answered, on each port; beyond it that tenant gets 429 or
    RESOURCE_EXHAUSTED. Over gRPC, complete messages count."""
    max_tenant_bytes_per_second: Annotated[int, msgspec.Meta(ge=1024)] | None = None
    """How much a tenant may send in the long run, as it was sent; ten seconds' worth at once. Beyond it that tenant
    gets 429 or RESOURCE_EXHAUSTED with the time to come back. Nothing by default."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Somebody with a valid key.

    Attributes:
        tenant: None when the key has none.
    """

    tenant: str | None


@dataclass(frozen=True, slots=True)
class _Keys:
    """Senders by the SHA-256 of a token, or of `user:password`."""

    tokens: dict[bytes, Sender]
    passwords: dict[bytes, Sender]


class Authenticator:
    """Knows the keys; thread-safe.

    Args:
        config: what the user set.
        setting: its path in the configuration, for messages.
        monotonic: the clock.

    Raises:
        ConfigError: a file cannot be read, a key is none, or two senders have the same.
    """

    def __init__(self, config: AuthConfig, setting: str, monotonic: Callable[[], float]) -> None:
        self._config = config
        self._setting = setting
        files = [file for key in config.keys for file in (key.token_file, key.password_file) if file is not None]
        # Before they are read: a change in between is seen.
        self._watch = FileWatch([*files, *([config.keys_file] if config.keys_file else [])], monotonic)
        self._keys = _read_keys(config, setting)
        self._reading = threading.Lock()

    @property
    def challenge(self) -> str:
        """What `WWW-Authenticate` says to those without a key."""
        schemes = [
            scheme for scheme, known in (("Bearer", self._keys.tokens), ("Basic", self._keys.passwords)) if known
        ]
        return ", ".join(f'{scheme} realm="otel_llm"' for scheme in schemes or ["Bearer"])

    def find(self, authorization: str | None) -> Sender | None:
        """Whose key an `authorization` field holds; None when it holds none that is known."""
        if self._watch.has_changed():
            self._read_again()
        scheme, _, rest = (authorization or "").partition(" ")
        rest = rest.strip()
        if scheme.lower() == "bearer":
            return self._keys.tokens.get(_digest(rest.encode("latin-1", "replace")))
        if scheme.lower() == "basic":
            try:
                pair = base64.b64decode(rest, validate=True)
            except (binascii.Error, ValueError):
                return None
            return self._keys.passwords.get(_digest(pair))
        return None

    def _read_again(self) -> None:
        with self._reading:
            try:
                self._keys = _read_keys(self._config, self._setting)
            except ConfigError as error:
                _LOGGER.warning("keys were not read again, those before stay in force: %s", "; ".join(error.problems))
            else:
                _LOGGER.info("%s: keys were read again", self._setting)


def _digest(key: bytes) -> bytes:
    """What keys are found by. Looking up a digest tells nothing about the key by the time it takes."""
    return hashlib.sha256(key).digest()


def _read_keys(config: AuthConfig, setting: str) -> _Keys:
    problems: list[str] = []
    keys = _Keys({}, {})
    for index, key in enumerate(config.keys):
        path = f"{setting}.keys[{index}]"
        try:
            _add_key(keys, key, path)
        except ConfigError as error:
            problems += error.problems
    if config.keys_file is not None:
        try:
            _add_file(keys, config.keys_file, f"{setting}.keys_file")
        except ConfigError as error:
            problems += error.problems
    if not problems and not keys.tokens and not keys.passwords:
        problems.append(f"{setting}: expected keys or a keys_file, got none, so nobody could send; add one")
    if problems:
        raise ConfigError(problems)
    return keys


def _add_key(keys: _Keys, key: KeyConfig, path: str) -> None:
    sender = Sender(key.tenant)
    if key.username is not None:
        password = _one_of(key.password, key.password_file, path, "password")
        _add(keys.passwords, _digest(f"{key.username}:{password}".encode()), sender, path)
        return
    token = _one_of(key.token, key.token_file, path, "token")
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or any(character.isspace() for character in token):
        raise ConfigError([f"{path}: expected a token of at least {_SHORTEST_TOKEN} ASCII characters without blanks"])
    _add(keys.tokens, _digest(token.encode()), sender, path)


def _one_of(value: str | None, file: str | None, path: str, name: str) -> str:
    if (value is None) == (file is None):
        raise ConfigError([f"{path}: expected either {name} or {name}_file, got {'both' if file else 'neither'}"])
    secret = value if file is None else read_secret_file(file, f"{path}.{name}_file")
    if not secret:
        raise ConfigError([f"{path}.{name}: expected a secret, got an empty one"])
    return secret


def _add_file(keys: _Keys, path: str, setting: str) -> None:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            [f"{setting}: cannot read {path} ({why}); give a file of lines `sha256:HEX TENANT`"]
        ) from None
    for number, digest, tenant in _key_lines(lines, f"{setting}: {path}"):
        _add(keys.tokens, digest, Sender(tenant), f"{setting}: line {number} of {path}")


def _key_lines(lines: list[str], where: str) -> Iterator[tuple[int, bytes, str | None]]:
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _KEY_LINE.fullmatch(text)
        if match is None:  # not quoted: somebody may have put a token there
            raise ConfigError([f"{where}, line {number}: expected `sha256:HEX TENANT`, got something else"])
        yield number, bytes.fromhex(match[1]), match[2]


def _add(known: dict[bytes, Sender], digest: bytes, sender: Sender, path: str) -> None:
    if known.setdefault(digest, sender) != sender:
        raise ConfigError([f"{path}: the same key stands there for another tenant; give each its own"])
