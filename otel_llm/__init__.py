"""otel_llm: the operating layer for LLM applications, on OpenTelemetry.

Importing this package only defines names: no environment is read, no thread is started, no connection is opened.
"""

__version__ = "0.1.0"
