"""Operations and bundles for tests of policies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from otel_llm._generated.attributes import ATTRIBUTE_TYPES
from otel_llm.operation import AttributeValue, Operation
from otel_llm.policy.findings import Detector, Finding
from otel_llm.policy.sets import Bundle, Detection, LazyDetector, Vocabulary, compile_bundle, read_documents
from otel_llm.policy.sets.files import read_text
from tests.spans import SpanSpec, chat, operations

# 2026-11-18T12:00:00Z
NOON = 1_795_003_200_000_000_000
DAY = 86_400_000_000_000

HEAD = """
apiVersion: otel-llm/v1
kind: PolicySet
metadata: {name: test, version: 7, owner: platform}
spec:
"""


class WordDetector:
    """Finds words; counts how often it was asked."""

    types = frozenset({"WORD", "OTHER_WORD"})

    def __init__(self, name: str = "words", words: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.words = words or {"tulip": "WORD", "rose": "OTHER_WORD"}
        self.asked = 0

    def find(self, text: str) -> tuple[Finding, ...]:
        self.asked += 1
        found = [(text.find(word), word, type_) for word, type_ in self.words.items() if word in text]
        return tuple(Finding(type_, at, at + len(word), self.name, 1.0) for at, word, type_ in sorted(found))


def bundle(text: str, detectors: Sequence[Detector | LazyDetector] = ()) -> Bundle:
    """A bundle of YAML documents; a text without apiVersion is the spec of a set."""
    if "apiVersion" not in text:
        text = HEAD + "\n".join(f"  {line}" for line in text.strip("\n").splitlines())
    documents = read_documents(("rules.yaml", one) for one in read_text(text, "rules.yaml"))
    return compile_bundle(documents, Vocabulary(ATTRIBUTE_TYPES), Detection(detectors))


def rules(*rows: str, head: str = "mode: enforce") -> str:
    """The spec of a set with rules, each the inner part of a flow mapping."""
    listed = "\n".join(f"- {{{row}}}" for row in rows)
    return f"{head}\nrules:\n{listed}\n"


def asked(text: str, **attributes: AttributeValue) -> Operation:
    """A chat call with a question, and what else."""
    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])
    return call(gen_ai__input__messages=messages, **attributes)


def call(**attributes: AttributeValue) -> Operation:
    """A chat call."""
    (found,) = operations(SpanSpec(chat(**attributes)))
    return found


def write(folder: Path, text: str, name: str = "rules.yaml") -> Path:
    """A file with a policy set."""
    if "apiVersion" not in text:
        text = HEAD + "\n".join(f"  {line}" for line in text.strip("\n").splitlines())
    path = folder / name
    path.write_text(text)
    return path
