"""Stage one: from the settings and the clips to entries in a cache."""
