"""Policy: rules over GenAI operations, detectors of personal data and secrets, redaction.

A pure package: no OpenTelemetry, no network, no clock.
"""
