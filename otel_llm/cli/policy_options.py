"""What the policy commands have in common: naming policies, loading them, and spans from suites and recordings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from otel_llm.cli.recordings import bodies
from otel_llm.clock import SystemClock
from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context
from otel_llm.errors import ConfigError
from otel_llm.operation import AttributeValue, Event, Operation
from otel_llm.pipeline import Pipeline, Processor
from otel_llm.policy.sets import Bundle, PolicyError
from otel_llm.policy.sets.suite import SpanCase
from otel_llm.processors import cost, normalize
from otel_llm.processors.policy_loading import built_in_detection, load_bundle, paths_of
from otel_llm.telemetry import Metrics

_SECOND: Final = 1_000_000_000
_STATUSES: Final = {"unset": 0, "ok": 1, "error": 2}


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """--policies and --pack."""
    parser.add_argument(
        "--policies",
        metavar="PATH",
        action="append",
        default=[],
        help="a file of policies, or a folder of such files; may be given several times",
    )
    parser.add_argument(
        "--pack", metavar="NAME", action="append", default=[], help="a pack that comes with otel-llm, e.g. starter"
    )


def bundle_of(options: argparse.Namespace) -> Bundle:
    """The policies that the command line names.

    Raises:
        ConfigError: with every problem.
    """
    if not options.policies and not options.pack:
        raise ConfigError(["no policies; name them with --policies PATH or --pack NAME"])
    return load(options.policies, options.pack)


def load(files: Iterable[str], packs: Iterable[str] = ()) -> Bundle:
    """The bundle of files and packs.

    Raises:
        ConfigError: with every problem.
    """
    with problems_as_config_error():
        return load_bundle(paths_of(files, packs), built_in_detection())


class problems_as_config_error:  # noqa: N801 - reads as a statement
    """Turns a PolicyError into what the command line shows."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, PolicyError):
            raise ConfigError(error.problems) from None


class CaseSource:
    """A span of a suite as the source of an Operation."""

    trace_id = b""
    span_id = b""
    parent_span_id = b""
    kind = 3
    status_message = ""
    scope_name = "suite"
    scope_version = ""
    events: Sequence[Event] = ()

    def __init__(self, case: SpanCase, start_unix_nano: int) -> None:
        self.name = case.name
        self.status_code = _STATUSES[case.status]
        self.start_unix_nano = start_unix_nano
        self.end_unix_nano = start_unix_nano + int(case.seconds * _SECOND)
        self.resource: Mapping[str, AttributeValue] = case.resource  # type: ignore[assignment] # values of YAML
        self._attributes: dict[str, AttributeValue] = dict(case.attributes)  # type: ignore[arg-type] # values of YAML
        for key, role, text in (
            ("gen_ai.input.messages", "user", case.input),
            ("gen_ai.output.messages", "assistant", case.output),
        ):
            if text is not None:
                message = {"role": role, "parts": [{"type": "text", "content": text}]}
                self._attributes.setdefault(key, msgspec.json.encode([message]).decode())

    @property
    def identity(self) -> tuple[bytes, bytes, bytes]:
        """A span of a suite has no ids."""
        return b"", b"", b""

    def keys(self) -> frozenset[str]:
        """Keys of all attributes."""
        return frozenset(self._attributes)

    def has_exactly(self, keys: frozenset[str]) -> bool:
        """Whether these are all keys."""
        return self.keys() == keys

    def get(self, key: str) -> AttributeValue:
        """The value of an attribute."""
        return self._attributes.get(key)


def case_operation(start_unix_nano: int) -> Callable[[SpanCase], Operation]:
    """Makes operations of the spans of a suite."""
    return lambda case: Operation(CaseSource(case, start_unix_nano))


def recorded(paths: Iterable[str]) -> Iterator[Operation]:
    """The GenAI operations of recordings, normalised and priced as the gateway would.

    A recording is lines of OTLP JSON, as file exporters write them, or one request in protobuf (`*.pb`).

    Raises:
        ConfigError: a file cannot be read, or is no recording of traces.
    """
    metrics, clock = Metrics(), SystemClock()
    steps: list[Processor] = [
        normalize.create(normalize.Config(), Context("normalize", metrics, clock)),
        cost.create(cost.Config(), Context("cost", metrics, clock)),
    ]
    pipeline = Pipeline(steps, metrics, clock)
    for path in paths:
        for body in bodies(Path(path)):
            operations = decode_traces(body).operations
            pipeline.process(operations)
            yield from operations
