"""Grafana's side: dashboards written in Python, the JSON generated from them, and what provisions them."""
