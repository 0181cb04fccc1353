"""Tests and benchmarks, a package so that `python -m tests.benchmarks` means this folder and no installed `tests`."""
