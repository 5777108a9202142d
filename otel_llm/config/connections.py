"""Connectors between pipelines: each has both ends, and what it passes on never comes back.

Sampling comes last: what counts or keeps every operation, and stands behind it, would see only what was kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from otel_llm.config.settings import Component, PipelineSettings

_SAMPLING: Final = "tail_sampling"
# What has to see every operation: derived metrics, budgets, and the ledger behind reports.
_EXACT: Final = {("processor", "metrics"), ("processor", "budget"), ("exporter", "ledger")}


def check_connections(
    pipelines: Sequence[PipelineSettings], connectors: Sequence[Component], problems: list[str]
) -> None:
    """Report connectors with one end, circles, and what would count only what sampling has left."""
    for connector in connectors:
        feeds = [one for one in pipelines if connector in one.receivers]
        fed = [one for one in pipelines if connector in one.exporters]
        if not feeds:
            problems.append(f"{connector.path}: no pipeline has it among its receivers, so nothing comes out; add it")
        if not fed:
            problems.append(f"{connector.path}: no pipeline has it among its exporters, so nothing goes in; add it")
        behind = list(_behind(connector, pipelines))
        problems += [
            f"service.pipelines.{one.id}.exporters: {connector.id!r} feeds this pipeline, so everything would go round "
            f"without end; remove it here or there"
            for one in fed
            if one in behind
        ]
        if connector.type.name == _SAMPLING:
            problems += _inexact(connector, behind)


def _behind(connector: Component, pipelines: Sequence[PipelineSettings]) -> Iterator[PipelineSettings]:
    """The pipelines that something may reach from a connector, each once."""
    seen: list[str] = []
    waiting = [connector]
    while waiting:
        current = waiting.pop()
        for pipeline in pipelines:
            if current in pipeline.receivers and pipeline.id not in seen:
                seen.append(pipeline.id)
                yield pipeline
                waiting += [one for one in pipeline.exporters if one.type.kind == "connector"]


def _inexact(sampling: Component, behind: Sequence[PipelineSettings]) -> Iterator[str]:
    for pipeline in behind:
        for component in (*pipeline.processors, *pipeline.exporters):
            if (component.type.kind, component.type.name) in _EXACT:
                yield (
                    f"service.pipelines.{pipeline.id}: {component.id!r} would count only what {sampling.id!r} keeps; "
                    f"put it into the pipeline before that"
                )
