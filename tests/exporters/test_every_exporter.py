"""What every exporter promises, checked on each of ours by its module alone."""

from __future__ import annotations

import ast
import importlib
import inspect
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from otel_llm.components import Context, find_type, known_types
from otel_llm.delivery.config import BatchConfig, Config, QueueConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.exporters.exporter import Exporter
from otel_llm.signals import SIGNALS, Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import OtlpGrpcSink, OtlpHttpSink
from tests.delivery.requests import payload
from tests.spans import SpanSpec, chat, request

NAMES = ["debug", "file", "ledger", "otlp_grpc", "otlp_http"]


def module(name: str) -> ModuleType:
    return importlib.import_module(f"otel_llm.exporters.{name}")


@contextmanager
def made(name: str, context: Context, folder: Path) -> Iterator[Exporter]:
    """An exporter with a destination that takes everything."""
    with OtlpHttpSink() as http, OtlpGrpcSink() as grpc:
        sections: dict[str, dict[str, object]] = {
            "debug": {},
            "file": {"path": str(folder / "out.jsonl")},
            "ledger": {"path": str(folder / "ledger.db")},
            "otlp_grpc": {"endpoint": grpc.endpoint, "tls": {"insecure": True}},
            "otlp_http": {"endpoint": http.endpoint},
        }
        found = module(name)
        exporter: Exporter = found.create(msgspec.convert(sections[name], found.Config), context)
        yield exporter


def test_the_registry_knows_them_all() -> None:
    assert set(NAMES) <= set(known_types("exporter"))
    assert [find_type("exporter", alias).name for alias in ("otlp", "otlphttp")] == ["otlp_grpc", "otlp_http"]


@pytest.mark.parametrize("name", [*NAMES, "kafka"])  # which tests/kafka looks at more closely
def test_unknown_settings_are_errors(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"endpoint": "x", "path": "x", "no_such_setting": 1}, module(name).Config)


@pytest.mark.parametrize("name", [*NAMES, "kafka", "tls", "../delivery/config"])
def test_every_setting_has_a_docstring_below_it(name: str) -> None:
    found = importlib.import_module("otel_llm.delivery.config") if "/" in name else module(name)
    for struct in ast.walk(ast.parse(inspect.getsource(found))):
        if not (isinstance(struct, ast.ClassDef) and struct.name.endswith("Config")):
            continue
        for field, below in zip(struct.body, [*struct.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                assert isinstance(below, ast.Expr), f"{struct.name}.{ast.unparse(field.target)}"
                assert isinstance(below.value, ast.Constant)


@pytest.mark.parametrize("name", NAMES)
def test_everything_accepted_before_shutdown_comes_out(name: str, context: Context, tmp_path: Path) -> None:
    with made(name, context, tmp_path) as exporter:
        batch = BatchConfig(max_size_bytes=2048)
        delivery = Delivery(name, exporter, Config(sending_queue=QueueConfig(batch=batch)), Metrics())
        delivery.start()
        offered = 0
        for number in range(1, 51):
            body = request([SpanSpec(chat(), span=number)])
            delivery.offer(Payload.of("traces", (body,), 1))
            offered += 1
            for signal in SIGNALS[1:]:
                if signal in exporter.signals:
                    delivery.offer(payload(number, 2, signal=signal))
                    offered += 2
        delivery.shutdown(30)
    balance = delivery.balance()
    assert (balance.exported, dict(balance.dropped)) == (offered, {})


@pytest.mark.parametrize("name", NAMES)
def test_shutdown_is_quick_and_may_come_twice_and_without_use(name: str, context: Context, tmp_path: Path) -> None:
    with made(name, context, tmp_path) as exporter:
        start = time.monotonic()
        exporter.shutdown()
        exporter.shutdown()
        assert time.monotonic() - start < 2
