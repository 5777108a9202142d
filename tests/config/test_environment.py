from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.config.document import read_document
from otel_llm.config.environment import expand
from otel_llm.config.overrides import apply_overrides
from otel_llm.config.resolve import resolve
from otel_llm.config.values import Value, plain
from otel_llm.errors import ConfigError
from tests.config.documents import SMALL, Folder

ENVIRONMENT = {
    "PORT": "4318",
    "HOST": "example.com",
    "EMPTY": "",
    "LIST": "[a, b]",
    "ODD": "a: b: c",
    "MAP": "{a: 1}",
    "RAW": "${env:HOST}",
}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${env:PORT}", 4318),
        ("${PORT}", 4318),
        ("${env:HOST}:${env:PORT}", "example.com:4318"),
        ("${env:PORT}${env:PORT}", "43184318"),
        ("${env:NOBODY:-7}", 7),
        ("${NOBODY:-7}", 7),
        ("${env:NOBODY:-a:-b}", "a:-b"),
        ("${env:NOBODY:-}", None),
        ("${env:PORT:-7}", 4318),
        ("${env:EMPTY:-7}", None),
        ("${env:LIST}", ["a", "b"]),
        ("${env:ODD}", "a: b: c"),
        ("${env:MAP}", "{a: 1}"),
        ("${env:RAW}", "${env:HOST}"),
        ("$$", "$"),
        ("$${env:PORT}", "${env:PORT}"),
        ("$$$${PORT}", "$${PORT}"),
        ("$$${PORT}", "$4318"),
        ("5$", "5$"),
        ("$PORT", "$PORT"),
        ("a{b}", "a{b}"),
    ],
)
def test_references_become_values(written: str, value: object):
    problems: list[str] = []
    assert plain(expand({"a": [written]}, ENVIRONMENT, problems)) == {"a": [value]}
    assert problems == []


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("${env:NOBODY}", "a[0]: environment variable NOBODY is not set; set it, or write ${env:NOBODY:-default}"),
        ("${env:}", "a[0]: expected ${env:NAME} or ${env:NAME:-default}, got a reference of another form"),
        ("${file:/etc/passwd}", "a[0]: expected ${env:NAME} or ${env:NAME:-default}, got a reference of another form"),
        ("${}", "a[0]: expected ${env:NAME} or ${env:NAME:-default}, got a reference of another form"),
        (
            "${env:PORT",
            ("a[0]: expected ${env:NAME}, got ${ that does not end or holds another; write $$ for a dollar sign"),
        ),
        (
            "${env:NOBODY:-${PORT}}",
            ("a[0]: expected ${env:NAME}, got ${ that does not end or holds another; write $$ for a dollar sign"),
        ),
    ],
)
def test_a_reference_that_cannot_be_replaced_is_reported_with_its_path(written: str, problem: str):
    problems: list[str] = []
    expand({"a": [written]}, ENVIRONMENT, problems)
    assert problems == [problem]


def test_keys_are_left_alone():
    assert expand({"${env:PORT}": 1}, ENVIRONMENT, []) == {"${env:PORT}": 1}


def test_a_setting_that_wants_text_gets_the_characters_of_the_variable(folder: Folder):
    text = SMALL.replace(
        "https://otlp.example.com", "https://e\n    headers: {key: '${env:KEY}', other: '${env:NULL}'}"
    )
    settings = folder.load(text, {"KEY": "00123", "NULL": ""})
    assert settings.exporters[0].config.headers == {"key": "00123", "other": ""}


def test_a_setting_that_wants_a_number_gets_a_number(folder: Folder):
    text = SMALL.replace("https://otlp.example.com", "https://e\n    timeout_seconds: ${env:SECONDS}")
    assert folder.load(text, {"SECONDS": "2.5"}).exporters[0].config.timeout_seconds == 2.5


def test_a_list_from_the_environment_is_a_list(folder: Folder):
    text = SMALL.replace("[otlp_http]", "${env:EXPORTERS}")
    assert [one.id for one in folder.load(text, {"EXPORTERS": "[otlp_http]"}).exporters] == ["otlp_http"]


def test_a_missing_variable_is_the_only_problem_of_its_setting(folder: Folder):
    text = SMALL.replace("https://otlp.example.com", "https://e\n    timeout_seconds: ${env:SECONDS}")
    assert folder.problems(text) == [
        (
            "exporters.otlp_http.timeout_seconds: environment variable SECONDS is not set; "
            "set it, or write ${env:SECONDS:-default}"
        )
    ]


SECRET_PLACES = [
    "exporters.otlp_http.timeout_seconds",
    "exporters.otlp_http.compression",
    "exporters.otlp_http.headers",
    "exporters.otlp_http.headers.a.b",
    "exporters.otlp_http.sending_queue.on_full",
    "exporters.otlp_http",
    "exporters",
    "receivers.otlp.protocols.grpc",
    "service.telemetry.metrics.interval_seconds",
    "service.pipelines",
    "service.pipelines.traces",
    "service.telemetry.logs.level",
]


@given(
    st.text("abcdefghijklmnop:,[]{}'\"\\ ", min_size=8, max_size=30).map(lambda text: f"q7x{text}z9k"),
    st.sampled_from(SECRET_PLACES),
)
def test_no_message_shows_what_came_from_the_environment(secret: str, place: str):
    document = read_document(SMALL, "f.yaml")
    problems: list[str] = []
    apply_overrides(document, [f"{place}=${{env:SECRET}}"], problems)
    expanded: dict[str, Value] = {
        key: expand(value, {"SECRET": secret}, problems, key) for key, value in document.items()
    }
    with pytest.raises(ConfigError) as raised:
        resolve(expanded, "f.yaml", problems)
    assert "q7x" not in str(raised.value)
    assert "z9k" not in str(raised.value)
