"""Predict: classes of any video file, by a run or by the default network."""
