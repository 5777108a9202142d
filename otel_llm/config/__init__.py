"""Configuration in the Collector's shape: a YAML file, variables of the environment, and defaults, to checked Settings.

    document.py      YAML text to plain values, by YAML 1.2's core schema
    environment.py   ${env:NAME:-default}
    overrides.py     --set path=value
    defaults.py      what runs without a file; OTEL_EXPORTER_OTLP_*
    structs.py       plain values to a component's struct, all problems at once (types.py: what a type says to a person)
    resolve.py       sections to components, components to pipelines
    connections.py   connectors stand between pipelines, and nothing goes round in circles
    exposure.py      what is open to anybody, and secrets in the file itself
    paths.py         files that components will open
    addresses.py     nothing listens twice, nothing feeds itself
    service.py       the section `service`
    settings.py      what comes out
    schema.py        the same as a JSON schema, for editors (fields.py: the docstrings below fields)

Nothing here reads the process's environment: it is an argument.
"""

from __future__ import annotations

from otel_llm.config.load import load
from otel_llm.config.service import ServiceConfig
from otel_llm.config.settings import Component, PipelineSettings, Settings

__all__ = ["Component", "PipelineSettings", "ServiceConfig", "Settings", "load"]
