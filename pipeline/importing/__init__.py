"""Bring features that were made elsewhere into a cache as a feature set."""
