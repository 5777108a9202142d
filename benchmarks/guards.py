"""What it costs to look after an answer on its way to the app: `./dev bench guards`.

CPU time, minimum of several rounds. A rule that looks for secrets is enforced; the answer is 4 KB of prose, whole or in
pieces, as an SDK's chunks have it. The same chunks without a guard are the peer.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.detectors import CHAT
from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.operation import Operation
from otel_llm.processors.policy import Config
from otel_llm.processors.policy_admission import PolicyAdmission, create_admission
from otel_llm.telemetry import Metrics
from tests.spans import SpanSpec, chat, operations

TEXT = (CHAT * 40)[:4096]
ROUNDS = 15
RULES = """
apiVersion: otel-llm/v1
kind: PolicySet
metadata: {{name: answers, version: 1, owner: platform}}
spec:
  mode: enforce
  rules:
  - {{id: leak, stage: response, when: 'finds("secrets", output.text)', {act}}}
"""
ACTS = {"deny": "verdict: deny", "mask": "verdict: modify, action: {redact: [secrets]}"}


def admission(folder: Path, act: str) -> PolicyAdmission:
    path = folder / f"{act}.yaml"
    path.write_text(RULES.format(act=ACTS[act]))
    return create_admission(Config(paths=(str(path),)), Context("policy", Metrics(), SystemClock()), {})


def asked() -> Operation:
    (operation,) = operations(SpanSpec(chat()))
    return operation


def guarded(policy: PolicyAdmission, pieces: list[str]) -> Callable[[], str]:
    def run() -> str:
        guard = policy.guard(asked())
        assert guard is not None
        text = guard.text()
        return "".join([*map(text.push, pieces), text.finish()])

    return run


def milliseconds(run: Callable[[], str]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        assert run() == TEXT
        best = min(best, time.process_time() - started)
    return best * 1000


def main() -> None:
    print(f"Python {platform.python_version()}, {platform.machine()}; ms CPU for an answer of {len(TEXT)} characters\n")
    print("| pieces of | not looked after | deny | mask |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        policies = [admission(Path(folder), act) for act in ACTS]
        for size in (len(TEXT), 64, 16, 4):
            pieces = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
            times = [milliseconds(lambda pieces=pieces: "".join([*map(str, pieces)]))]  # type: ignore[misc] # bound
            times += [milliseconds(guarded(policy, pieces)) for policy in policies]
            print(f"| {size} | " + " | ".join(f"{one:.3f}" for one in times) + " |", flush=True)


if __name__ == "__main__":
    main()
