"""Tests of the repository around the code: what is installed, what is written, how it is built."""
