"""What the quality signals cost: CPU time of the whole default pass, and of each signal, for answers of 2 KB.

Run: python -m benchmarks.quality. Answers are XSTest's when the labelled data lies beside the project, else made
ones. Beside them in the same run: zlib at level 1 over the same answer, and jsonschema for tool calls. CPU time,
least of many.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import platform
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import jsonschema

from benchmarks.quality_accuracy import DATA, bfcl
from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.operation import Operation
from otel_llm.processors import quality
from otel_llm.quality.signals import friction, language, leakage, refusal, repetition, support
from otel_llm.quality.signals.checks import Asked, Checks, Findings, Signal
from otel_llm.quality.signals.exchange import Answer
from otel_llm.quality.signals.tool_calls import ToolCall, fault
from otel_llm.telemetry import Metrics
from tests.spans import SpanSpec, chat, operations

ROUNDS = 15
SIZE = 2048


def microseconds(function: Callable[[object], object], items: Sequence[object]) -> float:
    """The least CPU time a call over several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        for item in items:
            function(item)
        best = min(best, (time.process_time_ns() - start) / len(items))
    return best / 1000


def exchanges() -> list[tuple[str, str]]:
    """Questions with answers of 2 KB."""
    folder = DATA / "xstest"
    if not folder.is_dir():
        text = " ".join(f"Sentence {n} says that the mill of Aldmouth was built in {1500 + n}." for n in range(60))
        return [(f"When was mill {n} built?", text[n : n + SIZE]) for n in range(200)]
    found = []
    for path in sorted(Path(folder).glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found += [(row["prompt"], row["completion"]) for row in csv.DictReader(file)]
    long = [pair for pair in found if len(pair[1]) > 900]
    count = len(long)
    return [(long[n][0], "\n\n".join(long[(n + k) % count][1] for k in range(3))[:SIZE]) for n in range(count)]


def spans(pairs: Sequence[tuple[str, str]]) -> list[Operation]:
    def messages(role: str, text: str) -> str:
        return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])

    return operations(
        *(
            SpanSpec(
                chat(gen_ai__input__messages=messages("user", q), gen_ai__output__messages=messages("assistant", a)),
                span=n,
            )
            for n, (q, a) in enumerate(pairs, 1)
        )
    )


def main() -> None:
    pairs = exchanges()
    version = importlib.metadata.version("jsonschema")
    print(f"Python {platform.python_version()}, jsonschema {version}; {len(pairs)} answers\n")
    checks = Checks(frozenset(get_args(Signal)))
    instructions = Path(__file__).with_name("README.md").read_text(encoding="utf-8")[:4000]
    pieces = leakage.pieces_of(instructions)
    words = support.Documents.of([instructions * 2]).all_words

    def whole(pair: tuple[str, str]) -> None:
        answer = Answer(pair[1], (), has_more=False, finish_reasons=("stop",))
        checks.run(answer, Asked(question=pair[0], pieces=pieces), Findings())

    rows: list[tuple[str, Callable]] = [
        ("whole default pass", whole),
        ("  refusal", lambda pair: refusal.classify(pair[1])),
        ("  repetition", lambda pair: repetition.is_repetitive(pair[1])),
        ("  language_mismatch", lambda pair: language.is_mismatch(*pair)),
        ("  prompt_leak, 4 KB of instructions", lambda pair: leakage.is_leak(pair[1], pieces)),
        ("  user_friction", lambda pair: friction.is_friction(pair[0])),
        ("lexical_support, with documents only", lambda pair: support.lexical_support(pair[1], words)),
        ("beside it: zlib.compress(level=1)", lambda pair: zlib.compress(pair[1].encode(), 1)),
    ]
    for name, function in rows:
        print(f"{name:44s}{microseconds(function, pairs):8.1f} us")
    tool_calls()
    processor(pairs)


def tool_calls() -> None:
    if not (DATA / "bfcl").is_dir():
        print("tool calls: skipped, the labelled data is kept beside the project and is not there")
        return
    calls = [(ToolCall(tool, json.dumps(arguments)), tools) for tools, tool, arguments in bfcl()]
    validators = [jsonschema.Draft202012Validator(tools[call.name]) for call, tools in calls]
    both = list(zip(calls, validators, strict=True))
    print(f"{'a tool call':44s}{microseconds(lambda one: fault(*one[0]), both):8.1f} us")
    theirs = microseconds(lambda one: one[1].is_valid(json.loads(one[0][0].arguments)), both)
    print(f"{'beside it: jsonschema, compiled':44s}{theirs:8.1f} us")


def processor(pairs: Sequence[tuple[str, str]]) -> None:
    """The processor over spans as the wire codec shows them: decoding, parsing and counting included."""
    best = float("inf")
    for _ in range(ROUNDS):
        one = quality.create(quality.Config(), Context("quality", Metrics(), SystemClock()))
        found = spans(pairs)
        start = time.process_time_ns()
        one.process(found)
        best = min(best, (time.process_time_ns() - start) / len(found))
    print(f"{'the processor, a span: decode, parse, count':44s}{best / 1000:8.1f} us")


if __name__ == "__main__":
    main()
