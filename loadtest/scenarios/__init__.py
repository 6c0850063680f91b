"""The scenarios of the load test, each a function from the workload's settings to its phases."""
