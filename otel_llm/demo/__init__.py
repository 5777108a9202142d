"""A small application with real SDKs and an instrumentation from the package index, for `otel-llm demo`.

It uses nothing of otel_llm but this package: what it sends is what anybody's application would send. Needs the extra
`demo`.
"""
