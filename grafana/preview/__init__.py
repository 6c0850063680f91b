"""A preview of the dashboards without a Grafana: their layout, and what their queries give now.

It draws what a reader of the JSON needs to see (places, units, legends, thresholds, colours), and is no Grafana.
"""
