"""Measurements: ratios and rates of the machine at hand, never asserted in tests."""
