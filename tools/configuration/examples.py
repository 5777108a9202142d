"""One worked example for each component, as it stands in docs/configuration.md. A test loads every one of them."""

from __future__ import annotations

from typing import Final

from otel_llm.components import Kind

EXAMPLES: Final[dict[tuple[Kind, str], str]] = {
    ("receiver", "otlp"): """\
receivers:
  otlp:
    protocols:
      grpc:                       # named and empty: with its defaults
      http:
        endpoint: 0.0.0.0:4318    # from other machines, too
        auth:
          keys:
            - {token: "${env:ACME_KEY}", tenant: acme}
        cors:
          allowed_origins: ["https://*.example.com"]
""",
    ("receiver", "file"): """\
receivers:
  file:
    path: /var/lib/otelcol/traces.jsonl
    follow: true
""",
    ("receiver", "kafka"): """\
receivers:
  kafka:
    brokers: [kafka-1:9092, kafka-2:9092]
    group_id: otel-llm
    commit_after: delivered       # needs no queue on disk
    tls: {ca_file: /etc/ssl/kafka-ca.pem}
    auth: {sasl: {mechanism: SCRAM-SHA-512, username: worker, password: "${env:KAFKA_PASSWORD}"}}
    dead_letters: {directory: /var/lib/otel-llm/letters}
""",
    ("receiver", "feedback"): """\
receivers:
  feedback:
    endpoint: 0.0.0.0:4320
    auth: {keys: [{token: "${env:FEEDBACK_TOKEN}"}]}
    ledger: /var/lib/otel-llm/ledger.db   # that of the ledger exporter
""",
    ("connector", "routing"): """\
connectors:
  routing:
    table:
      - when: {otel_llm.tenant.id: acme}
        pipelines: [traces/acme]
    default_pipelines: [traces/quarantine]
""",
    ("connector", "tail_sampling"): """\
connectors:
  tail_sampling:
    sampling_percentage: 10
    keep_from_cost: 0.5           # and every trace with an error or a violation
""",
    ("processor", "normalize"): """\
processors:
  normalize:
""",
    ("processor", "cost"): """\
processors:
  cost:
    prices: [/etc/otel-llm/prices.yaml]   # deployments and negotiated rates, see prices.md
""",
    ("processor", "quality"): """\
processors:
  quality:
    signals: {language_mismatch: false}   # an app that answers in the language of its documents
    stale_after_days: 90
    output_schemas:
      extract-invoice: /etc/otel-llm/invoice.schema.json   # gen_ai.prompt.name: JSON schema of its answers
""",
    ("processor", "metrics"): """\
processors:
  metrics:
""",
    ("processor", "policy"): """\
processors:
  policy:
    packs: [starter]                      # in shadow mode; your own with paths, see policy-guide.md
""",
    ("processor", "budget"): """\
processors:
  budget:                                 # behind cost, see budgets.md
    redis: {url: "redis://cache:6379/0", password: "${env:REDIS_PASSWORD}"}
    budgets:
      - {name: support, owner: team-support, match: {service: support}, limit: 500, at_limit: deny}
      - {name: everything, limit: 50, period: day, time_zone: Europe/Berlin}
""",
    ("processor", "presets"): """\
processors:
  presets:
    presets: [langfuse, logfire]
""",
    ("processor", "drift"): """\
processors:
  drift:
    state_file: /var/lib/otel-llm/drift.json
    baselines: {error: 0.02}        # what is promised; everything else is learnt
""",
    ("processor", "compare"): """\
processors:
  compare:
    comparisons:
      - name: answer-prompt
        attribute: gen_ai.prompt.version
        control: "7"
        canary: "8"
        where: {gen_ai.prompt.name: answer}
        guardrails: {error: 0.01, refusal: 0.02, duration: 0.1}
""",
    ("processor", "judge"): """\
processors:
  judge:
    endpoint:
      url: https://api.openai.com/v1
      model: gpt-5-mini
      api_key: ${env:OPENAI_API_KEY}
    daily_limit: "5.00"             # US dollars, by our own prices
    labels: [/etc/otel-llm/labels.jsonl]
    rubrics:
      - id: helpfulness
        version: "1"
        question: Does the answer solve the problem of the user's last message?
""",
    ("processor", "redact"): """\
processors:
  redact:
    operators: {EMAIL_ADDRESS: hash}      # mask everything else
    key: ${env:REDACTION_KEY}
    allow: [support@example.com]
    patterns:
      - {type: CUSTOMER_NUMBER, pattern: "C-[0-9]{8}", keywords: [c-]}
    raw_exporters: [file/vault]           # one destination gets what came, all others what is left
""",
    ("processor", "history"): """\
processors:
  history:                                # last of all that read messages, see history.md
    within: trace                         # behind it, tail_sampling decides on whole traces
""",
    ("exporter", "otlp_grpc"): """\
exporters:
  otlp_grpc:
    endpoint: collector.example.com:4317
    headers:
      authorization: Bearer ${env:COLLECTOR_TOKEN}
    sending_queue:
      size_bytes: 134217728
      on_full: drop               # a dead destination does not hold up the others
""",
    ("exporter", "otlp_http"): """\
exporters:
  otlp_http/jaeger:
    endpoint: http://127.0.0.1:14318
    compression: none
    retry_on_failure:
      max_elapsed_seconds: 300
""",
    ("exporter", "kafka"): """\
exporters:
  kafka:
    brokers: [kafka-1:9092, kafka-2:9092]
    tls:                          # named and empty: the authorities of the system
    auth: {sasl: {mechanism: SCRAM-SHA-512, username: gateway, password: "${env:KAFKA_PASSWORD}"}}
    producer: {compression: zstd, max_message_bytes: 4000000}
""",
    ("exporter", "file"): """\
exporters:
  file:
    path: /var/lib/otel-llm/telemetry.jsonl
""",
    ("exporter", "debug"): """\
exporters:
  debug:
    verbosity: detailed
""",
    ("exporter", "ledger"): """\
exporters:
  ledger:
    path: /var/lib/otel-llm/ledger.db
""",
    ("exporter", "langfuse_scores"): """\
exporters:
  langfuse_scores:
    endpoint: https://cloud.langfuse.com
    public_key: ${env:LANGFUSE_PUBLIC_KEY}
    secret_key: ${env:LANGFUSE_SECRET_KEY}
""",
    ("exporter", "phoenix_annotations"): """\
exporters:
  phoenix_annotations:
    endpoint: http://127.0.0.1:6006
""",
    ("exporter", "open_spans"): """\
exporters:
  open_spans:
    interrupted_after_seconds: 120   # apps repeat every 30 s that a span is still open
""",
}
