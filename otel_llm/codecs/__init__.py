"""Spans and events of a host as Operations, and back: `wire` for OTLP bytes, `sdk` for the SDK's spans."""
