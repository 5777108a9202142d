"""The configuration of the receivers refuses what cannot be meant."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

import msgspec
import pytest

from otel_llm.receivers import endpoint, file, otlp, otlp_grpc, otlp_http


@pytest.mark.parametrize(
    ("module", "section"),
    [
        (otlp_http, {"max_request_body_size": -1}),
        (otlp_http, {"worker_threads": 0}),
        (otlp_http, {"read_timeout_seconds": 0}),
        (otlp_http, {"max_connection": 5}),
        (otlp_http, {"tls": {"cert_file": "c"}}),
        (otlp_http, {"tls": {"cert_file": "c", "key_file": "k", "min_version": "1.0"}}),
        (otlp_grpc, {"max_recv_msg_size_mib": 4096}),
        (otlp_grpc, {"max_connection_age_seconds": 0}),
        (otlp, {"protocols": {"thrift": None}}),
        (file, {}),
        (file, {"path": "p", "format": "zip"}),
        (file, {"path": "p", "poll_interval_seconds": -1}),
    ],
)
def test_what_cannot_be_meant_is_an_error(module: ModuleType, section: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(section, module.Config)


@pytest.mark.parametrize("module", [endpoint, file, otlp, otlp_grpc, otlp_http])
def test_every_setting_says_what_it_is(module: ModuleType) -> None:
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef) and any("Struct" in ast.unparse(base) for base in node.bases):
            for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign):
                    assert isinstance(after, ast.Expr), ast.unparse(field)
                    assert isinstance(after.value, ast.Constant), ast.unparse(field)
