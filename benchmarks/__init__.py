"""What is fast, beside what a user would pick instead. Ratios within one run; see `python -m benchmarks --help`."""
