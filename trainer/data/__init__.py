"""Features of a cache as sequences: divided into folds, normalised, augmented and batched."""
