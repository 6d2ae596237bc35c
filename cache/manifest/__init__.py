"""Manifests: the table of clips, read with every problem found at once, and written."""
