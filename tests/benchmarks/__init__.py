"""Ratios of speed: what we need for a piece of work, divided by what the best that it could be needs.

`python -m tests.benchmarks [--only NAME] [--rounds N] [--json FILE]` starts one embedded DERIVA on a temporary folder,
takes every comparison of every subject in turn, round after round, and prints medians, spreads and ratios as a table.
These are no tests: machines are noisy, so nothing fails here, and only ratios count.

A subject is a file of this package with a function `compare(world, stack)` that returns its comparisons, listed in
`subjects.py`. A comparison is two functions of the same work, ours and the limit's, that each return a figure
(seconds, megabytes, or a count), and the ratio that we aim at; without a limit the aim is absolute. What needs to be
closed goes on the stack. Sizes go through `world.of(n)`, so that `--scale` makes the work small enough to try a row.
"""
