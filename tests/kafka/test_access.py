"""Wrong addresses, credentials, certificates and topics: what is said then, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from otel_llm.receivers import Fetching
from otel_llm.testing import Destination, OtlpHttpSink, unused_port
from tests.certificates import make_certificates
from tests.delivery.requests import traces
from tests.hosts.running import http_port, post, running
from tests.kafka.broker import Broker, why_not
from tests.kafka.conftest import Topics, new_topics
from tests.kafka.gateways import into_kafka, out_of_kafka, seen, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SECRET = "correct horse battery"


@dataclass(frozen=True)
class Secured:
    """A broker that asks for TLS and a password, beside a port that does not."""

    broker: Broker
    authority: str
    stranger: str


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("secured")
    for name in ("ours", "theirs"):
        (folder / name).mkdir()
    ours, theirs = make_certificates(folder / "ours"), make_certificates(folder / "theirs")
    keystore = folder / "broker.pem"
    keystore.write_text(Path(ours.key_file).read_text() + Path(ours.cert_file).read_text())
    jaas = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="broker" password="b" user_broker="b" user_worker="{SECRET}";'
    )
    properties = {
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.name.secure.ssl.keystore.type": "PEM",
        "listener.name.secure.ssl.keystore.location": str(keystore),
        "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secure.plain.sasl.jaas.config": jaas,
    }
    with Broker(folder / "broker", properties, is_secured=True) as broker:
        yield Secured(broker, ours.ca_file, theirs.ca_file)


def secure(ca: str, password: str, file: Path) -> tuple[str, dict[str, str]]:
    """Settings of the receiver, and those of the exporter, for the port that asks."""
    file.write_text(password + "\n")
    tls = f"{{ca_file: {ca}}}"
    auth = f"{{sasl: {{mechanism: PLAIN, username: worker, password_file: {file}}}}}"
    return f"tls: {tls}, auth: {auth}", {"tls": tls, "auth": auth, "timeout_seconds": "2"}


def at(topics: Topics, address: str) -> Topics:
    """The same topics by another address."""
    return replace(topics, address=address)


def check_problems(topics: Topics, folder: Path, receiver: str, exporter: dict[str, str], *expected: str) -> None:
    """Both say what is wrong, naming the setting, and keep what they have."""
    for name in ("in", "out"):
        (folder / name).mkdir(exist_ok=True)
    with (
        running(into_kafka(topics, exporter), folder / "in") as gateway,
        running(out_of_kafka(topics, "http://127.0.0.1:1", receiver), folder / "out") as worker,
    ):
        assert post(http_port(gateway), "/v1/traces", traces(1, 3).SerializeToString())[0] == 200
        source = worker.receiver("kafka")
        assert isinstance(source, Fetching)
        delivery = gateway.delivery("kafka")
        for said, whose in (
            (lambda: source.status().problem, "receivers"),
            (lambda: delivery.status().problem, "exporters"),
        ):
            wait_until(lambda said=said, whose=whose: any(said().startswith(f"{whose}.{one}") for one in expected), 40)
            assert SECRET not in said()
        assert delivery.balance("traces").queued == 3
        gateway.abandon()
        worker.abandon()


def test_over_tls_with_a_password(secured: Secured, tmp_path: Path) -> None:
    topics = at(new_topics(secured.broker), secured.broker.secure_address)
    receiver, exporter = secure(secured.authority, SECRET, tmp_path / "password")
    destination = Destination()
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    with (
        OtlpHttpSink(destination) as sink,
        running(into_kafka(topics, exporter), tmp_path / "in") as gateway,
        running(out_of_kafka(topics, sink.endpoint, receiver), tmp_path / "out"),
    ):
        assert post(http_port(gateway), "/v1/traces", traces(1, 30).SerializeToString())[0] == 200
        wait_until(lambda: len(seen(destination, "traces")) >= 30)


def test_a_wrong_password_names_sasl(secured: Secured, tmp_path: Path) -> None:
    topics = at(new_topics(secured.broker), secured.broker.secure_address)
    receiver, exporter = secure(secured.authority, "wrong", tmp_path / "password")
    check_problems(topics, tmp_path, receiver, exporter, "kafka.auth.sasl: the brokers do not accept who we are")


def test_an_authority_that_did_not_sign_names_tls(secured: Secured, tmp_path: Path) -> None:
    topics = at(new_topics(secured.broker), secured.broker.secure_address)
    receiver, exporter = secure(secured.stranger, SECRET, tmp_path / "password")
    check_problems(topics, tmp_path, receiver, exporter, "kafka.tls: no encrypted connection to the brokers")


def test_no_tls_where_it_is_asked_for_hints_at_it(secured: Secured, tmp_path: Path) -> None:
    topics = at(new_topics(secured.broker), secured.broker.secure_address)
    check_problems(
        topics,
        tmp_path,
        "client_id: plain",
        {"timeout_seconds": "2"},
        "kafka.brokers: none of localhost",
        "kafka.tls: ",
    )


def test_an_address_where_nobody_is_names_brokers(topics: Topics, tmp_path: Path) -> None:
    nowhere = at(topics, f"127.0.0.1:{unused_port()}")
    check_problems(nowhere, tmp_path, "client_id: x", {"timeout_seconds": "2"}, "kafka.brokers: none of 127.0.0.1:")


def test_a_host_that_does_not_exist_names_brokers(topics: Topics, tmp_path: Path) -> None:
    nowhere = at(topics, "no-such-host.invalid:9092")
    check_problems(nowhere, tmp_path, "client_id: x", {"timeout_seconds": "2"}, "kafka.brokers: none of no-such-host")


def test_a_topic_that_is_not_there_is_named_with_its_setting(topics: Topics, tmp_path: Path) -> None:
    missing = replace(topics, spans="otlp_spams")
    check_problems(
        missing, tmp_path, "client_id: x", {}, "kafka.traces.topics: the brokers have no topic 'otlp_spams'",
        "kafka.traces.topic: the brokers have no topic 'otlp_spams'",
    )  # fmt: skip
