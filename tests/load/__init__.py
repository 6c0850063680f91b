"""The load test and its verdict."""
