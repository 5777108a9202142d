"""A gateway whose queue is on disk: restarts and reloads."""

from __future__ import annotations

import errno
import gzip
import threading
from pathlib import Path

import pytest

from otel_llm.delivery.segment import Segment
from otel_llm.hosts.gateway import Gateway
from otel_llm.testing import Answer, Destination, OtlpHttpSink, unused_port
from tests.delivery.requests import numbers, traces
from tests.hosts.running import SIMPLE, get, http_port, post, running, settings


def on_disk(sink: str, folder: Path) -> str:
    """As SIMPLE, with a queue on disk, impatient retries and a short shutdown."""
    queue = f"sending_queue: {{disk: {{directory: {folder / 'queue'}}}, batch: {{flush_timeout_seconds: 0}}}}"
    retry = "retry_on_failure: {initial_interval_seconds: 0.01, max_interval_seconds: 0.02}"
    text = SIMPLE.format(sink=sink).replace(
        "sending_queue: {batch: {flush_timeout_seconds: 0}}", f"{queue}\n    {retry}"
    )
    return text.replace("shutdown_timeout_seconds: 5", "shutdown_timeout_seconds: 0.2")


def send(gateway: Gateway, first: int, count: int) -> None:
    assert post(http_port(gateway), "/v1/traces", traces(first, count).SerializeToString())[0] == 200


def arrived(destination: Destination) -> list[int]:
    return [number for r in destination.accepted if r.signal == "traces" for number in numbers(r.signal, r.body)]


class HeldSync:
    """In the place of a queue's sync, for there is no disk that waits, or fails, on demand."""

    def __init__(self, gateway: Gateway) -> None:
        log = gateway.delivery("otlp_http")._queue.shelf.lines["traces"].log  # type: ignore[attr-defined]
        self._sync, log.sync = log.sync, self
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.error: OSError | None = None

    def __call__(self, segment: Segment) -> None:
        self.entered.set()
        assert self.go_on.wait(10)
        if self.error is not None:
            raise self.error
        self._sync(segment)


@pytest.mark.parametrize("error", [None, OSError(errno.EIO, "broken")], ids=["synced", "not synced"])
def test_senders_are_answered_when_the_disk_has_it_and_wait_in_nobodys_way(
    tmp_path: Path, error: OSError | None
) -> None:
    destination = Destination()
    with OtlpHttpSink(destination) as sink, running(on_disk(sink.endpoint, tmp_path), tmp_path) as gateway:
        held = HeldSync(gateway)
        held.error = error
        answers: list[int] = []

        def sender(number: int) -> None:
            answers.append(post(http_port(gateway), "/v1/traces", traces(number, 1).SerializeToString())[0])

        threads = [threading.Thread(target=sender, args=(number,)) for number in range(1, 41)]
        for thread in threads:
            thread.start()
        assert held.entered.wait(10)
        # More wait than there are threads, and the event loop still answers.
        assert post(http_port(gateway), "/v1/traces", b"not a request")[0] == 400
        assert (answers, destination.received) == ([], [])
        held.go_on.set()
        for thread in threads:
            thread.join(10)
        assert gateway.delivery("otlp_http").force_flush(5)
        assert answers == [200 if error is None else 429] * 40
    assert sorted(arrived(destination)) == ([] if error else list(range(1, 41)))


def test_a_restart_delivers_what_the_gateway_before_could_not(tmp_path: Path) -> None:
    destination = Destination(default=Answer.unavailable())
    with OtlpHttpSink(destination) as sink:
        text = on_disk(sink.endpoint, tmp_path)
        with running(text, tmp_path) as gateway:
            send(gateway, 1, 10)
            send(gateway, 11, 10)
        assert gateway.delivery("otlp_http").balance("traces").queued == 20
        destination.default = Answer()
        with running(text, tmp_path) as gateway:
            send(gateway, 21, 10)
            assert gateway.delivery("otlp_http").force_flush(5)
    assert arrived(destination) == list(range(1, 31))


def test_a_reload_while_the_destination_is_down_drops_nothing(tmp_path: Path) -> None:
    destination = Destination(default=Answer.unavailable())
    with OtlpHttpSink(destination) as sink:
        text = on_disk(sink.endpoint, tmp_path)
        with running(text, tmp_path) as gateway:
            send(gateway, 1, 10)
            gateway.reload(settings(text.replace("0.01", "0.02"), tmp_path))
            send(gateway, 11, 10)
            destination.default = Answer()
            gateway.reload(settings(text, tmp_path))
            send(gateway, 21, 10)
            assert gateway.wait_retired(5)
            assert gateway.delivery("otlp_http").force_flush(5)
            balance = gateway.delivery("otlp_http").balance("traces")
            metrics = get(gateway.admin_port, "/metrics")[1]
    assert sorted(set(arrived(destination))) == list(range(1, 31))
    assert (balance.accepted, balance.exported, dict(balance.dropped)) == (30, 30, {})
    assert 'otel_llm_delivery_items_queued{otel_llm_component_name="otlp_http",otel_llm_signal="traces"} 0' in metrics


def test_a_reload_mends_an_endpoint_without_waiting_for_the_one_that_is_dead(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink:
        dead = on_disk(f"http://127.0.0.1:{unused_port()}", tmp_path).replace(
            "timeout_seconds: 0.2", "timeout_seconds: 60"
        )
        with running(dead, tmp_path) as gateway:
            send(gateway, 1, 10)
            gateway.reload(settings(on_disk(sink.endpoint, tmp_path), tmp_path))
            sink.destination.wait_for(lambda: sink.destination.items >= 10)
            assert gateway.wait_retired(10)
    assert arrived(sink.destination) == list(range(1, 11))


def test_status_shows_where_a_queue_is(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink, running(on_disk(sink.endpoint, tmp_path), tmp_path) as gateway:
        status, text = get(gateway.admin_port, "/status")
    assert status == 200
    assert '"queue":"disk"' in text


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_gzipped_body_that_nothing_changes_arrives_whole_and_gzipped_anew(tmp_path: Path, where: str) -> None:
    destination = Destination()
    body = traces(1, 500, size=100).SerializeToString()
    packed = gzip.compress(body, 9)
    with OtlpHttpSink(destination) as sink:
        text = on_disk(sink.endpoint, tmp_path) if where == "disk" else SIMPLE.format(sink=sink.endpoint)
        with running(text.replace("compression: none", "compression: gzip"), tmp_path) as gateway:
            assert post(http_port(gateway), "/v1/traces", packed, {"content-encoding": "gzip"})[0] == 200
            assert gateway.delivery("otlp_http").force_flush(5)
    received = [one for one in destination.accepted if one.signal == "traces"]
    assert [one.body for one in received] == [body]
    assert received[0].headers["content-encoding"] == "gzip"
    assert int(received[0].headers["content-length"]) != len(packed)  # level 1, not the sender's 9
