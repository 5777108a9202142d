"""Builds docs/configuration.md and the JSON schema of the configuration."""
