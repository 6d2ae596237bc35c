"""Upkeep of a cache: its state, its checksums, and what nothing refers to any more."""
