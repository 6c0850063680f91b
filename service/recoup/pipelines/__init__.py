"""Pipelines: the protocol, the registry, and the built-in and configured generators."""
