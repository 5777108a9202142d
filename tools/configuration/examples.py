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
        cors:
          allowed_origins: ["https://*.example.com"]
""",
    ("receiver", "file"): """\
receivers:
  file:
    path: /var/lib/otelcol/traces.jsonl
    follow: true
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
    ("processor", "metrics"): """\
processors:
  metrics:
""",
    ("processor", "policy"): """\
processors:
  policy:
    packs: [starter]                      # in shadow mode; your own with paths, see policy-guide.md
""",
    ("processor", "presets"): """\
processors:
  presets:
    presets: [langfuse, logfire]
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
}
