from __future__ import annotations

import pytest

from otel_llm.clock import SystemClock
from otel_llm.errors import ConfigError
from otel_llm.telemetry import Metrics
from tests.config.documents import SMALL, Folder


@pytest.mark.parametrize(
    ("http", "warns"),
    [
        ("endpoint: 127.0.0.1:4318", False),
        ('endpoint: "[::1]:4318"', False),
        ("endpoint: localhost:4318", False),
        ("endpoint: 0.0.0.0:4318", True),
        ('endpoint: ":4318"', True),
        ("endpoint: 10.0.0.1:4318, tls: {cert_file: c, key_file: k}", True),
        ("endpoint: 0.0.0.0:4318, auth: {keys_file: k}", False),
        ("endpoint: 0.0.0.0:4318, tls: {cert_file: c, key_file: k, client_ca_file: a}", False),
    ],
)
def test_a_receiver_that_is_open_to_anybody_is_a_warning(folder: Folder, http: str, warns: bool):  # noqa: FBT001 - a parameter
    text = SMALL.replace("  otlp:\n", f"  otlp: {{protocols: {{http: {{{http}}}}}}}\n", 1)
    warnings = folder.load(text).warnings
    assert [warning.partition(" takes")[0].rpartition(":")[0].partition(":")[0] for warning in warnings] == (
        ["receivers.otlp.protocols.http.endpoint"] if warns else []
    )


@pytest.mark.parametrize(
    ("admin", "warns"),
    [
        ("endpoint: null", False),
        ("endpoint: 0.0.0.0:1", True),
        ("endpoint: 0.0.0.0:1, keys: [{token_file: t}]", False),
    ],
)
def test_metrics_that_anybody_may_see_are_a_warning(folder: Folder, admin: str, warns: bool):  # noqa: FBT001 - as above
    warnings = folder.load(SMALL.replace("service:\n", f"service:\n  admin: {{{admin}}}\n")).warnings
    assert bool(warnings) is warns


def test_a_secret_in_a_header_of_the_file_itself_is_refused_and_one_of_the_environment_is_not(folder: Folder):
    text = SMALL.replace("endpoint: https://otlp.example.com", "endpoint: https://e\n    headers: {HEADERS}")
    (problem,) = folder.problems(text.replace("HEADERS", "Authorization: Bearer hunter2, x-team: a"))
    assert problem.startswith("exporters.otlp_http.headers.Authorization: expected ${env:NAME}, got a secret itself")
    assert "hunter2" not in problem
    assert folder.load(text.replace("HEADERS", "x-api-key: '${env:KEY}', x-team: a"), {"KEY": "k"}).warnings == ()


@pytest.mark.parametrize("value", ["hunter2", "'${env:KEY}'", "'Bearer-${env:KEY}'"])
def test_a_setting_for_a_secret_takes_a_variable_and_nothing_else(folder: Folder, value: str):
    text = SMALL.replace("endpoint: https://otlp.example.com", f"endpoint: https://e\n    auth: {{token: {value}}}")
    if "$" in value:
        assert folder.load(text, {"KEY": "k"}).warnings == ()
    else:
        (problem,) = folder.problems(text)
        assert problem.startswith("exporters.otlp_http.auth.token: expected ${env:NAME}, got a secret itself")
        assert value not in problem


@pytest.mark.parametrize("section", ["redact: {key: KEY}", "policy: {key: KEY}"])
@pytest.mark.parametrize("audited", [False, True])
def test_a_key_of_redaction_rules_or_audit_comes_from_the_environment_or_a_file(
    folder: Folder,
    section: str,
    audited: bool,  # noqa: FBT001 - as above
):
    if audited:
        section = section.replace("key: KEY", "audit: {path: a, key: KEY}")
    name = section.partition(":")[0]
    text = SMALL.replace("exporters:\n", f"processors:\n  {section}\nexporters:\n", 1)
    text = text.replace("      receivers: [otlp]\n", f"      receivers: [otlp]\n      processors: [{name}]\n")
    (problem,) = folder.problems(text.replace("KEY", "hunter2-hunter2-hunter2"))
    path = f"processors.{name}{'.audit' if audited else ''}.key"
    assert problem.startswith(f"{path}: expected ${{env:NAME}}, got a secret itself; put it into a variable, or into a")
    assert "hunter2" not in problem
    assert folder.load(text.replace("KEY", "'${env:KEY}'"), {"KEY": "k" * 16}).warnings == ()
    assert folder.load(text.replace("key: KEY", "key_file: k"), {}).warnings == ()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_section_for_keys_or_certificates_with_nothing_in_it_is_no_open_door(folder: Folder, protocol: str):
    for section, said in (("auth", "expected keys"), ("tls", "cert_file: expected a string, got nothing")):
        text = SMALL.replace("  otlp:\n", f"  otlp: {{protocols: {{{protocol}: {{{section}: }}}}}}\n", 1)
        path = f"receivers.otlp.protocols.{protocol}.{section}"
        with pytest.raises(ConfigError) as caught:
            folder.load(text).receivers[0].create_receiver(Metrics(), SystemClock())
        assert caught.value.problems[0].startswith(path)
        assert said in caught.value.problems[0]
