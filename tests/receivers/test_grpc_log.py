"""What gRPC's own log says about hostile clients: little, and nothing of what they sent."""

from __future__ import annotations

import logging

import pytest

from otel_llm.receivers.grpc_log import hush_grpc


def test_bytes_that_grpc_cannot_decode_are_not_quoted_in_a_log(caplog: pytest.LogCaptureFixture) -> None:
    hush_grpc()
    hush_grpc()
    logger = logging.getLogger("grpc._cython.cygrpc")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            try:
                b"secret \xfe".decode()
            except UnicodeDecodeError:
                logger.exception("Invalid encoding on %s", b"secret \xfe")
    assert [record.name for record in caplog.records] in ([], ["otel_llm.receivers.grpc_log"])
    assert "secret" not in caplog.text
