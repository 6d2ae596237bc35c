"""Recipes that write a manifest from a corpus's own layout: names and tables only, no decoding."""
