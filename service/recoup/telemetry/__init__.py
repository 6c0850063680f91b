"""Telemetry: the catalogue of metrics, the Prometheus collector, the logging set-up."""
