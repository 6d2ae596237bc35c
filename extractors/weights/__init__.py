"""Weight files: read safely, identified, loaded strictly, digested and converted."""
