"""Tests of the load test: its workload, its verdict and its report, without load."""
