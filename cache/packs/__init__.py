"""Packs: all entries of a feature set as one array, which training reads."""
