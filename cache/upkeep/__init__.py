"""Upkeep of a cache: its state, its checksums, and its garbage."""
