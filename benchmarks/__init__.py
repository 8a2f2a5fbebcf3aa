"""Benchmarks (`make bench`). Each compares speed with a named alternative in the same run."""

from lesionbench.core import process

process.prepare()  # before PyTorch loads, as every stage does
