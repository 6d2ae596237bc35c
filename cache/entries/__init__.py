"""Entries: one clip's arrays in one sealed HDF5 file, and whether it can be trusted."""
