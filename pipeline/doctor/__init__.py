"""Doctor: look into every clip of a corpus before a long run."""
