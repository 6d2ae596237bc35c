"""Heads of a run for other tools: ONNX files, and plain parameters with a loader of their own."""
