"""OpenTelemetry's naming rules as functions over names: no I/O, no knowledge of the registry.

Source: semantic conventions, general naming guidelines and naming of metrics.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

OWN_PREFIX = "otel_llm."

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[._][a-z0-9]+)*")
_UNIT = re.compile(r"(?:1|s|By|\{[a-z][a-z_]*\})(?:/(?:s|\{[a-z][a-z_]*\}))?")
_UNIT_SUFFIX = re.compile(r"[._](?:seconds|milliseconds|ms|bytes|percent)$")


def constant_name(name: str) -> str:
    """The Python constant of a dotted name or enum value: `gen_ai.tool.name` -> `GEN_AI_TOOL_NAME`."""
    split_camel = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    constant = re.sub(r"[^A-Za-z0-9]+", "_", split_camel).upper()
    return f"_{constant}" if constant[0].isdigit() else constant


def class_name(name: str) -> str:
    """The Python class of a dotted name: `otel_llm.cost.status` -> `OtelLlmCostStatus`."""
    return "".join(word.capitalize() for word in re.split(r"[._]", name))


def name_problems(name: str) -> Iterator[str]:
    """What is wrong with one name of ours, on its own."""
    if not _NAME.fullmatch(name):
        yield f"{name!r} is not lower-case words joined by '.' and '_' (for example otel_llm.cost.total)"
    if not name.startswith(OWN_PREFIX):
        yield f"{name!r} is outside our namespace: ours start with {OWN_PREFIX!r} and extend no other namespace"
    if name.endswith("_total"):
        yield f"{name!r} ends in '_total', which is added by Prometheus exporters; leave it out"


def metric_problems(name: str, unit: str, *, is_counter: bool) -> Iterator[str]:
    """What is wrong with a metric's name and unit, beyond `name_problems`."""
    if not _UNIT.fullmatch(unit):
        yield f"{name!r} has unit {unit!r}; expected a UCUM unit ('s', 'By', '1') or an annotation such as '{{item}}'"
    if _UNIT_SUFFIX.search(name):
        yield f"{name!r} carries its unit in the name; the unit {unit!r} says it"
    if name.endswith(".total"):
        yield f"{name!r} ends in '.total', which collides with the Prometheus suffix; name what is counted"
    last = re.split(r"[._]", name)[-1]
    if last.endswith("s") and not is_counter and not unit.startswith("{"):
        yield f"{name!r} is plural but counts nothing; only countable things are plural"


def namespace_clashes(names: Collection[str]) -> Iterator[str]:
    """Names that are also the namespace of another: `a.b` beside `a.b.c`."""
    known = set(names)
    for name in sorted(known):
        parts = name.split(".")
        for length in range(1, len(parts)):
            prefix = ".".join(parts[:length])
            if prefix in known:
                yield f"{prefix!r} is a name and also the namespace of {name!r}; rename one"


def constant_clashes(names: Collection[str]) -> Iterator[str]:
    """Names that differ only in '.' against '_' and so make the same constant."""
    first: dict[str, str] = {}
    for name in sorted(set(names)):
        other = first.setdefault(constant_name(name), name)
        if other != name:
            yield f"{other!r} and {name!r} both become the constant {constant_name(name)}; rename one"
