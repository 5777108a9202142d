"""The vocabulary of otel_llm and the build-time scripts that check it and generate code and documentation from it."""
