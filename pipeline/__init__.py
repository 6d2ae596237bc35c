"""Stage one: videos to entries of the cache."""
