"""From texts to ids and back, and batches of pairs for training."""
