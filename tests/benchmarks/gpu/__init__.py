"""Tests of the benchmark of a GPU, which a processor rehearses."""
