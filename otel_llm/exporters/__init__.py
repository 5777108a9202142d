"""Where telemetry goes: each module has a `Config` and a `create(config, *, name)` that makes its Exporter.

An exporter sends one payload, once, and says how that ended. Queue, batching, retry, splitting and counting are the
delivery's, so an exporter is one method and whatever connection it keeps.
"""
