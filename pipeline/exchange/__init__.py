"""Exchange: features made elsewhere come into a cache, and features leave it."""
