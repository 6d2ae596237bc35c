"""Heads: networks from sequences of embeddings to logits, alone or stacked."""
