"""Keys: who is let in, for which tenant, and what a sender without one can and cannot do."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.codecs.stamp import stamp_resources
from otel_llm.errors import ConfigError, RefusedError
from otel_llm.receivers import otlp_grpc, otlp_http
from otel_llm.receivers.auth import AuthConfig, Authenticator, KeyConfig
from otel_llm.receivers.gatekeeper import Gatekeeper
from otel_llm.receivers.quota import Quota
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.receivers.otlp_client import refusals, send
from tests.receivers.recording import DEADLINE_SECONDS, RawClient, RecordingConsumer, eventually
from tests.spans import SpanSpec, chat, request

ACME, GLOBEX = "acme-0123456789abcdef", "globex-0123456789abcdef"
AUTH = AuthConfig(
    keys=(
        KeyConfig(token=ACME, tenant="acme"),
        KeyConfig(username="globex", password="correct horse", tenant="globex"),
        KeyConfig(token="nobody-0123456789abcdef"),
    )
)
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
BODY = request([SpanSpec(chat())], {"service.name": "shop", "otel_llm.tenant.id": "somebody else"})


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def tenants(body: bytes) -> list[str]:
    message = ExportTraceServiceRequest.FromString(body)
    return [
        item.value.string_value
        for holder in message.resource_spans
        for item in holder.resource.attributes
        if item.key == "otel_llm.tenant.id"
    ]


@contextmanager
def http_receiver(
    consumer: RecordingConsumer, metrics: Metrics, auth: AuthConfig = AUTH
) -> Iterator[otlp_http.OtlpHttpReceiver]:
    config = otlp_http.Config(endpoint="127.0.0.1:0", auth=auth, max_request_body_size=1_000_000)
    receiver = otlp_http.create(config, name="otlp", metrics=metrics)
    receiver.start(consumer)
    try:
        yield receiver
    finally:
        receiver.shutdown(1.0)


@contextmanager
def grpc_receiver(
    consumer: RecordingConsumer, metrics: Metrics, auth: AuthConfig = AUTH
) -> Iterator[otlp_grpc.OtlpGrpcReceiver]:
    receiver = otlp_grpc.create(otlp_grpc.Config(endpoint="127.0.0.1:0", auth=auth), name="otlp", metrics=metrics)
    receiver.start(consumer)
    try:
        yield receiver
    finally:
        receiver.shutdown(1.0)


def export(endpoint: str, body: bytes, authorization: str | None) -> grpc.StatusCode:
    metadata = () if authorization is None else (("authorization", authorization),)
    with grpc.insecure_channel(endpoint) as channel:
        try:
            channel.unary_unary(METHOD)(body, metadata=metadata, timeout=DEADLINE_SECONDS)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("authorization", "tenant"),
    [(f"Bearer {ACME}", "acme"), (f"bearer  {ACME} ", "acme"), (basic("globex", "correct horse"), "globex")],
)
def test_a_key_lets_in_and_says_whose_telemetry_it_is_whatever_the_sender_says(authorization: str, tenant: str) -> None:
    consumer, metrics = RecordingConsumer(), Metrics()
    with http_receiver(consumer, metrics) as http, grpc_receiver(consumer, metrics) as over_grpc:
        assert send(http, BODY, authorization=authorization)[0] == 200
        assert export(over_grpc.endpoint, BODY, authorization.strip()) is grpc.StatusCode.OK
    assert [tenants(body) for _, body in consumer.requests] == [[tenant], [tenant]]


def test_a_key_without_a_tenant_leaves_requests_as_they_are() -> None:
    consumer = RecordingConsumer()
    with http_receiver(consumer, Metrics()) as receiver:
        assert send(receiver, BODY, authorization="Bearer nobody-0123456789abcdef")[0] == 200
    assert consumer.requests == [("traces", BODY)]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong-0123456789abcdef",
        f"Basic {ACME}",
        ACME,
        basic("globex", "wrong"),
        basic("acme", ACME),
        "Basic !!!",
        "Bearer \xff",
    ],
)
def test_without_a_valid_key_nothing_is_taken_and_the_refusal_is_counted(authorization: str | None) -> None:
    consumer, metrics = RecordingConsumer(), Metrics()
    fields = {} if authorization is None else {"authorization": authorization}
    with http_receiver(consumer, metrics) as receiver:
        status, headers, answer = send(receiver, BODY, **fields)
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="otel_llm", Basic realm="otel_llm"')
    assert (authorization or "?").encode("latin-1") not in answer
    if authorization is None or authorization.isascii():
        with grpc_receiver(consumer, metrics) as over_grpc:
            assert export(over_grpc.endpoint, BODY, authorization) is grpc.StatusCode.UNAUTHENTICATED
        assert refusals(metrics) == {("traces", "unauthorized"): 2}
    assert consumer.requests == []


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "application/json; charset=utf-8"])
def test_the_refusal_of_a_key_is_one_that_senders_can_show(content_type: str) -> None:
    with http_receiver(RecordingConsumer(), Metrics()) as receiver:
        _, headers, answer = send(receiver, BODY, authorization="Bearer wrong", content_type=content_type)
    assert headers["content-type"] == content_type.partition(";")[0]
    status = json.loads(answer) if "json" in content_type else MessageToDict(Status.FromString(answer))
    assert status == {"code": 16, "message": "the authorization field holds no key that is known here"}


def test_a_stranger_is_refused_before_its_body_has_come() -> None:
    with (
        http_receiver(RecordingConsumer(), Metrics()) as receiver,
        RawClient(int(receiver.endpoint.rpartition(":")[2])) as client,
    ):
        client.send(b"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n")
        assert client.answer()[0] == 401


def test_many_large_calls_of_strangers_over_grpc_hold_up_nobody() -> None:
    consumer = RecordingConsumer()
    with grpc_receiver(consumer, Metrics()) as receiver, grpc.insecure_channel(receiver.endpoint) as channel:
        call = channel.unary_unary(METHOD)
        waiting = [call.future(bytes(3_000_000), timeout=DEADLINE_SECONDS) for _ in range(20)]
        assert {one.code() for one in waiting} == {grpc.StatusCode.UNAUTHENTICATED}
        assert export(receiver.endpoint, BODY, f"Bearer {ACME}") is grpc.StatusCode.OK
    assert len(consumer.requests) == 1


def test_a_keys_file_holds_no_keys_and_is_read_again_when_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, path = FakeClock(), tmp_path / "keys"
    line = f"sha256:{hashlib.sha256(ACME.encode()).hexdigest()} acme  # since May\n\n"
    path.write_text(line)
    keys = Authenticator(AuthConfig(keys_file=str(path)), "auth", clock.monotonic)

    def tenant(token: str) -> str | None:
        clock.advance(2.0)
        sender = keys.find(f"Bearer {token}")
        return None if sender is None else sender.tenant

    assert (tenant(ACME), tenant(GLOBEX)) == ("acme", None)
    path.write_text(line + f"sha256:{hashlib.sha256(GLOBEX.encode()).hexdigest()} globex\n")
    assert (tenant(ACME), tenant(GLOBEX)) == ("acme", "globex")
    with caplog.at_level(logging.WARNING):
        path.write_text(f"{ACME} acme")
        assert (tenant(ACME), tenant(GLOBEX)) == ("acme", "globex")
        path.unlink()
        assert tenant(ACME) == "acme"
    assert "stay in force" in caplog.text
    assert ACME not in caplog.text
    path.write_text(f"sha256:{hashlib.sha256(GLOBEX.encode()).hexdigest()} globex\n")
    assert (tenant(ACME), tenant(GLOBEX)) == (None, "globex")


def test_a_token_file_is_read_again_when_it_is_rotated(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "token"
    path.write_text(f"{ACME}\n")
    keys = Authenticator(AuthConfig(keys=(KeyConfig(token_file=str(path)),)), "auth", clock.monotonic)
    assert keys.find(f"Bearer {ACME}") is not None
    replacement = tmp_path / "new"
    replacement.write_text(GLOBEX)
    replacement.rename(path)
    clock.advance(2.0)
    assert keys.find(f"Bearer {ACME}") is None
    assert keys.find(f"Bearer {GLOBEX}") is not None


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (AuthConfig(), "auth: expected keys or a keys_file"),
        (AuthConfig(keys=(KeyConfig(),)), r"auth.keys\[0\]: expected either token or token_file, got neither"),
        (AuthConfig(keys=(KeyConfig(token="short"),)), r"auth.keys\[0\]: expected a token of at least 16"),
        (AuthConfig(keys=(KeyConfig(username="u", password=""),)), r"auth.keys\[0\].password: expected a secret"),
        (AuthConfig(keys=(KeyConfig(username="u"),)), "expected either password or password_file, got neither"),
        (AuthConfig(keys_file="/nowhere/keys"), "auth.keys_file: cannot read /nowhere/keys"),
        (AuthConfig(keys=(KeyConfig(token_file="/nowhere/t"),)), r"auth.keys\[0\].token_file: cannot read /nowhere/t"),
        (
            AuthConfig(keys=(KeyConfig(token=ACME, tenant="a"), KeyConfig(token=ACME, tenant="b"))),
            r"auth.keys\[1\]: the same key stands there for another tenant",
        ),
    ],
)
def test_keys_that_cannot_be_used_are_named_and_never_shown(config: AuthConfig, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Gatekeeper(config, "auth")
    assert ACME not in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_tenant_that_sends_more_than_its_share_waits_and_others_do_not() -> None:
    clock = FakeClock()
    quota = Quota(1000, clock.monotonic)
    quota.check("acme")
    quota.charge("acme", 12_000)  # ten seconds' worth, and two more
    with pytest.raises(RefusedError) as caught:
        quota.check("acme")
    assert caught.value.retry_after_seconds == pytest.approx(2.0)
    quota.check("globex")
    clock.advance(2.0)
    quota.check("acme")


def test_a_tenant_over_its_share_gets_429_over_http_and_retry_information_over_grpc() -> None:
    auth = AuthConfig(keys=AUTH.keys, max_tenant_bytes_per_second=1024)
    consumer, metrics = RecordingConsumer(), Metrics()
    large = request([SpanSpec(chat(note="x" * 300_000))])
    with http_receiver(consumer, metrics, auth) as http, grpc_receiver(consumer, metrics, auth) as over_grpc:
        assert send(http, large, authorization=f"Bearer {ACME}")[0] == 200
        status, headers, _ = send(http, BODY, authorization=f"Bearer {ACME}")
        assert (status, int(headers["retry-after"]) > 200) == (429, True)
        assert send(http, BODY, authorization=basic("globex", "correct horse"))[0] == 200
        assert export(over_grpc.endpoint, large, f"Bearer {ACME}") is grpc.StatusCode.OK
        acme = (("authorization", f"Bearer {ACME}"),)
        with grpc.insecure_channel(over_grpc.endpoint) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(METHOD)(BODY, metadata=acme, timeout=DEADLINE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert b"RetryInfo" in dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert refusals(metrics) == {("traces", "over_quota"): 2}


def test_one_tenants_bodies_in_flight_leave_room_for_the_others() -> None:
    auth = AuthConfig(keys=AUTH.keys, max_tenant_in_flight_size=500_000)
    consumer, metrics = RecordingConsumer(), Metrics()
    head = f"POST /v1/traces HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ACME}\r\nContent-Length: 400000\r\n\r\n"
    with http_receiver(consumer, metrics, auth) as receiver:
        port = int(receiver.endpoint.rpartition(":")[2])
        with RawClient(port) as first, RawClient(port) as second:
            first.send(head.encode() + bytes(300_000))
            second.send(head.encode() + bytes(300_000))
            statuses = eventually_refused(first, second)
            assert statuses == [429]
            assert send(receiver, BODY, authorization=basic("globex", "correct horse"))[0] == 200
    assert refusals(metrics)["traces", "over_quota"] == 1


def eventually_refused(*clients: RawClient) -> list[int]:
    """The status of the first client that gets an answer; the others get none."""
    found: list[int] = []

    def look() -> bool:
        for client in clients:
            client.socket.settimeout(0.05)
            try:
                found.append(client.answer()[0])
            except TimeoutError:
                continue
        return bool(found)

    eventually(look)
    return found


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=10)),
)
def test_a_stamped_request_has_the_attribute_once_on_each_resource(tenant: str, services: list[str]) -> None:
    message = ExportTraceServiceRequest()
    for service in services:
        holder = message.resource_spans.add(schema_url="s")
        holder.resource.attributes.add(key="service.name").value.string_value = service
        for value in ("x", service):
            holder.resource.attributes.add(key="otel_llm.tenant.id").value.string_value = value
    stamped = stamp_resources(message.SerializeToString(), "otel_llm.tenant.id", tenant)
    assert tenants(stamped) == [tenant] * len(services)
    found = ExportTraceServiceRequest.FromString(stamped)
    assert [holder.resource.attributes[0].value.string_value for holder in found.resource_spans] == services
    assert all(holder.schema_url == "s" for holder in found.resource_spans)
