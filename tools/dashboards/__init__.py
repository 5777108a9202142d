"""Grafana dashboards, from one readable source to JSON."""
