"""The rules of Recoup, written once: `metrics/build.py` turns them into `metrics/rules/*.yml`.

Signals (`signals`) are recording rules. Alerts (`alerts`, `burn`) compare signals with `thresholds`, and say the same
numbers in their texts.
"""
