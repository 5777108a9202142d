"""What runs without a file: OTLP in on loopback, the ledger and a readable print out, OTEL_EXPORTER_OTLP_* honoured.

The variables are the SDKs' own, so that what an application would have exported to, the gateway exports to. Only an
endpoint brings an exporter about: the SDKs' default is this gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from otel_llm.config.document import read_document
from otel_llm.config.values import Expanded, Value
from otel_llm.exporters.otlp_environment import OtlpExporter, Text, read_otlp_variables
from otel_llm.signals import SIGNALS, Signal

DEFAULT_CONFIGURATION: Final = """\
receivers:
  otlp:
processors:
  normalize:
  cost:
  quality:
  metrics:
exporters:
  debug:
    sending_queue: {on_full: drop}  # a screen or a full disk holds up nobody
  ledger:
    sending_queue: {on_full: drop}
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [normalize, cost, quality, metrics]
      exporters: [debug, ledger]
    metrics:
      receivers: [otlp]
      exporters: [debug]
    logs:
      receivers: [otlp]
      processors: [normalize]
      exporters: [debug, ledger]
"""


# Every variable that is read: its name after OTEL_EXPORTER_OTLP_ (or OTEL_EXPORTER_OTLP_TRACES_ and so on), and what it
# says.
@dataclass(slots=True)
class Defaults:
    """The document that runs without a file.

    Attributes:
        document: in the shape of a file's.
        origins: path of a setting -> the variable it comes from, for messages.
    """

    document: dict[str, Value]
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Exporter:
    """What the variables say about one or more signals that go the same way."""

    type: str
    section: dict[str, Value]
    variables: dict[str, str]
    signals: list[Signal] = field(default_factory=list)


def default_configuration(environment: Mapping[str, str], problems: list[str]) -> Defaults:
    """The defaults, with exporters for what OTEL_EXPORTER_OTLP_* says.

    Args:
        environment: variables by name.
        problems: gets one line for each variable that cannot be understood.
    """
    defaults = Defaults(read_document(DEFAULT_CONFIGURATION, "defaults"))
    exporters: list[_Exporter] = []
    for signal in SIGNALS:
        found = read_otlp_variables(environment, signal, problems)
        if found is not None:
            _gather(exporters, _exporter(found), signal)
    for exporter in exporters:
        types = [one.type for one in exporters]
        alone = types.count(exporter.type) == 1
        _add(defaults, exporter, exporter.type if alone else f"{exporter.type}/{exporter.signals[0]}")
    return defaults


def _exporter(found: OtlpExporter) -> _Exporter:
    """The same as a section, in which every text is known to come from the environment."""
    section: dict[str, Value] = {key: _expanded(value) for key, value in found.section.items()}
    if found.tls:
        section["tls"] = {key: _expanded(value) for key, value in found.tls.items()}
    if found.is_unusable:
        section["endpoint"] = Expanded("", None, failed=True)
    return _Exporter(found.type, section, found.origins)


def _expanded(value: Text) -> Value:
    if isinstance(value, str):
        return Expanded(value, value, (value,))
    return {key: Expanded(one, one, (one,)) for key, one in value.items()} if isinstance(value, dict) else value


def _gather(exporters: list[_Exporter], found: _Exporter, signal: Signal) -> None:
    """Signals that differ in nothing but the address of each share an exporter."""
    found.signals.append(signal)
    for exporter in exporters:
        if exporter.type == found.type and _same_way(exporter.section, found.section):
            exporter.section.update(found.section)
            exporter.variables.update(found.variables)
            exporter.signals.append(signal)
            return
    exporters.append(found)


def _same_way(one: dict[str, Value], other: dict[str, Value]) -> bool:
    keys = {key for key in (*one, *other) if not key.endswith("_endpoint")}
    # A base address that only one of them has would be used for the signals of the other as well, had they none.
    return all(one.get(key) == other.get(key) for key in keys - {"endpoint"}) and (
        "endpoint" not in one or "endpoint" not in other or one["endpoint"] == other["endpoint"]
    )


def _add(defaults: Defaults, exporter: _Exporter, id_: str) -> None:
    sections = defaults.document["exporters"]
    service = defaults.document["service"]
    if not isinstance(sections, dict) or not isinstance(service, dict):
        return
    sections[id_] = exporter.section
    pipelines = service["pipelines"]
    for signal in exporter.signals:
        pipeline = pipelines[signal] if isinstance(pipelines, dict) else None
        named = pipeline["exporters"] if isinstance(pipeline, dict) else None
        if isinstance(named, list):
            named.append(id_)
    for key, variable in exporter.variables.items():
        defaults.origins[f"exporters.{id_}.{key}"] = variable
