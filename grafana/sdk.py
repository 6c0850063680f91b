"""What the dashboards use of Grafana's SDK, in one place.

The SDK prefers the new dashboard schema and warns of the classic one. Classic JSON is what file provisioning of every
Grafana in use reads, so it is made on purpose, and the warning is left out.
"""

from __future__ import annotations

import sys
import warnings

if sys.version_info < (3, 11):
    raise ImportError("Grafana's SDK needs Python 3.11 or newer. The generated dashboards need none.")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models import prometheus as prometheus_model

__all__ = [
    "JSONEncoder",
    "common",
    "common_model",
    "dashboard",
    "heatmap",
    "heatmap_model",
    "model",
    "prometheus",
    "prometheus_model",
    "stat",
    "table",
    "timeseries",
]
