"""The rules of Recoup, written once: `metrics/build.py` turns them into `metrics/rules/*.yml`.

Signals (`signals`) are recording rules; alerts (`alerts`) compare signals with `thresholds`, in expression and text alike.
"""
