"""What it costs to tell the history once: CPU time for each span, beside parsing its messages, which every check does.

Run: python benchmarks/history.py. CPU time, minimum of several rounds, all in one run; compare ratios, not machines.
A span with 100 KB has 100 messages, of which all but the last were sent before.
"""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable, Mapping

import msgspec

from otel_llm.codecs.wire import decode_traces
from otel_llm.operation import AttributeValue, Operation
from otel_llm.processors.history import Config, History
from tests.spans import SpanSpec, chat, request

ROUNDS = 7
SPANS = 64
MESSAGE_BYTES = 1000


def message(role: str, text: str) -> Mapping[str, object]:
    """One of some 1000 bytes."""
    return {"role": role, "parts": [{"type": "text", "content": f"{text} ".ljust(MESSAGE_BYTES - 70, "x")}]}


def conversation(messages: int) -> bytes:
    """A request of spans with the same number of messages each, of which all but the last are known."""
    whole = [message("assistant" if i % 2 else "user", str(i)) for i in range(messages - 1)]
    specs = []
    for number in range(SPANS):
        sent = [*whole, message("user", f"last {number}")]
        answer = {**message("assistant", str(number)), "finish_reason": "stop"}
        attributes: dict[str, AttributeValue] = chat(
            gen_ai__conversation__id="c",
            gen_ai__input__messages=msgspec.json.encode(sent).decode(),
            gen_ai__output__messages=msgspec.json.encode([answer]).decode(),
        )
        specs.append(SpanSpec(attributes, span=number + 1))
    return request(specs)


def cpu_microseconds(prepare: Callable[[], list[Operation]], run: Callable[[list[Operation]], object]) -> float:
    """The least CPU time for one span; preparing is not counted."""
    best = float("inf")
    gc.disable()
    for _ in range(ROUNDS):
        operations = prepare()
        start = time.process_time_ns()
        run(operations)
        best = min(best, (time.process_time_ns() - start) / len(operations))
    gc.enable()
    return best / 1000


def operations_of(body: bytes) -> list[Operation]:
    """Fresh operations whose messages are read from the bytes already."""
    operations = decode_traces(body).operations
    for operation in operations:
        operation.text("gen_ai.input.messages")
    return operations


def parse(operations: list[Operation]) -> None:
    """What a check of quality or a policy does first."""
    for operation in operations:
        _ = operation.input_messages, operation.output_messages


def main() -> None:
    """Print the table."""
    print(f"Python {platform.python_version()}, msgspec {msgspec.__version__}, {SPANS} spans, least of {ROUNDS} rounds")
    print("history, KB  history, µs a span  parsing the messages, µs  request before, KB  after, KB")
    for kilobytes in (2, 100):
        body = conversation(kilobytes)
        batch = decode_traces(body)
        History(Config()).process(batch.operations)
        after = batch.encode().size_bytes
        ours = cpu_microseconds(lambda body=body: operations_of(body), lambda found: History().process(found))
        peer = cpu_microseconds(lambda body=body: operations_of(body), parse)
        print(f"{kilobytes:11} {ours:19.1f} {peer:25.1f} {len(body) / 1000:19.0f} {after / 1000:10.0f}")


if __name__ == "__main__":
    main()
