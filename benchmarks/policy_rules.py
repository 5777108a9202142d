"""What rules cost: CPU time of twenty rules a span, beside other CEL engines on the same rules in the same run.

Run: python -m benchmarks.policy_rules. CPU time, minimum of several rounds. Spans are those of the wire codec, decoded
anew for each round and outside of the time: so the first reading of an attribute from protobuf bytes is in it, as it is
in the gateway. The peers get a dict of the attributes that is there already; cel-expr-python one Activation a span.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import importlib.util
import json
import platform
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from otel_llm._generated.attributes import ATTRIBUTE_TYPES
from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.policy.sets import Detection, Vocabulary, compile_bundle, decide, read_documents
from otel_llm.processors.policy import Config, create
from otel_llm.telemetry import Metrics
from tests.spans import SpanSpec, chat, operations

ROUNDS = 7
SPANS = 1000
TARGET_MICROSECONDS = 50.0

# The rule of facts/policy.md, and others of its kind: lists, ceilings, prefixes, resources, tools, absence.
RULES = [
    'gen_ai.request.model in ["gpt-4o"] && gen_ai.usage.output_tokens < 4000 && resource["service.name"] == "x"',
    "gen_ai.usage.input_tokens > 100000",
    "gen_ai.usage.output_tokens > 16000",
    '!gen_ai.request.model.startsWith("gpt-")',
    '!(gen_ai.provider.name in ["openai", "anthropic", "azure.ai.openai"])',
    "gen_ai.request.model != gen_ai.response.model && !gen_ai.response.model.startsWith(gen_ai.request.model)",
    '!("service.name" in resource)',
    'has(server.address) && !server.address.endsWith(".example.com")',
    "has(otel_llm.cost.total) && otel_llm.cost.total > 1.0",
    "has(gen_ai.request.temperature) && gen_ai.request.temperature > 1.5",
    "has(gen_ai.request.max_tokens) && gen_ai.request.max_tokens > 16000",
    'has(gen_ai.agent.name) && gen_ai.agent.name == "nobody"',
    'span.status == "error" && gen_ai.usage.output_tokens > 100',
    'gen_ai.request.model.matches("^(gpt-3|davinci|curie)")',
    'resource["service.name"].startsWith("test-") && gen_ai.usage.input_tokens + gen_ai.usage.output_tokens > 5000',
    '["gpt-4-32k", "gpt-4-vision"].exists(m, m == gen_ai.request.model)',
    'gen_ai.provider.name == "openai" && gen_ai.request.model.contains("preview")',
    "gen_ai.usage.input_tokens > 50 * (gen_ai.usage.output_tokens + 1)",
    'gen_ai.operation.name == "embeddings" && gen_ai.usage.output_tokens > 0',
    'has(gen_ai.response.finish_reasons) && "content_filter" in gen_ai.response.finish_reasons',
]


def specs(text: str = "") -> list[SpanSpec]:
    attributes = chat(
        gen_ai__response__finish_reasons=["stop"], server__address="api.example.com", otel_llm__cost__total=0.02
    )
    if text:
        attributes["gen_ai.input.messages"] = json.dumps(
            [{"role": "user", "parts": [{"type": "text", "content": text}]}]
        )
    return [SpanSpec(attributes, trace=number + 1) for number in range(SPANS)]


def document(expressions: list[str]) -> dict[str, object]:
    rules = [
        {"id": f"r{number}", "stage": "export", "when": one, "verdict": "warn"}
        for number, one in enumerate(expressions)
    ]
    return {
        "apiVersion": "otel-llm/v1",
        "kind": "PolicySet",
        "metadata": {"name": "bench", "version": 1},
        "spec": {"mode": "enforce", "rules": rules},
    }


def least(prepare: Callable[[], list[object]], run: Callable[[object], object]) -> float:
    """CPU microseconds for one of what `prepare` makes."""
    best = float("inf")
    for _ in range(ROUNDS):
        things = prepare()
        gc.collect()
        gc.disable()
        start = time.process_time_ns()
        for one in things:
            run(one)
        best = min(best, (time.process_time_ns() - start) / len(things))
        gc.enable()
    return best / 1000


def ours(expressions: list[str]) -> Callable[[object], object]:
    bundle = compile_bundle(
        read_documents([("bench", document(expressions))]), Vocabulary(ATTRIBUTE_TYPES), Detection()
    )
    rules = bundle.plan("shop", "").by_operation["chat"]
    none: frozenset = frozenset()
    return lambda operation: decide(rules, bundle.variables(operation), 0, none)


def processor(folder: Path, expressions: list[str] | None) -> Callable[[object], object]:
    """The whole processor: reading the resource, deciding, writing the verdict, counting."""
    context = Context("policy", Metrics(), SystemClock())
    if expressions is None:
        made = create(Config(packs=("starter",), check_interval_seconds=0), context)
    else:
        path = folder / "bench.json"
        path.write_text(json.dumps(document(expressions)))
        made = create(Config(paths=(str(path),), check_interval_seconds=0), context)
    return lambda operation: made.process([operation])


def flat(expression: str) -> str:
    """The expression for engines without names that may be absent: one map of attributes."""
    roots = "gen_ai|otel_llm|server|span"
    expression = re.sub(rf"has\(((?:{roots})\.[a-z_.]+)\)", r'("\1" in a)', expression)
    return re.sub(
        rf"(?<![\"\w.])((?:{roots})(?:\.[a-z_]+)+)(?=\.(?:startsWith|endsWith|contains|matches)\()|(?<![\"\w.])((?:{roots})(?:\.[a-z_]+)+)",
        lambda m: f'a["{m[1] or m[2]}"]',
        expression,
    )


def span_dict() -> dict[str, object]:
    (operation,) = operations(specs()[0])
    attributes = {key: operation.get(key) for key in operation.keys()}  # noqa: SIM118 - not a dict
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in attributes.items()}
    return {"a": {**plain, "span.status": "unset"}, "resource": dict(operation.resource)}


def expected() -> list[bool]:
    """What the rules say about the span, for the peers to say the same."""
    bundle = compile_bundle(read_documents([("bench", document(RULES))]), Vocabulary(ATTRIBUTE_TYPES), Detection())
    (operation,) = operations(specs()[0])
    variables = bundle.variables(operation)
    return [rule.applies(variables) is True for rule in bundle.rules]


def cel_expr_python() -> Callable[[object], object] | None:
    if importlib.util.find_spec("cel_expr_python") is None:
        return None
    cel = importlib.import_module("cel_expr_python.cel")
    kinds = cel.Type
    environment = cel.NewEnv(
        variables={"a": kinds.Map(kinds.STRING, kinds.DYN), "resource": kinds.Map(kinds.STRING, kinds.DYN)}
    )
    programs = [environment.compile(flat(one)) for one in RULES]

    def run(data: object) -> object:
        activation = environment.Activation(data)
        return [program.eval(activation).value() for program in programs]

    return run


def cel_python() -> Callable[[object], object] | None:
    if importlib.util.find_spec("celpy") is None:
        return None
    celpy = importlib.import_module("celpy")
    environment = celpy.Environment()
    programs = [environment.program(environment.compile(flat(one))) for one in RULES]

    def run(data: object) -> object:
        activation = celpy.json_to_cel(data)
        results = []
        for program in programs:
            try:
                results.append(program.evaluate(activation))
            except celpy.CELEvalError:
                results.append(None)
        return results

    return run


def main() -> None:
    packages = [one for one in ("google-re2", "hyperscan", "cel-expr-python", "cel-python") if _has(one)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(f"Python {platform.python_version()}, {versions}\n")
    print(f"{'CPU µs a span':64s}{'µs':>9s}{'ratio':>8s}")
    base = least(lambda: list(operations(*specs())), ours(RULES))
    _row("twenty rules, decided", base, base)
    with tempfile.TemporaryDirectory() as folder:
        _row(
            "twenty rules, the whole processor",
            least(lambda: list(operations(*specs())), processor(Path(folder), RULES)),
            base,
        )
        one = least(lambda: list(operations(*specs())), processor(Path(folder), RULES[:1]))
        _row("one rule, the whole processor", one, base)
        starter = processor(Path(folder), None)
        _row("starter pack (19 rules), no content", least(lambda: list(operations(*specs())), starter), base)
        known = "The quick brown fox jumps over the lazy dog. " * 90
        _row("starter pack, a text of 4 KB seen before", least(lambda: list(operations(*specs(known))), starter), base)
    for name, peer in (("cel-expr-python", cel_expr_python()), ("cel-python", cel_python())):
        if peer is not None:
            assert [one is True for one in map(bool_of, peer(span_dict()))] == expected(), name
            things = [span_dict()] * (SPANS if name == "cel-expr-python" else 20)
            _row(
                f"{name}, the same twenty, attributes given",
                least(things.copy, peer),
                base,
            )
    print(f"\ntwenty rules: at most {TARGET_MICROSECONDS:.0f} µs wanted, {base:.1f} µs measured")


def bool_of(value: object) -> object:
    """A peer's bool as Python's; an error stays what it is, and is no bool."""
    return bool(value) if type(value).__name__ in ("bool", "BoolType") else value


def _has(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _row(name: str, microseconds: float, base: float) -> None:
    print(f"{name:64s}{microseconds:9.1f}{microseconds / base:8.1f}")


if __name__ == "__main__":
    main()
