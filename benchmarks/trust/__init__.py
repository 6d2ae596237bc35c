"""Trust: kills, mutated media, hostile manifests, bounds of memory."""
