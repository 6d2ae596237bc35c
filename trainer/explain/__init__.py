"""Explanations of predictions: attention and probabilities over a clip's time; pictures of them."""
