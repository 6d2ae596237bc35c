"""Page of a run, or of several side by side: figures, clips, map of embeddings, provenance."""
