"""Where a pipeline runs: the gateway, which with a kafka receiver is a worker, and the app itself."""
