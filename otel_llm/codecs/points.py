"""Metrics by attributes of their data points: one request as several, each with the points that belong there.

With the generated classes: metrics are not on the fast path, and a data point stands one level deeper than the items
that `regroup` moves. Unknown fields stay, protobuf carries them along.
Source: opentelemetry-proto metrics.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics, ScopeMetrics

from otel_llm.codecs.lookup import CONFLICT, Found
from otel_llm.codecs.protobuf import from_any_value
from otel_llm.errors import MalformedError
from otel_llm.signals import Payload

Key = TypeVar("Key")


def split_points(
    body: bytes, keys: frozenset[str], choose: Callable[[Mapping[str, Found], Mapping[str, Found]], Key]
) -> dict[Key, Payload]:
    """Parts of a metrics request by a key for each data point.

    Args:
        body: the request.
        keys: attributes that matter.
        choose: gets those of the resource and those of the point; says where the point belongs.

    Raises:
        MalformedError: it is not a metrics request.
    """
    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError:
        raise MalformedError("ExportMetricsServiceRequest: the bytes are not an OTLP metrics request") from None
    parts: dict[Key, _Part] = {}
    for holder in request.resource_metrics:
        resource = _found(holder.resource.attributes, keys)
        for group in holder.scope_metrics:
            for metric in group.metrics:
                for key, part in _split_metric(metric, lambda point, of=resource: choose(of, point), keys).items():  # type: ignore[misc] # bound at once
                    parts.setdefault(key, _Part()).add(holder, group, part)
    return {key: part.payload() for key, part in parts.items()}


def _found(attributes: object, keys: frozenset[str]) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for item in attributes:  # type: ignore[attr-defined] # a repeated field
        pair: KeyValue = item
        if pair.key in keys:
            value = from_any_value(pair.value)
            found[pair.key] = value if found.get(pair.key, value) == value else CONFLICT
    return found


def _split_metric(
    metric: Metric, choose: Callable[[Mapping[str, Found]], Key], keys: frozenset[str]
) -> dict[Key, Metric]:
    """A metric as several; one without points, or of an unknown kind, goes where a point without attributes would."""
    kind = metric.WhichOneof("data")
    points = getattr(metric, kind).data_points if kind is not None else []
    if not points:
        return {choose({}): metric}
    chosen: dict[Key, list[object]] = {}
    for point in points:
        chosen.setdefault(choose(_found(point.attributes, keys)), []).append(point)
    if len(chosen) == 1:
        return {next(iter(chosen)): metric}
    parts: dict[Key, Metric] = {}
    for key, some in chosen.items():
        part = parts[key] = Metric()
        part.CopyFrom(metric)
        kept = getattr(part, str(kind)).data_points
        del kept[:]
        kept.extend(some)
    return parts


class _Part:
    """A request that is put together metric by metric."""

    def __init__(self) -> None:
        self._request = ExportMetricsServiceRequest()
        self._holder: ResourceMetrics | None = None
        self._group: ScopeMetrics | None = None
        self._items = 0

    def add(self, holder: ResourceMetrics, group: ScopeMetrics, metric: Metric) -> None:
        """Add a metric of that resource and scope; they come in order."""
        if self._holder is not holder:
            self._holder = holder
            self._group = None
            mine = self._request.resource_metrics.add()
            mine.CopyFrom(holder)
            del mine.scope_metrics[:]
        if self._group is not group:
            self._group = group
            own = self._request.resource_metrics[-1].scope_metrics.add()
            own.CopyFrom(group)
            del own.metrics[:]
        self._request.resource_metrics[-1].scope_metrics[-1].metrics.append(metric)
        self._items += 1

    def payload(self) -> Payload:
        return Payload.of("metrics", (self._request.SerializeToString(),), self._items)
