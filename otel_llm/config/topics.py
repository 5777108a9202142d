"""What reads Kafka and what it feeds: no topic that is written to by who reads it, and no queue that forgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from otel_llm.config.settings import Component, PipelineSettings
from otel_llm.kafka.client import TOPICS, ClientConfig
from otel_llm.signals import Signal

_KAFKA: Final = "kafka"


def check_topics(pipelines: Iterable[PipelineSettings], problems: list[str]) -> None:
    """Report pipelines that write to the topic that they read."""
    for pipeline in pipelines:
        signal = pipeline.signal
        for receiver in _of_kafka(pipeline.receivers):
            for exporter in _of_kafka(pipeline.exporters):
                written = _topics(exporter, signal)
                if set(written) & set(_topics(receiver, signal)) and set(_brokers(receiver)) & set(_brokers(exporter)):
                    problems.append(
                        f"{exporter.path}.{signal}.topic: {written[0]!r} is what {receiver.path} reads for the same "
                        "pipeline, so everything would go round without end; choose another topic"
                    )


def forgetful_queues(pipelines: Sequence[PipelineSettings]) -> Iterator[str]:
    """A line for each queue whose content dies with the process although its offsets are committed."""
    seen: set[tuple[str, str]] = set()
    for pipeline in pipelines:
        for receiver in _of_kafka(pipeline.receivers):
            if getattr(receiver.config, "commit_after", None) != "accepted":
                continue
            for exporter in pipeline.exporters:
                is_exporter = exporter.type.kind == "exporter"
                if not is_exporter or exporter.delivery.sending_queue.disk or (receiver.id, exporter.id) in seen:
                    continue
                seen.add((receiver.id, exporter.id))
                yield (
                    f"{receiver.path}.commit_after: what was accepted counts as done, but the queue of {exporter.path} "
                    f"is in memory and dies with the process; set sending_queue.disk there, or commit_after: delivered"
                )


def _of_kafka(components: Iterable[Component]) -> Iterator[Component]:
    return (one for one in components if one.type.name == _KAFKA and isinstance(one.config, ClientConfig))


def _brokers(component: Component) -> tuple[str, ...]:
    return component.config.brokers if isinstance(component.config, ClientConfig) else ()


def _topics(component: Component, signal: Signal) -> tuple[str, ...]:
    section: msgspec.Struct = getattr(component.config, signal)
    topic = getattr(section, "topic", None)
    topics: tuple[str, ...] = (topic,) if topic else getattr(section, "topics", ())
    return topics or (TOPICS[signal],)
