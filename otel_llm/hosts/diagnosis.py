"""What stands between an app's calls and the place where its telemetry should arrive, found out by sending one.

A synthetic call goes through the engine, the SDK as the environment configures it, the in-app pipeline and the network.
Each step that fails is named with the setting that is wrong. Values of headers are never shown.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import importlib.util
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote, urlsplit

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm.errors import ConfigError
from otel_llm.hosts.otlp import PACKAGES, protocol_of, signals_sent
from otel_llm.hosts.sdk import Enriching
from otel_llm.instrumentation.completion_hook import make as make_hook
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.frameworks.others import first_installed
from otel_llm.instrumentation.libraries import LIBRARIES
from otel_llm.instrumentation.loader import Choice, Loader
from otel_llm.instrumentation.outlet import FixedOutlet, Outlet
from otel_llm.instrumentation.provider import Server, View
from otel_llm.instrumentation.providers.openai_chat import CHAT
from otel_llm.instrumentation.settings import settings_from

if TYPE_CHECKING:
    import grpc

Status = Literal["ok", "note", "problem"]

TIMEOUT_SECONDS: Final = 3.0
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_DEFAULT_PORTS: Final = {"http/protobuf": 4318, "grpc": 4317}
_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one thing.

    Attributes:
        about: what: `endpoint`, `key`, `sampler`, a library.
        status: `problem` is why no data, or not all of it, arrives.
        text: what is so, and for a problem what to do.
    """

    about: str
    status: Status
    text: str


