"""Policy: rules over operations, and what they find.

A pure package: no OpenTelemetry, nothing of ours.
"""
