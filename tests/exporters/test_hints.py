"""A problem at a destination names the setting that is most likely wrong; other problems stay as they are."""

from __future__ import annotations

import pytest

from otel_llm.exporters.hints import over_grpc, over_http


@pytest.mark.parametrize(
    ("problem", "setting"),
    [
        ("http://host/v1/traces answered 401: who are you", "`headers` or `auth`"),
        ("http://host/v1/traces/v1/traces answered 404: 404 page not found", "`endpoint`"),
        ("http://host/v1/traces answered 415", "`compression`"),
        ("https://host/v1/traces: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "`endpoint`"),
        ("http://host/v1/traces: Connection reset by peer", "otlp_grpc"),
    ],
)
def test_a_problem_over_http_names_the_setting(problem: str, setting: str):
    said = over_http(problem)
    assert said.startswith(f"{problem} (")
    assert setting in said


@pytest.mark.parametrize(
    ("problem", "setting"),
    [
        ("host:1 answered UNAVAILABLE: got frame type 80) (Trying to connect an http1.x ser…", "otlp_http"),
        ("host:1 answered UNAVAILABLE: SSL_ERROR_SSL: OPENSSL_internal:WRONG_VERSION_N…", "`endpoint`"),
        ("host:1 answered UNAUTHENTICATED: wrong token", "`headers` or `auth`"),
        ("host:1 answered UNIMPLEMENTED: unknown service", "`endpoint`"),
    ],
)
def test_a_problem_over_grpc_names_the_setting(problem: str, setting: str):
    said = over_grpc(problem)
    assert said.startswith(f"{problem} (")
    assert setting in said


@pytest.mark.parametrize("problem", ["host answered 503: come back", "host: Connection refused", "host answered 429"])
def test_what_no_setting_is_to_blame_for_stays_as_it_is(problem: str):
    assert over_http(problem) == over_grpc(problem) == problem