@dataclass(frozen=True, slots=True)
class Destination:
    """Where spans are to go.

    Attributes:
        protocol: `http/protobuf` or `grpc`.
        url: with the path, for HTTP.
        setting: the variable that says so.
        headers: those to send; they hold keys.
    """

    protocol: str
    url: str
    setting: str
    headers: Mapping[str, str]

    @property
    def host(self) -> str:
        """The host's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)


def diagnose(environment: Mapping[str, str], libraries: Sequence[str] = ()) -> list[Finding]:
    """Send one synthetic call and look at all that it passes.

    Args:
        environment: the app's.
        libraries: those to import and look at; of the others it is only said whether they would be.
    """
    findings = [*_switches(environment), _content(environment)]
    spans = _call(environment)
    if not spans:
        findings.append(_not_sampled(environment))
    destination = _destination(environment)
    if isinstance(destination, Finding):
        findings.append(destination)
    else:
        findings += _send(destination, spans)
    return [*findings, *_libraries(environment, libraries)]


# What the environment says.


def _switches(environment: Mapping[str, str]) -> list[Finding]:
    found = []
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        found.append(Finding("sdk", "problem", "OTEL_SDK_DISABLED=true switches OpenTelemetry off; unset it"))
    exporter = environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()
    if exporter not in ("otlp", "otel_llm", ""):
        found.append(
            Finding("exporter", "problem", f"OTEL_TRACES_EXPORTER={exporter} sends no spans over OTLP; set it to otlp")
        )
    sent = signals_sent(environment)
    found += [
        Finding("exporter", "note", f"OTEL_{signal.upper()}_EXPORTER=none: the app sends no {signal}")
        for signal in ("metrics", "logs")
        if signal not in sent
    ]
    provider = environment.get("OTEL_PYTHON_TRACER_PROVIDER", "").strip()
    if provider:
        found.append(
            Finding(
                "provider", "note", f"OTEL_PYTHON_TRACER_PROVIDER={provider}: spans go where that provider sends them"
            )
        )
    return found


def _content(environment: Mapping[str, str]) -> Finding:
    settings = settings_from(environment)
    given = environment.get(_CAPTURE, "").strip()
    if settings.capture == "none":
        known = given.lower() in ("", "false", "no_content")
        hidden = environment.get("OTEL_LLM_CONTENT", "").strip().lower() == "none"
        if known or hidden:
            said = "OTEL_LLM_CONTENT=none" if hidden and not known else f"{_CAPTURE}=SPAN_ONLY would capture them"
            return Finding("content", "note", f"messages are not captured; {said}")
        text = f"{_CAPTURE}={given} is none of NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT: nothing is captured"
        return Finding("content", "problem", text)
    places = [name for name, on in (("spans", settings.content_on_spans), ("events", settings.content_on_events)) if on]
    done = [f"captured on {' and '.join(places)}"] if places else []
    if settings.completion_hook:
        try:
            make_hook(settings.completion_hook)
        except ConfigError as error:
            return Finding("content", "problem", error.problems[0])
        done.append(f"handed to the hook {settings.completion_hook}")
    return Finding("content", "ok", f"messages are {' and '.join(done)}, {settings.capture}")


# The call.


def _call(environment: Mapping[str, str]) -> Sequence[ReadableSpan]:
    """The spans of one synthetic call, as they would be exported: none when they are not sampled."""
    kept = InMemorySpanExporter()
    tracers = TracerProvider(shutdown_on_exit=False)  # its sampler and limits are those of the environment
    tracers.add_span_processor(SimpleSpanProcessor(Enriching(kept)))
    outlet = Outlet(tracers, MeterProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False))
    engine = Engine(FixedOutlet(outlet), settings_from(environment))
    server = Server("openai", {"gen_ai.provider.name": "openai", "server.address": "otel-llm-doctor.invalid"})
    call = engine.begin(CHAT, server, {"model": "gpt-4o", "messages": [{"role": "user", "content": "doctor"}]})
    if call is not None:
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        call.succeeded(View({"id": "doctor", "model": "gpt-4o", "choices": [], "usage": usage}))
    return kept.get_finished_spans()


def _not_sampled(environment: Mapping[str, str]) -> Finding:
    sampler = environment.get("OTEL_TRACES_SAMPLER", "").strip()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or not sampler:
        return Finding("span", "problem", "the synthetic call made no span; what is said above is why")
    rate = environment.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    said = f"OTEL_TRACES_SAMPLER={sampler}" + (f" with OTEL_TRACES_SAMPLER_ARG={rate}" if rate else "")
    text = f"{said} leaves the synthetic call out: spans are missing, metrics are not. parentbased_always_on keeps all"
    return Finding("sampler", "problem", text)


# Where it goes.


def _destination(environment: Mapping[str, str]) -> Destination | Finding:
    protocol = protocol_of("TRACES", environment)
    package = PACKAGES.get(protocol)
    if package is None:
        return Finding("protocol", "problem", f"{_PROTOCOL}={protocol} is none of {', '.join(PACKAGES)}")
    if not _is_installed(package):
        distribution = package.replace(".", "-")
        return Finding("extra", "problem", f"nothing is installed that exports {protocol}; pip install {distribution}")
    own = environment.get(_TRACES_ENDPOINT, "").strip()
    base = environment.get(_ENDPOINT, "").strip() or f"http://localhost:{_DEFAULT_PORTS[protocol]}"
    setting = _TRACES_ENDPOINT if own else _ENDPOINT
    url = own or (base if protocol == "grpc" else f"{base.rstrip('/')}/v1/traces")
    if protocol == "grpc" and "://" not in url:
        insecure = environment.get("OTEL_EXPORTER_OTLP_INSECURE", "").strip().lower() == "true"
        url = f"{'http' if insecure else 'https'}://{url}"
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        return Finding("endpoint", "problem", f"{setting}={own or base} is no URL such as http://localhost:4318")
    return Destination(protocol, url, setting, _headers_of(environment))


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(f"{package}.trace_exporter") is not None
    except (ImportError, ValueError):
        return False


def _headers_of(environment: Mapping[str, str]) -> dict[str, str]:
    given = next((environment[name] for name in _HEADERS if environment.get(name)), "")
    items = (item.partition("=") for item in given.split(","))
    return {unquote(name.strip()).lower(): unquote(value.strip()) for name, equals, value in items if equals}


def _send(destination: Destination, spans: Sequence[ReadableSpan]) -> list[Finding]:
    reached = _connect(destination)
    if reached.status == "problem" or not spans:
        return [reached]
    sent = _send_grpc if destination.protocol == "grpc" else _send_http
    return [reached, sent(destination, _encoded(spans))]


def _connect(destination: Destination) -> Finding:
    host, port, setting = destination.host, destination.port, destination.setting
    try:
        socket.create_connection((host, port), TIMEOUT_SECONDS).close()
    except socket.gaierror:
        return Finding("endpoint", "problem", f"{setting}: there is no host {host}")
    except TimeoutError:
        return Finding("endpoint", "problem", f"{setting}: {host}:{port} does not answer; is a firewall in between?")
    except OSError as error:
        other = next((one for one in _DEFAULT_PORTS.values() if one != port), 4317)
        why = error.strerror or type(error).__name__
        text = f"{setting}: nothing listens on {host}:{port} ({why}); is it port {other}?"
        return Finding("endpoint", "problem", text)
    return Finding("endpoint", "ok", f"{host}:{port} can be reached")


def _encoded(spans: Sequence[ReadableSpan]) -> bytes:
    # It comes with either exporter.
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: PLC0415

    return encode_spans(spans).SerializeToString()


def _send_http(destination: Destination, body: bytes) -> Finding:
    parts = urlsplit(destination.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(destination.host, destination.port, timeout=TIMEOUT_SECONDS)
    headers = {"content-type": "application/x-protobuf", **destination.headers}
    try:
        connection.request("POST", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", body, headers)
        answer = connection.getresponse()
        status, said = answer.status, answer.read(65_536)
    except ssl.SSLError as error:
        return Finding(
            "tls", "problem", f"{destination.setting} says https, and TLS fails: {error.reason or 'no TLS there'}"
        )
    except TimeoutError:
        return Finding(
            "answer", "problem", f"{destination.host}:{destination.port} takes the connection and never answers"
        )
    except (http.client.HTTPException, OSError):
        text = f"{destination.host}:{destination.port} does not speak HTTP; for a gRPC port set {_PROTOCOL}=grpc"
        return Finding("protocol", "problem", text)
    finally:
        connection.close()
    return _read_status(destination, status, said)


def _read_status(destination: Destination, status: int, said: bytes) -> Finding:
    if status in (401, 403):
        return _key_refused(destination, str(status))
    if status in (404, 405):
        path = urlsplit(destination.url).path or "/"
        hint = (
            "it takes the whole URL, such as http://host:4318/v1/traces"
            if destination.setting == _TRACES_ENDPOINT
            else ("it takes the URL without /v1/traces")
        )
        return Finding("path", "problem", f"{destination.setting}: the server knows no {path} ({status}); {hint}")
    if status == http.client.UNSUPPORTED_MEDIA_TYPE:
        return Finding("protocol", "problem", f"the server takes no protobuf over HTTP ({status}); set {_PROTOCOL}")
    if status != http.client.OK:
        return Finding("answer", "problem", f"the server answered {status}")
    rejected = _rejected(said)
    if rejected:
        return Finding("answer", "problem", f"the server took the request and rejected the span: {rejected}")
    return Finding("answer", "ok", "a synthetic call has arrived")


def _rejected(said: bytes) -> str | None:
    """Why a 200 was none."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - as above
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - as above
        ExportTraceServiceResponse,
    )

    try:
        partial = ExportTraceServiceResponse.FromString(said).partial_success
    except DecodeError:
        return "its answer is no OTLP; is something else listening there?"
    return (partial.error_message or "without a reason") if partial.rejected_spans else None


