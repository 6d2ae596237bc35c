"""Persons of a corpus: the tracks of all clips, clustered by their identity embeddings."""
