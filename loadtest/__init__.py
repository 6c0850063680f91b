"""Load on a real service, and a verdict on it taken from the dashboards' own queries: `python -m loadtest`."""
