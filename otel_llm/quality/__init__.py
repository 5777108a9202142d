"""Whether answers were any good, and whether that has changed: knows neither OpenTelemetry nor us."""
