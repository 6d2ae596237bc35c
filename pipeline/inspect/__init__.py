"""Inspect: contact sheets of the faces that a cache holds."""
