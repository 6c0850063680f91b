"""The rules of Recoup, written once: `python -m metrics.build` turns them into `metrics/rules/*.yml`.

Recording rules (`recordings`) give the signals of `metrics.signals`. Alerts (`alerts`, `burn`) compare signals with
`metrics.thresholds`, and say the same numbers in their texts. Names of metrics come from the catalogues.
"""
