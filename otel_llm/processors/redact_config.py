"""What a user sets for the redact processor."""

from __future__ import annotations

from typing import Literal

import msgspec

from otel_llm.audit import AuditConfig
from otel_llm.credentials import Secret
from otel_llm.policy.redaction import OperatorName


class PatternConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pattern of your own."""

    type: str
    """What it is called: letters, digits, `_`, `.` and `-`."""

    pattern: str
    """A regular expression of RE2, or a text when `literal` is set."""

    literal: bool = False
    """Whether the pattern is a text, found in whatever case. Needs no google-re2."""

    keywords: tuple[str, ...] = ()
    """Words without one of which the pattern cannot match. They make it quick."""

    context: tuple[str, ...] = ()
    """Words one of which must stand near, within 64 characters before or 24 behind."""

    group: int = 0
    """The group of the pattern that is taken out, 0 for all of it."""


class CallableConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Python function that finds something."""

    name: str
    """What it is called in counts."""

    function: str
    """Where it is, as `package.module:function`. It takes a text and returns (type, start, end) for each place."""

    types: tuple[str, ...]
    """The types it may find."""


class PresidioConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Microsoft Presidio, for what only a language model can find."""

    types: tuple[str, ...] = ("PERSON", "LOCATION")
    """Presidio's names of what to find."""

    language: str = "en"
    """The language of the texts."""

    least_score: float = 0.5
    """Findings below it do not count."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Takes personal data and secrets out of everything that leaves."""

    types: tuple[str, ...] = ("personal", "secrets")
    """What is taken out: types such as `EMAIL_ADDRESS`, or `personal`, `secrets` or `attacks` for all of a kind
    (docs/redaction.md lists them). Types of your own patterns and detectors are always taken out."""

    except_types: tuple[str, ...] = ()
    """Types that stay, of those in `types`."""

    operator: OperatorName = "mask"
    """What stands in its place: `mask` the type, `remove` nothing, `hash` a keyed digest, `tokenize` an encrypted form
    that the key brings back, `truncate` the type and at most three characters."""

    operators: dict[str, OperatorName] = {}
    """The operator for single types, where it is another one."""

    key: Secret | None = None
    """The key for `hash` and `tokenize`, at least 16 bytes, as `${env:NAME}`."""

    key_file: str | None = None
    """Or the file that the key is in; one line break at its end is not part of it."""

    patterns: tuple[PatternConfig, ...] = ()
    """Patterns of your own."""

    gitleaks: tuple[str, ...] = ()
    """Files in gitleaks' TOML whose rules are looked for as well. Needs google-re2."""

    detectors: tuple[CallableConfig, ...] = ()
    """Python functions of your own that find something."""

    presidio: PresidioConfig | None = None
    """Microsoft Presidio, for names and addresses of persons; needs presidio-analyzer and a language model."""

    allow: tuple[str, ...] = ()
    """Texts that stay although they look like something: a mail address of your own support. Case does not matter."""

    remove: tuple[str, ...] = ()
    """Keys of attributes that go altogether, whatever is in them: `gen_ai.input.messages`, `http.request.header.*`."""

    credential_names: bool = True
    """Whether what stands under names such as `password`, `api_key` or `authorization` goes, whatever it looks like."""

    spans: Literal["all", "genai"] = "all"
    """Whether spans that are no GenAI ones are rewritten as well: `http.url` and database statements hold such data."""

    unknown_fields: Literal["remove", "keep"] = "remove"
    """What happens to fields that OTLP did not have when this version was made; nobody can tell what is in them."""

    raw_exporters: tuple[str, ...] = ()
    """Exporters that get what came, not what is left of it. All others of the pipeline get what is left."""

    audit: AuditConfig | None = None
    """The audit log in which each item that was changed is recorded: its ids, types and number, never content."""

    audit_required: bool = False
    """Whether telemetry is refused, to be sent again, while the audit log cannot take records: its disk is full."""
