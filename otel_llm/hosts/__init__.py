"""Where a pipeline runs: the gateway, and later the app itself and a Kafka worker."""
