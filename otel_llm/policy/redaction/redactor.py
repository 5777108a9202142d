"""Takes what detectors find out of values of every type.

The law of this module: it fails closed. A text that a detector could not look at is not passed on; a structure that is
too deep to be looked at is not passed on either. What happened is counted in a Tally, by type and by detector, never
with the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from otel_llm.policy.detectors.credential_names import (
    CREDENTIAL,
    as_words,
    credential_kind,
    is_credential,
    is_value_key,
    paired_name,
)
from otel_llm.policy.detectors.detector_set import DetectorError
from otel_llm.policy.findings import Detector, Finding
from otel_llm.policy.redaction.json_text import is_json, may_be_json, rewrite_json
from otel_llm.policy.redaction.operators import Operator, mask

# What an attribute can hold; the same as AttributeValue of operations, which a pure package does not know.
Value: TypeAlias = "str | bool | int | float | bytes | Sequence[Value] | Mapping[str, Value] | None"

_DEEPEST_JSON: Final = 8
_DEEPEST_VALUE: Final = 48
# Shorter numbers are no card, no account and no number of a person.
_SMALLEST_NUMBER: Final = 10**8
_LONGEST_NAMED: Final = 64
# What an earlier pass has put in the place of a credential.
_REPLACED: Final = re.compile(rf"\[{CREDENTIAL}(?:[:~][a-p]{{0,8192}}|:\*\*\*\w{{0,3}})?\]")


class Dropped:
    """In place of a value: it must not be passed on."""

    __slots__ = ()


DROPPED: Final = Dropped()


@dataclass(slots=True)
class Tally:
    """What was done, for one item or many; not thread-safe.

    Attributes:
        found: pieces replaced, by type.
        failed: values dropped because they could not be looked at, by the detector that failed, or `depth`.
    """

    found: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


def without_overlaps(found: Sequence[Finding]) -> Iterator[Finding]:
    """Findings in order, those that overlap made one of the longest one's type, over all that any of them covers."""
    current = found[0]
    for one in found[1:]:
        if one.start >= current.end:
            yield current
            current = one
        else:
            longest = max(current, one, key=lambda each: each.end - each.start)
            end = max(current.end, one.end)
            current = Finding(longest.type, current.start, end, longest.detector, longest.confidence)
    yield current


class Redactor:
    """Replaces what is found; thread-safe.

    Args:
        detectors: find it; one detector, or a set of them.
        operators: what to put in its place, by type.
        operator: and for types that have none of their own.
        credential_names: whether values under the names of credentials are replaced, whatever they look like.
    """

    __slots__ = ("_credential_names", "_detectors", "_operator", "_operators")

    def __init__(
        self,
        detectors: Detector,
        operators: Mapping[str, Operator] | None = None,
        operator: Operator = mask,
        *,
        credential_names: bool = True,
    ) -> None:
        self._detectors = detectors
        self._operators = dict(operators or {})
        self._operator = operator
        self._credential_names = credential_names

    def text(self, text: str, name: str | None, tally: Tally) -> str | Dropped:
        """A text without what was found in it; the same object when that is nothing.

        Args:
            text: a text, or JSON as a text, whose strings are looked at one by one.
            name: the key it stands under, None when it stands alone.
            tally: where to count.
        """
        try:
            return self._text(text, name, tally, _DEEPEST_JSON)
        except DetectorError as error:
            tally.failed[error.detector] += 1
        except RecursionError:
            tally.failed["depth"] += 1
        return DROPPED

    def value(self, value: Value, name: str | None, tally: Tally) -> Value | Dropped:
        """A value of any type, without what was found in it; equal to it when that is nothing.

        Args:
            value: as an attribute holds it.
            name: its key, None when it has none.
            tally: where to count.
        """
        return self._value(value, name, tally, _DEEPEST_VALUE)

    def key(self, key: str, tally: Tally) -> str:
        """A key without what was found in it; `redaction_failed` when it could not be looked at."""
        new = self.text(key, None, tally)
        return "redaction_failed" if isinstance(new, Dropped) else new

    def _value(self, value: Value, name: str | None, tally: Tally, depth: int) -> Value | Dropped:
        if isinstance(value, str):
            return self.text(value, name, tally)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self._number(value, name, tally)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._data(bytes(value), name, tally)
        if depth == 0:
            tally.failed["depth"] += 1
            return DROPPED
        if isinstance(value, Mapping):
            return self._mapping(value, name, tally, depth - 1)
        items = [self._value(item, name, tally, depth - 1) for item in value]
        return tuple(item for item in items if not isinstance(item, Dropped))

    def _mapping(self, value: Mapping[str, Value], name: str | None, tally: Tally, depth: int) -> Value:
        result: dict[str, Value] = {}
        pair = paired_name(value) or (name if name is not None and credential_kind(name) else None)
        for key, item in value.items():
            new = self._value(item, pair if pair is not None and is_value_key(key) else key, tally, depth)
            if isinstance(new, Dropped):
                continue
            new_key = self.key(key, tally)
            # Two keys may have the same marker; both values stay.
            number = 2
            unique = new_key
            while unique in result:
                unique = f"{new_key}_{number}"
                number += 1
            result[unique] = new
        return result

    def _number(self, value: float, name: str | None, tally: Tally) -> Value | Dropped:
        """A card or an account may stand as a number; in its place there is a text."""
        is_large = _SMALLEST_NUMBER <= abs(value) < 10**20 and value == int(value)
        if not is_large and (name is None or not self._credential_names or credential_kind(name) is None):
            return value
        text = str(int(value)) if is_large else str(value)
        new = self.text(text, name, tally)
        return value if new is text else new

    def _data(self, value: bytes, name: str | None, tally: Tally) -> Value | Dropped:
        text = value.decode("utf-8", "surrogateescape")
        new = self.text(text, name, tally)
        if new is text:
            return value
        return new if isinstance(new, Dropped) else new.encode("utf-8", "surrogateescape")

    def _text(self, text: str, name: str | None, tally: Tally, depth: int) -> str:
        if not text:
            return text
        if self._credential_names and name is not None and is_credential(name, text) and not _REPLACED.fullmatch(text):
            tally.found[CREDENTIAL] += 1
            return self._replaced(CREDENTIAL, text)
        if may_be_json(text) and is_json(text):
            if depth == 0:
                raise DetectorError("depth", "TooDeep")
            return rewrite_json(text, lambda inner, key: self._text(inner, key or name, tally, depth - 1))
        return self._plain(text, name, tally)

    def _plain(self, text: str, name: str | None, tally: Tally) -> str:
        findings = self._find(text, name)
        if not findings:
            return text
        pieces: list[str] = []
        after = 0
        for one in without_overlaps(findings):
            pieces += (text[after : one.start], self._replaced(one.type, text[one.start : one.end]))
            after = one.end
            tally.found[one.type] += 1
        return "".join((*pieces, text[after:]))

    def _find(self, text: str, name: str | None) -> Sequence[Finding]:
        """What is in a text; a short one is also read behind its name, which may be what tells that it is a phone."""
        found = self._detectors.find(text)
        if found or name is None or len(text) > _LONGEST_NAMED or not any(map(str.isdigit, text)):
            return found
        lead = f"{as_words(name)}: "
        size = len(lead)
        return [
            Finding(one.type, max(0, one.start - size), one.end - size, one.detector, one.confidence)
            for one in self._detectors.find(lead + text)
            if one.end > size
        ]

    def _replaced(self, type_: str, text: str) -> str:
        return self._operators.get(type_, self._operator)(type_, text)
