from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from otel_llm.components import Kind, find_type
from otel_llm.config.defaults import DEFAULT_CONFIGURATION
from otel_llm.config.fields import field_docs
from otel_llm.config.schema import configuration_schema, installed_types, structs_below
from otel_llm.config.service import ServiceConfig
from otel_llm.delivery.config import Config as DeliveryConfig
from tests.config.documents import Folder
from tools.configuration.examples import EXAMPLES
from tools.configuration.generate import PROJECT, outputs

TYPES = installed_types(built_in_only=True)
SCHEMA = configuration_schema(TYPES)
STRUCTS = sorted(
    {
        struct
        for top in (ServiceConfig, DeliveryConfig, *(one.config for types in TYPES.values() for one in types))
        for struct in structs_below(top)
    },
    key=lambda struct: f"{struct.__module__}.{struct.__qualname__}",
)
FRAME: dict[Kind, str] = {
    "receiver": "exporters: {otlp_http: {endpoint: https://e}}\n"
    "service: {pipelines: {traces: {receivers: [ID], exporters: [otlp_http]}}}\n",
    "processor": "receivers: {otlp: }\nexporters: {otlp_http: {endpoint: https://e}}\n"
    "service: {pipelines: {traces: {receivers: [otlp], processors: [ID], exporters: [otlp_http]}}}\n",
    "exporter": "receivers: {otlp: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [ID]}}}\n",
    "connector": "receivers: {otlp: }\nexporters: {otlp_http: {endpoint: https://e}}\n"
    "service: {pipelines: {traces: {receivers: [otlp], exporters: [ID]}, "
    "traces/acme: {receivers: [ID], exporters: [otlp_http]}, "
    "traces/quarantine: {receivers: [ID], exporters: [otlp_http]}}}\n",
}


VARIABLES = ("COLLECTOR_TOKEN", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "OPENAI_API_KEY")


def example(kind: Kind, text: str) -> str:
    """A component's example with what it takes to be a whole configuration."""
    (id_,) = yaml.safe_load(text)[f"{kind}s"]
    signals = find_type(kind, id_.partition("/")[0]).signals
    frame = FRAME[kind] if "traces" in signals else FRAME[kind].replace("traces:", "logs:")
    return text + frame.replace("ID", id_)


def is_valid(text: str) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("key", "text"), EXAMPLES.items(), ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_every_example_of_the_documentation_loads_and_fits_the_schema(folder: Folder, key: tuple[Kind, str], text: str):
    whole = example(key[0], text)
    keys = dict.fromkeys(("ACME_KEY", "FEEDBACK_TOKEN", "REDACTION_KEY", "REDIS_PASSWORD"), "0123456789abcdef")
    settings = folder.load(whole, dict.fromkeys(VARIABLES, "abc") | keys)
    assert settings.warnings == ()
    ends = (*settings.receivers, *settings.processors, *settings.exporters, *settings.connectors)
    assert {one.type.name for one in ends} >= {key[1]}
    assert is_valid(whole)


def test_the_schema_is_a_schema_and_takes_the_defaults():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert is_valid(DEFAULT_CONFIGURATION)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("service:", "servce: {}\nservice:"),
        ("  otlp:", "  oltp:"),
        ("  debug:", "  debug:\n    verbosty: basic"),
        ("on_full: drop", "on_full: dorp"),
        ("service:", "service:\n  shutdown_timeout_seconds: two"),
        ("[otlp]", "otlp"),
        ("    traces:", "    trace:"),
        ("    traces:", "    traces/:"),
        ("exporters:\n", "exporters:\n  file:\n"),
    ],
)
def test_the_schema_refuses_what_loading_refuses(folder: Folder, old: str, new: str):
    text = DEFAULT_CONFIGURATION.replace(old, new, 1)
    assert not is_valid(text)
    assert folder.problems(text)


@pytest.mark.parametrize("new", ["service:\n  shutdown_timeout_seconds: ${env:N}", "service:\n  telemetry:"])
def test_the_schema_takes_variables_and_empty_sections(folder: Folder, new: str):
    text = DEFAULT_CONFIGURATION.replace("service:", new, 1)
    assert is_valid(text)
    assert folder.load(text, {"N": "2"})


def test_the_generated_files_are_up_to_date():
    stale = [name for name, text in outputs().items() if (PROJECT / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run python -m tools.configuration.generate"


def test_the_schema_file_is_json():
    assert json.loads((PROJECT / "collector-config/schema.json").read_text()) == json.loads(json.dumps(SCHEMA))


@pytest.mark.parametrize("struct", STRUCTS, ids=[f"{one.__module__}.{one.__qualname__}" for one in STRUCTS])
def test_every_setting_has_a_docstring(struct: type):
    missing = set(struct.__struct_fields__) - set(field_docs(struct))
    assert not missing
    assert struct.__doc__
