"""Data: a cache's features as sequences, divided by folds, normalised and batched."""
