"""The steps of a pipeline. Each module has a `Config`, a processor and a `create`; importing this loads none."""
