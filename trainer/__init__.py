"""Stage two: entries of the cache to heads, predictions and reports."""
