"""Conventions change: whatever generation comes in, the pinned one goes out, and a second time changes nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from otel_llm._generated import attributes as names
from otel_llm.codecs.wire import decode_traces
from otel_llm.operation import AttributeValue
from otel_llm.processors.normalize import Config, Normalize
from tests.acceptance.through import Through
from tests.golden.recorded import RECORDINGS, processed
from tests.spans import SpanSpec, attributes_of, request, spans_of

_DIALECTS = Path(__file__).parents[1] / "golden" / "dialects"
_CASES = [
    pytest.param(case, id=f"{path.stem}: {case['case']}")
    for path in sorted(_DIALECTS.glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]
# Of a generation before the pinned one, or of a source convention: no such key is left.
_OLD = re.compile(
    r"gen_ai\.(system|usage\.(prompt_tokens|completion_tokens|cache_creation\..*|cache_read_input_tokens)"
    r"|prompt\.\d+\..*|completion\.\d+\..*|openai\..*)"
    r"|llm\.(token_count|input_messages|output_messages|usage|request)\..*|ai\.usage\..*|openinference\.span\.kind"
)
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "double": (float, int),
    "boolean": (bool,),
    "string[]": (tuple, list),
}
_MESSAGES = (names.GEN_AI_INPUT_MESSAGES, names.GEN_AI_OUTPUT_MESSAGES)


def _problems(attributes: dict[str, AttributeValue]) -> list[str]:
    """What is not as the pinned generation has it: old keys, wrong types, messages of another shape."""
    found = [key for key in attributes if _OLD.fullmatch(key)]
    for key, value in attributes.items():
        kinds = _TYPES.get(names.ATTRIBUTE_TYPES.get(key, ""))
        if kinds is not None and not isinstance(value, kinds):
            found.append(f"{key}: {type(value).__name__}")
    for key in _MESSAGES:
        if isinstance(text := attributes.get(key), str):
            found += [f"{key}: {message}" for message in json.loads(text) if not _is_message(message)]
    return found


def _is_message(message: dict[str, Any]) -> bool:
    return isinstance(message.get("role"), str) and all(isinstance(part.get("type"), str) for part in message["parts"])


@pytest.mark.parametrize("case", _CASES)
def test_49_every_generation_becomes_the_pinned_one_and_stays_it(case: dict[str, Any]) -> None:
    """Given spans of conventions from 1.26 on and of every other source, then only attributes of the pinned generation
    are left, with its types and its shape of messages, and a second conversion changes not one byte."""
    spec = SpanSpec(
        case["attributes"],
        scope=case["scope_name"],
        kind=case.get("kind", 3),
        name=case.get("name", "span"),
        events=tuple((event["name"], event["attributes"]) for event in case.get("events", ())),
    )
    _, once = processed(request([spec]))
    for span in spans_of(once):
        assert _problems(attributes_of(span)) == []
    _, twice = processed(once)
    assert twice == once


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_49_what_real_emitters_send_becomes_the_pinned_generation(recording: Any) -> None:
    """Given the requests of real emitters, the same."""
    _, once = processed(recording.traces)
    for span in spans_of(once):
        assert _problems(attributes_of(span)) == []


_OLDER: dict[str, AttributeValue] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.cache_creation.input_tokens": 50,
}


def test_49_older_names_can_be_written_beside_the_current_ones(through: Through) -> None:
    """Given backends that read older names, when twins are configured, then both are there with equal values, and only
    then."""
    assert "gen_ai.system" not in through.call(_OLDER)
    (span,) = map(attributes_of, spans_of(_with_twins(request([SpanSpec(_OLDER, scope="app")]))))
    assert span["gen_ai.system"] == span[names.GEN_AI_PROVIDER_NAME] == "anthropic"
    old = span["gen_ai.usage.cache_creation.input_tokens"]
    assert old == span[names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS] == 50
    again = attributes_of(spans_of(_with_twins(_with_twins(request([SpanSpec(_OLDER, scope="app")]))))[0])
    assert again == span


@pytest.mark.parametrize("case", _CASES)
def test_49_with_older_names_too_a_second_conversion_changes_not_one_byte(case: dict[str, Any]) -> None:
    """Given spans that have their twins already, of a known source or not, when they are converted again, then they are
    the same bytes."""
    for scope in (case["scope_name"], "app"):
        once = _with_twins(request([SpanSpec(case["attributes"], scope=scope)]))
        assert _with_twins(once) == once, scope


def _with_twins(body: bytes) -> bytes:
    batch = decode_traces(body)
    Normalize(Config(compatibility=("gen_ai.system", "gen_ai.usage.cache_creation.input_tokens"))).process(
        batch.operations
    )
    return batch.encode().join()
