"""Prometheus' side: the recording rules and the alerts, written in Python, and the metrics of the load test."""
