"""Sweeps: grids of settings, one run a cell, as a table."""
