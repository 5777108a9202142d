"""Kafka in a configuration: no circles, and a word about queues that forget."""

from __future__ import annotations

from tests.config.documents import Folder

TEXT = """
receivers: {{kafka: {{{receiver}}}}}
exporters:
  kafka: {{{exporter}}}
  otlp_http: {{endpoint: "http://127.0.0.1:14318"{queue}}}
service:
  pipelines: {{traces: {{receivers: [kafka], exporters: [{exporters}]}}}}
"""


def text(receiver: str = "", exporter: str = "", queue: str = "", exporters: str = "otlp_http") -> str:
    return TEXT.format(receiver=receiver, exporter=exporter, queue=queue, exporters=exporters)


def test_a_pipeline_that_writes_to_the_topic_it_reads_is_a_mistake(folder: Folder):
    [problem] = folder.problems(text(exporters="kafka"))
    assert problem.startswith("exporters.kafka.traces.topic: 'otlp_spans' is what receivers.kafka reads")
    other = "traces: {topic: other}"
    [problem] = folder.problems(text("traces: {topics: [a, other]}", other, exporters="kafka"))
    assert problem.startswith("exporters.kafka.traces.topic: 'other' is what receivers.kafka reads")


def test_another_topic_or_another_cluster_is_no_circle(folder: Folder):
    durable = "commit_after: delivered"
    assert folder.load(text(durable, "traces: {topic: other}", exporters="kafka")).pipelines
    assert folder.load(text(durable, 'brokers: ["elsewhere:9092"]', exporters="kafka")).pipelines


def test_a_queue_in_memory_behind_committed_offsets_is_warned_of(folder: Folder):
    [warning] = [one for one in folder.load(text()).warnings if "commit_after" in one]
    assert warning.startswith(
        "receivers.kafka.commit_after: what was accepted counts as done, but the queue of exporters.otlp_http is in"
    )
    disk = ", sending_queue: {disk: {directory: queue}}"
    for settings in (folder.load(text(queue=disk)), folder.load(text("commit_after: delivered"))):
        assert not [one for one in settings.warnings if "commit_after" in one]


def test_a_misspelt_setting_of_kafka_has_its_nearest_name(folder: Folder):
    [problem] = folder.problems(text("comit_after: delivered"))
    assert "did you mean 'commit_after'?" in problem
    [problem] = folder.problems(text("commit_after: delivred"))
    assert problem.startswith("receivers.kafka.commit_after: ")


def test_a_password_in_the_configuration_itself_is_refused(folder: Folder):
    sasl = "auth: {sasl: {mechanism: PLAIN, username: u, password: hunter2}}"
    [problem] = folder.problems(text(sasl))
    assert problem.startswith("receivers.kafka.auth.sasl.password: ")
    assert "hunter2" not in problem
