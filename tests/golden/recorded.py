"""The recorded requests of real emitters, what the gateway makes of them, and how that is written down.

`tests/golden/expected/<emitter>/<scenario>.json` holds the result of one request: all of its spans, keys sorted, JSON
inside of string attributes unfolded (`{"json": ...}`) so that a difference can be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm._generated.attributes import OTEL_LLM_COST_PRICE_VERSION
from otel_llm.clock import SystemClock
from otel_llm.codecs.protobuf import from_any_value
from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context
from otel_llm.cost import Catalogue
from otel_llm.delivery.fan_out import FanOut
from otel_llm.hosts.signal_pipelines import LogPipeline
from otel_llm.operation import AttributeValue, Operation
from otel_llm.pipeline import Pipeline
from otel_llm.processors import cost, normalize
from otel_llm.telemetry import Metrics
from tests.spans import spans_of

_FOLDER = Path(__file__).parent
EXPECTED = _FOLDER / "expected"
_EMITTERS = _FOLDER / "emitters"
# Its version stands in no file: with each new price list all of them would change.
_CATALOGUE = Catalogue.load()


@dataclass(frozen=True, slots=True, order=True)
class Recording:
    """One scenario of one emitter."""

    emitter: str
    scenario: str

    def __str__(self) -> str:
        return f"{self.emitter}/{self.scenario}"

    @property
    def traces(self) -> bytes:
        """The trace request as it was sent."""
        return (_EMITTERS / self.emitter / f"{self.scenario}.traces.pb").read_bytes()

    @property
    def logs(self) -> bytes:
        """The log request as it was sent."""
        return (_EMITTERS / self.emitter / f"{self.scenario}.logs.pb").read_bytes()

    @property
    def expected_traces(self) -> Path:
        """Where the spans that come out are written down."""
        return EXPECTED / self.emitter / f"{self.scenario}.json"

    @property
    def expected_logs(self) -> Path:
        """Where the log records that come out are written down."""
        return EXPECTED / self.emitter / f"{self.scenario}.logs.json"


def _recordings(signal: str) -> tuple[Recording, ...]:
    ending = f".{signal}.pb"
    paths = _EMITTERS.glob(f"*/*{ending}")
    return tuple(sorted(Recording(path.parent.name, path.name.removesuffix(ending)) for path in paths))


RECORDINGS = _recordings("traces")
RECORDED_LOGS = _recordings("logs")


def pipeline() -> Pipeline:
    """Normalise and cost as a gateway without a configuration has them; nothing is remembered from another test."""
    metrics, clock = Metrics(), SystemClock()
    return Pipeline(
        [
            normalize.create(normalize.Config(), Context("normalize", metrics, clock)),
            cost.Cost(cost.Config(), _CATALOGUE, Context("cost", metrics, clock)),
        ],
        metrics,
        clock,
    )


def processed(body: bytes) -> tuple[list[Operation], bytes]:
    """The request's operations after the pipeline, and the request that leaves."""
    batch = decode_traces(body)
    pipeline().process(batch.operations)
    return batch.operations, batch.encode().join()


def result(body: bytes) -> list[dict[str, Any]]:
    """The spans of the request that leaves, whole, ready for JSON."""
    _, after = processed(body)
    before = {span.span_id: span for span in spans_of(body)}
    return [_described(span, before[span.span_id]) for span in spans_of(after)]


def processed_logs(body: bytes) -> bytes:
    """The log request that leaves, as a gateway with `normalize` in its logs pipeline makes it."""
    metrics, clock = Metrics(), SystemClock()
    normalizer = normalize.create(normalize.Config(), Context("normalize", metrics, clock))
    logs = LogPipeline("logs", Pipeline([normalizer], metrics, clock, "logs"), FanOut([]), metrics, clock)
    return logs.process(body).payload.join()


def log_records_of(body: bytes) -> list[LogRecord]:
    """All log records of a serialized request."""
    message = ExportLogsServiceRequest.FromString(body)
    return [record for holder in message.resource_logs for group in holder.scope_logs for record in group.log_records]


def log_result(body: bytes) -> list[dict[str, Any]]:
    """The log records that leave, whole, ready for JSON."""
    return [
        {
            "trace_id": record.trace_id.hex(),
            "span_id": record.span_id.hex(),
            "event_name": record.event_name,
            "time_unix_nano": record.time_unix_nano,
            "severity_number": record.severity_number,
            "body": _readable(from_any_value(record.body)),
            "attributes": _attributes(record.attributes),
        }
        for record in log_records_of(processed_logs(body))
    ]


def text_of(spans: Sequence[dict[str, Any]]) -> str:
    """As written to a file."""
    return json.dumps(spans, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _described(span: Span, before: Span) -> dict[str, Any]:
    left = [event.name for event in span.events]
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "start_unix_nano": span.start_time_unix_nano,
        "end_unix_nano": span.end_time_unix_nano,
        "status": {"code": span.status.code, "message": span.status.message},
        "attributes": _attributes(span.attributes),
        "events": [
            {"name": event.name, "time_unix_nano": event.time_unix_nano, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
        "removed_events": sorted(event.name for event in before.events if event.name not in left),
    }


def _attributes(items: Iterable[KeyValue]) -> dict[str, Any]:
    found = {item.key: _readable(from_any_value(item.value)) for item in items}
    if found.get(OTEL_LLM_COST_PRICE_VERSION) == _CATALOGUE.version:
        found[OTEL_LLM_COST_PRICE_VERSION] = "of the catalogue"
    return found


def _readable(value: AttributeValue) -> Any:
    """A value for JSON; containers in a string are shown as what they say."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return {"json": json.loads(value)}
        except ValueError:
            return value
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    return value
