"""Fine-tune a face network on still images: stills, votes, augmentation, training, evaluation."""
