"""A GPU at work: networks, stage one, stage two, fine-tuning; and what holds it up."""
