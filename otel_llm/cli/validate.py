"""Check a configuration and show what it would run.

Nothing is started, listened on or written. Every problem is shown, one a line; the exit code is 1 when there is one.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from otel_llm.cli.options import add_config_options, load_settings
from otel_llm.cli.tables import Column, is_rich, render_table
from otel_llm.clock import SystemClock
from otel_llm.config import PipelineSettings, Settings
from otel_llm.config.paths import path_problems
from otel_llm.errors import ConfigError
from otel_llm.hosts.stages import make_connectors
from otel_llm.pipeline import check_order
from otel_llm.telemetry import Metrics

_COLUMNS = (Column("pipeline"), Column("receivers"), Column("processors"), Column("exporters"))
# They connect with the first request.
_EXPORTERS_WITHOUT_FILE: Final = frozenset({"debug", "kafka", "otlp_grpc", "otlp_http"})


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print "ok" and the pipelines.

    Raises:
        ConfigError: with every problem.
    """
    settings = load_settings(options)
    check_components(settings)
    for warning in settings.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    print(f"ok: {settings.source}")
    print()
    print(render_table(_COLUMNS, [_row(pipeline) for pipeline in settings.pipelines], bold=is_rich()), end="")
    return 0


def check_components(settings: Settings) -> None:
    """Make what can be made without touching anything, and check the order of processors.

    Of exporters that open a file when they are made, the file is looked at; those of others, who may, are left out.

    Raises:
        ConfigError: with every problem.
    """
    metrics, clock = Metrics(), SystemClock()
    problems = list(path_problems(settings))
    processors = {}
    for component in settings.processors:
        try:
            processors[component.id] = component.create_processor(metrics, clock)
        except ConfigError as error:
            problems += error.problems
    for component in settings.receivers:
        try:
            component.create_receiver(metrics, clock)
        except ConfigError as error:
            problems += error.problems
    for component in settings.exporters:
        if component.type.name not in _EXPORTERS_WITHOUT_FILE:
            continue
        try:
            component.create_exporter(metrics, clock).shutdown()
        except ConfigError as error:
            problems += error.problems
    try:
        make_connectors(settings, metrics, clock)
    except ConfigError as error:
        problems += error.problems
    for pipeline in settings.pipelines:
        try:
            check_order([processors[one.id] for one in pipeline.processors if one.id in processors])
        except ConfigError as error:
            problems += [f"service.pipelines.{pipeline.id}.{problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)


def _row(pipeline: PipelineSettings) -> list[str]:
    lists = (pipeline.receivers, pipeline.processors, pipeline.exporters)
    return [pipeline.id, *(", ".join(component.id for component in components) or "-" for components in lists)]