def _key_refused(destination: Destination, status: str) -> Finding:
    if not destination.headers:
        text = f"the server wants a key ({status}) and none is sent; set {_HEADERS[1]}=name=key"
    else:
        text = f"the server refuses the key ({status}) in {', '.join(destination.headers)} of {_HEADERS[1]}"
    return Finding("key", "problem", text)


def _send_grpc(destination: Destination, body: bytes) -> Finding:
    import grpc  # noqa: PLC0415 - only where it is the protocol

    target = f"{destination.host}:{destination.port}"
    is_secure = urlsplit(destination.url).scheme == "https"
    channel = (
        grpc.secure_channel(target, grpc.ssl_channel_credentials()) if is_secure else grpc.insecure_channel(target)
    )
    try:
        export = channel.unary_unary(_EXPORT, request_serializer=None, response_deserializer=None)
        said = export(body, timeout=TIMEOUT_SECONDS, metadata=tuple(destination.headers.items()))
    except grpc.RpcError as error:
        return _read_code(destination, error)
    finally:
        channel.close()
    rejected = _rejected(said)
    if rejected:
        return Finding("answer", "problem", f"the server took the request and rejected the span: {rejected}")
    return Finding("answer", "ok", "a synthetic call has arrived")


def _read_code(destination: Destination, error: grpc.RpcError) -> Finding:
    code = error.code().name
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return _key_refused(destination, code)
    where = f"{destination.host}:{destination.port}"
    if code == "UNIMPLEMENTED":
        return Finding("protocol", "problem", f"{where} speaks gRPC and takes no traces ({code})")
    text = f"{where} does not speak gRPC ({code}); for an HTTP port set {_PROTOCOL}=http/protobuf"
    if urlsplit(destination.url).scheme == "https":
        text += ", and for one without TLS write http:// before it"
    return Finding("protocol", "problem", text)


# Libraries.


def _libraries(environment: Mapping[str, str], libraries: Sequence[str]) -> list[Finding]:
    unknown = [name for name in libraries if name not in LIBRARIES]
    found = [Finding(name, "problem", f"no such library; known are {', '.join(sorted(LIBRARIES))}") for name in unknown]
    outlet = Outlet(TracerProvider(shutdown_on_exit=False), MeterProvider(shutdown_on_exit=False), LoggerProvider())
    loader = Loader(Engine(FixedOutlet(outlet), settings_from(environment)), LIBRARIES, environment)
    loader.load()
    try:
        for name in libraries:
            _import(name)
        for choice in loader.choices:
            asked = choice.library in libraries
            if choice.status == "not_installed" and not asked:
                continue
            advice = _advice(choice)
            if advice is not None and not asked:
                found.append(Finding(choice.library, "note", advice))
                continue
            bad = choice.status in ("missing", "disabled") or (asked and choice.status in ("not_installed", "waiting"))
            missing = f"; this version lacks {', '.join(choice.missing)}" if choice.missing else ""
            found.append(
                Finding(choice.library, "problem" if bad else "ok", f"{choice.status}: {choice.reason}{missing}")
            )
    finally:
        loader.unload()
    return found


def _advice(choice: Choice) -> str | None:
    """What to install for the spans of a library that others instrument; None when it is, or nobody has to."""
    others = LIBRARIES[choice.library].others
    if choice.status != "waiting" or not others or first_installed(others) is not None:
        return None
    return f"nothing that makes its spans is installed; pip install {others[0]}"


def _import(name: str) -> None:
    """Import a library, for its hooks to go in; its versions have different ones of the modules."""
    row = LIBRARIES.get(name)
    for module in (row.watch, *row.more) if row is not None else ():
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
