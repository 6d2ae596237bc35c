"""Runs: a training's folder, what is measured in it, and the report."""
